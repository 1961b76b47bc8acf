// SPDX-License-Identifier: Apache-2.0

package totoken_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stile-project/stile"
	fromgcp "github.com/stile-project/stile/from/gcp"
	"github.com/stile-project/stile/lab"
	"github.com/stile-project/stile/lab/stage"
	totoken "github.com/stile-project/stile/to/token"
)

const vault = "https://vault.example"

func jwt(claims string) stile.SubjectToken {
	encode := base64.RawURLEncoding.EncodeToString
	return stile.SubjectToken{Value: stile.NewSecret("e30." + encode([]byte(claims)) + ".c2ln"), Type: stile.TokenTypeJWT}
}

func TestTokenIsTheSubjectToken(t *testing.T) {
	t.Parallel()
	s, err := stage.Set(lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var source stile.Source = &fromgcp.Metadata{Client: &http.Client{Transport: s.World.Network(s.VM)}}
	var given stile.SubjectToken
	cred, err := stile.Cross(stile.SourceFunc(func(ctx context.Context, audience string) (token stile.SubjectToken, err error) {
		given, err = source.SubjectToken(ctx, audience)
		return given, err
	}), &totoken.Token{TokenAudience: vault}).Credential(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if cred.Kind != stile.KindIDToken || cred.Token.Reveal() != given.Value.Reveal() || !cred.Expires.Equal(given.Expires) || cred.Principal != stage.Resizer {
		t.Errorf("got %+v for %+v", cred, given)
	}
}

func TestExpiryAndNameComeFromTheToken(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)
	target := &totoken.Token{TokenAudience: vault, Clock: func() time.Time { return at.Add(-time.Second) }}
	for name, c := range map[string]struct{ claims, principal string }{
		"one audience":           {fmt.Sprintf(`{"aud":%q,"sub":"repo:a/b","exp":%d}`, vault, at.Unix()), "repo:a/b"},
		"one audience in a list": {fmt.Sprintf(`{"aud":[%q],"sub":"1","email":"a@b.example","exp":%d}`, vault, at.Unix()), "a@b.example"},
	} {
		cred, err := target.Exchange(t.Context(), jwt(c.claims))
		if err != nil || cred.Principal != c.principal || !cred.Expires.Equal(at) {
			t.Errorf("%s: %q until %s, %v", name, cred.Principal, cred.Expires, err)
		}
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	t.Parallel()
	hour := time.Now().Add(time.Hour).Unix()
	good := fmt.Sprintf(`{"aud":%q,"sub":"1","exp":%d}`, vault, hour)
	signed := jwt(good)
	signed.Type = stile.TokenTypeAWS4Request
	cases := map[string]struct {
		audience string
		token    stile.SubjectToken
		kind     error
		words    string
	}{
		"no audience asked":    {"", jwt(good), stile.ErrMisuse, "no audience"},
		"another audience":     {"https://other.example", jwt(good), stile.ErrMisuse, vault},
		"one letter's case":    {"https://Vault.example", jwt(good), stile.ErrMisuse, "made out to"},
		"a slash more":         {vault + "/", jwt(good), stile.ErrMisuse, "made out to"},
		"two audiences":        {vault, jwt(fmt.Sprintf(`{"aud":[%q,"b"],"sub":"1","exp":%d}`, vault, hour)), stile.ErrMisuse, "2 audiences"},
		"for nobody":           {vault, jwt(fmt.Sprintf(`{"sub":"1","exp":%d}`, hour)), stile.ErrMisuse, "nobody"},
		"expired":              {vault, jwt(fmt.Sprintf(`{"aud":%q,"sub":"1","exp":1000000000}`, vault)), stile.ErrTemporary, "2001-09-09"},
		"no expiry":            {vault, jwt(fmt.Sprintf(`{"aud":%q,"sub":"1"}`, vault)), stile.ErrMisuse, "no exp"},
		"a signed AWS request": {vault, signed, stile.ErrMisuse, "no OIDC token"},
		"an opaque token":      {vault, stile.SubjectToken{Value: stile.NewSecret("ya29.hidden"), Type: stile.TokenTypeJWT}, stile.ErrMisuse, "no JWT"},
		"nothing":              {vault, stile.SubjectToken{Type: stile.TokenTypeIDToken}, stile.ErrMisuse, "no JWT"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := (&totoken.Token{TokenAudience: c.audience}).Exchange(t.Context(), c.token)
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.words) || strings.Contains(err.Error(), "hidden") {
				t.Errorf("got %v, want kind %v and %q", err, c.kind, c.words)
			}
		})
	}
}

func TestKeyIsTheAudience(t *testing.T) {
	t.Parallel()
	a, b := &totoken.Token{TokenAudience: "a"}, &totoken.Token{TokenAudience: "b"}
	if a.CacheKey() == b.CacheKey() || a.CacheKey() != (&totoken.Token{TokenAudience: "a"}).CacheKey() || a.CacheKey().IsZero() || a.Audience() != "a" {
		t.Error("two audiences share a key, or one has two")
	}
}

func FuzzExchange(f *testing.F) {
	f.Add("e30.eyJhdWQiOiJhIiwiZXhwIjo0MTAyNDQ0ODAwfQ.c2ln")
	f.Add("e30.eyJhdWQiOlsiYSIsImIiXX0.c2ln")
	f.Add("..")
	f.Fuzz(func(t *testing.T, raw string) {
		target := &totoken.Token{TokenAudience: "a", Clock: func() time.Time { return time.Unix(1e9, 0) }}
		cred, err := target.Exchange(t.Context(), stile.SubjectToken{Value: stile.NewSecret(raw), Type: stile.TokenTypeJWT})
		if err == nil && (cred.Token.Reveal() != raw || cred.Expires.Unix() <= 1e9 || strings.Count(raw, ".") != 2) {
			t.Errorf("%q was handed on as %+v", raw, cred)
		}
	})
}
