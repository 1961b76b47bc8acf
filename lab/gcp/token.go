// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The scopes that open what is emulated here. Source: the discovery documents of the APIs.
const (
	scopePlatform  = "https://www.googleapis.com/auth/cloud-platform"
	scopeReadOnly  = "https://www.googleapis.com/auth/cloud-platform.read-only"
	scopeIAM       = "https://www.googleapis.com/auth/iam"
	scopePrefix    = "https://www.googleapis.com/auth/"
	tokenLife      = time.Hour // of a federated token and of a service account's, unless less is asked for
	rememberedLate = time.Hour // how long after its end a token is still told from one that never was
)

// An accessToken is what Google remembers of an opaque token it gave out.
type accessToken struct {
	principal   string   // an e-mail address, or principal://…, as logs name it
	email       string   // of the service account; empty for a federated token
	person      bool     // a signed-in user's
	pool        string   // of a federated token: projects/N/locations/global/workloadIdentityPools/P
	provider    string   // of a federated token: the full provider name
	userProject string   // of a workforce pool's token: the project that calls are charged to
	members     []string // every IAM member that names the caller
	scopes      []string
	boundary    boundary // nil: none
	issued      time.Time
	expires     time.Time
}

func (t accessToken) hasScope(wanted ...string) bool {
	return slices.ContainsFunc(wanted, func(s string) bool { return slices.Contains(t.scopes, s) })
}

// mint remembers t and gives the text that stands for it. The kind is what Google puts after ya29: "d" for a
// federated token, "c" for a service account's, "a" for a person's, "dr" for a bounded one.
func (c *Cloud) mint(kind string, t accessToken) string {
	text := "ya29." + kind + "." + randomText(96)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.tokens) >= c.forgetAt {
		c.forgetOld(t.issued)
		c.forgetAt = max(1024, 2*len(c.tokens)) // so that forgetting costs each token little, however many live
	}
	c.tokens[text] = t
	return text
}

func (c *Cloud) forgetOld(now time.Time) {
	for text, t := range c.tokens {
		if now.After(t.expires.Add(rememberedLate)) {
			delete(c.tokens, text)
		}
	}
}

// accountToken mints an access token for a service account.
func (c *Cloud) accountToken(sa ServiceAccount, scopes []string, now time.Time, life time.Duration) string {
	return c.mint("c", accessToken{
		principal: sa.Email,
		email:     sa.Email,
		members:   sa.members(),
		scopes:    scopes,
		issued:    now,
		expires:   now.Add(life),
	})
}

// lookup finds a token by its text and says why it cannot be used, if so.
func (c *Cloud) lookup(text string, now time.Time) (accessToken, *credentialError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.tokens[text]
	switch {
	case !ok:
		return accessToken{}, &credentialError{reason: "ACCESS_TOKEN_TYPE_UNSUPPORTED", check: "the bearer token is none that Google gave out"}
	case !now.Before(t.expires):
		return accessToken{}, &credentialError{reason: "ACCESS_TOKEN_EXPIRED", check: fmt.Sprintf("the token of %s expired %s ago", t.principal, spell(now.Sub(t.expires)))}
	case t.pool != "" && !c.poolUsable(t.pool):
		// A disabled provider stops new exchanges only; a disabled pool stops its tokens too, until it is enabled again.
		return accessToken{}, &credentialError{reason: "ACCESS_TOKEN_REVOKED", check: "the token's workload identity pool is disabled or deleted"}
	}
	return t, nil
}

// A credentialError says why a request has no usable token.
type credentialError struct {
	missing bool
	reason  string // of google.rpc.ErrorInfo
	check   string // in the journal's words
}

func (e *credentialError) Error() string { return e.check }

// bearer reads the Authorization header and finds the token.
func (q *call) bearer() (accessToken, *credentialError) {
	headers := q.r.Header.Values("Authorization")
	if len(headers) == 0 {
		return accessToken{}, &credentialError{missing: true, check: "the request carries no Authorization header"}
	}
	scheme, text, _ := strings.Cut(headers[0], " ")
	if len(headers) > 1 || !strings.EqualFold(scheme, "Bearer") || text == "" {
		return accessToken{}, &credentialError{reason: "ACCESS_TOKEN_TYPE_UNSUPPORTED", check: "the Authorization header holds no bearer token"}
	}
	token, failed := q.lookup(strings.TrimSpace(text), q.now)
	if failed != nil {
		return accessToken{}, failed
	}
	q.entry.Caller = token.principal
	q.entry.OK("the bearer token is one Google gave to %s, good for another %s", token.principal, spell(token.expires.Sub(q.now)))
	return token, nil
}

// knownScope reports whether s has the shape of a scope Google could grant.
func knownScope(s string) bool {
	if s == "openid" || s == "email" || s == "profile" {
		return true
	}
	u, err := url.Parse(s)
	name, ok := strings.CutPrefix(s, scopePrefix)
	return err == nil && ok && name != "" && u.RawQuery == "" && !strings.ContainsAny(s, "\"\\,")
}

func join(words []string) string { return strings.Join(words, " ") }

// listed shortens scopes for people.
func listed(scopes []string) string {
	if len(scopes) == 0 {
		return "none"
	}
	short := make([]string, len(scopes))
	for i, s := range scopes {
		short[i] = clip(strings.TrimPrefix(s, scopePrefix), 60)
	}
	return strings.Join(short, ", ")
}
