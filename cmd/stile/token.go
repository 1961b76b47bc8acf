// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"

	"github.com/spf13/cobra"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/outlet"
)

func intoGoogle(to config.To) bool { return to.GCP != nil }
func intoToken(to config.To) bool  { return to.GCP != nil || to.Token != nil }
func intoAWS(to config.To) bool    { return to.AWS != nil }
func anywhere(config.To) bool      { return true }

func (p *program) tokenCommand() *cobra.Command {
	var s settings
	var asJSON, executable bool
	cmd := &cobra.Command{
		Use:   "token [CROSSING]",
		Short: "Print a Google access token or ID token, or the OIDC token itself",
		Example: `  # as a service account, with nothing but flags
  stile token --provider projects/123456789012/locations/global/workloadIdentityPools/aws-pool/providers/aws-prov \
    --service-account etl-reader@my-project.iam.gserviceaccount.com

  # the crossing "warehouse" of stile.yaml
  curl -H "Authorization: Bearer $(stile token warehouse)" https://storage.googleapis.com/storage/v1/b/my-bucket/o

  # an ID token for a Cloud Run service
  stile token warehouse --id-token --audience https://hello-abc.a.run.app

  # what the credential_source.executable.command of an external_account file runs
  stile token for-google --executable`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.take(cmd, args)
			ctx, cancel := p.within(cmd.Context())
			defer cancel()
			cred, err := p.obtainToken(ctx, &s)
			switch {
			case executable:
				return p.answerGoogle(ctx, cred, err)
			case err != nil:
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
	cmd.Flags().BoolVar(&executable, "executable", false,
		"print an ID token as Google's libraries want it of the program that an external_account file names, and leave it in $GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE")
	cmd.MarkFlagsMutuallyExclusive("json", "executable")
	return cmd
}

func (p *program) obtainToken(ctx context.Context, s *settings) (stile.Credential, error) {
	c, err := p.crossing(ctx, s, intoToken)
	if err != nil {
		return stile.Credential{}, err
	}
	if !intoToken(c.To) {
		return stile.Credential{}, misuse("choose the crossing", "%s leads into AWS: stile credential-process gives its credential", c.Name)
	}
	return p.obtain(ctx, c)
}

// answerGoogle writes what a program that an external_account file names has to say. A failure is an answer too: the
// libraries repeat its words only if the program ends with code 0. Source: AIP-4117, executable-sourced credentials.
func (p *program) answerGoogle(ctx context.Context, cred stile.Credential, err error) error {
	typ := stile.TokenType(p.env("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE"))
	var answer bytes.Buffer
	if err == nil {
		err = outlet.ExecutableResponse(&answer, cred, typ)
	}
	if err != nil {
		p.report(err)
		return outlet.ExecutableFailure(p.stdout, err)
	}
	if path := p.env("GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE"); path != "" {
		file := outlet.File{Path: path, Form: outlet.FormExecutable, TokenType: typ}
		if err := file.Write(ctx, cred); err != nil {
			p.warn("the token is not left for the next time: %v", err)
		}
	}
	_, err = p.stdout.Write(answer.Bytes())
	return err
}
