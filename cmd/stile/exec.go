// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/outlet"
)

func (p *program) execCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "exec [CROSSING] -- COMMAND [ARGUMENT...]",
		Short: "Run a command with a credential in its environment",
		Long: `Run a command with a credential in its environment. Variables that would win over the credential are removed, and
stile says which. Signals reach the command, and its exit code is stile's. The credential does not refresh while it runs.`,
		Example: `  stile exec images -- aws s3 ls s3://my-bucket
  stile exec --provider projects/123456789012/locations/global/workloadIdentityPools/aws-pool/providers/aws-prov -- gcloud storage ls`,
		Args: func(cmd *cobra.Command, args []string) error {
			if dash := cmd.ArgsLenAtDash(); dash < 0 || dash == len(args) {
				return errors.New("name the command after --")
			} else if dash > 1 {
				return errors.New("name at most one crossing before --")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			dash := cmd.ArgsLenAtDash()
			s.take(cmd, args[:dash])
			return p.exec(cmd.Context(), &s, args[dash:])
		},
	}
	p.bothFlags(cmd, &s)
	return cmd
}

func (p *program) exec(ctx context.Context, s *settings, argv []string) error {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return misuse("find the command", "%w", err)
	}
	bounded, cancel := p.within(ctx)
	defer cancel()
	kind, vars, err := p.environment(bounded, s)
	if err != nil {
		return err
	}
	child := exec.Command(path, argv[1:]...) //nolint:gosec,noctx // running what the user named is the point, and it outlives no deadline
	child.Args[0] = argv[0]
	child.Stdin, child.Stdout, child.Stderr = p.stdin, p.stdout, p.stderr
	child.Env = p.childEnvironment(kind, vars)
	return runToEnd(child)
}

func (p *program) childEnvironment(kind stile.Kind, vars []outlet.Variable) []string {
	shadows := outlet.Shadowing(kind)
	env := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		if slices.Contains(shadows, name) {
			p.warn("%s is not passed on: it would win over the credential", name)
			return true
		}
		return slices.ContainsFunc(vars, func(v outlet.Variable) bool { return v.Name == name })
	})
	for _, v := range vars {
		env = append(env, v.Name+"="+v.Value)
	}
	return env
}

// runToEnd waits for the child, which gets the signals that stile gets. An interrupt from the terminal reaches the
// child by itself: stile only must not die first.
func runToEnd(child *exec.Cmd) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, passedOn...)
	defer signal.Stop(signals)
	if err := child.Start(); err != nil {
		return misuse("start the command", "%w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	for {
		select {
		case s := <-signals:
			if s != os.Interrupt {
				_ = child.Process.Signal(s) // it may have ended already
			}
		case err := <-ended:
			var status *exec.ExitError
			if errors.As(err, &status) {
				return exit(exitStatus(status))
			}
			return err
		}
	}
}
