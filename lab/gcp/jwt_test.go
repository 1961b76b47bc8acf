// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stile-project/stile/lab/oidc"
)

func (w *world) claims() map[string]any {
	now := w.clock.Now()
	return map[string]any{"iss": testIssuer, "sub": "job-7", "aud": oidcProvider, "iat": now.Unix(), "exp": now.Add(30 * time.Minute).Unix()}
}

func (w *world) exchangeJWT(raw string) reply {
	form := exchangeForm(raw)
	form.Set("audience", oidcProvider)
	form.Set("subject_token_type", typeJWT)
	return w.exchangeWith(form)
}

func (w *world) signed(claims map[string]any) string {
	w.t.Helper()
	raw, err := w.issuer.Sign(claims)
	w.must(err)
	return raw
}

func TestExchangeOIDC(t *testing.T) {
	t.Parallel()
	for name, aud := range map[string]any{
		"the provider":             oidcProvider,
		"the provider, https:":     "https:" + oidcProvider,
		"a list with the provider": []any{"other", oidcProvider},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			claims := w.claims()
			claims["aud"] = aud
			got := w.want(w.exchangeJWT(w.signed(claims)), http.StatusOK)
			// No longer than the subject token itself.
			if life := got.field(t, "expires_in"); life != 1799.0 {
				t.Errorf("expires_in is %v, want 1799", life)
			}
		})
	}
}

func TestExchangeOIDCRefusesClaims(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) func(*world) any {
		return func(w *world) any { return w.clock.Now().Add(d).Unix() }
	}
	is := func(v any) func(*world) any { return func(*world) any { return v } }
	for name, c := range map[string]struct {
		claim       string
		value       func(*world) any
		description string
	}{
		"another audience":    {"aud", is("https://example.com"), "The audience in ID Token [https://example.com] does not match the expected audience"},
		"audience a number":   {"aud", is(7), "The audience in ID Token"},
		"another issuer":      {"iss", is("https://accounts.google.com"), "The issuer in ID Token"},
		"no subject":          {"sub", is(""), `"sub"`},
		"no issued at":        {"iat", is(nil), `"iat"`},
		"issued 25 h ago":     {"iat", at(-25 * time.Hour), "is stale to sign-in."},
		"issued in a minute":  {"iat", at(time.Minute), "future"},
		"expired":             {"exp", at(0), "expired"},
		"expiry no number":    {"exp", is("tomorrow"), "must be numbers"},
		"expiry past all use": {"exp", is(1e300), "must be numbers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			claims := w.claims()
			claims[c.claim] = c.value(w)
			w.wantOAuth(w.exchangeJWT(w.signed(claims)), http.StatusBadRequest, invalidGrant, c.description)
		})
	}
}

func TestExchangeOIDCRefusesForgeries(t *testing.T) {
	t.Parallel()
	encode := base64.RawURLEncoding.EncodeToString
	for name, c := range map[string]struct {
		forge             func(good string) string
		code, description string
	}{
		"alg none": {func(good string) string {
			return encode([]byte(`{"alg":"none","kid":"1"}`)) + "." + strings.Split(good, ".")[1] + "."
		}, invalidGrant, "must be RS256 or ES256"},
		"HS256 with a public secret": {func(good string) string {
			text := encode([]byte(`{"alg":"HS256","kid":"1"}`)) + "." + strings.Split(good, ".")[1]
			mac := hmac.New(sha256.New, []byte("public key"))
			mac.Write([]byte(text))
			return text + "." + encode(mac.Sum(nil))
		}, invalidGrant, "must be RS256 or ES256"},
		"no key id": {func(good string) string {
			parts := strings.Split(good, ".")
			return encode([]byte(`{"alg":"RS256"}`)) + "." + parts[1] + "." + parts[2]
		}, invalidGrant, "signing key"},
		"changed claims": {func(good string) string {
			parts := strings.Split(good, ".")
			claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
			return parts[0] + "." + encode([]byte(strings.Replace(string(claims), "job-7", "admin", 1))) + "." + parts[2]
		}, invalidGrant, "Invalid signature"},
		"two parts": {func(good string) string { return strings.Join(strings.Split(good, ".")[:2], ".") }, invalidRequest, "Unable to parse"},
		"garbage":   {func(string) string { return "\x00" }, invalidRequest, "Unable to parse"},
		"endless":   {func(string) string { return strings.Repeat("a.", 50_000) }, invalidRequest, "Unable to parse"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.wantOAuth(w.exchangeJWT(c.forge(w.signed(w.claims()))), http.StatusBadRequest, c.code, c.description)
		})
	}
}

func TestExchangeOIDCIssuerOutOfReach(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.AddProvider(Provider{Project: testProject, Pool: "oidc-pool", ID: "oidc-prov", Issuer: "https://nobody.example", Mapping: map[string]string{"google.subject": "assertion.sub"}}))
	nobody := oidc.NewIssuer("https://nobody.example", w.clock.Now)
	claims := w.claims()
	claims["iss"] = "https://nobody.example"
	raw, err := nobody.Sign(claims)
	w.must(err)
	w.wantOAuth(w.exchangeJWT(raw), http.StatusBadRequest, invalidGrant, textIssuer)
}

func TestExchangeOIDCAllowedAudiences(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.AddProvider(Provider{Project: testProject, Pool: "oidc-pool", ID: "oidc-prov", Issuer: testIssuer,
		AllowedAudiences: []string{"stile"}, Mapping: map[string]string{"google.subject": "assertion.sub"}}))
	claims := w.claims()
	w.wantOAuth(w.exchangeJWT(w.signed(claims)), http.StatusBadRequest, invalidGrant, "does not match the expected audience stile.")
	claims["aud"] = "stile"
	w.want(w.exchangeJWT(w.signed(claims)), http.StatusOK)
}
