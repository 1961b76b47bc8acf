// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/exporter"
	"github.com/stile-project/stile/internal/sidecar"
)

func (p *program) configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check configuration files, and write them for other programs",
		Example: "  stile config check\n  stile config gcp warehouse --file credential.json\n  stile config aws images --profile images", Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(p.configCheckCommand(), p.configGCPCommand(), p.configAWSCommand())
	return cmd
}

func (p *program) configCheckCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "check [LOCATION]",
		Short: "Read a stile.yaml or an external_account file strictly, and ask no cloud",
		Long: `Read a stile.yaml or an external_account file strictly, and ask no cloud what it thinks of it. Every problem is shown
with its line and column; also what stile serve would refuse on this machine: users, groups and certificates that are
not there, and files that may not be written. LOCATION is a path, s3://, gs:// or https://, and the same as --config; without
one it is $STILE_CONFIG, then stile.yaml here, then stile/stile.yaml in the user's configuration folder.`,
		Example: `  stile config check
  stile config check /etc/stile/stile.yaml
  stile config check s3://my-bucket/credential.json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("config") && len(args) > 0 {
				return misuse("read the arguments", "--config and %.100s each name a file: drop one", shown(args[0]))
			}
			if len(args) > 0 {
				s.configFile = args[0]
			}
			where := cmp.Or(s.configFile, p.defaultConfig())
			if where == "" {
				return misuse("check the configuration", "there is no stile.yaml here: name a file")
			}
			ctx, cancel := p.within(cmd.Context())
			defer cancel()
			data, err := p.read(ctx, where)
			if err != nil {
				return err
			}
			good, err := p.check(where, data, p.foreignStore(s.allowHosts, where, s.configFile != ""))
			if err != nil {
				return err
			}
			_, err = io.WriteString(p.stdout, good)
			return err
		},
	}
	p.fileFlags(cmd, &s)
	return cmd
}

// check says what a good file describes.
func (p *program) check(where string, data []byte, policy config.ForeignPolicy) (string, error) {
	if config.Sniff(data) != config.KindStile {
		c, err := config.ParseExternalAccount(where, data, policy)
		if err != nil {
			return "", err
		}
		for _, w := range c.Warnings {
			p.warn("%s: %s", shown(where), w)
		}
		return fmt.Sprintf("%s: good: %s\n", shown(where), describe(c)), nil
	}
	file, err := config.ParseAllowing(where, data, policy)
	if err != nil {
		return "", err
	}
	if file.Serve != nil {
		if sent := file.Serve.Traces; sent != nil && len(exporter.Linked()) == 0 {
			if _, err := p.openTraces(sent, p.logger("text")); err != nil { // which opens nothing in this build
				return "", err
			}
		}
		if err := p.sidecarOptions(p.logger("text")).Check(sidecar.Plan{Serve: *file.Serve, Crossings: file.Crossings}); err != nil {
			return "", &stile.Error{Op: "check what stile serve would do on this machine", Err: err, Hint: hint(err)}
		}
	}
	var b strings.Builder
	count := "1 crossing"
	if n := len(file.Names()); n != 1 {
		count = fmt.Sprintf("%d crossings", n)
	}
	fmt.Fprintf(&b, "%s: good: %s\n", shown(where), count)
	for _, name := range file.Names() {
		fmt.Fprintf(&b, "  %s: %s\n", name, describe(file.Crossings[name]))
	}
	if s := file.Store; s != nil && s.IsShared() {
		fmt.Fprintf(&b, "  credentials are kept in %s, sealed\n", s.Engine())
	}
	if file.Serve != nil && file.Serve.Traces != nil {
		fmt.Fprintf(&b, "  traces are sent to %s\n", file.Serve.Traces.Endpoint)
	}
	return b.String(), nil
}

func describe(c config.Crossing) string {
	from := "AWS"
	switch {
	case c.From.GCP != nil:
		from = "Google Cloud"
	case c.From.OIDC != nil:
		from = "an OIDC token"
	}
	switch {
	case c.To.Token != nil:
		return from + " as a token for " + c.To.Token.Audience
	case c.To.AWS != nil:
		return from + " to AWS, as " + c.To.AWS.Role
	case c.To.GCP.IDToken != nil:
		return from + " to Google Cloud, an ID token of " + c.To.GCP.ServiceAccount
	case c.To.GCP.ServiceAccount != "":
		return from + " to Google Cloud, as " + c.To.GCP.ServiceAccount
	}
	return from + " to Google Cloud, directly as " + c.To.GCP.Provider
}
