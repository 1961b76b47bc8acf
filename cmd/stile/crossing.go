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
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/config/location"
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

	given func(flag string) bool // on the command line, not by the environment
}

// take notes the arguments that name a crossing, and which flags stand on the command line.
func (s *settings) take(cmd *cobra.Command, args []string) {
	if len(args) > 0 {
		s.name = args[0]
	}
	s.given = cmd.Flags().Changed
}

func (p *program) fileFlags(cmd *cobra.Command, s *settings) {
	f := cmd.Flags()
	f.StringVar(&s.configFile, "config", p.env("STILE_CONFIG"), "read crossings from the stile.yaml at this `LOCATION`: a path, s3://, gs:// or https:// [$STILE_CONFIG]")
	f.StringSliceVar(&s.allowHosts, "allow-host", nil, "let a file name this `HOST` or HOST:PORT outside the clouds' own domains")
	hideDefaults(f, "config")
	p.executablesFlag(cmd)
	under(whichCrossing, f, "config", "allow-host")
}

// cacheFlag is for commands that give a credential.
func (p *program) cacheFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&p.noCache, "no-cache", set(p.env("STILE_NO_CACHE")), "exchange anew, and keep nothing beyond this command [$STILE_NO_CACHE=1]")
	hideDefaults(cmd.Flags(), "no-cache")
}

func (p *program) executablesFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&p.allowExecutables, "allow-executables", false, "let a file name a program to run for a token [$GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1]")
	under(whichCrossing, cmd.Flags(), "allow-executables")
}

func (p *program) googleFlags(cmd *cobra.Command, s *settings) {
	f := cmd.Flags()
	f.StringVar(&s.credentialFile, "credential-file", p.env("STILE_CREDENTIAL_FILE"),
		"take the crossing from the external_account JSON at this `LOCATION`: a path, s3://, gs:// or https:// [$STILE_CREDENTIAL_FILE]")
	hideDefaults(f, "credential-file")
	under(whichCrossing, f, "credential-file")

	f.StringVar(&s.sourceProfile, "source-profile", "", "find this workload's AWS credentials by the profile `NAME`")
	f.StringVar(&s.assumeRole, "assume-role", "", "become the role `ARN` before crossing")
	f.StringVar(&s.externalID, "external-id", "", "the external `ID` that the trust policy of --assume-role wants")
	under(hereOnAWS, f, "source-profile", "assume-role", "external-id")

	f.StringVar(&s.provider, "provider", "", "the workload identity pool provider's `NAME`: projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER")
	f.StringVar(&s.serviceAccount, "service-account", "", "act as the service account `EMAIL` (default: direct access, as the federated identity itself)")
	f.StringSliceVar(&s.delegates, "delegate", nil, "a service account's `EMAIL` on the way to --service-account, nearest first")
	f.StringSliceVar(&s.scopes, "scope", nil, "an OAuth scope's `URL` (default cloud-platform)")
	f.DurationVar(&s.lifetime, "lifetime", 0, "how long the service account's token lives, a `DURATION` of 1m to 12h (default 1h)")
	f.BoolVar(&s.idToken, "id-token", false, "an ID token of the service account in place of an access token; needs --audience")
	f.BoolVar(&s.includeEmail, "include-email", false, "put the service account's e-mail in the ID token")
	under(inGoogleCloud, f, "provider", "service-account", "delegate", "scope", "lifetime", "id-token", "include-email")
}

func (p *program) awsFlags(cmd *cobra.Command, s *settings) {
	f := cmd.Flags()
	f.StringVar(&s.profile, "profile", "", "take the crossing from the AWS profile `NAME` (role_arn, region, role_session_name, duration_seconds)")
	under(whichCrossing, f, "profile")

	f.StringVar(&s.role, "role", "", "the role's `ARN`: arn:aws:iam::ACCOUNT:role/NAME")
	f.StringVar(&s.region, "region", "", "the `REGION` whose STS is asked (default $AWS_REGION)")
	f.StringVar(&s.sessionName, "session-name", "", "the role session's `NAME` (default: made from the identity)")
	f.DurationVar(&s.duration, "duration", 0, "how long the session lives, a `DURATION` of 15m to the role's maximum (default 1h)")
	f.StringVar(&s.policy, "policy", "", "a session policy, `JSON`")
	f.StringSliceVar(&s.policyARNs, "policy-arn", nil, "the `ARN` of a managed session policy")
	under(inAWSCloud, f, "role", "region", "session-name", "duration", "policy", "policy-arn")
}

// audienceFlag is one flag with a meaning in each direction.
func audienceFlag(cmd *cobra.Command, s *settings, heading, text string) {
	cmd.Flags().StringVar(&s.audience, "audience", "", text)
	under(heading, cmd.Flags(), "audience")
}

// crossing finds the one crossing that the command line means. want says which kinds of target will do.
func (p *program) crossing(ctx context.Context, s *settings, want func(config.To) bool) (config.Crossing, error) {
	for _, check := range []func() error{s.oneOrigin, s.coherent} {
		if err := check(); err != nil {
			return config.Crossing{}, err
		}
	}
	c, err := p.origin(ctx, s, want)
	if err != nil {
		return config.Crossing{}, err
	}
	if err := s.fits(c); err != nil {
		return config.Crossing{}, err
	}
	s.narrow(&c)
	return c, nil
}

func (p *program) origin(ctx context.Context, s *settings, want func(config.To) bool) (config.Crossing, error) {
	switch {
	case s.provider != "":
		return config.Crossing{Origin: "the flags", From: config.From{AWS: &config.FromAWS{}}, To: config.To{GCP: &config.ToGCP{Provider: s.provider}}}, nil
	case s.role != "":
		return config.Crossing{Origin: "the flags", From: config.From{GCP: &config.FromGCP{}}, To: config.To{AWS: &config.ToAWS{Role: s.role}}}, nil
	case s.profile != "":
		return p.awsProfile(ctx, s)
	case s.credentialFile != "" && s.name == "" && (!s.given("config") || s.given("credential-file")):
		return p.credentialFile(ctx, s, s.credentialFile)
	}
	return p.fromFile(ctx, s, want)
}

// foreign is what the user lets a file from elsewhere name.
func (p *program) foreign(allowHosts []string) config.ForeignPolicy {
	return config.ForeignPolicy{AllowHosts: allowHosts, AllowExecutables: p.executablesAllowed()}
}

// foreignStore is the same for a stile.yaml, which may name a store. On this machine, the user chose a file by naming it
// or by putting it into the configuration folder. One that merely lies in the current folder may have come with a
// checkout, and one from elsewhere is whoever's can write there.
func (p *program) foreignStore(allowHosts []string, where string, named bool) config.ForeignPolicy {
	policy := p.foreign(allowHosts)
	policy.AllowStores = (named || where != configHere) && !strings.Contains(where, "://")
	return policy
}

func (p *program) credentialFile(ctx context.Context, s *settings, where string) (config.Crossing, error) {
	data, err := p.read(ctx, where)
	if err != nil {
		return config.Crossing{}, err
	}
	c, err := config.ParseExternalAccount(where, data, p.foreign(s.allowHosts))
	if err != nil {
		return config.Crossing{}, err
	}
	for _, w := range c.Warnings {
		p.warn("%s: %s", shown(where), w)
	}
	return c, nil
}

func (p *program) awsProfile(ctx context.Context, s *settings) (config.Crossing, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		home = "."
	}
	var inputs [2]config.Input
	for i, file := range [2][2]string{{"AWS_CONFIG_FILE", "config"}, {"AWS_SHARED_CREDENTIALS_FILE", "credentials"}} {
		path := cmp.Or(p.env(file[0]), filepath.Join(home, ".aws", file[1]))
		data, err := location.Reader{}.Read(ctx, path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return config.Crossing{}, err
		}
		inputs[i] = config.Input{Name: path, Data: data}
	}
	c, err := config.ParseAWSProfile(inputs[0], inputs[1], s.profile, p.foreign(s.allowHosts))
	if err != nil {
		return config.Crossing{}, err
	}
	for _, w := range c.Warnings {
		p.warn("profile %s: %s", s.profile, w)
	}
	return c, nil
}

// fromFile takes the crossing from stile.yaml, or, where there is none, from the file that Google's libraries would
// read.
func (p *program) fromFile(ctx context.Context, s *settings, want func(config.To) bool) (config.Crossing, error) {
	where := cmp.Or(s.configFile, p.defaultConfig())
	if where == "" {
		if file := p.env("GOOGLE_APPLICATION_CREDENTIALS"); file != "" && s.name == "" && want(config.To{GCP: &config.ToGCP{}}) {
			return p.credentialFile(ctx, s, file)
		}
		return config.Crossing{}, &stile.Error{Op: "choose the crossing", Err: fmt.Errorf("%w: nothing says which crossing to make", stile.ErrMisuse),
			Hint: "describe it by flags (--provider, or --role with --region), or name a file: --config stile.yaml, --credential-file FILE"}
	}
	data, err := p.read(ctx, where)
	if err != nil {
		return config.Crossing{}, err
	}
	file, err := config.ParseAllowing(where, data, p.foreignStore(s.allowHosts, where, s.configFile != ""))
	if err != nil {
		return config.Crossing{}, err
	}
	if file.Store != nil {
		p.store = *file.Store
	}
	if file.Serve != nil {
		p.traces = file.Serve.Traces
	}
	name := s.name
	if name == "" {
		if fit := slices.DeleteFunc(file.Names(), func(n string) bool { return !want(file.Crossings[n].To) }); len(fit) == 1 {
			name = fit[0]
		}
	}
	c, err := file.Crossing(name)
	if err == nil {
		p.warnOfMirror(c, file)
	}
	return c, err
}

// narrow lets flags that do not choose a crossing change the one chosen: a flag wins over the file.
func (s *settings) narrow(c *config.Crossing) {
	if from := c.From.AWS; from != nil {
		from.Profile = cmp.Or(s.sourceProfile, from.Profile)
		if s.assumeRole != "" {
			from.AssumeRole = []config.AssumeRole{{Role: s.assumeRole, ExternalID: s.externalID}}
		}
	}
	switch {
	case c.To.GCP != nil:
		s.narrowGoogle(c.To.GCP)
	case c.To.AWS != nil:
		s.narrowAWS(&c.From, c.To.AWS)
	case c.To.Token != nil:
		c.To.Token.Audience = cmp.Or(s.audience, c.To.Token.Audience)
	}
}

func (s *settings) narrowAWS(from *config.From, to *config.ToAWS) {
	to.Region = cmp.Or(s.region, to.Region)
	to.SessionName = cmp.Or(s.sessionName, to.SessionName)
	to.Duration = cmp.Or(config.Duration(s.duration), to.Duration)
	to.Policy = cmp.Or(s.policy, to.Policy)
	if len(s.policyARNs) > 0 {
		to.PolicyARNs = s.policyARNs
	}
	switch {
	case from.GCP != nil:
		from.GCP.Audience = cmp.Or(s.audience, from.GCP.Audience)
	case from.OIDC != nil:
		from.OIDC.Audience = cmp.Or(s.audience, from.OIDC.Audience)
	}
}

func (s *settings) narrowGoogle(to *config.ToGCP) {
	if s.serviceAccount != "" {
		to.ServiceAccount, to.Delegates = s.serviceAccount, nil // the way to another account is another way
	}
	if len(s.delegates) > 0 {
		to.Delegates = s.delegates
	}
	if len(s.scopes) > 0 {
		to.Scopes = s.scopes
	}
	to.Lifetime = cmp.Or(config.Duration(s.lifetime), to.Lifetime)
	if s.idToken {
		to.IDToken = &config.IDToken{Audience: s.audience, IncludeEmail: s.includeEmail}
	}
}

// configHere is where a stile.yaml is found without being named.
const configHere = "stile.yaml"

// defaultConfig is the first stile.yaml that exists: here, then in the user's configuration folder.
func (p *program) defaultConfig() string {
	candidates := []string{configHere}
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
