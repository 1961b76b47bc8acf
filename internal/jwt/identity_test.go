// SPDX-License-Identifier: Apache-2.0

package jwt_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/stile-project/stile/internal/jwt"
)

func TestIdentityStaysWhenTheTokenIsRenewed(t *testing.T) {
	t.Parallel()
	want := `{"aud":["b","a"],"https://sts.amazonaws.com/":{"aws_account":"1"},"iss":"i","kubernetes.io":{"namespace":"n","node":{"name":"m"},"pod":{"name":"p","uid":"u"}},"n":[1.0,1e2,12345678901234567890],"sub":"s"}`
	for _, claims := range []string{
		want,
		`{"sub":"s","iss":"i","n":[1.0,1e2,12345678901234567890],"aud":["b","a"],"kubernetes.io":{"pod":{"uid":"u","name":"p"},"node":{"name":"m"},"namespace":"n","warnafter":7},
			"https://sts.amazonaws.com/":{"aws_account":"1","original_session_exp":"2026-11-22T00:00:00Z"},"exp":2,"iat":1,"nbf":1,"jti":"j","uti":"u","rh":"r","aio":"a",
			"auth_time":1,"nonce":"n","at_hash":"h","c_hash":"h","sid":"x"}`,
	} {
		if got, err := jwt.Identity(token(`{"kid":"1"}`, claims)); err != nil || got != want {
			t.Errorf("got %s, %v\nwant %s", got, err, want)
		}
	}
}

func TestIdentityTellsTokensApart(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, claims := range []string{
		`{"iss":"i","sub":"s"}`, `{"iss":"j","sub":"s"}`, `{"iss":"i","sub":"t"}`, `{"iss":"i","sub":"s","email":"s"}`, `{"iss":"i","sub":"s","aud":"a"}`,
		`{"iss":"i","sub":"s","aud":["a"]}`, `{"iss":"i","sub":"s","aud":["a","b"]}`, `{"iss":"i","sub":"s","x":null}`, `{"iss":"i","sub":"s","x":1}`,
		`{"iss":"i","sub":"s","x":1.0}`, `{"iss":"i","sub":"s","x":"1"}`, `{"iss":"i","sub":"s","x":9007199254740993}`, `{"iss":"i","sub":"s","x":9007199254740992}`,
		`{"iss":"i","sub":"s","x":{"exp":1}}`, `{"iss":"i","sub":"s","x":{"exp":2}}`, `{"iss":"i","sub":"s","x":"<"}`, `{"iss":"i","sub":"s","x":"\\u003c"}`,
		`{"iss":"i","sub":"s","EXP":1}`, `{"iss":"i","sub":"s","run_id":"1"}`, `{"iss":"i","sub":"s","run_id":"2"}`,
		`{"iss":"i","sub":"s","kubernetes.io":{"pod":{"name":"p","uid":"1"}}}`, `{"iss":"i","sub":"s","kubernetes.io":{"pod":{"name":"p","uid":"2"}}}`,
		`{"sub":"spiffe://a/s"}`, `{"sub":"spiffe://b/s"}`,
	} {
		got, err := jwt.Identity(token(`{}`, claims))
		if err != nil {
			t.Errorf("%s: %v", claims, err)
		}
		if other, twice := seen[got]; twice {
			t.Errorf("%s and %s are one identity", claims, other)
		}
		seen[got] = claims
	}
}

func TestIdentityWithout(t *testing.T) {
	t.Parallel()
	const claims = `{"iss":"i","sub":"s","google":{"compute_engine":{"instance_id":"1","zone":"z"}}}`
	got, err := jwt.Identity(token(`{}`, claims), jwt.Claim{"google", "compute_engine", "instance_id"}, jwt.Claim{"sub", "x"}, jwt.Claim{"none", "at", "all"})
	if want := `{"google":{"compute_engine":{"zone":"z"}},"iss":"i","sub":"s"}`; err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func TestIdentityRefuses(t *testing.T) {
	t.Parallel()
	for words, raw := range map[string]string{
		"no sub":         token(`{}`, `{"iss":"hunter2"}`),
		"no iss":         token(`{}`, `{"sub":"hunter2"}`),
		"three parts":    "hunter2",
		"one name twice": token(`{}`, `{"iss":"i","sub":"hunter2","sub":"t"}`),
		"levels deep":    token(`{}`, `{"iss":"i","sub":"hunter2","a":`+strings.Repeat("[", 30)+strings.Repeat("]", 30)+`}`),
		"told from":      token(`{}`, `{"iss":"i","sub":"hunter2\ud800"}`),
	} {
		if _, err := jwt.Identity(raw); err == nil || !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v, want an error with %q", err, words)
		}
	}
	for _, claims := range []string{`{"iss":"i","sub":"s","a":[{"b":"\udfff"}]}`, `{"iss":"i","sub":"s","a":{"\udfff":1}}`} {
		if _, err := jwt.Identity(token(`{}`, claims)); err == nil {
			t.Errorf("%s was taken", claims)
		}
	}
}

func TestStable(t *testing.T) {
	t.Parallel()
	first, second := token(`{}`, `{"iss":"i","sub":"s","exp":1}`), token(`{"kid":"2"}`, `{"iss":"i","sub":"s","exp":2}`)
	if jwt.Stable(first+"\n") != jwt.Stable(second) {
		t.Error("a renewed token is another")
	}
	seen := map[string]bool{}
	for _, text := range []string{first, "opaque", "opaque2", `{"iss":"i","sub":"s"}`, `claims {"iss":"i","sub":"s"}`, token(`{}`, `{"exp":1}`), token(`{}`, `{"exp":2}`)} {
		if got := jwt.Stable(text); seen[got] {
			t.Errorf("%s is another's", text)
		} else {
			seen[got] = true
		}
	}
}

// volatileNames are the claims that two tokens of one identity may differ in.
var volatileNames = []string{"exp", "iat", "nbf", "jti", "uti", "rh", "aio", "auth_time", "nonce", "at_hash", "c_hash", "sid"}

// steady is what is left of claims, in Go's own terms rather than in text.
func steady(claims map[string]any) map[string]any {
	for _, name := range volatileNames {
		delete(claims, name)
	}
	for outer, inner := range map[string]string{"https://sts.amazonaws.com/": "original_session_exp", "kubernetes.io": "warnafter"} {
		if object, ok := claims[outer].(map[string]any); ok {
			delete(object, inner)
		}
	}
	return claims
}

// Two tokens have one identity exactly when their claims, less the volatile ones, are equal.
func FuzzIdentity(f *testing.F) {
	base := `{"iss":"i","sub":"s","exp":1}`
	for _, other := range []string{
		base, `{"sub":"s","iss":"i","exp":2}`, `{"iss":"i","sub":"s","sub":"t"}`, `{"iss":"i","sub":"s\ud800"}`, `{"iss":"i","sub":"s\ufffd"}`,
		`{"iss":"i","sub":"s","n":1e400}`, `{"iss":"i","sub":"s","n":12345678901234567890123}`, `{"iss":"i","sub":"s","a":{"exp":1,"b":[[[{}]]]}}`,
		`{"iss":"i\u0000","sub":"\u0073"}`, `{"iss":"i","sub":"s","kubernetes.io":{"warnafter":1}}`,
	} {
		f.Add(base, other)
		f.Add(other, other)
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		a, errA := jwt.Identity(token(`{}`, one))
		b, errB := jwt.Identity(token(`{}`, two))
		if errA != nil || errB != nil {
			return
		}
		first, _ := jwt.Unverified(token(`{}`, one))
		second, _ := jwt.Unverified(token(`{}`, two))
		if same := reflect.DeepEqual(steady(first.All), steady(second.All)); same != (a == b) {
			t.Errorf("%s\n%s\nequal claims %v, equal identities %v", one, two, same, a == b)
		}
		if !json.Valid([]byte(a)) {
			t.Errorf("%s is no JSON", a)
		}
		if again, err := jwt.Identity(token(`{}`, a)); err != nil && len(a) < jwt.MaxSize/2 || err == nil && again != a {
			t.Errorf("%s again is %s, %v", a, again, err)
		}
	})
}
