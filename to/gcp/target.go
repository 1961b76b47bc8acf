// SPDX-License-Identifier: Apache-2.0

// Package togcp exchanges a subject token for a Google Cloud credential: an [AccessToken], of the workload's own
// federated identity or of a service account, or an [IDToken] of a service account.
//
// Packages googleauth and oauth2source below hand the result to Google's SDKs.
package togcp

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/shape"
)

// CloudPlatform is the scope that covers all of Google Cloud; IAM alone then decides.
const CloudPlatform = "https://www.googleapis.com/auth/cloud-platform"

// AccessToken is a [stile.Target] that gives a Google access token.
type AccessToken struct {
	// Provider is the workload identity pool provider, or workforce pool provider, that trusts the source: see
	// [ParseProvider]. Required.
	Provider string
	// UserProject is the project that a person of a workforce pool is charged to; the person needs
	// serviceusage.services.use on it. Workforce pools only.
	// Source: Google STS v1, Options.userProject.
	UserProject string
	// ServiceAccount is the e-mail of the account to act as. Empty: direct access, as the federated identity itself.
	ServiceAccount string
	// Delegates are the accounts between the federated identity and ServiceAccount, nearest first. Each must be
	// allowed to impersonate the next.
	Delegates []string
	// Scopes bound the token. Empty: [CloudPlatform].
	Scopes []string
	// Lifetime is in whole seconds, from 1 min to 1 h, or to 12 h where the organization policy
	// iam.allowServiceAccountCredentialLifetimeExtension allows it. It needs a ServiceAccount. Zero: 1 h.
	// Source: IAM Credentials v1, generateAccessToken.
	Lifetime time.Duration
	// Boundary bounds what the token can do in Cloud Storage, as JSON: see [ParseBoundary]. Empty: no bound.
	Boundary string

	Endpoints Endpoints
	Client    *http.Client     // nil: http.DefaultClient
	Clock     func() time.Time // reads expires_in; nil: time.Now
}

// Audience is the provider's resource name.
func (t *AccessToken) Audience() string { return audience(t.Provider) }

// CacheKey covers every field that decides the token.
func (t *AccessToken) CacheKey() stile.Key {
	return stile.NewKey("to/gcp access token", t.Audience(), t.ServiceAccount, list(t.Delegates), list(t.scopes()), t.Lifetime.String(),
		t.UserProject, t.Boundary, t.Endpoints.sts(), t.Endpoints.iam())
}

// Exchange trades the token at Google STS; with a ServiceAccount, also at IAM Credentials; with a Boundary, at STS again.
func (t *AccessToken) Exchange(ctx context.Context, token stile.SubjectToken) (stile.Credential, error) {
	if err := t.check(); err != nil {
		return stile.Credential{}, &stile.Error{Op: "read the Google Cloud target", Err: err}
	}
	c := &client{http: t.Client, clock: t.Clock, endpoints: t.Endpoints}
	cred, err := t.owner(ctx, c, token)
	if err != nil || t.Boundary == "" {
		return cred, err
	}
	boundary, err := ParseBoundary(t.Boundary)
	if err != nil {
		return stile.Credential{}, err
	}
	return c.downscope(ctx, cred, boundary)
}

// owner gives the token that a boundary would narrow.
func (t *AccessToken) owner(ctx context.Context, c *client, token stile.SubjectToken) (stile.Credential, error) {
	ask := trade{provider: t.Provider, userProject: t.UserProject, scopes: t.scopes(), token: token}
	if t.ServiceAccount == "" {
		return c.federate(ctx, ask)
	}
	ask.scopes = []string{CloudPlatform}
	federated, err := c.federate(ctx, ask)
	if err != nil {
		return stile.Credential{}, err
	}
	return c.accessToken(ctx, federated.Token, t)
}

func (t *AccessToken) scopes() []string {
	if len(t.Scopes) == 0 {
		return []string{CloudPlatform}
	}
	return t.Scopes
}

func (t *AccessToken) check() error {
	if err := checkProvider(t.Provider, t.UserProject, t.Endpoints); err != nil {
		return err
	}
	if _, err := ParseBoundary(t.Boundary); t.Boundary != "" && err != nil {
		return err
	}
	for _, scope := range t.scopes() {
		if _, err := shape.Scope(scope); err != nil {
			return fmt.Errorf("%w: scope %.200q: %w", stile.ErrMisuse, scope, err)
		}
	}
	if t.ServiceAccount == "" {
		if len(t.Delegates) > 0 || t.Lifetime != 0 {
			return fmt.Errorf("%w: delegates and a lifetime need a service account", stile.ErrMisuse)
		}
		return nil
	}
	if t.Lifetime != 0 && (t.Lifetime < time.Minute || t.Lifetime > 12*time.Hour || t.Lifetime%time.Second != 0) {
		return fmt.Errorf("%w: lifetime %s: want whole seconds from 1m to 12h", stile.ErrMisuse, t.Lifetime)
	}
	return checkAccounts(t.ServiceAccount, t.Delegates)
}

// IDToken is a [stile.Target] that gives a Google-signed ID token of a service account. A federated identity has no ID
// token of its own.
type IDToken struct {
	Provider       string   // as in [AccessToken]. Required.
	UserProject    string   // as in [AccessToken]
	ServiceAccount string   // the account whose token it is. Required.
	Delegates      []string // as in [AccessToken]
	// TokenAudience is the aud claim: the URL of the service that will check the token. Required.
	TokenAudience string
	// IncludeEmail adds the claims email and email_verified.
	IncludeEmail bool

	Endpoints Endpoints
	Client    *http.Client
	Clock     func() time.Time
}

// Audience is the provider's resource name. The token's own audience is TokenAudience.
func (t *IDToken) Audience() string { return audience(t.Provider) }

// CacheKey covers every field that decides the token, its audience first of all.
func (t *IDToken) CacheKey() stile.Key {
	return stile.NewKey("to/gcp ID token", t.TokenAudience, t.Audience(), t.ServiceAccount, list(t.Delegates), fmt.Sprint(t.IncludeEmail),
		t.UserProject, t.Endpoints.sts(), t.Endpoints.iam())
}

// Exchange trades the token at Google STS, then at IAM Credentials.
func (t *IDToken) Exchange(ctx context.Context, token stile.SubjectToken) (stile.Credential, error) {
	if err := t.check(); err != nil {
		return stile.Credential{}, &stile.Error{Op: "read the Google Cloud target", Err: err}
	}
	c := &client{http: t.Client, clock: t.Clock, endpoints: t.Endpoints}
	federated, err := c.federate(ctx, trade{provider: t.Provider, userProject: t.UserProject, scopes: []string{CloudPlatform}, token: token})
	if err != nil {
		return stile.Credential{}, err
	}
	return c.idToken(ctx, federated.Token, t)
}

func (t *IDToken) check() error {
	if err := checkProvider(t.Provider, t.UserProject, t.Endpoints); err != nil {
		return err
	}
	if t.TokenAudience == "" {
		return fmt.Errorf("%w: no audience for the ID token: name the URL of the service that will check it", stile.ErrMisuse)
	}
	if t.ServiceAccount == "" {
		return fmt.Errorf("%w: an ID token needs a service account: a federated identity has none of its own", stile.ErrMisuse)
	}
	return checkAccounts(t.ServiceAccount, t.Delegates)
}

// checkProvider also wants a project to charge for a workforce pool, and none for another: Google would ignore it, or
// charge somebody unlooked for.
func checkProvider(name, userProject string, endpoints Endpoints) error {
	provider, err := ParseProvider(name)
	if err != nil {
		return err
	}
	if userProject != "" && !provider.IsWorkforce() {
		return fmt.Errorf("%w: a user project is for workforce pools, and %s is a workload identity pool", stile.ErrMisuse, provider.Pool())
	}
	if _, err := shape.Project(userProject); userProject != "" && (err != nil || len(userProject) > 32) {
		return fmt.Errorf("%w: user project %.200q: want a project's id or number", stile.ErrMisuse, userProject)
	}
	return endpoints.check()
}

// checkAccounts keeps an e-mail from becoming another path at IAM Credentials.
func checkAccounts(account string, delegates []string) error {
	if _, err := shape.ServiceAccount(account); err != nil {
		return fmt.Errorf("%w: service account %.200q: %w", stile.ErrMisuse, account, err)
	}
	for _, d := range delegates {
		if _, err := shape.ServiceAccount(d); err != nil {
			return fmt.Errorf("%w: delegate %.200q: %w", stile.ErrMisuse, d, err)
		}
	}
	return nil
}

// audience leaves a malformed name as it is: Exchange reports it.
func audience(provider string) string {
	p, err := ParseProvider(provider)
	if err != nil {
		return provider
	}
	return p.Audience()
}

// list joins parts for a key so that no two lists look alike.
func list(parts []string) string { return fmt.Sprintf("%q", parts) }
