// SPDX-License-Identifier: Apache-2.0

package fromgcp

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/stile-project/stile"
)

// Impersonated is a [stile.Source] of ID tokens of another service account, by generateIdToken. Their azp and sub are
// the account's numeric id, and they live an hour. Whoever Access speaks for needs iam.serviceAccounts.getOpenIdToken
// on the account, which roles/iam.serviceAccountOpenIdTokenCreator and roles/iam.serviceAccountTokenCreator have.
// Source: IAM Credentials v1, projects.serviceAccounts.generateIdToken.
type Impersonated struct {
	// ServiceAccount is the e-mail of the account to speak for. Required.
	ServiceAccount string
	// Delegates are the accounts between Access and ServiceAccount, nearest first. Each must be allowed to impersonate
	// the next.
	Delegates []string
	// IncludeEmail adds the claims email and email_verified.
	IncludeEmail bool
	// Access gives a Google access token of whoever impersonates: a [Metadata], an [ApplicationDefault], a [Key], a
	// keeper. Nil: this workload's own, from the metadata server.
	Access stile.Supplier
	// QuotaProject is charged for the call instead of Access's own project. Access needs serviceusage.services.use on it.
	QuotaProject string

	Endpoint string           // replaces https://iamcredentials.googleapis.com
	Client   *http.Client     // nil: http.DefaultClient
	Clock    func() time.Time // tells whether a token is still good; nil: time.Now
}

// CacheKey covers every field that decides the token.
func (s *Impersonated) CacheKey() stile.Key {
	return s.impersonation().key("from/gcp impersonated", strconv.FormatBool(s.IncludeEmail))
}

func (s *Impersonated) impersonation() impersonation {
	return impersonation{account: s.ServiceAccount, delegates: s.Delegates, access: s.Access, quotaProject: s.QuotaProject, endpoint: s.Endpoint, client: s.Client}
}

// SubjectToken asks for an ID token for audience.
func (s *Impersonated) SubjectToken(ctx context.Context, audience string) (stile.SubjectToken, error) {
	const op = "ask for the service account's ID token"
	if audience == "" {
		return stile.SubjectToken{}, noAudience(op)
	}
	ask := map[string]any{"audience": audience}
	if s.IncludeEmail {
		ask["includeEmail"] = true
	}
	var answer struct {
		Token string `json:"token"`
	}
	q, res, err := s.impersonation().call(ctx, op, "generateIdToken", "iam.serviceAccounts.getOpenIdToken", ask, &answer)
	if err != nil {
		return stile.SubjectToken{}, err
	}
	if answer.Token == "" {
		return stile.SubjectToken{}, q.Malformed(res, "no token")
	}
	token, err := presentable(op, q.Cloud, answer.Token, audience, clockOr(s.Clock)())
	if err == nil {
		token.Subject = s.ServiceAccount
	}
	return token, err
}

// SignedJWT is a [stile.Source] of ID tokens of another service account, for set-ups that allow signing and nothing
// more: the account's own key, which never leaves Google, signs a JWT (signJwt), and the token endpoint trades that for
// an ID token. Their azp is the account's e-mail. Whoever Access speaks for needs iam.serviceAccounts.signJwt.
// Source: IAM Credentials v1, projects.serviceAccounts.signJwt; RFC 7523.
type SignedJWT struct {
	// ServiceAccount, Delegates, Access and QuotaProject are as in [Impersonated].
	ServiceAccount string
	Delegates      []string
	Access         stile.Supplier
	QuotaProject   string

	Endpoint string           // replaces https://iamcredentials.googleapis.com
	TokenURL string           // replaces https://oauth2.googleapis.com/token
	Client   *http.Client     // nil: http.DefaultClient
	Clock    func() time.Time // dates the JWT; nil: time.Now
}

// CacheKey covers every field that decides the token.
func (s *SignedJWT) CacheKey() stile.Key {
	return s.impersonation().key("from/gcp signed JWT", s.tokens().endpoint())
}

func (s *SignedJWT) impersonation() impersonation {
	return impersonation{account: s.ServiceAccount, delegates: s.Delegates, access: s.Access, quotaProject: s.QuotaProject, endpoint: s.Endpoint, client: s.Client}
}

func (s *SignedJWT) tokens() tokenClient { return tokenClient{s.TokenURL, s.Client, clockOr(s.Clock)} }

// SubjectToken has Google sign a JWT for audience and trades it for an ID token.
func (s *SignedJWT) SubjectToken(ctx context.Context, audience string) (stile.SubjectToken, error) {
	const op = "have a JWT signed for the service account"
	if audience == "" {
		return stile.SubjectToken{}, noAudience(op)
	}
	payload, err := json.Marshal(s.tokens().assertion(s.ServiceAccount, audience))
	if err != nil {
		return stile.SubjectToken{}, err
	}
	var answer struct {
		Signed string `json:"signedJwt"`
	}
	q, res, err := s.impersonation().call(ctx, op, "signJwt", "iam.serviceAccounts.signJwt", map[string]any{"payload": string(payload)}, &answer)
	if err != nil {
		return stile.SubjectToken{}, err
	}
	if answer.Signed == "" {
		return stile.SubjectToken{}, q.Malformed(res, "no signedJwt")
	}
	return s.tokens().idToken(ctx, "trade the signed JWT for an ID token", s.ServiceAccount, audience, answer.Signed)
}
