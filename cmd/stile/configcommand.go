// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/stile-project/stile/config"
)

func (p *program) configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check configuration files", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(p.configCheckCommand())
	return cmd
}

func (p *program) configCheckCommand() *cobra.Command {
	var allowHosts []string
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Read a stile.yaml or an external_account file strictly, and ask no cloud",
		Example: `  stile config check
  stile config check /etc/stile/stile.yaml
  stile config check s3://my-bucket/credential.json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			location := cmp.Or(p.env("STILE_CONFIG"), p.defaultConfig())
			if len(args) > 0 {
				location = args[0]
			}
			if location == "" {
				return misuse("check the configuration", "there is no stile.yaml here: name a file")
			}
			ctx, cancel := p.within(cmd.Context())
			defer cancel()
			data, err := p.read(ctx, location)
			if err != nil {
				return err
			}
			return p.check(location, data, allowHosts)
		},
	}
	cmd.Flags().StringSliceVar(&allowHosts, "allow-host", nil, "let a credential file name this host outside the clouds' own domains")
	return cmd
}

func (p *program) check(location string, data []byte, allowHosts []string) error {
	if config.Sniff(data) != config.KindStile {
		c, err := config.ParseExternalAccount(location, data, config.ForeignPolicy{AllowHosts: allowHosts})
		if err != nil {
			return err
		}
		for _, w := range c.Warnings {
			p.warn("%s: %s", location, w)
		}
		_, err = fmt.Fprintf(p.stdout, "%s: good: %s\n", location, describe(c))
		return err
	}
	file, err := config.ParseAllowing(location, data, config.ForeignPolicy{AllowHosts: allowHosts})
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "%s: good: %d crossings\n", location, len(file.Names()))
	for _, name := range file.Names() {
		fmt.Fprintf(p.stdout, "  %s: %s\n", name, describe(file.Crossings[name]))
	}
	return nil
}

func describe(c config.Crossing) string {
	switch {
	case c.To.AWS != nil:
		return "Google Cloud to AWS, as " + c.To.AWS.Role
	case c.To.GCP.IDToken != nil:
		return "AWS to Google Cloud, an ID token of " + c.To.GCP.ServiceAccount
	case c.To.GCP.ServiceAccount != "":
		return "AWS to Google Cloud, as " + c.To.GCP.ServiceAccount
	}
	return "AWS to Google Cloud, directly as " + c.To.GCP.Provider
}
