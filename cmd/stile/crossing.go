// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
)

// settings are the flags that say which crossing to make. A crossing comes from one place only: flags that describe
// it, a credential file, an AWS profile, or stile.yaml.
type settings struct {
	name           string
	configFile     string
	credentialFile string
	profile        string
	allowHosts     []string

	provider, serviceAccount string
	delegates, scopes        []string
	lifetime                 time.Duration

	role, region, sessionName string
	policy                    string
	policyARNs                []string
	duration                  time.Duration

	audience     string
	idToken      bool
	includeEmail bool

	assumeRole, externalID string
	sourceProfile          string
}

func (p *program) sourceFlags(cmd *cobra.Command, s *settings) {
	f := cmd.Flags()
	f.StringVar(&s.configFile, "config", p.env("STILE_CONFIG"), "read crossings from this stile.yaml: a path, s3://, gs:// or https:// [$STILE_CONFIG]")
	f.StringSliceVar(&s.allowHosts, "allow-host", nil, "let a credential file name this host (host or host:port) outside the clouds' own domains")
	f.StringVar(&s.assumeRole, "assume-role", "", "AWS: become this role first")
	f.StringVar(&s.externalID, "external-id", "", "AWS: the external id for --assume-role")
	f.StringVar(&s.sourceProfile, "source-profile", "", "AWS: find credentials by this profile")
}

func (p *program) googleFlags(cmd *cobra.Command, s *settings) {
	f := cmd.Flags()
	f.StringVar(&s.credentialFile, "credential-file", p.env("STILE_CREDENTIAL_FILE"),
		"an external_account JSON file: a path, s3://, gs:// or https:// [$STILE_CREDENTIAL_FILE]")
	f.StringVar(&s.provider, "provider", "", "the workload identity pool provider: projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER")
	f.StringVar(&s.serviceAccount, "service-account", "", "act as this service account; without it, direct access")
	f.StringSliceVar(&s.delegates, "delegate", nil, "a service account on the way to --service-account, nearest first")
	f.StringSliceVar(&s.scopes, "scope", nil, "an OAuth scope (default cloud-platform)")
	f.DurationVar(&s.lifetime, "lifetime", 0, "how long the service account's token lives (default 1h)")
}

func (p *program) awsFlags(cmd *cobra.Command, s *settings) {
	f := cmd.Flags()
	f.StringVar(&s.profile, "profile", "", "take the role from this AWS profile (role_arn, region, role_session_name, duration_seconds)")
	f.StringVar(&s.role, "role", "", "the role's ARN: arn:aws:iam::ACCOUNT:role/NAME")
	f.StringVar(&s.region, "region", "", "the region whose STS is asked (default $AWS_REGION)")
	f.StringVar(&s.sessionName, "session-name", "", "the role session's name (default made from the identity)")
	f.DurationVar(&s.duration, "duration", 0, "how long the session lives, 15m to the role's maximum (default 1h)")
	f.StringVar(&s.policy, "policy", "", "a session policy, JSON")
	f.StringSliceVar(&s.policyARNs, "policy-arn", nil, "a managed session policy")
}

// crossing finds the one crossing that the command line means. want says which kinds of target will do.
func (p *program) crossing(ctx context.Context, s *settings, want func(config.To) bool) (config.Crossing, error) {
	if err := s.oneOrigin(); err != nil {
		return config.Crossing{}, err
	}
	switch {
	case s.provider != "" || s.role != "":
		return s.described()
	case s.credentialFile != "" && s.name == "":
		return p.credentialFile(ctx, s, s.credentialFile)
	case s.profile != "":
		return p.awsProfile(s)
	}
	return p.fromFile(ctx, s, want)
}

// oneOrigin refuses two descriptions of one crossing and says which to drop. A credential file from the environment
// yields to what stands on the command line.
func (s *settings) oneOrigin() error {
	var given []string
	for _, g := range []struct {
		flag string
		set  bool
	}{
		{"--provider", s.provider != ""}, {"--role", s.role != ""}, {"--profile", s.profile != ""}, {"the crossing " + s.name, s.name != ""},
	} {
		if g.set {
			given = append(given, g.flag)
		}
	}
	if len(given) > 1 {
		return misuse("choose the crossing", "%s and %s each name a crossing: drop one", given[0], given[1])
	}
	return nil
}

func misuse(op, format string, args ...any) error {
	return &stile.Error{Op: op, Err: fmt.Errorf("%w: "+format, append([]any{stile.ErrMisuse}, args...)...)}
}

// described is a crossing that flags describe in full.
func (s *settings) described() (config.Crossing, error) {
	if s.provider != "" {
		to := &config.ToGCP{Provider: s.provider, ServiceAccount: s.serviceAccount, Delegates: s.delegates, Scopes: s.scopes, Lifetime: config.Duration(s.lifetime)}
		if s.idToken {
			to.IDToken = &config.IDToken{Audience: s.audience, IncludeEmail: s.includeEmail}
		}
		return config.Crossing{Origin: "the flags", From: config.From{AWS: s.fromAWS()}, To: config.To{GCP: to}}, nil
	}
	return config.Crossing{
		Origin: "the flags", From: config.From{GCP: &config.FromGCP{Audience: s.audience}},
		To: config.To{AWS: &config.ToAWS{Role: s.role, Region: s.region, SessionName: s.sessionName, Duration: config.Duration(s.duration),
			Policy: s.policy, PolicyARNs: s.policyARNs}},
	}, nil
}

func (s *settings) fromAWS() *config.FromAWS {
	from := &config.FromAWS{Profile: s.sourceProfile}
	if s.assumeRole != "" {
		from.AssumeRole = &config.AssumeRole{Role: s.assumeRole, ExternalID: s.externalID}
	}
	return from
}

func (p *program) credentialFile(ctx context.Context, s *settings, location string) (config.Crossing, error) {
	data, err := p.read(ctx, location)
	if err != nil {
		return config.Crossing{}, err
	}
	c, err := config.ParseExternalAccount(location, data, config.ForeignPolicy{AllowHosts: s.allowHosts})
	if err != nil {
		return config.Crossing{}, err
	}
	for _, w := range c.Warnings {
		p.warn("%s: %s", location, w)
	}
	if c.From.AWS != nil {
		c.From.AWS.Profile = s.sourceProfile
		c.From.AWS.AssumeRole = s.fromAWS().AssumeRole
	}
	if s.idToken {
		c.To.GCP.IDToken = &config.IDToken{Audience: s.audience, IncludeEmail: s.includeEmail}
		c.To.GCP.Lifetime = 0 // an ID token's life is Google's to choose
	}
	return c, nil
}

func (p *program) awsProfile(s *settings) (config.Crossing, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		home = "."
	}
	var inputs [2]config.Input
	for i, file := range [2][2]string{{"AWS_CONFIG_FILE", "config"}, {"AWS_SHARED_CREDENTIALS_FILE", "credentials"}} {
		path := cmp.Or(p.env(file[0]), filepath.Join(home, ".aws", file[1]))
		data, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return config.Crossing{}, misuse("read the AWS profile", "%w", err)
		}
		inputs[i] = config.Input{Name: path, Data: data}
	}
	c, err := config.ParseAWSProfile(inputs[0], inputs[1], s.profile, config.ForeignPolicy{AllowHosts: s.allowHosts})
	if err != nil {
		return config.Crossing{}, err
	}
	for _, w := range c.Warnings {
		p.warn("profile %s: %s", s.profile, w)
	}
	if s.audience != "" {
		c.From.GCP.Audience = s.audience
	}
	return c, nil
}

// fromFile takes the crossing from stile.yaml, or, where there is none, from the file that Google's libraries would
// read.
func (p *program) fromFile(ctx context.Context, s *settings, want func(config.To) bool) (config.Crossing, error) {
	location := cmp.Or(s.configFile, p.defaultConfig())
	if location == "" {
		if file := p.env("GOOGLE_APPLICATION_CREDENTIALS"); file != "" && s.name == "" && want(config.To{GCP: &config.ToGCP{}}) {
			return p.credentialFile(ctx, s, file)
		}
		return config.Crossing{}, &stile.Error{Op: "choose the crossing", Err: fmt.Errorf("%w: nothing says which crossing to make", stile.ErrMisuse),
			Hint: "describe it by flags (--provider, or --role with --region), or name a file: --config stile.yaml, --credential-file FILE"}
	}
	data, err := p.read(ctx, location)
	if err != nil {
		return config.Crossing{}, err
	}
	file, err := config.ParseAllowing(location, data, config.ForeignPolicy{AllowHosts: s.allowHosts})
	if err != nil {
		return config.Crossing{}, err
	}
	name := s.name
	if name == "" {
		if fit := slices.DeleteFunc(file.Names(), func(n string) bool { return !want(file.Crossings[n].To) }); len(fit) == 1 {
			name = fit[0]
		}
	}
	c, err := file.Crossing(name)
	if err != nil {
		return config.Crossing{}, err
	}
	s.narrow(&c)
	return c, nil
}

// narrow lets flags that do not choose a crossing change the one chosen: a flag wins over the file.
func (s *settings) narrow(c *config.Crossing) {
	if to := c.To.GCP; to != nil && s.idToken {
		to.IDToken = &config.IDToken{Audience: s.audience, IncludeEmail: s.includeEmail}
	}
	if to := c.To.AWS; to != nil {
		to.Region = cmp.Or(s.region, to.Region)
		to.SessionName = cmp.Or(s.sessionName, to.SessionName)
		to.Duration = cmp.Or(config.Duration(s.duration), to.Duration)
		if s.audience != "" {
			c.From.GCP.Audience = s.audience
		}
	}
}

// defaultConfig is the first stile.yaml that exists: here, then in the user's configuration folder.
func (p *program) defaultConfig() string {
	candidates := []string{"stile.yaml"}
	if folder, err := os.UserConfigDir(); err == nil {
		candidates = append(candidates, filepath.Join(folder, "stile", "stile.yaml"))
	}
	for _, path := range candidates {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}
