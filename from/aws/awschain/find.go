// SPDX-License-Identifier: Apache-2.0

// Package awschain finds this workload's AWS identity where every AWS SDK looks: environment, web identity, shared
// configuration, container endpoint, instance metadata, in that order. [Find] gives it ready to use, and [Search] tells
// the whole story of looking. The package links the AWS SDK's configuration; package fromaws alone does not.
//
// It differs from the AWS SDK for Go where that serves a workload badly: blanks around a value, and newlines at the end
// of a token file, do not count; instance metadata is asked by version 2 only; and in a Kubernetes pod the node's role
// is not taken for the pod's.
package awschain

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/smithy-go/logging"

	"github.com/stile-project/stile"
	fromaws "github.com/stile-project/stile/from/aws"
)

// Options narrow the search. The zero Options search as the AWS SDKs do.
type Options struct {
	// Profile is a name in the shared configuration. It comes before the environment's credentials. Empty: AWS_PROFILE,
	// or the default profile, which come after them.
	Profile string
	// Region wins over everything found.
	Region string
	// AssumeRole are roles to take on first, one with the credentials of the one before. From the second on, each is
	// capped at one hour. Empty: none.
	AssumeRole []AssumeRole
	// MFA asks the user for the code that an MFA device shows, for a role that wants one, and may be called again when
	// the session is renewed. Pass one only where there is a terminal. Nil: such a role is an error that names the device.
	MFA func(serial string) (code string, err error)
	// AllowNodeRole takes instance metadata's role in a Kubernetes pod too. It is the node's, shared by every pod there.
	AllowNodeRole bool
	// FIPS uses FIPS endpoints. AWS_USE_FIPS_ENDPOINT and the profile are respected as well.
	FIPS bool
	// MetadataEndpoint replaces http://169.254.169.254 for the instance metadata service.
	MetadataEndpoint string
	// Client makes the requests. Proxies of the AWS SDK's own client are left out for link-local addresses, which none
	// can reach. Nil: the AWS SDK's own.
	Client config.HTTPClient
	// Clock dates the signature. Nil: time.Now.
	Clock func() time.Time

	// Lookup reads the variables that decide the identity; others, such as AWS_CA_BUNDLE, the AWS SDK reads for itself.
	// Nil: os.LookupEnv.
	Lookup func(string) (string, bool)
	// Root is the folder under which the files lie that tell a container or a pod. Empty: "/".
	Root string
}

// Found is an AWS identity, ready to sign.
type Found struct {
	*fromaws.Caller
	Config aws.Config // with the credentials and the region as found
}

// WebIdentityToken proves the same identity by a token that AWS issues, for OIDC providers.
func (f *Found) WebIdentityToken() *fromaws.WebIdentityToken {
	return &fromaws.WebIdentityToken{Credentials: f.Credentials, Region: f.Region, FIPS: f.FIPS, Clock: f.Clock, ID: f.ID, Client: f.Client}
}

// Find reads the environment and the configuration. It asks no network yet: credentials, and the region where nothing
// local names it, are fetched at the first use. A source that is set up wrongly is reported here, and no later one is
// taken in its place.
func Find(ctx context.Context, o Options) (*Found, error) {
	s, err := look(ctx, o)
	if err != nil {
		return nil, err
	}
	return s.found(ctx)
}

// look reads what is local.
func look(ctx context.Context, o Options) (*search, error) {
	if o.Lookup == nil {
		o.Lookup = os.LookupEnv
	}
	s := &search{options: o, env: environment{o.Lookup}}
	if err := checkRoles(o.AssumeRole); err != nil {
		return nil, err
	}
	if err := s.readProfile(ctx); err != nil {
		return s, err
	}
	s.region = s.regionFinder()
	s.places = []place{s.environment(), s.webIdentity(), s.sharedProfile(), s.container(), s.instance()}
	if s.profile.coded {
		// A profile named in code comes first, and the environment's own credentials not at all.
		for i := range 2 {
			s.places[i].here = false
			s.places[i].detail += "; a profile is named in its place"
		}
	}
	return s, nil
}

// A search is one look at what surrounds the workload.
type search struct {
	options Options
	env     environment
	profile profile
	region  *regionFinder
	places  []place // in the order of the AWS SDK for Go

	base  aws.CredentialsProvider   // of the place that was chosen
	roles []aws.CredentialsProvider // one for each role in front of it
}

// chosen is the first place that has something; nil when none has.
func (s *search) chosen() *place {
	if i := slices.IndexFunc(s.places, func(p place) bool { return p.here }); i >= 0 {
		return &s.places[i]
	}
	return nil
}

func (s *search) found(ctx context.Context) (*Found, error) {
	p := s.chosen()
	if p == nil {
		p = &place{name: "nowhere", open: func(aws.Config) aws.CredentialsProvider { return nowhere{s} }}
	}
	if p.wrong != nil {
		return nil, p.wrong
	}
	cfg, err := s.config(ctx, p)
	if err != nil {
		return nil, err
	}
	s.base = cfg.Credentials
	s.assume(&cfg)
	caller := &fromaws.Caller{Credentials: cfg.Credentials, Region: s.region.find, FIPS: s.options.FIPS || fips(cfg), Clock: s.options.Clock,
		ID: s.key(p), Client: plainClient(cfg.HTTPClient)}
	return &Found{Caller: caller, Config: cfg}, nil
}

// config has the AWS SDK read its settings. Credentials come from the place that was chosen, except a profile's, whose
// many forms the AWS SDK resolves for itself.
func (s *search) config(ctx context.Context, p *place) (aws.Config, error) {
	o := s.options
	opts := []func(*config.LoadOptions) error{
		config.WithLogger(logging.Nop{}), // else the AWS SDK writes to standard error
		config.WithSharedConfigProfile(s.profile.named),
		config.WithSharedConfigFiles(s.profile.files), config.WithSharedCredentialsFiles(s.profile.credentialsFiles),
		config.WithRegion(s.region.known), config.WithEC2IMDSEndpoint(s.metadataEndpoint()),
		config.WithAssumeRoleCredentialOptions(s.withMFA),
	}
	if o.Client != nil {
		opts = append(opts, config.WithHTTPClient(o.Client))
	}
	if o.FIPS {
		opts = append(opts, config.WithUseFIPSEndpoint(aws.FIPSEndpointStateEnabled))
	}
	if p.open != nil {
		opts = append(opts, config.WithCredentialsProvider(aws.AnonymousCredentials{})) // set below: it needs the configuration
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return aws.Config{}, misread(err)
	}
	cfg.Region = s.region.known
	s.region.config = cfg
	if p.open != nil {
		cfg.Credentials = explained{aws.NewCredentialsCache(p.open(cfg)), p.name, nil}
	} else {
		cfg.Credentials = explained{cfg.Credentials, "profile " + s.profile.name(), s.profile.explain}
	}
	return cfg, nil
}

// withMFA lets a profile's role ask for the code of the device that it names.
func (s *search) withMFA(o *stscreds.AssumeRoleOptions) {
	if o.SerialNumber != nil && s.options.MFA != nil {
		serial := *o.SerialNumber
		o.TokenProvider = func() (string, error) { return s.code(serial) }
	}
}

func misread(err error) error {
	return &stile.Error{Op: "read the AWS configuration", Err: fmt.Errorf("%w: %w", stile.ErrMisuse, err),
		Hint: "check AWS_PROFILE, AWS_CONFIG_FILE and the files they name"}
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
