// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"strings"

	"github.com/spf13/cobra"

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
