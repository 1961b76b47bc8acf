// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/spf13/cobra"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/from/aws/awschain"
	fromgcp "github.com/stile-project/stile/from/gcp"
)

// An identity is what one cloud says that this workload is. Its JSON is stable: fields are added, never renamed.
type identity struct {
	Cloud     string `json:"cloud"`
	Principal string `json:"principal,omitempty"`
	Account   string `json:"account,omitempty"` // AWS account id, or Google project
	Region    string `json:"region,omitempty"`  // AWS region, or Google zone
	FoundBy   string `json:"found_by,omitempty"`
	Error     string `json:"error,omitempty"`

	// AWSConditions are what an AWS trust policy compares, for the audience that was asked.
	AWSConditions map[string]string `json:"aws_conditions,omitempty"`

	err error
}

func (p *program) whoamiCommand() *cobra.Command {
	var asJSON, verbose bool
	var profile, audience string
	cmd := &cobra.Command{
		Use:   "whoami",
		Short: "Show which identity this workload has here, and how it was found",
		Example: `  stile whoami
  stile whoami --verbose
  stile whoami --audience sts.amazonaws.com/111122223333
  stile whoami --json | jq -r '.[].principal'`,
		Args: takesNothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := p.within(cmd.Context())
			defer cancel()
			found := p.identities(ctx, profile)
			if audience != "" {
				p.readClaims(ctx, audience, &found[1])
			}
			if asJSON {
				if err := json.NewEncoder(p.stdout).Encode(found); err != nil {
					return err
				}
			} else {
				if err := p.printIdentities(found, verbose); err != nil {
					return err
				}
			}
			if verbose && !asJSON {
				if err := p.printSearch(ctx, profile); err != nil {
					return err
				}
			}
			return nobody(found)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON list, one object for each cloud")
	cmd.Flags().BoolVar(&verbose, "verbose", false, "also print the whole search: every place that was tried, and what became of it")
	cmd.Flags().StringVar(&audience, "audience", "", "also show what an AWS trust policy sees in a Google ID token for this `AUDIENCE`")
	cmd.Flags().StringVar(&profile, "source-profile", "", "find this workload's AWS credentials by the profile `NAME`")
	under(hereOnAWS, cmd.Flags(), "source-profile")
	return cmd
}

// patience is how long whoami waits for the first byte from a metadata service, which is on the same host where there
// is one at all.
const patience = 3 * time.Second

// patiently ends after patience unless something has answered by then: what answers slowly is there.
func patiently(ctx context.Context, why string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	waiting := time.AfterFunc(patience, func() {
		cancel(&overdue{fmt.Sprintf("%s within %s", why, patience), stile.ErrNoIdentity})
	})
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotFirstResponseByte: func() { waiting.Stop() }})
	return ctx, func() {
		waiting.Stop()
		cancel(nil)
	}
}

// identities asks both clouds at once: where one is absent, finding that out takes seconds.
func (p *program) identities(ctx context.Context, profile string) []identity {
	found := []identity{{Cloud: "AWS"}, {Cloud: "Google Cloud"}}
	var asked sync.WaitGroup
	asked.Go(func() { found[0].err = p.inAWS(ctx, profile, &found[0]) })
	asked.Go(func() { found[1].err = p.inGoogle(ctx, &found[1]) })
	asked.Wait()
	for i := range found {
		if found[i].err != nil {
			found[i] = identity{Cloud: found[i].Cloud, Error: found[i].err.Error(), err: found[i].err}
		}
	}
	return found
}

func (p *program) inAWS(ctx context.Context, profile string, id *identity) error {
	options, err := p.awsOptions(config.FromAWS{Profile: profile})
	if err != nil {
		return err
	}
	here, err := awschain.Find(ctx, options)
	if err != nil {
		return err
	}
	creds, err := retrieve(ctx, here.Config.Credentials)
	if err != nil {
		return err
	}
	id.FoundBy = foundBy(creds.Source)
	if id.Region, err = here.Region(ctx); err != nil {
		return err
	}
	cfg := here.Config.Copy()
	cfg.Region = id.Region
	answer, err := sts.NewFromConfig(cfg, func(o *sts.Options) {
		o.RetryMaxAttempts, o.HTTPClient = 2, bounded{cfg.HTTPClient}
	}).GetCallerIdentity(ctx, nil)
	if err != nil {
		return refusedBySTS(ctx, err)
	}
	id.Principal, id.Account = aws.ToString(answer.Arn), aws.ToString(answer.Account)
	if id.Principal == "" {
		return &stile.Error{Op: "ask who this is", Cloud: "AWS STS", Err: fmt.Errorf("%w: the answer names nobody", stile.ErrTemporary)}
	}
	return nil
}

// retrieve finds credentials. Where nothing but instance metadata can have them, it does not wait for long: the AWS
// SDK is patient with an address that nobody answers.
func retrieve(ctx context.Context, from aws.CredentialsProvider) (aws.Credentials, error) {
	if aws.IsCredentialsProvider(from, (*ec2rolecreds.Provider)(nil)) {
		bounded, cancel := patiently(ctx, "neither the environment nor a profile nor a container endpoint has any, and nothing answered at the instance metadata address")
		defer cancel()
		ctx = bounded
	}
	creds, err := from.Retrieve(ctx)
	switch {
	case err == nil:
		return creds, nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	default:
		err = fmt.Errorf("%w: %w", stile.ErrNoIdentity, err)
	}
	return creds, &stile.Error{Op: "find AWS credentials", Err: err, Hint: "run on AWS, or set AWS_PROFILE or AWS_ACCESS_KEY_ID"}
}

// refusedBySTS tells STS's own refusal from an answer that never came or was not STS's.
func refusedBySTS(ctx context.Context, err error) error {
	e := &stile.Error{Op: "ask who this is", Cloud: "AWS STS", Err: fmt.Errorf("%w: %w", stile.ErrTemporary, err)}
	var said smithy.APIError
	var answer *smithyhttp.ResponseError
	switch {
	case ctx.Err() != nil:
		e.Err = fmt.Errorf("gave up waiting: %w", context.Cause(ctx))
	case errors.As(err, &answer):
		e.Status, e.Err = answer.HTTPStatusCode(), stile.ErrTemporary
		if errors.As(err, &said) {
			e.Code, e.Message = said.ErrorCode(), said.ErrorMessage()
		}
		if e.Status < 400 {
			e.Message = "an answer that cannot be read"
		}
		if e.Status >= 400 && e.Status < 500 && e.Status != http.StatusTooManyRequests {
			e.Err = stile.ErrRefused
		}
	}
	return e
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

func (p *program) inGoogle(ctx context.Context, id *identity) error {
	metadata, err := p.metadata(config.FromGCP{})
	if err != nil {
		return err
	}
	ctx, cancel := patiently(ctx, "nothing answered at the metadata server's address")
	defer cancel()
	here, err := metadata.Whoami(ctx)
	if err != nil {
		return err
	}
	id.Principal, id.Account, id.Region = here.Email, here.ProjectID+" ("+here.ProjectNumber+")", here.Zone
	id.FoundBy = "the metadata server at " + cmp.Or(metadata.Host, fromgcp.DefaultHost)
	return nil
}

func (p *program) printIdentities(found []identity, verbose bool) error {
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	anybody := slices.ContainsFunc(found, func(id identity) bool { return id.err == nil })
	for _, id := range found {
		if id.err != nil {
			// When nobody is found, every reason is in the error that ends the command.
			if anybody && (verbose || !errors.Is(id.err, stile.ErrNoIdentity)) {
				p.warn("%s: %v", id.Cloud, id.err)
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
		for _, key := range slices.Sorted(maps.Keys(id.AWSConditions)) {
			fmt.Fprintf(w, "  %s\t%s\n", key, id.AWSConditions[key])
		}
	}
	return w.Flush()
}

// nobody fails only when no cloud knows this workload, and then with every reason. A cloud that was there and refused,
// or could not answer, decides what kind of failure it is: the other one's absence is no news.
func nobody(found []identity) error {
	var absent, all []error
	for _, id := range found {
		if id.err == nil {
			return nil
		}
		reason := fmt.Errorf("%s: %w", id.Cloud, id.err)
		all = append(all, reason)
		if errors.Is(id.err, stile.ErrNoIdentity) {
			absent = append(absent, reason)
		}
	}
	if len(absent) < len(all) {
		all = slices.DeleteFunc(all, func(err error) bool { return errors.Is(err, stile.ErrNoIdentity) })
	}
	e := &stile.Error{Op: "find this workload's identity", Err: errors.Join(append([]error{errors.New("no cloud says who it is")}, all...)...)}
	if len(absent) == len(found) {
		e.Hint = "run where AWS or Google Cloud gives an identity, or set AWS_PROFILE or GCE_METADATA_HOST"
	}
	return e
}
