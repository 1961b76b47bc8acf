// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stile-project/stile/lab/oidc"
)

const (
	googleProvider = "accounts.google.com" // built in: no account registers it
	googleIssuer   = "https://accounts.google.com"

	sourceIdentityClaim = "https://aws.amazon.com/source_identity"
	tagsClaim           = "https://aws.amazon.com/tags"

	// oldestToken is the age at which AWS says "Token too old". The figure is ours: AWS does not publish its own.
	oldestToken = 24 * time.Hour
	// tokenSkew is how far ahead of AWS's clock an iat or nbf may be.
	tokenSkew = 5 * time.Minute
)

// tokenAlgorithms are those that AWS takes (AWS STS API, AssumeRoleWithWebIdentity, WebIdentityToken).
var tokenAlgorithms = []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512"}

// A webToken is an ID token whose signature, dates and audience hold.
type webToken struct {
	provider  string // as answers and policies name it: "accounts.google.com" or the provider's ARN
	prefix    string // of condition keys: the issuer without https://
	subject   string
	audiences []string
	party     string // azp, "" when the token has none
	claims    map[string]any
}

func invalidToken(format string, args ...any) *fault {
	return refuse(400, "InvalidIdentityToken", format, args...)
}

func notAToken() *fault {
	return invalidToken("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
}

// noVerificationKey has two spaces where AWS has two.
func noVerificationKey() *fault {
	return invalidToken("Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements")
}

// webToken reads the token of the call and checks it all but for the trust policy.
func (c *stsCall) webToken(account string) (webToken, error) {
	// Clients send a token file as it is, with the newline at its end.
	raw := strings.TrimSpace(c.form["WebIdentityToken"])
	_, claims, err := oidc.Unverified(raw)
	if err != nil {
		c.entry.Fail("the token is a JSON Web Token: %v", err)
		return webToken{}, notAToken()
	}
	issuer, _ := claims["iss"].(string)
	if issuer == "" {
		c.entry.Fail("the token says who issued it: it has no iss")
		return webToken{}, missingClaim("iss")
	}
	p, err := c.findProvider(account, issuer)
	if err != nil {
		return webToken{}, err
	}
	if claims, err = c.verified(p, raw); err != nil {
		return webToken{}, err
	}
	t, err := readWebToken(p, claims)
	if err != nil {
		c.entry.Fail("the token has the claims it needs: %v", err)
		return webToken{}, err
	}
	if err := c.checkTokenTime(claims); err != nil {
		return webToken{}, err
	}
	return t, c.checkAudience(p, t)
}

// findProvider is who vouches for an issuer's tokens in an account: Google by itself, all others when registered.
func (c *stsCall) findProvider(account, issuer string) (provider, error) {
	if issuer == googleIssuer || issuer == googleProvider {
		c.entry.OK("the token is issued by %s, which AWS knows without any provider in the account", issuer)
		return provider{arn: googleProvider, issuer: googleProvider}, nil
	}
	if strings.HasSuffix(issuer, outboundDomain) {
		c.entry.Fail("the token's issuer is not AWS itself: its outbound tokens are for everyone but AWS")
		return provider{}, invalidToken("Tokens issued by AWS STS can't be used to assume a role")
	}
	c.cloud.mu.Lock()
	defer c.cloud.mu.Unlock()
	if a := c.cloud.accounts[account]; a != nil {
		if name, ok := strings.CutPrefix(issuer, "https://"); ok {
			if p, ok := a.providers[name]; ok {
				c.entry.OK("the token is issued by %.128s, which is a provider in account %s", issuer, account)
				return p, nil
			}
		}
	}
	c.entry.Fail("account %s has an OIDC provider for the token's issuer %.128q: it has none of exactly that spelling", account, issuer)
	return provider{}, invalidToken("No OpenIDConnect provider found in your account for %.256s", issuer)
}

// verified checks the signature against the keys the issuer publishes now.
func (c *stsCall) verified(p provider, raw string) (map[string]any, error) {
	claims, err := oidc.Verifier{Net: reach{c.cloud.net}, Algorithms: tokenAlgorithms}.Verify(c.request.Context(), "https://"+p.issuer, raw)
	if err != nil {
		c.entry.Fail("the token is signed with a key that https://%s publishes: %v", p.issuer, err)
		return nil, tokenFault(err)
	}
	c.entry.OK("the token is signed with a key that https://%s publishes", p.issuer)
	return claims, nil
}

func tokenFault(err error) *fault {
	switch {
	case errors.Is(err, errUnreachable):
		return refuse(400, "IDPCommunicationError", "The request could not be fulfilled because the identity provider (IDP) that was asked to verify the incoming identity token could not be reached.")
	case errors.Is(err, oidc.ErrDiscovery), errors.Is(err, oidc.ErrUnknownKey):
		return noVerificationKey()
	}
	return notAToken()
}

var errUnreachable = errors.New("no answer")

// A reach marks the errors of a round trip, to tell an issuer that did not answer from one that answered nonsense.
type reach struct{ next http.RoundTripper }

func (n reach) RoundTrip(r *http.Request) (*http.Response, error) {
	if n.next == nil {
		return nil, fmt.Errorf("%w: this cloud has no network", errUnreachable)
	}
	resp, err := n.next.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreachable, err)
	}
	return resp, nil
}

func missingClaim(name string) *fault { return invalidToken("Missing a required claim: %s", name) }

func readWebToken(p provider, claims map[string]any) (webToken, error) {
	t := webToken{provider: p.arn, prefix: p.issuer, claims: claims}
	for _, name := range []string{"sub", "aud", "exp", "iat"} {
		if claims[name] == nil {
			return t, missingClaim(name)
		}
	}
	switch aud := claims["aud"].(type) {
	case string:
		t.audiences = []string{aud}
	case []any:
		for _, item := range aud {
			text, ok := item.(string)
			if !ok {
				return t, notAToken()
			}
			t.audiences = append(t.audiences, text)
		}
	}
	t.party, _ = claims["azp"].(string)
	t.subject, _ = claims["sub"].(string)
	if t.subject == "" || len(t.audiences) == 0 {
		return t, notAToken()
	}
	return t, nil
}

// checkTokenTime wants exp and iat as integers, and now between them.
func (c *stsCall) checkTokenTime(claims map[string]any) error {
	now := c.cloud.now()
	var at [3]time.Time
	for i, name := range []string{"exp", "iat", "nbf"} {
		seconds, ok := wholeNumber(claims[name])
		if claims[name] != nil && !ok {
			c.entry.Fail("%s is a whole number of seconds", name)
			return notAToken()
		}
		at[i] = time.Unix(seconds, 0)
	}
	expires, issued, from := at[0], at[1], at[2]
	switch {
	case !now.Before(expires):
		c.entry.Fail("the token has not expired: it did %v ago", now.Sub(expires))
		return refuse(400, "ExpiredTokenException", "Token expired: current date/time %d must be before the expiration date/time %d", now.Unix(), expires.Unix())
	case now.Sub(issued) > oldestToken:
		c.entry.Fail("the token was issued less than %v ago: it was %v ago", oldestToken, now.Sub(issued))
		return invalidToken("Token too old: %d", now.Unix()-issued.Unix())
	case issued.After(now.Add(tokenSkew)), from.After(now.Add(tokenSkew)):
		c.entry.Fail("the token is valid already: its iat or nbf is ahead of the clock")
		return invalidToken("Token is not yet valid")
	}
	c.entry.OK("the token was issued %s and is good for %v more", ago(now.Sub(issued)), expires.Sub(now))
	return nil
}

func wholeNumber(v any) (int64, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := strconv.ParseInt(n.String(), 10, 64)
	return i, err == nil
}

// checkAudience is for registered providers. Google's tokens are held to an audience by the trust policy alone.
func (c *stsCall) checkAudience(p provider, t webToken) error {
	if p.arn == googleProvider {
		return nil
	}
	if !p.acceptsAudience(t) {
		c.entry.Fail("the token's party (azp %q, aud %q) is among the provider's client ids %q", t.party, t.audiences, p.clientIDs)
		return invalidToken("Incorrect token audience")
	}
	c.entry.OK("the token's party is among the provider's client ids")
	return nil
}

// audience is what the answer shows and what the :aud key holds: azp where there is one.
func (t webToken) audience() string {
	if t.party != "" {
		return t.party
	}
	return t.audiences[0]
}

// context gives the token's claims the names that a trust policy knows them by (IAM User Guide, "Available keys for
// AWS web identity federation").
func (t webToken) context() map[string][]string {
	ctx := map[string][]string{
		t.prefix + ":sub":       {t.subject},
		t.prefix + ":aud":       t.audiences,
		"aws:FederatedProvider": {t.provider},
	}
	if t.party != "" {
		ctx[t.prefix+":aud"] = []string{t.party}
	}
	if t.prefix == googleProvider {
		ctx[t.prefix+":oaud"] = t.audiences
		if email, ok := t.claims["email"].(string); ok {
			ctx[t.prefix+":email"] = []string{email}
		}
	}
	if amr, ok := t.claims["amr"].([]any); ok {
		for _, item := range amr {
			if text, ok := item.(string); ok {
				ctx[t.prefix+":amr"] = append(ctx[t.prefix+":amr"], text)
			}
		}
	}
	return ctx
}

// describe takes from the token what it says about the session: its tags and source identity.
func (t webToken) describe(q *sessionRequest) error {
	if claim, ok := t.claims[sourceIdentityClaim]; ok {
		name, ok := claim.(string)
		if !ok || len(name) < minSessionName || len(name) > maxSessionName || !sessionNamePattern.MatchString(name) {
			return invalidToken("The source identity in the token is not valid.")
		}
		q.sourceIdentity = name
	}
	claim, ok := t.claims[tagsClaim]
	if !ok {
		return nil
	}
	var tags struct {
		Principal  map[string][]string `json:"principal_tags"`
		Transitive []string            `json:"transitive_tag_keys"`
	}
	text, err := json.Marshal(claim)
	if err == nil {
		err = json.Unmarshal(text, &tags)
	}
	if err != nil {
		return invalidToken("The session tags in the token are not valid.")
	}
	keys := slices.Sorted(maps.Keys(tags.Principal))
	values := make([]string, len(keys))
	for i, key := range keys {
		if len(tags.Principal[key]) != 1 {
			return invalidToken("The session tags in the token are not valid.")
		}
		values[i] = tags.Principal[key][0]
	}
	return q.addTags(keys, values, tags.Transitive)
}
