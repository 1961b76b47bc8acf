// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-project/stile"
)

// program is one invocation: its streams, its environment and the flags that every command has.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(string) string

	timeout time.Duration
	caFile  string
}

// run is the whole program but for the process around it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := &program{stdin: stdin, stdout: stdout, stderr: stderr, env: os.Getenv}
	root := p.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil {
		p.report(err)
	}
	return exitCode(err)
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "stile",
		Short: "Give a workload in one cloud a short-lived credential for another, with no stored key",
		Long: `Stile gives a workload in one cloud a short-lived credential for another cloud, with no stored key anywhere.

  AWS to Google Cloud    stile token --provider projects/N/locations/global/workloadIdentityPools/POOL/providers/P
  Google Cloud to AWS    stile credential-process --role arn:aws:iam::ACCOUNT:role/NAME --region eu-west-1
  who am I here          stile whoami

Data goes to standard output, everything else to standard error. Exit codes: 0 done, 1 failed, 2 misused,
3 no identity here, 4 refused by a cloud, 5 temporary. stile exec gives back the command's own.`,
		SilenceErrors: true, SilenceUsage: true,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &stile.Error{Op: "read the flags", Err: fmt.Errorf("%w: %w", stile.ErrMisuse, nearestFlag(cmd, err)), Hint: cmd.CommandPath() + " --help lists them"}
	})
	root.PersistentFlags().DurationVar(&p.timeout, "timeout", time.Minute, "how long the whole command may take")
	root.PersistentFlags().StringVar(&p.caFile, "ca-file", p.env("STILE_CA_FILE"), "trust these CA certificates (PEM) as well [$STILE_CA_FILE]")
	root.AddCommand(p.tokenCommand(), p.credentialProcessCommand(), p.envCommand(), p.execCommand(), p.whoamiCommand(),
		p.configCommand(), p.versionCommand())
	for _, cmd := range root.Commands() {
		misusedArguments(cmd)
	}
	return root
}

// misusedArguments marks a wrong number of arguments as misuse, for the exit code.
func misusedArguments(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return &stile.Error{Op: "read the arguments", Err: fmt.Errorf("%w: %w", stile.ErrMisuse, err), Hint: cmd.CommandPath() + " --help shows examples"}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		misusedArguments(sub)
	}
}

// within bounds a command's network steps.
func (p *program) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, p.timeout, fmt.Errorf("%w: not done within --timeout %s", stile.ErrTemporary, p.timeout))
}

// An exit is the code of a command that stile ran.
type exit int

func (e exit) Error() string { return fmt.Sprintf("the command ended with code %d", int(e)) }

// Exit codes, so that scripts can tell.
const (
	done       = 0
	failed     = 1
	misused    = 2
	noIdentity = 3
	refused    = 4
	temporary  = 5
)

func exitCode(err error) int {
	var code exit
	switch {
	case err == nil:
		return done
	case errors.As(err, &code):
		return int(code)
	case errors.Is(err, stile.ErrMisuse), isUnknownCommand(err):
		return misused
	case errors.Is(err, stile.ErrNoIdentity):
		return noIdentity
	case errors.Is(err, stile.ErrRefused):
		return refused
	case errors.Is(err, stile.ErrTemporary), errors.Is(err, context.DeadlineExceeded):
		return temporary
	}
	return failed
}

// report tells a person what failed and what to do.
func (p *program) report(err error) {
	var code exit
	if errors.As(err, &code) {
		return // the command has said what it had to say
	}
	fmt.Fprintln(p.stderr, "stile: error:", err)
	var e *stile.Error
	if errors.As(err, &e) && e.Hint != "" {
		fmt.Fprintln(p.stderr, "stile: hint:", e.Hint)
	}
}

func (p *program) warn(format string, args ...any) {
	fmt.Fprintln(p.stderr, "stile: warning: "+fmt.Sprintf(format, args...))
}
