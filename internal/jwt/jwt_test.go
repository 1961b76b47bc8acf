// SPDX-License-Identifier: Apache-2.0

package jwt_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stile-project/stile/internal/jwt"
)

func token(header, claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(header)) + "." + encode([]byte(claims)) + "." + encode([]byte("signature"))
}

func TestUnverified(t *testing.T) {
	t.Parallel()
	at := time.Unix(1795316645, 0)
	cases := map[string]struct {
		claims string
		want   jwt.Claims
	}{
		"none":           {`{}`, jwt.Claims{}},
		"one audience":   {`{"aud":"a"}`, jwt.Claims{Audience: []string{"a"}}},
		"two audiences":  {`{"aud":["a","b"]}`, jwt.Claims{Audience: []string{"a", "b"}}},
		"no audience":    {`{"aud":[]}`, jwt.Claims{Audience: []string{}}},
		"all":            {`{"iss":"i","sub":"s","email":"e","azp":"p","iat":1795316645,"exp":1795316645}`, jwt.Claims{Issuer: "i", Subject: "s", Email: "e", AuthorizedParty: "p", IssuedAt: at, Expires: at}},
		"fraction":       {`{"exp":1795316645.9}`, jwt.Claims{Expires: at}},
		"exponent":       {`{"exp":1.795316645e9}`, jwt.Claims{Expires: at}},
		"null is absent": {`{"sub":null,"exp":null,"aud":null}`, jwt.Claims{}},
		"exact names":    {`{"SUB":"s","Exp":1795316645}`, jwt.Claims{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := jwt.Unverified(token(`{"alg":"RS256"}`, c.claims))
			if err != nil {
				t.Fatal(err)
			}
			got.All = nil
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("claims (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUnverifiedKeepsEveryClaim(t *testing.T) {
	t.Parallel()
	got, err := jwt.Unverified(token(`{}`, `{"sub":"s","n":12345678901234567890,"deep":{"list":[1,true,null,{"x":"y"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"sub": "s", "n": json.Number("12345678901234567890"),
		"deep": map[string]any{"list": []any{json.Number("1"), true, nil, map[string]any{"x": "y"}}}}
	if diff := cmp.Diff(want, got.All); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}

func TestUnverifiedRefuses(t *testing.T) {
	t.Parallel()
	good := token(`{}`, `{"sub":"hunter2"}`)
	parts := strings.Split(good, ".")
	cases := map[string]struct{ raw, words string }{
		"empty":                 {"", "three parts"},
		"opaque":                {"hunter2", "three parts"},
		"four parts":            {good + ".x", "three parts"},
		"too long":              {good + strings.Repeat("A", jwt.MaxSize), "longer than"},
		"header is no base64":   {"?." + parts[1] + "." + parts[2], "header: not base64url"},
		"header is no JSON":     {token(`hunter2`, `{}`), "header: not a JSON object"},
		"claims are no base64":  {parts[0] + ".hunter2=." + parts[2], "claims: not base64url"},
		"claims over two lines": {parts[0] + "." + parts[1][:4] + "\n" + parts[1][4:] + "." + parts[2], "over lines"},
		"claims are no JSON":    {token(`{}`, `hunter2`), "not a JSON object"},
		"claims are a list":     {token(`{}`, `["hunter2"]`), "not a JSON object"},
		"claims end early":      {token(`{}`, `{"sub":"hunter2"`), "not a JSON object"},
		"claims go on":          {token(`{}`, `{"sub":"hunter2"}{}`), "not a JSON object"},
		"claims are no UTF-8":   {token(`{}`, "{\"sub\":\"hunter2\xff\"}"), "not a JSON object"},
		"a claim twice":         {token(`{}`, `{"aud":"hunter2","aud":"b"}`), "one name twice"},
		"twice further down":    {token(`{}`, `{"a":[{"b":1,"b":2}]}`), "one name twice"},
		"too deep":              {token(`{}`, `{"a":`+strings.Repeat("[", 30)+strings.Repeat("]", 30)+`}`), "levels deep"},
		"no signature":          {parts[0] + "." + parts[1] + ".", "signature"},
		"signature no base64":   {parts[0] + "." + parts[1] + ".hunter2+", "signature"},
		"sub is a number":       {token(`{}`, `{"sub":1}`), "its sub is not a JSON string"},
		"exp is text":           {token(`{}`, `{"exp":"hunter2"}`), "its exp is not a JSON number"},
		"exp is negative":       {token(`{}`, `{"exp":-1}`), "its exp is no time of this era"},
		"exp is far off":        {token(`{}`, `{"exp":1e30}`), "its exp is no time of this era"},
		"exp overflows":         {token(`{}`, `{"exp":1e999}`), "its exp is no time of this era"},
		"aud is an object":      {token(`{}`, `{"aud":{"hunter2":1}}`), "its aud is neither"},
		"aud holds a number":    {token(`{}`, `{"aud":["hunter2",1]}`), "its aud is a list"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := jwt.Unverified(c.raw)
			if err == nil || !strings.Contains(err.Error(), c.words) {
				t.Fatalf("got %v, want an error with %q", err, c.words)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error quotes the token: %v", err)
			}
		})
	}
}

func TestNameAndIsFor(t *testing.T) {
	t.Parallel()
	c := jwt.Claims{Subject: "1", Audience: []string{"a", "b"}}
	if c.Name() != "1" || !c.IsFor("b") || c.IsFor("") || c.IsFor("A") {
		t.Errorf("%+v: named %q", c, c.Name())
	}
	c.Email = "e"
	if c.Name() != "e" {
		t.Errorf("named %q, want the e-mail", c.Name())
	}
}

func FuzzUnverified(f *testing.F) {
	f.Add("e30.eyJzdWIiOiIxIiwiZXhwIjoxfQ.c2ln")
	f.Add(token(`{"alg":"none"}`, `{"aud":["a",1]}`))
	f.Add(token(`{}`, `{"exp":1e400,"a":{"b":[[]]}}`))
	f.Add("..")
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := jwt.Unverified(raw)
		if err != nil {
			return
		}
		// What was read, written again, reads the same.
		claims, err := json.Marshal(c.All)
		if err != nil {
			t.Fatalf("claims that cannot be written: %v", err)
		}
		again, err := jwt.Unverified(token("{}", string(claims)))
		if err != nil && len(claims) < jwt.MaxSize/2 {
			t.Fatalf("%s was read, but not again: %v", claims, err)
		}
		if diff := cmp.Diff(c, again); err == nil && diff != "" {
			t.Errorf("claims (-first +second):\n%s", diff)
		}
		if (!c.Expires.IsZero() && c.Expires.Unix() < 1) || len(raw) > jwt.MaxSize {
			t.Errorf("%+v was taken", c)
		}
	})
}
