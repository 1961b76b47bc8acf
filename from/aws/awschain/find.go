// SPDX-License-Identifier: Apache-2.0

// Package awschain finds this workload's AWS identity where every AWS SDK looks: environment, shared configuration,
// container endpoint, instance metadata. It links the AWS SDK's configuration; package fromaws alone does not.
package awschain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"github.com/stile-project/stile"
	fromaws "github.com/stile-project/stile/from/aws"
	"github.com/stile-project/stile/internal/shape"
)

// Options narrow the search. The zero Options search as the AWS SDKs do.
type Options struct {
	// Profile is a name in the shared configuration. Empty: AWS_PROFILE, and then no profile before the environment.
	Profile string
	// Region wins over everything found.
	Region string
	// AssumeRole is taken on first, with the credentials found. Nil: none.
	AssumeRole *AssumeRole
	// FIPS uses FIPS endpoints. AWS_USE_FIPS_ENDPOINT and the profile are respected as well.
	FIPS bool
	// MetadataEndpoint replaces http://169.254.169.254 for the instance metadata service.
	MetadataEndpoint string
	// Client makes the requests that are not to metadata. Nil: the AWS SDK's own.
	Client config.HTTPClient
	// Clock dates the signature. Nil: time.Now.
	Clock func() time.Time
}

// AssumeRole is a role to take on before crossing.
type AssumeRole struct {
	Role        string        // the role's ARN
	SessionName string        // empty: "stile"
	ExternalID  string        // empty: none
	Duration    time.Duration // zero: 1 h, which is also the most when the first credentials are a role's already
}

// Found is an AWS identity, ready to sign.
type Found struct {
	*fromaws.Caller
	Config aws.Config // with the credentials and the region as found
}

// Find reads the configuration. It asks no network yet: credentials, and the region where nothing local names it, are
// fetched at the first use.
func Find(ctx context.Context, o Options) (*Found, error) {
	cfg, err := load(ctx, o)
	if err != nil {
		return nil, err
	}
	id := []string{o.Profile, o.Region, o.MetadataEndpoint}
	if r := o.AssumeRole; r != nil {
		if err := assume(&cfg, *r); err != nil {
			return nil, err
		}
		id = append(id, r.Role, r.SessionName, r.ExternalID, r.Duration.String())
	}
	caller := &fromaws.Caller{Credentials: cfg.Credentials, Region: regionOf(cfg), FIPS: o.FIPS || fips(cfg), Clock: o.Clock}
	caller.ID = stile.NewKey("awschain", id...).String()
	return &Found{Caller: caller, Config: cfg}, nil
}

func load(ctx context.Context, o Options) (aws.Config, error) {
	opts := []func(*config.LoadOptions) error{config.WithLogger(logging.Nop{})} // else the AWS SDK writes to standard error
	if o.Profile != "" {
		opts = append(opts, config.WithSharedConfigProfile(o.Profile))
	}
	if o.Region != "" {
		opts = append(opts, config.WithRegion(o.Region))
	}
	if o.Client != nil {
		opts = append(opts, config.WithHTTPClient(o.Client))
	}
	if o.FIPS {
		opts = append(opts, config.WithUseFIPSEndpoint(aws.FIPSEndpointStateEnabled))
	}
	if o.MetadataEndpoint != "" {
		opts = append(opts, config.WithEC2IMDSEndpoint(o.MetadataEndpoint))
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return aws.Config{}, &stile.Error{Op: "read the AWS configuration", Err: fmt.Errorf("%w: %w", stile.ErrMisuse, err),
			Hint: "check AWS_PROFILE, AWS_CONFIG_FILE and the files they name"}
	}
	return cfg, nil
}

func assume(cfg *aws.Config, r AssumeRole) error {
	if _, err := shape.RoleARN(r.Role); err != nil {
		return &stile.Error{Op: "assume a role first", Err: fmt.Errorf("%w: role %.200q: %w", stile.ErrMisuse, r.Role, err)}
	}
	first, region := cfg.Copy(), regionOf(*cfg)
	cfg.Credentials = aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		found, err := region(ctx)
		if err != nil {
			return aws.Credentials{}, err
		}
		client := sts.NewFromConfig(first, func(o *sts.Options) { o.Region = found })
		creds, err := stscreds.NewAssumeRoleProvider(client, r.Role, r.options).Retrieve(ctx)
		if err != nil {
			return aws.Credentials{}, r.refused(err)
		}
		return creds, nil
	}))
	return nil
}

func (r AssumeRole) options(o *stscreds.AssumeRoleOptions) {
	o.RoleSessionName = cmp.Or(r.SessionName, "stile")
	if r.ExternalID != "" {
		o.ExternalID = aws.String(r.ExternalID)
	}
	if r.Duration != 0 {
		o.Duration = r.Duration
	}
}

// refused tells AWS's no from having nothing to ask with.
func (r AssumeRole) refused(err error) error {
	var answer smithy.APIError
	var status interface{ HTTPStatusCode() int }
	if !errors.As(err, &answer) || !errors.As(err, &status) {
		return err
	}
	e := &stile.Error{Op: "assume a role first", Cloud: "AWS STS", Status: status.HTTPStatusCode(), Code: answer.ErrorCode(), Message: answer.ErrorMessage(),
		Sent: []slog.Attr{slog.String("role", r.Role)}, Err: stile.ErrRefused,
		Hint: "let the role's trust policy name this workload's role, and allow that sts:AssumeRole; mind an external id"}
	if e.Status >= 500 || answer.ErrorCode() == "Throttling" {
		e.Err = stile.ErrTemporary
	}
	return e
}

func fips(cfg aws.Config) bool {
	for _, source := range cfg.ConfigSources {
		if s, ok := source.(interface {
			GetUseFIPSEndpoint(context.Context) (aws.FIPSEndpointState, bool, error)
		}); ok {
			if state, found, err := s.GetUseFIPSEndpoint(context.Background()); err == nil && found {
				return state == aws.FIPSEndpointStateEnabled
			}
		}
	}
	return false
}

// metadataClient is an instance metadata client that gives up in seconds, not minutes, where there is none.
func metadataClient(cfg aws.Config) *imds.Client {
	return imds.NewFromConfig(cfg, func(o *imds.Options) { o.EnableFallback = aws.FalseTernary })
}
