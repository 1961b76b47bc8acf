// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"context"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// network answers requests in process, by host name.
type network map[string]http.Handler

func (n network) RoundTrip(r *http.Request) (*http.Response, error) {
	handler, ok := n[r.URL.Host]
	if !ok {
		return nil, fmt.Errorf("no such host: %s", r.URL.Host)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w.Result(), nil
}

func fixedClock() time.Time { return time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC) }

var someClaims = map[string]any{"iss": "https://issuer.example", "sub": "robin", "id": json.Number("8087716956832600000")}

func mustSign(t *testing.T, i *Issuer, claims map[string]any) string {
	t.Helper()
	token, err := i.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// join makes a token of a header, claims and a signature that are already as they should be.
func join(header, claims, signature string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	return b64([]byte(header)) + "." + b64([]byte(claims)) + "." + b64([]byte(signature))
}

func TestVerify(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		url     string
		host    string
		options []Option
	}{
		"bare host":                {url: "https://issuer.example", host: "issuer.example"},
		"with a path":              {url: "https://issuer.example/tenants/7", host: "issuer.example"},
		"with a trailing slash":    {url: "https://issuer.example/tenants/7/", host: "issuer.example"},
		"with a port":              {url: "https://issuer.example:8443", host: "issuer.example:8443"},
		"elliptic curve":           {url: "https://issuer.example", host: "issuer.example", options: []Option{ES256()}},
		"keys elsewhere, one host": {url: "https://issuer.example", host: "issuer.example", options: []Option{JWKSURI("https://issuer.example/v3/certs")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			issuer := NewIssuer(test.url, fixedClock, test.options...)
			v := Verifier{Net: network{test.host: issuer.Handler()}}
			got, err := v.Verify(t.Context(), issuer.URL(), mustSign(t, issuer, someClaims))
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]any{"iss": "https://issuer.example", "sub": "robin", "id": json.Number("8087716956832600000")}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("claims (-want +got):\n%s", diff)
			}
		})
	}
}

func TestVerifyKeysOnAnotherHost(t *testing.T) {
	t.Parallel()
	google := NewIssuer("https://accounts.google.com", fixedClock, JWKSURI("https://www.googleapis.com/oauth2/v3/certs"))
	v := Verifier{Net: network{"accounts.google.com": google.Handler(), "www.googleapis.com": google.JWKS()}}
	if _, err := v.Verify(t.Context(), google.URL(), mustSign(t, google, someClaims)); err != nil {
		t.Error(err)
	}
}

func TestVerifyRefusesForgery(t *testing.T) {
	t.Parallel()
	issuer := NewIssuer("https://issuer.example", fixedClock)
	other := NewIssuer("https://other.example", fixedClock)
	v := Verifier{Net: network{"issuer.example": issuer.Handler(), "other.example": other.Handler()}}
	good := mustSign(t, issuer, someClaims)
	parts := strings.Split(good, ".")
	kid := issuer.current.KeyID
	forged := base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"mallory"}`))

	for name, test := range map[string]struct {
		token string
		want  error
	}{
		"alg none":              {join(`{"alg":"none","kid":"`+kid+`"}`, `{"sub":"mallory"}`, ""), ErrAlgorithm},
		"alg None":              {join(`{"alg":"None","kid":"`+kid+`"}`, `{"sub":"mallory"}`, ""), ErrAlgorithm},
		"no alg":                {join(`{"kid":"`+kid+`"}`, `{}`, "x"), ErrAlgorithm},
		"alg is a number":       {join(`{"alg":256,"kid":"`+kid+`"}`, `{}`, "x"), ErrAlgorithm},
		"alg of another key":    {join(`{"alg":"ES256","kid":"`+kid+`"}`, `{}`, strings.Repeat("x", 64)), ErrAlgorithm},
		"alg not listed":        {join(`{"alg":"RS512","kid":"`+kid+`"}`, `{}`, "x"), ErrAlgorithm},
		"alg EdDSA":             {join(`{"alg":"EdDSA","kid":"`+kid+`"}`, `{}`, "x"), ErrAlgorithm},
		"missing kid":           {join(`{"alg":"RS256"}`, `{}`, "x"), ErrUnknownKey},
		"empty kid":             {join(`{"alg":"RS256","kid":""}`, `{}`, "x"), ErrUnknownKey},
		"unknown kid":           {join(`{"alg":"RS256","kid":"nobody"}`, `{}`, "x"), ErrUnknownKey},
		"key in the header":     {join(`{"alg":"RS256","jwk":{"kty":"RSA"}}`, `{}`, "x"), ErrUnknownKey},
		"another issuer's key":  {mustSign(t, other, someClaims), ErrUnknownKey},
		"changed claims":        {parts[0] + "." + forged + "." + parts[2], ErrSignature},
		"empty signature":       {parts[0] + "." + parts[1] + ".", ErrSignature},
		"shortened signature":   {good[:len(good)-2], ErrSignature},
		"no signature part":     {parts[0] + "." + parts[1], ErrMalformed},
		"critical extension":    {join(`{"alg":"RS256","kid":"`+kid+`","crit":["b64"],"b64":false}`, `{}`, "x"), ErrMalformed},
		"10 MB of garbage":      {strings.Repeat("é.", 10<<20/3), ErrMalformed},
		"10 MB claims":          {parts[0] + "." + strings.Repeat("A", 10<<20) + "." + parts[2], ErrMalformed},
		"empty":                 {"", ErrMalformed},
		"repeated alg":          {join(`{"alg":"RS256","alg":"none","kid":"`+kid+`"}`, `{}`, "x"), ErrMalformed},
		"signed text, not JSON": {signText(t, issuer, "not JSON"), ErrMalformed},
		"signed repeated claim": {signText(t, issuer, `{"aud":"a","aud":"b"}`), ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			claims, err := v.Verify(t.Context(), issuer.URL(), test.token)
			if !errors.Is(err, test.want) || claims != nil {
				t.Errorf("got %v, %v; want %v", claims, err, test.want)
			}
		})
	}
}

// Key confusion: the public key, which everyone has, used as an HMAC secret. A verifier that takes alg from the token
// and the key from the key set would find the signature right.
func TestVerifyRefusesPublicKeyAsHMACSecret(t *testing.T) {
	t.Parallel()
	issuer := NewIssuer("https://issuer.example", fixedClock)
	public := issuer.current.Public().Key.(*rsa.PublicKey)
	pkix, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := issuer.current.Public().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string][]byte{
		"PEM":     pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pkix}),
		"DER":     pkix,
		"modulus": public.N.Bytes(),
		"JWK":     jwk,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			signed := strings.TrimSuffix(join(`{"alg":"HS256","typ":"JWT","kid":"`+issuer.current.KeyID+`"}`, `{"sub":"mallory"}`, ""), ".")
			mac := hmac.New(sha256.New, secret)
			mac.Write([]byte(signed))
			token := signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
			for _, listed := range [][]string{nil, {"RS256"}, {"RS256", "HS256"}} {
				v := Verifier{Net: network{"issuer.example": issuer.Handler()}, Algorithms: listed}
				if _, err := v.Verify(t.Context(), issuer.URL(), token); !errors.Is(err, ErrAlgorithm) {
					t.Errorf("listed %v: got %v, want %v", listed, err, ErrAlgorithm)
				}
			}
		})
	}
}

func TestVerifyListedAlgorithmsOnly(t *testing.T) {
	t.Parallel()
	issuer := NewIssuer("https://issuer.example", fixedClock, ES256())
	v := Verifier{Net: network{"issuer.example": issuer.Handler()}, Algorithms: []string{"RS256"}}
	if _, err := v.Verify(t.Context(), issuer.URL(), mustSign(t, issuer, someClaims)); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("ES256 where RS256 alone is listed: got %v, want %v", err, ErrAlgorithm)
	}
}

func page(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestVerifyRefusesBadDiscovery(t *testing.T) {
	t.Parallel()
	issuer := NewIssuer("https://issuer.example", fixedClock)
	token := mustSign(t, issuer, someClaims)
	doc := func(jwksURI string) http.HandlerFunc {
		return page(200, `{"issuer":"https://issuer.example","jwks_uri":"`+jwksURI+`"}`)
	}
	keysAt := func(h http.Handler) network {
		return network{"issuer.example": doc("https://keys.example/"), "keys.example": h}
	}
	kid := issuer.current.KeyID
	endless := strings.Repeat(" ", maxDocument+1)

	for name, test := range map[string]struct {
		issuer string // "" means the true one
		net    http.RoundTripper
	}{
		"no network":              {net: nil},
		"unreachable":             {net: network{}},
		"plain http issuer":       {issuer: "http://issuer.example", net: network{"issuer.example": issuer.Handler()}},
		"issuer with user":        {issuer: "https://me@issuer.example", net: network{"issuer.example": issuer.Handler()}},
		"issuer with query":       {issuer: "https://issuer.example?x", net: network{"issuer.example": issuer.Handler()}},
		"issuer is no URL":        {issuer: "https://%zz", net: network{}},
		"empty issuer":            {issuer: "https://", net: network{}},
		"slash more":              {issuer: "https://issuer.example/", net: network{"issuer.example": issuer.Handler()}},
		"another issuer's":        {net: network{"issuer.example": NewIssuer("https://evil.example", fixedClock).Handler()}},
		"not found":               {net: network{"issuer.example": page(404, "{}")}},
		"redirect":                {net: network{"issuer.example": http.RedirectHandler("https://issuer.example/elsewhere", 302)}},
		"HTML":                    {net: network{"issuer.example": page(200, "<html>")}},
		"empty":                   {net: network{"issuer.example": page(200, "")}},
		"too long":                {net: network{"issuer.example": page(200, endless)}},
		"other spelling":          {net: network{"issuer.example": page(200, `{"Issuer":"https://issuer.example","jwks_uri":"https://issuer.example/k"}`)}},
		"two issuers":             {net: network{"issuer.example": page(200, `{"issuer":"https://evil.example","issuer":"https://issuer.example"}`)}},
		"no jwks_uri":             {net: network{"issuer.example": page(200, `{"issuer":"https://issuer.example"}`)}},
		"jwks_uri over http":      {net: network{"issuer.example": doc("http://keys.example/"), "keys.example": issuer.JWKS()}},
		"jwks_uri is a list":      {net: network{"issuer.example": page(200, `{"issuer":"https://issuer.example","jwks_uri":[]}`)}},
		"keys unreachable":        {net: keysAt(page(503, ""))},
		"keys redirect":           {net: keysAt(http.RedirectHandler("https://issuer.example/", 307))},
		"keys are a list":         {net: keysAt(page(200, "[]"))},
		"no keys member":          {net: keysAt(page(200, "{}"))},
		"keys too long":           {net: keysAt(page(200, endless))},
		"keys nested":             {net: keysAt(page(200, `{"keys":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+"}"))},
		"too many keys":           {net: keysAt(page(200, `{"keys":[`+strings.Repeat("{},", maxKeys)+"{}]}"))},
		"key of a wrong shape":    {net: keysAt(page(200, `{"keys":[{"kid":"`+kid+`","kty":"RSA","n":7}]}`))},
		"key type of no meaning":  {net: keysAt(page(200, `{"keys":[{"kid":"`+kid+`","kty":"lead"}]}`))},
		"closes before it is all": {net: network{"issuer.example": cutShort{}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.issuer == "" {
				test.issuer = issuer.URL()
			}
			_, err := Verifier{Net: test.net}.Verify(t.Context(), test.issuer, token)
			if !errors.Is(err, ErrDiscovery) {
				t.Errorf("got %v, want %v", err, ErrDiscovery)
			}
		})
	}
}

type cutShort struct{}

func (cutShort) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, `{"issuer":"https://issuer.example","jwks_`)
}

// silent is a network on which every request waits until its caller gives up.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestVerifyWaitsOnlySoLong(t *testing.T) {
	t.Parallel()
	token := mustSign(t, NewIssuer("https://issuer.example", fixedClock), someClaims)
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err := Verifier{Net: silent{}}.Verify(t.Context(), "https://issuer.example", token)
		if !errors.Is(err, ErrDiscovery) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v for the deadline", err, ErrDiscovery)
		}
		if waited := time.Since(start); waited != fetchTimeout {
			t.Errorf("gave up after %v, want %v", waited, fetchTimeout)
		}
	})
}

func TestVerifyRefusesUnfitKeys(t *testing.T) {
	t.Parallel()
	issuer := NewIssuer("https://issuer.example", fixedClock)
	token := mustSign(t, issuer, someClaims)
	kid := issuer.current.KeyID
	for name, change := range map[string]func(key map[string]any){
		"for encryption":  func(key map[string]any) { key["use"] = "enc" },
		"other algorithm": func(key map[string]any) { key["alg"] = "RS512" },
		"shared secret": func(key map[string]any) {
			key["kty"], key["k"] = "oct", "c2VjcmV0"
		},
		"short modulus": func(key map[string]any) {
			key["n"] = base64.RawURLEncoding.EncodeToString(append([]byte{0x80}, make([]byte, 127)...))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := issuer.current.Public().MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			key, err := readObject(text)
			if err != nil {
				t.Fatal(err)
			}
			change(key)
			changed, err := json.Marshal(map[string]any{"keys": []any{key}})
			if err != nil {
				t.Fatal(err)
			}
			v := Verifier{Net: network{
				"issuer.example": page(200, `{"issuer":"https://issuer.example","jwks_uri":"https://keys.example/"}`),
				"keys.example":   page(200, string(changed)),
			}}
			if _, err := v.Verify(t.Context(), issuer.URL(), token); !errors.Is(err, ErrAlgorithm) {
				t.Errorf("key %s: got %v, want %v", kid, err, ErrAlgorithm)
			}
		})
	}
}
