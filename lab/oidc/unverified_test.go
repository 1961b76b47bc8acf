// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUnverified(t *testing.T) {
	t.Parallel()
	header, claims, err := Unverified(join(`{"alg":"RS256"}`, `{"n":12345678901234567890,"list":["a",true,null],"in":{"x":1.5}}`, "signature"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"alg": "RS256"}, header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	want := map[string]any{
		"n":    json.Number("12345678901234567890"),
		"list": []any{"a", true, nil},
		"in":   map[string]any{"x": json.Number("1.5")},
	}
	if diff := cmp.Diff(want, claims); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}

func TestUnverifiedRefuses(t *testing.T) {
	t.Parallel()
	head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256"}`))
	for name, token := range map[string]string{
		"empty":                   "",
		"one part":                head,
		"two parts":               head + "." + head,
		"four parts":              head + "." + head + ".." + head,
		"padded":                  head + ".e30=." + head,
		"standard alphabet":       head + ".e30." + "+/+/",
		"line break":              head + ".e3\n0." + head,
		"line break at the end":   head + ".e30." + head + "\n",
		"stray bits":              head + ".e31." + head, // decodes as e30 does, in a lenient reader
		"space":                   " " + head + ".e30." + head,
		"header is a list":        join(`[]`, `{}`, ""),
		"header is null":          join(`null`, `{}`, ""),
		"claims are text":         join(`{}`, `"text"`, ""),
		"claims cut short":        join(`{}`, `{"a":1`, ""),
		"claims twice":            join(`{}`, `{}{}`, ""),
		"claims then garbage":     join(`{}`, `{} x`, ""),
		"repeated claim":          join(`{}`, `{"aud":"a","aud":"b"}`, ""),
		"repeated, escaped claim": join(`{}`, `{"aud":"a","\u0061ud":"b"}`, ""),
		"repeated deeper":         join(`{}`, `{"a":[{"b":1,"b":2}]}`, ""),
		"not UTF-8":               join(`{}`, "{\"a\":\"\xff\"}", ""),
		"too deep":                join(`{}`, `{"a":`+strings.Repeat("[", 30)+strings.Repeat("]", 30)+`}`, ""),
		"too long":                join(`{}`, `{"a":"`+strings.Repeat("x", MaxToken)+`"}`, ""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if header, claims, err := Unverified(token); !errors.Is(err, ErrMalformed) || header != nil || claims != nil {
				t.Errorf("got %v, %v, %v; want %v", header, claims, err, ErrMalformed)
			}
		})
	}
}

func TestErrorsDoNotQuoteTheToken(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	for _, token := range []string{
		join(`{}`, `{"a":"`+secret+`"`, ""),
		join(`{"`+secret+`":1,"`+secret+`":1}`, `{}`, ""),
		secret + "." + secret + "." + secret,
	} {
		if _, _, err := Unverified(token); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("got %v, want an error that quotes nothing", err)
		}
	}
}

func FuzzUnverified(f *testing.F) {
	f.Add(join(`{"alg":"RS256","kid":"k"}`, `{"aud":["a","b"],"exp":1795320245}`, "signature"))
	f.Add(join(`{"alg":"none"}`, `{}`, ""))
	f.Add(join(`{}`, `{"a":"a","a":"b"}`, ""))
	f.Add("..")
	f.Add("e30.e30.")
	f.Fuzz(func(t *testing.T, raw string) {
		header, claims, err := Unverified(raw)
		if err != nil {
			if !errors.Is(err, ErrMalformed) || header != nil || claims != nil {
				t.Fatalf("got %v, %v, %v; want nothing but %v", header, claims, err, ErrMalformed)
			}
			return
		}
		// What was read says the same when written and read again.
		h, err := json.Marshal(header)
		if err != nil {
			t.Fatal(err)
		}
		c, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		again := join(string(h), string(c), "")
		if len(again) > MaxToken { // escapes can make it longer
			return
		}
		h2, c2, err := Unverified(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]any{header, claims}, []any{h2, c2}); diff != "" {
			t.Fatalf("written and read again (-first +second):\n%s", diff)
		}
	})
}
