// SPDX-License-Identifier: Apache-2.0

package assemble

import (
	"strings"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	toaws "github.com/stile-project/stile/to/aws"
	togcp "github.com/stile-project/stile/to/gcp"
	totoken "github.com/stile-project/stile/to/token"
)

// Target is the identity wanted.
func (s Surroundings) Target(c config.Crossing) (stile.Target, error) {
	switch {
	case c.To.AWS != nil:
		return s.role(c)
	case c.To.GCP != nil:
		return s.intoGoogle(*c.To.GCP)
	case c.To.Token != nil:
		return &totoken.Token{TokenAudience: c.To.Token.Audience}, nil
	}
	return nil, misuse("read the crossing", "it names no target")
}

func (s Surroundings) role(c config.Crossing) (stile.Target, error) {
	to := c.To.AWS
	endpoint, err := s.stsEndpoint(to.STSEndpoint)
	if err != nil {
		return nil, err
	}
	role := &toaws.Role{
		ARN: to.Role, Region: s.Region(to.Region), WebAudience: webAudience(c.From), SessionName: to.SessionName, Duration: to.Duration.Std(),
		Policy: to.Policy, PolicyARNs: to.PolicyARNs, FIPS: to.FIPS, DualStack: to.DualStack, Endpoint: endpoint, Client: s.Client,
	}
	if n := to.Then; n != nil {
		role.Then = &toaws.NextRole{ARN: n.Role, SessionName: n.SessionName, ExternalID: n.ExternalID, Duration: n.Duration.Std(), Policy: n.Policy, Tags: n.Tags}
	}
	return role, nil
}

// webAudience is what the description's source has its tokens made out to.
func webAudience(from config.From) string {
	switch {
	case from.GCP != nil:
		return from.GCP.Audience
	case from.OIDC != nil:
		return from.OIDC.Audience
	}
	return ""
}

func (s Surroundings) intoGoogle(to config.ToGCP) (stile.Target, error) {
	if to.MTLS && !s.ClientCertificate {
		return nil, misuse("read the Google Cloud target", "mtls needs a client certificate: name one with --client-cert and --client-key")
	}
	endpoints := togcp.Endpoints{STS: to.TokenURL, IAMCredentials: hostPart(to.ImpersonationURL), UniverseDomain: to.UniverseDomain, MTLS: to.MTLS}
	if t := to.IDToken; t != nil {
		return &togcp.IDToken{Provider: to.Provider, ServiceAccount: to.ServiceAccount, Delegates: to.Delegates,
			TokenAudience: t.Audience, IncludeEmail: t.IncludeEmail, Endpoints: endpoints, Client: s.Client}, nil
	}
	boundary := ""
	if to.Boundary != nil {
		boundary = to.Boundary.String()
	}
	return &togcp.AccessToken{Provider: to.Provider, UserProject: to.WorkforceUserProject, ServiceAccount: to.ServiceAccount, Delegates: to.Delegates,
		Scopes: to.Scopes, Lifetime: to.Lifetime.Std(), Boundary: boundary, Endpoints: endpoints, Client: s.Client}, nil
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
