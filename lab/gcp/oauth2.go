// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/stile-project/stile/lab/oidc"
)

const (
	grantJWTBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	grantRefresh   = "refresh_token"
	tokenURL       = "https://oauth2.googleapis.com/token"
	oldTokenURL    = "https://www.googleapis.com/oauth2/v4/token"
	universe       = "googleapis.com"
)

// What the token endpoint says, word for word.
const (
	textNoAccount = "Invalid grant: account not found"
	textSignature = "Invalid JWT Signature."
	textShort     = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim."
	textScope     = "Invalid OAuth scope or ID token audience provided."
	textJWTAud    = "Invalid JWT: Failed audience check."
)

func (c *Cloud) oauth2Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /token", c.serve("OAuth 2.0", "token", (*call).tokenGrant))
	mux.Handle("/", c.serve("OAuth 2.0", "unknown path", (*call).unknownPath))
	return mux
}

// accountsHandler is the issuer of ID tokens.
func (c *Cloud) accountsHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/.well-known/openid-configuration", c.published("discovery", c.issuer.Handler()))
	mux.Handle("/", c.serve("Google Accounts", "unknown path", (*call).unknownPath))
	return mux
}

// tokenGrant answers the two grants that programs use: a JWT that a service account signed, and a person's refresh token.
func (q *call) tokenGrant() (answer, error) {
	form, err := q.readForm()
	if err != nil {
		return answer{}, err
	}
	switch got := form.Get("grant_type"); got {
	case grantJWTBearer:
		return q.bearerGrant(form)
	case grantRefresh:
		return q.refreshGrant(form)
	default:
		return answer{}, q.refuse(oauthError(http.StatusBadRequest, "unsupported_grant_type", "Invalid grant_type: "+clip(got, 80)), "the grant type is %q", clip(got, 80))
	}
}

// bearerGrant answers a JWT that a service account signed (RFC 7523): with a scope in it, an access token; with a
// target_audience, an ID token.
func (q *call) bearerGrant(form url.Values) (answer, error) {
	sa, claims, err := q.readAssertion(form)
	if err != nil {
		return answer{}, err
	}
	if err := q.checkAssertion(claims); err != nil {
		return answer{}, err
	}
	return q.grantFor(sa, claims)
}

// readAssertion finds the service account that signed the JWT and checks that it did.
func (q *call) readAssertion(form url.Values) (ServiceAccount, map[string]any, error) {
	raw := form.Get("assertion")
	_, claims, err := oidc.Unverified(raw)
	if err != nil {
		return ServiceAccount{}, nil, q.refuse(oauthError(http.StatusBadRequest, invalidGrant, "Invalid JWT: The JWT is malformed."), "the assertion is no JWT: %s", clip(err.Error(), 120))
	}
	email, _ := claims["iss"].(string)
	sa, ok := q.findAccount(email)
	if !ok {
		return ServiceAccount{}, nil, q.refuse(oauthError(http.StatusBadRequest, invalidGrant, textNoAccount), "there is no service account %s", clip(email, 128))
	}
	q.entry.Caller = sa.Email
	if !q.signedBy(sa.Email, raw) {
		return ServiceAccount{}, nil, q.refuse(oauthError(http.StatusBadRequest, invalidGrant, textSignature), "no key of %s signed the JWT", sa.Email)
	}
	q.entry.OK("the JWT is signed with a key of %s", sa.Email)
	return sa, claims, nil
}

// signedBy tries the keys of an account: those with the kid of the header, or all where it names none.
func (c *Cloud) signedBy(email, raw string) bool {
	signed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return false
	}
	set, _ := c.publicKeys(email)
	kid := signed.Signatures[0].Header.KeyID
	for _, key := range set.Keys {
		if kid != "" && key.KeyID != kid {
			continue
		}
		if _, err := signed.Verify(key.Key); err == nil {
			return true
		}
	}
	return false
}

func (q *call) checkAssertion(claims map[string]any) error {
	want := tokenURL
	if strings.HasPrefix(q.r.URL.Path, "/oauth2/v4/") {
		want = oldTokenURL
	}
	if claims["aud"] != want {
		return q.refuse(oauthError(http.StatusBadRequest, invalidGrant, textJWTAud+" The right audience is "+want), "the JWT is not made out to %s", want)
	}
	if sub, ok := claims["sub"]; ok && sub != claims["iss"] {
		// Speaking for a person takes domain-wide delegation, which nobody here has.
		return q.refuse(oauthError(http.StatusUnauthorized, unauthorizedClient,
			"Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested."), "the JWT's sub is not its iss")
	}
	issued, issuedOK := unixTime(claims["iat"])
	expires, expiresOK := unixTime(claims["exp"])
	if !issuedOK || !expiresOK || !q.reasonable(issued, expires) {
		return q.refuse(oauthError(http.StatusBadRequest, invalidGrant, textShort), "the JWT's iat and exp do not enclose now within an hour")
	}
	q.entry.OK("the JWT is made out to this endpoint and good for another %s", spell(expires.Sub(q.now)))
	return nil
}

// clockSkew is what Google forgives in a JWT's times. Its documentation gives no figure; libraries allow ten seconds.
const clockSkew = 10 * time.Second

func (q *call) reasonable(issued, expires time.Time) bool {
	return !issued.After(q.now.Add(clockSkew)) && expires.After(q.now.Add(-clockSkew)) &&
		expires.Sub(issued) <= time.Hour && expires.After(issued)
}

func (q *call) grantFor(sa ServiceAccount, claims map[string]any) (answer, error) {
	scope, _ := claims["scope"].(string)
	audience, _ := claims["target_audience"].(string)
	scopes := strings.Fields(scope)
	if (len(scopes) == 0) == (audience == "") {
		return answer{}, q.refuse(oauthError(http.StatusBadRequest, invalidScope, textScope), "the JWT asks for a scope or a target_audience, not for both or neither")
	}
	if audience != "" {
		return q.grantIDToken(sa, audience)
	}
	for _, s := range scopes {
		if !knownScope(s) {
			return answer{}, q.refuse(oauthError(http.StatusBadRequest, invalidScope, textScope), "%q is no scope of Google's", clip(s, 80))
		}
	}
	text := q.accountToken(sa, scopes, q.now, tokenLife)
	q.entry.OK("an access token of %s is given out for an hour, with the scopes %s", sa.Email, listed(scopes))
	return noStore(jsonAnswer(http.StatusOK, map[string]any{
		"access_token": text, "expires_in": lifeSeconds(q.now, q.now.Add(tokenLife)), "token_type": "Bearer",
	})), nil
}

func (q *call) grantIDToken(sa ServiceAccount, audience string) (answer, error) {
	text, err := q.idToken(sa, audience, sa.Email, q.now, emailClaims(sa))
	if err != nil {
		return answer{}, err
	}
	q.entry.OK("an ID token of %s is given out for the audience %s; its azp is the e-mail", sa.Email, clip(audience, 200))
	return noStore(jsonAnswer(http.StatusOK, map[string]string{"id_token": text})), nil
}
