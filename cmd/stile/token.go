// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/outlet"
)

func intoGoogle(to config.To) bool { return to.GCP != nil }
func intoToken(to config.To) bool  { return to.GCP != nil || to.Token != nil }
func intoAWS(to config.To) bool    { return to.AWS != nil }
func anywhere(config.To) bool      { return true }

func (p *program) tokenCommand() *cobra.Command {
	var s settings
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "token [CROSSING]",
		Short: "Print a Google access token or ID token, or the OIDC token itself",
		Example: `  # as a service account, with nothing but flags
  stile token --provider projects/123456789012/locations/global/workloadIdentityPools/aws-pool/providers/aws-prov \
    --service-account etl-reader@my-project.iam.gserviceaccount.com

  # the crossing "warehouse" of stile.yaml
  curl -H "Authorization: Bearer $(stile token warehouse)" https://storage.googleapis.com/storage/v1/b/my-bucket/o

  # an ID token for a Cloud Run service
  stile token warehouse --id-token --audience https://hello-abc.a.run.app`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.take(cmd, args)
			ctx, cancel := p.within(cmd.Context())
			defer cancel()
			c, err := p.crossing(ctx, &s, intoToken)
			if err != nil {
				return err
			}
			if !intoToken(c.To) {
				return misuse("choose the crossing", "%s leads into AWS: stile credential-process gives its credential", c.Name)
			}
			cred, err := p.obtain(ctx, c)
			if err != nil {
				return err
			}
			return outlet.Token(p.stdout, cred, asJSON)
		},
	}
	p.fileFlags(cmd, &s)
	p.googleFlags(cmd, &s)
	audienceFlag(cmd, &s, inGoogleCloud, "with --id-token: the `URL` of the service that will check it")
	p.completesCrossings(cmd, &s, intoToken)
	p.cacheFlag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the token with its kind, expiry and principal as JSON")
	return cmd
}
