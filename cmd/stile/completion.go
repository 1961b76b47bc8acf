// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/config/location"
	"github.com/stile-project/stile/outlet"
)

// completesCrossings offers the crossings of stile.yaml as the first argument. Only a file on this machine is read: a
// key press is no reason to ask a cloud.
func (p *program) completesCrossings(cmd *cobra.Command, s *settings, want func(config.To) bool) {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			if cmd.Name() == "exec" {
				return nil, cobra.ShellCompDirectiveDefault // the words of the command that it runs
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return p.crossingNames(cmd.Context(), cmp.Or(s.configFile, p.defaultConfig()), want), cobra.ShellCompDirectiveNoFileComp
	}
}

// completesFlags is for a key press alone: what a flag's value may be, by its name or by what its description calls it,
// and descriptions without the marks that help is made of.
func (p *program) completesFlags(root *cobra.Command) {
	plain := func(cmd *cobra.Command, f *pflag.Flag) {
		value, text := pflag.UnquoteUsage(f)
		f.Usage = text
		if complete := p.flagValues(f.Name, value); complete != nil {
			_ = cmd.RegisterFlagCompletionFunc(f.Name, complete) // fails for a flag that has one of its own
		}
	}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) { plain(cmd, f) })
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

// flagValues completes a flag's value. Nil: files.
func (p *program) flagValues(flag, value string) cobra.CompletionFunc {
	words := map[string][]string{"format": envFormats, "log-format": logFormats}
	switch {
	case value == "CROSSING":
		return p.flagCrossings("", anywhere)
	case flag == "imds":
		return p.flagCrossings("=", intoAWS)
	case flag == "gce":
		return p.flagCrossings("=", func(to config.To) bool { return to.GCP != nil && to.GCP.IDToken == nil })
	case value == "ADDRESS":
		return fixed(cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace, "127.0.0.1:", "unix:/")
	case flag == "audit-log":
		return fixed(cobra.ShellCompDirectiveDefault, "none", "-")
	case value == "FILE", value == "LOCATION":
		return nil
	}
	return fixed(cobra.ShellCompDirectiveNoFileComp, words[flag]...)
}

func fixed(how cobra.ShellCompDirective, words ...string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) { return words, how }
}

// flagCrossings offers crossings for a flag; after a name and what follows it, nobody knows what the user wants.
func (p *program) flagCrossings(follows string, want func(config.To) bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		if follows == "" {
			return p.crossingNames(cmd.Context(), p.configOf(cmd), want), cobra.ShellCompDirectiveNoFileComp
		}
		if strings.Contains(begun, follows) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names := p.crossingNames(cmd.Context(), p.configOf(cmd), want)
		for i, one := range names {
			name, about, _ := strings.Cut(one, "\t")
			names[i] = name + follows + "\t" + about
		}
		return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}

// configOf is the stile.yaml that a command would read.
func (p *program) configOf(cmd *cobra.Command) string {
	if f := cmd.Flags().Lookup("config"); f != nil && f.Value.String() != "" {
		return f.Value.String()
	}
	return p.defaultConfig()
}

func (p *program) crossingNames(ctx context.Context, where string, want func(config.To) bool) []string {
	if where == "" || strings.Contains(where, "://") {
		return nil
	}
	ctx, cancel := p.within(ctx)
	defer cancel()
	data, err := location.Reader{}.Read(ctx, where)
	if err != nil {
		return nil
	}
	file, err := config.ParseAllowing(where, data, config.ForeignPolicy{AllowStores: true}) // nothing is kept by a completion
	if err != nil {
		return nil // stile config check says why; a completion has nowhere to say it
	}
	var names []string
	for _, name := range file.Names() {
		if c := file.Crossings[name]; want(c.To) {
			names = append(names, name+"\t"+describe(c))
		}
	}
	return names
}

func completesShells(cmd *cobra.Command) {
	_ = cmd.RegisterFlagCompletionFunc("shell", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return outlet.Shells, cobra.ShellCompDirectiveNoFileComp
	})
}

// completionExamples gives cobra's own commands what every other command has.
func completionExamples(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		cmd.Example, cmd.Args = "  . <(stile completion bash)", knownCommand
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		cmd.Short = "Print a completion script for a shell"
		for _, sub := range cmd.Commands() {
			sub.Example = map[string]string{
				"bash":       "  . <(stile completion bash)\n  stile completion bash > /etc/bash_completion.d/stile",
				"zsh":        "  . <(stile completion zsh)\n  stile completion zsh > \"${fpath[1]}/_stile\"",
				"fish":       "  stile completion fish | source\n  stile completion fish > ~/.config/fish/completions/stile.fish",
				"powershell": "  stile completion powershell | Out-String | Invoke-Expression",
			}[sub.Name()]
		}
	}
}
