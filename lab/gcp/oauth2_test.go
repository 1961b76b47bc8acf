// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// keyFor makes a key of the reader and signs with what its owner would have downloaded.
func (w *world) keyFor() signingKey {
	w.t.Helper()
	key, err := w.Key(readerEmail)
	w.must(err)
	var file map[string]string
	w.must(json.Unmarshal(key.File(), &file))
	block, _ := pem.Decode([]byte(file["private_key"]))
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	w.must(err)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: private}, nil)
	if err != nil || signer == nil || file["private_key_id"] != key.ID {
		w.t.Fatalf("the key file does not hold the key: %v", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.accounts[readerEmail].keys[0]
}

func (w *world) assertion() map[string]any {
	now := w.clock.Now()
	return map[string]any{"iss": readerEmail, "sub": readerEmail, "aud": tokenURL, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
}

func (w *world) grant(address string, key signingKey, claims map[string]any) reply {
	w.t.Helper()
	text, err := json.Marshal(claims)
	w.must(err)
	raw, err := key.signJWT(text)
	w.must(err)
	return w.postForm(address, url.Values{"grant_type": {grantJWTBearer}, "assertion": {raw}})
}

func TestJWTBearer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.keyFor()
	claims := w.assertion()
	claims["scope"] = scopePlatform
	got := w.want(w.grant(tokenURL, key, claims), http.StatusOK)
	if got.field(t, "expires_in") != 3599.0 || got.field(t, "token_type") != "Bearer" {
		t.Errorf("got %s", got.body)
	}

	claims = w.assertion()
	claims["aud"], claims["target_audience"] = oldTokenURL, "https://images.example.com"
	id := w.want(w.grant(oldTokenURL, key, claims), http.StatusOK).field(t, "id_token").(string)
	now := w.clock.Now()
	wantClaims(t, w, id, map[string]any{"iss": issuerURL, "aud": "https://images.example.com", "azp": readerEmail, "sub": w.reader.UniqueID,
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "email": readerEmail, "email_verified": true})
}

func TestJWTBearerRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.keyFor()
	stranger, err := newSigningKey()
	w.must(err)
	now := w.clock.Now()
	for name, c := range map[string]struct {
		change            map[string]any
		key               signingKey
		status            int
		code, description string
	}{
		"scope and audience": {map[string]any{"scope": "openid", "target_audience": "x"}, key, 400, invalidScope, textScope},
		"neither":            {nil, key, 400, invalidScope, textScope},
		"unknown scope":      {map[string]any{"scope": "everything"}, key, 400, invalidScope, textScope},
		"another endpoint":   {map[string]any{"aud": oldTokenURL}, key, 400, invalidGrant, textJWTAud},
		"nobody":             {map[string]any{"iss": "nobody@demo-proj.iam.gserviceaccount.com"}, key, 400, invalidGrant, textNoAccount},
		"another's key":      {nil, stranger, 400, invalidGrant, textSignature},
		"over an hour":       {map[string]any{"exp": now.Add(61 * time.Minute).Unix()}, key, 400, invalidGrant, textShort},
		"expired":            {map[string]any{"iat": now.Add(-2 * time.Hour).Unix(), "exp": now.Add(-time.Hour).Unix()}, key, 400, invalidGrant, textShort},
		"of the future":      {map[string]any{"iat": now.Add(time.Hour).Unix(), "exp": now.Add(2 * time.Hour).Unix()}, key, 400, invalidGrant, textShort},
		"for a person":       {map[string]any{"sub": "alice@example.com"}, key, 401, unauthorizedClient, "Client is unauthorized"},
	} {
		t.Run(name, func(*testing.T) {
			claims := w.assertion()
			for k, v := range c.change {
				claims[k] = v
			}
			w.wantOAuth(w.grant(tokenURL, c.key, claims), c.status, c.code, c.description)
		})
	}
	w.wantOAuth(w.postForm(tokenURL, url.Values{"grant_type": {"password"}}), http.StatusBadRequest, "unsupported_grant_type", "password")
	for _, garbage := range []string{"", "a.b", "\x00", strings.Repeat("x", 1<<20), "eyJhbGciOiJub25lIn0.e30."} {
		w.wantOAuth(w.postForm(tokenURL, url.Values{"grant_type": {grantJWTBearer}, "assertion": {garbage}}), http.StatusBadRequest, invalidGrant, "Invalid")
	}
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	page := w.want(w.request(http.MethodGet, "https://accounts.google.com/.well-known/openid-configuration", "", ""), http.StatusOK)
	if page.field(t, "issuer") != issuerURL || page.field(t, "jwks_uri") != certsURL {
		t.Errorf("got %s", page.body)
	}
	keys := w.want(w.request(http.MethodGet, certsURL, "", ""), http.StatusOK)
	if keys.field(t, "keys.0.kid") == nil {
		t.Errorf("there is no key: %s", keys.body)
	}
}
