// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/from/aws/awschain"
	fromgcp "github.com/stile-project/stile/from/gcp"
	toaws "github.com/stile-project/stile/to/aws"
	togcp "github.com/stile-project/stile/to/gcp"
)

// obtain makes the crossing once. A keeper would detach the exchange from ctx for the sake of its other callers; here
// there are none, and the step that is under way when the time is up can say so itself.
func (p *program) obtain(ctx context.Context, c config.Crossing) (stile.Credential, error) {
	source, err := p.source(ctx, c.From)
	if err != nil {
		return stile.Credential{}, err
	}
	target, err := p.target(c)
	if err != nil {
		return stile.Credential{}, err
	}
	cred, err := stile.Cross(source, target).Credential(ctx)
	if err != nil {
		return stile.Credential{}, err
	}
	if !cred.Expires.After(time.Now()) {
		return stile.Credential{}, &stile.Error{Op: "use the credential", Hint: "check this machine's clock",
			Err: fmt.Errorf("%w: it expired at %s, before it arrived", stile.ErrTemporary, cred.Expires.UTC().Format(time.RFC3339))}
	}
	return cred, nil
}

func (p *program) source(ctx context.Context, from config.From) (stile.Source, error) {
	if from.GCP != nil {
		return p.metadata(*from.GCP)
	}
	options, err := p.awsOptions(*from.AWS)
	if err != nil {
		return nil, err
	}
	return awschain.Find(ctx, options)
}

// metadata is where the vendors' own libraries look for it: GCE_METADATA_HOST, else the link-local address.
func (p *program) metadata(from config.FromGCP) (*fromgcp.Metadata, error) {
	host := p.env("GCE_METADATA_HOST")
	if u, err := url.Parse("http://" + host + "/"); host != "" && (err != nil || u.Host != host) {
		return nil, misuse("find the metadata server", "GCE_METADATA_HOST is neither HOST nor HOST:PORT")
	}
	account := from.ServiceAccount
	if account == "default" {
		account = ""
	}
	return &fromgcp.Metadata{Host: host, Account: account, Format: from.Format}, nil
}

func (p *program) awsOptions(from config.FromAWS) (awschain.Options, error) {
	client, err := p.awsClient()
	if err != nil {
		return awschain.Options{}, err
	}
	o := awschain.Options{Profile: from.Profile, Region: from.Region, AllowNodeRole: from.AllowNodeRole, FIPS: from.FIPS, Client: client, MetadataEndpoint: metadataEndpoint(from.External)}
	for _, r := range from.AssumeRole {
		o.AssumeRole = append(o.AssumeRole, awschain.AssumeRole{Role: r.Role, SessionName: r.SessionName, ExternalID: r.ExternalID, Duration: time.Duration(r.Duration),
			SourceIdentity: r.SourceIdentity, Tags: r.Tags, TransitiveTags: r.TransitiveTags})
	}
	return o, nil
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

func (p *program) target(c config.Crossing) (stile.Target, error) {
	client, err := p.client()
	if err != nil {
		return nil, err
	}
	if to := c.To.AWS; to != nil {
		endpoint, err := p.stsEndpoint(to.STSEndpoint)
		if err != nil {
			return nil, err
		}
		return &toaws.Role{
			ARN: to.Role, Region: p.region(to.Region), WebAudience: c.From.GCP.Audience, SessionName: to.SessionName, Duration: time.Duration(to.Duration),
			Policy: to.Policy, PolicyARNs: to.PolicyARNs, FIPS: to.FIPS, Endpoint: endpoint, Client: client,
		}, nil
	}
	to := c.To.GCP
	endpoints := togcp.Endpoints{STS: to.TokenURL, IAMCredentials: hostPart(to.ImpersonationURL)}
	if t := to.IDToken; t != nil {
		return &togcp.IDToken{Provider: to.Provider, ServiceAccount: to.ServiceAccount, Delegates: to.Delegates,
			TokenAudience: t.Audience, IncludeEmail: t.IncludeEmail, Endpoints: endpoints, Client: client}, nil
	}
	return &togcp.AccessToken{Provider: to.Provider, ServiceAccount: to.ServiceAccount, Delegates: to.Delegates, Scopes: to.Scopes,
		Lifetime: time.Duration(to.Lifetime), Endpoints: endpoints, Client: client}, nil
}

// stsEndpoint is the crossing's own, or that of the variable which AWS SDKs read.
func (p *program) stsEndpoint(named string) (string, error) {
	fromEnv := p.env("AWS_ENDPOINT_URL_STS")
	if named != "" || fromEnv == "" {
		return named, nil
	}
	if u, err := url.Parse(fromEnv); err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return "", misuse("find the STS endpoint", "AWS_ENDPOINT_URL_STS is not a URL: want https://HOST")
	}
	return fromEnv, nil
}

// region is the first that is named: by the crossing, then by either of the variables that AWS SDKs read.
func (p *program) region(named string) string {
	return cmp.Or(named, p.env("AWS_REGION"), p.env("AWS_DEFAULT_REGION"))
}

// hostPart cuts an impersonation URL down to what precedes the path.
func hostPart(raw string) string {
	scheme, rest, found := strings.Cut(raw, "://")
	if !found {
		return ""
	}
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host
}
