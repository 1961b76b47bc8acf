// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// signText signs a payload that need not be JSON.
func signText(t *testing.T, i *Issuer, payload string) string {
	t.Helper()
	signer, err := i.signer()
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestSignAddsOnlyTheHeader(t *testing.T) {
	t.Parallel()
	issuer := NewIssuer("https://issuer.example", fixedClock)
	header, claims, err := Unverified(mustSign(t, issuer, map[string]any{"sub": "robin", "exp": 1795320245}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"alg": "RS256", "kid": issuer.current.KeyID, "typ": "JWT"}, header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"sub": "robin", "exp": json.Number("1795320245")}, claims); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}

func TestSignRefusesClaimsThatAreNoJSON(t *testing.T) {
	t.Parallel()
	if _, err := NewIssuer("https://issuer.example", fixedClock).Sign(map[string]any{"f": func() {}}); err == nil {
		t.Error("a function was signed as a claim")
	}
}

func TestRotate(t *testing.T) {
	t.Parallel()
	var seconds atomic.Int64
	clock := func() time.Time { return fixedClock().Add(time.Duration(seconds.Load()) * time.Second) }
	issuer := NewIssuer("https://rotating.example", clock)
	v := Verifier{Net: network{"rotating.example": issuer.Handler()}}
	before := mustSign(t, issuer, someClaims)
	issuer.Rotate()
	after := mustSign(t, issuer, someClaims)

	for _, step := range []struct {
		at    time.Duration
		token string
		want  error
	}{
		{0, before, nil},
		{0, after, nil},
		{Overlap - time.Second, before, nil},
		{Overlap, before, ErrUnknownKey},
		{Overlap, after, nil},
	} {
		seconds.Store(int64(step.at / time.Second))
		if _, err := v.Verify(t.Context(), issuer.URL(), step.token); !errors.Is(err, step.want) {
			t.Errorf("%v after rotating: got %v, want %v", step.at, err, step.want)
		}
	}
}

func TestBesidePublishesBothKeys(t *testing.T) {
	t.Parallel()
	elliptic := NewIssuer("https://both.example", fixedClock, ES384())
	both := NewIssuer("https://both.example", fixedClock, Beside(elliptic))
	v := Verifier{Net: network{"both.example": both.Handler()}, Algorithms: []string{"RS256", "ES384"}}
	for algorithm, signer := range map[string]*Issuer{"RS256": both, "ES384": elliptic} {
		token := mustSign(t, signer, someClaims)
		if _, err := v.Verify(t.Context(), both.URL(), token); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
		if header, _, err := Unverified(token); err != nil || header["alg"] != algorithm {
			t.Errorf("%s: header %v, %v", algorithm, header, err)
		}
	}
	w := httptest.NewRecorder()
	both.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, discoveryPath, nil))
	if !strings.Contains(w.Body.String(), `["RS256","ES384"]`) {
		t.Errorf("the document does not name both: %s", w.Body)
	}
}

func TestIssuersShareNoKey(t *testing.T) {
	t.Parallel()
	a, b := NewIssuer("https://a.example", fixedClock), NewIssuer("https://b.example", fixedClock)
	if a.current.KeyID == b.current.KeyID {
		t.Error("two issuers have one key")
	}
	if again := NewIssuer("https://a.example", fixedClock); again.current.KeyID != a.current.KeyID {
		t.Error("one issuer made twice in a process has two keys")
	}
}

func TestHandler(t *testing.T) {
	t.Parallel()
	apart := JWKSURI("https://keys.example/v3/certs")
	for name, test := range map[string]struct {
		url     string
		options []Option
		method  string
		path    string
		status  int
		body    string // what the answer contains
	}{
		"document":            {url: "https://i.example", method: "GET", path: "/.well-known/openid-configuration", status: 200, body: `"jwks_uri":"https://i.example/.well-known/jwks.json"`},
		"document under path": {url: "https://i.example/a/", method: "GET", path: "/a/.well-known/openid-configuration", status: 200, body: `"issuer":"https://i.example/a/"`},
		"document, no path":   {url: "https://i.example/a", method: "GET", path: "/.well-known/openid-configuration", status: 404, body: "not_found"},
		"keys":                {url: "https://i.example", method: "GET", path: "/.well-known/jwks.json", status: 200, body: `"kty":"RSA"`},
		"keys elsewhere":      {url: "https://i.example", options: []Option{apart}, method: "GET", path: "/v3/certs", status: 404, body: "not_found"},
		"keys by HEAD":        {url: "https://i.example", method: "HEAD", path: "/.well-known/jwks.json", status: 200},
		"keys by POST":        {url: "https://i.example", method: "POST", path: "/.well-known/jwks.json", status: 405, body: "method_not_allowed"},
		"elliptic keys":       {url: "https://i.example", options: []Option{ES256()}, method: "GET", path: "/.well-known/jwks.json", status: 200, body: `"crv":"P-256"`},
		"another page":        {url: "https://i.example", method: "GET", path: "/", status: 404, body: "not_found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			NewIssuer(test.url, fixedClock, test.options...).Handler().ServeHTTP(w, httptest.NewRequest(test.method, test.path, nil))
			if w.Code != test.status || !strings.Contains(w.Body.String(), test.body) {
				t.Errorf("got %d %s, want %d with %s", w.Code, w.Body, test.status, test.body)
			}
			if got := w.Header().Get("Content-Type"); got != "application/json" {
				t.Errorf("content type %q, want application/json", got)
			}
		})
	}
}

func TestPublishedKeysArePublic(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]Option{"RSA": nil, "elliptic": {ES256()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			issuer := NewIssuer("https://issuer.example", fixedClock, options...)
			issuer.Rotate()
			w := httptest.NewRecorder()
			issuer.JWKS().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
			var set struct{ Keys []map[string]any }
			if err := json.Unmarshal(w.Body.Bytes(), &set); err != nil {
				t.Fatal(err)
			}
			if len(set.Keys) != 2 {
				t.Fatalf("%d keys published, want the current and the retired one", len(set.Keys))
			}
			for _, key := range set.Keys {
				for member := range key {
					// The members Google takes in a key set; d, p, q and the rest would be the private key.
					if !strings.Contains(" kty alg use kid n e x y crv ", " "+member+" ") {
						t.Errorf("the published key has a member %q", member)
					}
				}
			}
		})
	}
}
