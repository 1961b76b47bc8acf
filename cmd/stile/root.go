// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
)

// program is one invocation: its streams, its environment and the flags that every command has.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(string) string

	timeout time.Duration
	caFile  string

	certFile, keyFile string

	allowExecutables bool

	noCache bool
	store   config.Store   // of the stile.yaml that the crossing came from
	traces  *config.Traces // the same
}

// run is the whole program but for the process around it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := &program{stdin: stdin, stdout: stdout, stderr: stderr, env: os.Getenv}
	root := p.root(args)
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

func (p *program) root(args []string) *cobra.Command {
	root := &cobra.Command{
		Use:   "stile",
		Short: "Give a workload in one cloud a short-lived credential for another, with no stored key",
		Long: `Stile gives a workload in one cloud a short-lived credential for another cloud, with no stored key anywhere.

On AWS, for Google Cloud:    stile token --provider projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER
On Google Cloud, for AWS:    stile credential-process --role arn:aws:iam::ACCOUNT:role/NAME --region eu-west-1
In CI, Kubernetes, anywhere: name the crossing in a stile.yaml; stile whoami shows who the workload is here

A crossing is where the workload's identity comes from and which identity it wants in the other cloud. Flags describe
one, or a stile.yaml names several, or an external_account file or an AWS profile that you already have says the same.

Data goes to standard output, everything else to standard error. Exit codes: 0 done, 1 failed, 2 misused,
3 no identity here, 4 refused by a cloud, 5 temporary, try again. stile exec gives back the command's own.`,
		Example: `  stile whoami
  stile token warehouse
  stile exec images -- aws s3 ls s3://my-bucket`,
		SilenceErrors: true, SilenceUsage: true,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &stile.Error{Op: "read the flags", Err: fmt.Errorf("%w: %w", stile.ErrMisuse, nearestFlag(cmd, err)), Hint: cmd.CommandPath() + " --help lists them"}
	})
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.Name() == cobra.ShellCompRequestCmd {
			p.completesFlags(root)
		}
		return p.settle()
	}
	root.PersistentFlags().DurationVar(&p.timeout, "timeout", time.Minute, "how long the whole command may take, a `DURATION` such as 30s; of exec each wait for the credential, not the command; of serve each reading of the file")
	root.PersistentFlags().StringVar(&p.caFile, "ca-file", p.env("STILE_CA_FILE"), "trust the CA certificates of this PEM `FILE` as well [$STILE_CA_FILE]")
	root.PersistentFlags().StringVar(&p.certFile, "client-cert", "", "present the client certificate of this PEM `FILE` to the clouds, for a target with mtls")
	root.PersistentFlags().StringVar(&p.keyFile, "client-key", "", "the private key of --client-cert, a PEM `FILE`")
	hideDefaults(root.PersistentFlags(), "ca-file")
	p.addCommands(root, args)
	root.SetHelpCommand(helpCommand())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	completionExamples(root)
	misusedArguments(root)
	root.SetUsageFunc(usage)
	return root
}

// addCommands adds the command that args begin with, or all of them where they begin with something else. To describe the
// flags of all takes as long as the rest of a command that finds its credential kept.
func (p *program) addCommands(root *cobra.Command, args []string) {
	commands := []struct {
		name string
		make func() *cobra.Command
	}{
		{"token", p.tokenCommand}, {"credential-process", p.credentialProcessCommand}, {"env", p.envCommand}, {"exec", p.execCommand},
		{"serve", p.serveCommand}, {"status", p.statusCommand}, {"whoami", p.whoamiCommand}, {"config", p.configCommand},
		{"cache", p.cacheCommand}, {"version", p.versionCommand},
	}
	for _, command := range commands {
		if len(args) > 0 && args[0] == command.name {
			root.CompletionOptions.DisableDefaultCmd = true
			root.AddCommand(command.make())
			return
		}
	}
	for _, command := range commands {
		root.AddCommand(command.make())
	}
}

// knownCommand is what a command that only holds others takes: nothing, for what it holds was looked up before.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("unknown command %.40q for %q: did you mean %q?", args[0], cmd.CommandPath(), near[0])
	}
	return fmt.Errorf("unknown command %.40q for %q", args[0], cmd.CommandPath())
}

func takesNothing(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments, drop %.40q", cmd.CommandPath(), args[0])
	}
	return nil
}

// helpCommand fails for a command that is not there; cobra's own does not.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Show the help of a command", Example: "  stile help token",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return misuse("read the arguments", "%w", knownCommand(found, rest))
			}
			found.InitDefaultHelpFlag()
			return found.Help()
		},
	}
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

// settle checks what every command needs.
func (p *program) settle() error {
	if p.timeout <= 0 {
		return misuse("read the flags", "--timeout %s: want more than 0", p.timeout)
	}
	return p.checkProxy()
}

// within bounds a command's network steps.
func (p *program) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, p.timeout, &overdue{"not done within --timeout " + p.timeout.String(), stile.ErrTemporary})
}

// overdue is why a step was given up, and what that means.
type overdue struct {
	why  string
	kind error
}

func (o *overdue) Error() string { return o.why }
func (o *overdue) Unwrap() error { return o.kind }

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
	case errors.Is(err, stile.ErrMisuse):
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
	p.say("error", err.Error())
	p.say("hint", hint(err))
}

// hint is the step that usually mends what failed; empty where none is known.
func hint(err error) string {
	var e *stile.Error
	if errors.As(err, &e) {
		return e.Hint
	}
	return ""
}

func (p *program) warn(format string, args ...any) { p.say("warning", fmt.Sprintf(format, args...)) }

// say writes to standard error, and every line says whose it is. What a terminal would obey does not reach it.
func (p *program) say(what, text string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(strings.Map(printable, strings.ToValidUTF8(line, "?")))
		if line != "" {
			fmt.Fprintf(p.stderr, "stile: %s: %s\n", what, shortened(line))
		}
	}
}

// shortened bounds what is repeated of someone's input.
func shortened(line string) string {
	const limit = 2000 // bytes
	if len(line) <= limit {
		return line
	}
	return strings.ToValidUTF8(line[:limit], "") + "…"
}

func printable(r rune) rune {
	switch {
	case r == '\t' || r == '\n' || r == '\r':
		return ' '
	case !unicode.IsPrint(r):
		return '?'
	}
	return r
}
