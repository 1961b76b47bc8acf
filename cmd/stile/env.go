// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
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
			s.take(cmd, args)
			ctx, cancel := p.within(cmd.Context())
			defer cancel()
			if !slices.Contains(outlet.Shells, shell) {
				return misuse("read the flags", "--shell %.40q: want one of %s", shell, strings.Join(outlet.Shells, ", "))
			}
			kind, vars, err := p.environment(ctx, &s)
			if err != nil {
				return err
			}
			for _, name := range outlet.Shadowing(kind) {
				if p.env(name) != "" {
					p.warn("%s is set and may win over the credential: unset it, or use stile exec", name)
				}
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
	cmd.Flags().StringVar(&shell, "shell", "posix", "the `SYNTAX`: posix, fish or powershell")
	completesShells(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

// bothFlags are the flags of commands that take a crossing in either direction.
func (p *program) bothFlags(cmd *cobra.Command, s *settings) {
	p.fileFlags(cmd, s)
	p.googleFlags(cmd, s)
	p.awsFlags(cmd, s)
	audienceFlag(cmd, s, whichCrossing, "into AWS, the `AUDIENCE` that the trust policy checks; with --id-token, the URL of the service that will check it")
	p.completesCrossings(cmd, s, anywhere)
	p.cacheFlag(cmd)
}

func (p *program) environment(ctx context.Context, s *settings) (stile.Kind, []outlet.Variable, error) {
	c, err := p.crossing(ctx, s, anywhere)
	if err != nil {
		return 0, nil, err
	}
	return p.environmentOf(ctx, c)
}

func (p *program) environmentOf(ctx context.Context, c config.Crossing) (stile.Kind, []outlet.Variable, error) {
	cred, err := p.obtain(ctx, c)
	if err != nil {
		return 0, nil, err
	}
	region := ""
	if c.To.AWS != nil {
		region = p.region(c.To.AWS.Region)
	}
	return cred.Kind, append(outlet.Environment(cred, region), quotaVariables(c)...), nil
}

// quotaVariables name the project that is billed: the client libraries read the one, gcloud the other.
func quotaVariables(c config.Crossing) []outlet.Variable {
	if c.To.GCP == nil || c.To.GCP.QuotaProject == "" {
		return nil
	}
	return []outlet.Variable{{Name: "GOOGLE_CLOUD_QUOTA_PROJECT", Value: c.To.GCP.QuotaProject}, {Name: "CLOUDSDK_BILLING_QUOTA_PROJECT", Value: c.To.GCP.QuotaProject}}
}
