// SPDX-License-Identifier: Apache-2.0

package awstrust

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

var fuzzSeeds = []string{
	robust,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::${aws:username, 'x'}/*"}}`,
	`{"Statement":[{"Effect":"Deny","NotPrincipal":{"AWS":["111122223333","arn:aws:iam::111122223333:role/a/b"]},"NotAction":"sts:Tag*"}]}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"sts:*","Condition":{"ForAnyValue:StringLikeIfExists":{"k:x":["a*","${*}"]},` +
		`"NumericLessThan":{"k:n":5},"DateGreaterThan":{"k:d":"2026-01-01"},"IpAddress":{"k:i":"10.0.0.0/8"},"Null":{"k:z":true},"BinaryEquals":{"k:b":"YQ=="},"ArnLike":{"k:a":"arn:*:*:*:*:*"}}}}`,
	`{"Statement":[]}`, `{"Statement":{"Effect":"Allow"`, `[[[[`, `{"a":1,"a":2}`, "", "\xff",
}

func FuzzParseTrust(f *testing.F) {
	for _, seed := range fuzzSeeds {
		f.Add([]byte(seed), "x", "sts:AssumeRole")
	}
	f.Fuzz(func(t *testing.T, doc []byte, value, action string) { checkParse(t, ParseTrust, doc, value, action) })
}

func FuzzParseIdentity(f *testing.F) {
	for _, seed := range fuzzSeeds {
		f.Add([]byte(seed), "x", "s3:GetObject")
	}
	f.Fuzz(func(t *testing.T, doc []byte, value, action string) { checkParse(t, ParseIdentity, doc, value, action) })
}

// checkParse: what is refused is refused with an *Error at a place in the document; what parses is JSON, means the same
// after JSON is written anew, and decides every request one way only, with a reason per statement.
func checkParse(t *testing.T, parse func([]byte) (*Policy, error), doc []byte, value, action string) {
	p, err := parse(doc)
	if err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Problem == "" || e.Line > strings.Count(string(doc), "\n")+1 || e.Column > utf8.RuneCount(doc)+1 {
			t.Fatalf("refused with %#v", err)
		}
		return
	}
	var compact any
	if err := json.Unmarshal(doc, &compact); err != nil {
		t.Fatalf("parsed what is no JSON: %v", err)
	}
	r := Request{Principal: Principal{Kind: AWS, ID: value}, Action: action, Resource: value, Context: map[string][]string{}}
	for _, st := range p.statements {
		for _, c := range st.clauses {
			r.Context[c.key] = []string{value, action}
		}
	}
	first := p.Evaluate(r)
	if first.Allowed && first.ExplicitDeny || (first.Allowed || first.ExplicitDeny) == (first.Statement == "") {
		t.Fatalf("decision contradicts itself: %+v", first)
	}
	if len(first.Reasons) != len(p.statements) {
		t.Fatalf("%d reasons for %d statements", len(first.Reasons), len(p.statements))
	}
	again, err := parse(append([]byte(" \n"), doc...))
	if err != nil && len(doc)+2 <= maxBytes {
		t.Fatalf("white space in front matters: %v", err)
	}
	if err == nil && again.Evaluate(r).Allowed != first.Allowed {
		t.Fatal("the same document decides differently")
	}
}

// FuzzGlob holds the matcher to a plain recursive one.
func FuzzGlob(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Add("**a", "aaa")
	f.Add("?*", "")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 12 || len(text) > 12 {
			return
		}
		g, _ := literalPattern(pattern).expand(nil)
		if got, want := g.like(text), plainGlob([]rune(pattern), []rune(text)); got != want {
			t.Errorf("%q like %q: got %v, want %v", text, pattern, got, want)
		}
	})
}

func plainGlob(pattern, text []rune) bool {
	switch {
	case len(pattern) == 0:
		return len(text) == 0
	case pattern[0] == '*':
		return plainGlob(pattern[1:], text) || len(text) > 0 && plainGlob(pattern, text[1:])
	case len(text) == 0:
		return false
	}
	return (pattern[0] == '?' || pattern[0] == text[0]) && plainGlob(pattern[1:], text[1:])
}
