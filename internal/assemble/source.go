// SPDX-License-Identifier: Apache-2.0

package assemble

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/from/aws/awschain"
	fromgcp "github.com/stile-project/stile/from/gcp"
	fromoidc "github.com/stile-project/stile/from/oidc"
)

// Source is where the workload's own identity comes from.
func (s Surroundings) Source(ctx context.Context, c config.Crossing) (stile.Source, error) {
	switch {
	case c.From.AWS != nil:
		return s.aws(ctx, *c.From.AWS)
	case c.From.GCP != nil:
		return s.google(*c.From.GCP)
	case c.From.OIDC != nil:
		return s.oidc(c)
	}
	return nil, misuse("read the crossing", "it names no source")
}

func (s Surroundings) aws(ctx context.Context, from config.FromAWS) (stile.Source, error) {
	found, err := awschain.Find(ctx, s.AWSOptions(from))
	if err != nil {
		return nil, err
	}
	if from.Proof != config.ProofJWT {
		return found, nil
	}
	token := found.WebIdentityToken()
	token.Client = s.Client
	if token.Endpoint, err = s.stsEndpoint(""); err != nil {
		return nil, err
	}
	return token, nil
}

// AWSOptions narrow the search for an AWS identity as the description says.
func (s Surroundings) AWSOptions(from config.FromAWS) awschain.Options {
	o := awschain.Options{Profile: from.Profile, Region: from.Region, FIPS: from.FIPS, AllowNodeRole: from.AllowNodeRole, MFA: s.MFA,
		Client: s.AWSClient, MetadataEndpoint: metadataEndpoint(from.External), Lookup: s.Lookup, Root: s.Root}
	for _, r := range from.AssumeRole {
		o.AssumeRole = append(o.AssumeRole, awschain.AssumeRole{Role: r.Role, SessionName: r.SessionName, ExternalID: r.ExternalID,
			Duration: r.Duration.Std(), Tags: r.Tags, TransitiveTags: r.TransitiveTags, SourceIdentity: r.SourceIdentity})
	}
	return o
}

// metadataEndpoint is where a credential file says that instance metadata is, if elsewhere than everywhere.
func metadataEndpoint(external *config.ExternalAWS) string {
	if external == nil {
		return ""
	}
	u, err := url.Parse(cmp.Or(external.URL, external.RegionURL))
	if err != nil || u.Host == "" || u.Hostname() == "169.254.169.254" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

func (s Surroundings) google(from config.FromGCP) (stile.Source, error) {
	switch {
	case from.KeyFile != "":
		return s.key(from.KeyFile)
	case from.ApplicationDefault != nil:
		return &fromgcp.ApplicationDefault{ServiceAccount: from.ApplicationDefault.ServiceAccount, Lookup: s.Lookup, Client: s.Client}, nil
	}
	metadata, err := s.Metadata(from)
	if err != nil {
		return nil, err
	}
	switch {
	case from.Impersonate != nil:
		i := from.Impersonate
		return &fromgcp.Impersonated{ServiceAccount: i.ServiceAccount, Delegates: i.Delegates, IncludeEmail: i.IncludeEmail, Access: metadata, Client: s.Client}, nil
	case from.SignJWT != nil:
		return &fromgcp.SignedJWT{ServiceAccount: from.SignJWT.ServiceAccount, Delegates: from.SignJWT.Delegates, Access: metadata, Client: s.Client}, nil
	}
	return metadata, nil
}

// keyLimit is the most that a service-account key file may hold, in bytes: a real one has two or three thousand.
const keyLimit = 64 << 10

func (s Surroundings) key(path string) (stile.Source, error) {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, misuse("read the service-account key", "%w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, keyLimit+1))
	if err != nil || len(data) > keyLimit {
		return nil, misuse("read the service-account key", "%s cannot be read, or is no key file", path)
	}
	key := &fromgcp.Key{File: stile.NewSecret(string(data)), Client: s.Client}
	s.Warn(key.Warning())
	return key, nil
}

// Metadata is where the vendors' own libraries look for it: GCE_METADATA_HOST, else the link-local address.
func (s Surroundings) Metadata(from config.FromGCP) (*fromgcp.Metadata, error) {
	host := s.env("GCE_METADATA_HOST")
	if u, err := url.Parse("http://" + host + "/"); host != "" && (err != nil || u.Host != host) {
		return nil, misuse("find the metadata server", "GCE_METADATA_HOST is neither HOST nor HOST:PORT")
	}
	account := from.ServiceAccount
	if account == "default" {
		account = ""
	}
	return &fromgcp.Metadata{Host: host, Account: account, Format: from.Format, Client: s.LinkLocal}, nil
}

func (s Surroundings) oidc(c config.Crossing) (stile.Source, error) {
	from := c.From.OIDC
	kind := stile.TokenTypeJWT
	if from.TokenType == "id_token" {
		kind = stile.TokenTypeIDToken
	}
	// A role's audience is the token's own; a provider has a name of its own, and takes tokens for other names too.
	audience := from.Audience
	if c.To.AWS != nil {
		audience = ""
	}
	switch {
	case from.File != nil:
		return &fromoidc.File{Path: from.File.Path, Field: from.File.Field, Type: kind, Audience: audience}, nil
	case from.URL != nil:
		return &fromoidc.URL{URL: from.URL.URL, Header: from.URL.Headers, Field: from.URL.Field, Type: kind, Audience: audience, Client: s.urlClient(from.URL.URL)}, nil
	case from.Environment != nil:
		return &fromoidc.Environment{Name: from.Environment.Variable, Type: kind, Audience: audience, Lookup: s.Lookup}, nil
	case from.Executable != nil:
		return &fromoidc.Executable{Command: from.Executable.Command, Timeout: from.Executable.Timeout.Std(), OutputFile: from.Executable.OutputFile,
			Allowed: s.AllowExecutables, Type: kind, Impersonated: impersonated(c.To), Audience: audience}, nil
	case from.GitHubActions != nil:
		return &fromoidc.GitHubActions{Audience: audience, Lookup: s.Lookup, Client: s.Client}, nil
	case from.GitLabCI != nil:
		return &fromoidc.GitLabCI{Variable: from.GitLabCI.Variable, Audience: audience, Lookup: s.Lookup}, nil
	case from.Kubernetes != nil:
		return &fromoidc.KubernetesFile{Path: cmp.Or(from.Kubernetes.Path, filepath.Join(s.serviceAccountDir(), "token")), Audience: audience}, nil
	case from.TokenRequest != nil:
		return &fromoidc.TokenRequest{Namespace: from.TokenRequest.Namespace, ServiceAccount: from.TokenRequest.ServiceAccount,
			Lifetime: from.TokenRequest.Expiration.Std(), Dir: s.serviceAccountDir(), Audience: audience, Lookup: s.Lookup}, nil
	case from.SPIFFE != nil:
		return &fromoidc.SPIFFE{Socket: from.SPIFFE.Socket, Audience: audience, Lookup: s.Lookup}, nil
	}
	return nil, misuse("read the crossing", "its OIDC source is none that is known")
}

// serviceAccountDir is where a pod finds its service account.
func (s Surroundings) serviceAccountDir() string {
	return filepath.Join(s.Root, fromoidc.ServiceAccountDir)
}

// urlClient leaves plain http, which is on this machine or link-local, to a client that uses no proxy.
func (s Surroundings) urlClient(raw string) *http.Client {
	if u, err := url.Parse(raw); err == nil && u.Scheme == "http" {
		return nil
	}
	return s.Client
}

func impersonated(to config.To) string {
	if to.GCP == nil {
		return ""
	}
	return to.GCP.ServiceAccount
}
