// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/outlet"
)

func (p *program) envCommand() *cobra.Command {
	var s settings
	var shell string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "env [CROSSING]",
		Short: "Print a credential as environment variables for a shell to evaluate",
		Long: `Print a credential as environment variables: an AWS session for every AWS SDK, an access token for gcloud and
Terraform. Variables do not refresh: when the credential expires, ask again.`,
		Example: `  eval "$(stile env images)"
  stile env images --shell fish | source
  stile env warehouse --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.take(args)
			ctx, cancel := p.within(cmd.Context())
			defer cancel()
			_, vars, err := p.environment(ctx, &s)
			if err != nil {
				return err
			}
			if asJSON {
				byName := map[string]string{}
				for _, v := range vars {
					byName[v.Name] = v.Value
				}
				return json.NewEncoder(p.stdout).Encode(byName)
			}
			return outlet.Script(p.stdout, shell, vars)
		},
	}
	p.bothFlags(cmd, &s)
	cmd.Flags().StringVar(&shell, "shell", "posix", "the syntax: posix, fish or powershell")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

// bothFlags are the flags of commands that take a crossing in either direction.
func (p *program) bothFlags(cmd *cobra.Command, s *settings) {
	p.sourceFlags(cmd, s)
	p.googleFlags(cmd, s)
	p.awsFlags(cmd, s)
	cmd.Flags().StringVar(&s.audience, "audience", "", "into AWS: the audience that the trust policy checks; with --id-token: the token's audience")
	cmd.Flags().BoolVar(&s.idToken, "id-token", false, "into Google Cloud: an ID token in place of an access token")
}

func (p *program) environment(ctx context.Context, s *settings) (stile.Kind, []outlet.Variable, error) {
	c, err := p.crossing(ctx, s, anywhere)
	if err != nil {
		return 0, nil, err
	}
	cred, err := p.obtain(ctx, c)
	if err != nil {
		return 0, nil, err
	}
	region := ""
	if c.To.AWS != nil {
		region = p.region(c.To.AWS.Region)
	}
	return cred.Kind, outlet.Environment(cred, region), nil
}
