// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/spf13/cobra"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/from/aws/awschain"
)

// An identity is what one cloud says that this workload is. Its JSON is stable: fields are added, never renamed.
type identity struct {
	Cloud     string `json:"cloud"`
	Principal string `json:"principal,omitempty"`
	Account   string `json:"account,omitempty"` // AWS account id, or Google project
	Region    string `json:"region,omitempty"`  // AWS region, or Google zone
	FoundBy   string `json:"found_by,omitempty"`
	Error     string `json:"error,omitempty"`

	err error
}

func (p *program) whoamiCommand() *cobra.Command {
	var asJSON, verbose bool
	var profile string
	cmd := &cobra.Command{
		Use:   "whoami",
		Short: "Show which identity this workload has here, and how it was found",
		Example: `  stile whoami
  stile whoami --json | jq -r '.[].principal'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := p.within(cmd.Context())
			defer cancel()
			found := p.identities(ctx, profile)
			if asJSON {
				if err := json.NewEncoder(p.stdout).Encode(found); err != nil {
					return err
				}
			} else {
				p.printIdentities(found, verbose)
			}
			return nobody(found)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON list, one object for each cloud")
	cmd.Flags().BoolVar(&verbose, "verbose", false, "also say, for each cloud, why nothing was found")
	cmd.Flags().StringVar(&profile, "source-profile", "", "AWS: find credentials by this profile")
	return cmd
}

// identities asks both clouds at once: where one is absent, finding that out takes seconds.
func (p *program) identities(ctx context.Context, profile string) []identity {
	found := make([]identity, 2)
	var asked sync.WaitGroup
	asked.Go(func() { found[0] = p.inAWS(ctx, profile) })
	asked.Go(func() { found[1] = p.inGoogle(ctx) })
	asked.Wait()
	for i := range found {
		if found[i].err != nil {
			found[i].Error = found[i].err.Error()
		}
	}
	return found
}

func (p *program) inAWS(ctx context.Context, profile string) identity {
	id := identity{Cloud: "AWS"}
	options, err := p.awsOptions(config.FromAWS{Profile: profile})
	if err != nil {
		id.err = err
		return id
	}
	here, err := awschain.Find(ctx, options)
	if err != nil {
		id.err = err
		return id
	}
	// Off AWS nothing answers at the link-local address, and the SDK is patient.
	ctx, cancel := context.WithTimeoutCause(ctx, 15*time.Second, errors.New("nothing answered within 15s"))
	defer cancel()
	creds, err := here.Config.Credentials.Retrieve(ctx)
	if err != nil {
		id.err = &stile.Error{Op: "find AWS credentials", Err: fmt.Errorf("%w: %w", stile.ErrNoIdentity, err),
			Hint: "run on AWS, or set AWS_PROFILE or AWS_ACCESS_KEY_ID"}
		return id
	}
	id.FoundBy = foundBy(creds.Source)
	if id.Region, id.err = here.Region(ctx); id.err != nil {
		return id
	}
	cfg := here.Config.Copy()
	cfg.Region = id.Region
	answer, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
	if err != nil {
		id.err = &stile.Error{Op: "ask AWS STS who this is", Err: fmt.Errorf("%w: %w", stile.ErrRefused, err)}
		return id
	}
	id.Principal, id.Account = *answer.Arn, *answer.Account
	return id
}

// foundBy puts the AWS SDK's provider names in words.
func foundBy(source string) string {
	for _, known := range [][2]string{
		{"EnvConfigCredentials", "the environment (AWS_ACCESS_KEY_ID)"},
		{"EC2RoleProvider", "EC2 instance metadata (IMDSv2)"},
		{"CredentialsEndpointProvider", "the container endpoint (ECS or EKS Pod Identity)"},
		{"WebIdentityCredentials", "a web identity token file (IRSA)"},
		{"AssumeRoleProvider", "an assumed role of the profile"},
		{"SharedConfigCredentials", "the shared configuration files"},
		{"SSOProvider", "a single sign-on session"},
		{"ProcessProvider", "a profile's credential_process"},
	} {
		if strings.HasPrefix(source, known[0]) {
			return known[1]
		}
	}
	return source
}

func (p *program) inGoogle(ctx context.Context) identity {
	id := identity{Cloud: "Google Cloud"}
	here, err := p.metadata(config.FromGCP{}).Identity(ctx)
	if err != nil {
		id.err = err
		return id
	}
	id.Principal, id.Account, id.Region = here.Email, here.ProjectID+" ("+here.ProjectNumber+")", here.Zone
	id.FoundBy = "the metadata server at " + cmp.Or(p.env("GCE_METADATA_HOST"), "169.254.169.254")
	return id
}

func (p *program) printIdentities(found []identity, verbose bool) {
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, id := range found {
		if id.err != nil {
			if verbose || !errors.Is(id.err, stile.ErrNoIdentity) {
				fmt.Fprintf(p.stderr, "stile: %s: %v\n", id.Cloud, id.err)
			}
			fmt.Fprintf(w, "%s\tno identity found here\n", id.Cloud)
			continue
		}
		fmt.Fprintf(w, "%s\t%s\n", id.Cloud, id.Principal)
		for _, line := range [][2]string{{"account", id.Account}, {"region", id.Region}, {"found by", id.FoundBy}} {
			if line[1] != "" {
				fmt.Fprintf(w, "  %s\t%s\n", line[0], line[1])
			}
		}
	}
	_ = w.Flush()
}

// nobody fails only when no cloud knows this workload, and then with every reason.
func nobody(found []identity) error {
	var all []error
	for _, id := range found {
		if id.err == nil {
			return nil
		}
		all = append(all, id.err)
	}
	return &stile.Error{Op: "find this workload's identity", Err: errors.Join(append([]error{stile.ErrNoIdentity}, all...)...),
		Hint: "run where AWS or Google Cloud gives an identity, or set AWS_PROFILE or GCE_METADATA_HOST"}
}
