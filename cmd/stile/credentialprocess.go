// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/stile-project/stile/outlet"
)

func (p *program) credentialProcessCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "credential-process [CROSSING]",
		Short: "Print an AWS session, as an AWS profile's credential_process",
		Example: `  # in ~/.aws/config, for every AWS SDK and the aws CLI
  [profile images]
  credential_process = stile credential-process --role arn:aws:iam::111122223333:role/from-gcp --region eu-west-1 --audience sts.amazonaws.com/111122223333

  # the crossing "images" of stile.yaml
  stile credential-process images

  # the role of a profile that was written for web identity
  stile credential-process --profile from-gcp`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.take(cmd, args)
			ctx, cancel := p.within(cmd.Context())
			defer cancel()
			c, err := p.crossing(ctx, &s, intoAWS)
			if err != nil {
				return err
			}
			if !intoAWS(c.To) {
				return misuse("choose the crossing", "%s leads into Google Cloud: stile token gives its credential", c.Name)
			}
			cred, err := p.obtain(ctx, c)
			if err != nil {
				return err
			}
			return outlet.CredentialProcess(p.stdout, cred)
		},
	}
	p.fileFlags(cmd, &s)
	p.awsFlags(cmd, &s)
	audienceFlag(cmd, &s, inAWSCloud, "the `AUDIENCE` that the role's trust policy checks with accounts.google.com:oaud (default sts.amazonaws.com)")
	p.completesCrossings(cmd, &s, intoAWS)
	p.cacheFlag(cmd)
	return cmd
}
