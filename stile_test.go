// SPDX-License-Identifier: Apache-2.0

package stile_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stile-project/stile"
)

const hidden = "correct horse battery staple"

func TestNothingPrintsASecret(t *testing.T) {
	t.Parallel()
	secret := stile.NewSecret(hidden)
	cred := stile.Credential{Kind: stile.KindAWSSession, Token: secret, Expires: time.Unix(1, 0),
		Session: stile.Session{AccessKeyID: "ASIA", SecretAccessKey: secret, SessionToken: secret}}
	token := stile.SubjectToken{Value: secret}
	held := struct {
		hidden stile.Secret
		Shown  *stile.Secret
		List   []stile.Secret
		Map    map[string]stile.Secret
	}{secret, &secret, []stile.Secret{secret}, map[string]stile.Secret{"k": secret}}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p", "%b", "%o", "%U", "%e", "%t", "%c", "%20v", "%-5s", "%w"} {
		for _, value := range []any{secret, &secret, cred, &cred, token, held, &held, []any{cred}} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
	}
	for _, value := range []any{secret, cred, token, held} {
		encoded, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(encoded)
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("all", "secret", secret, "credential", cred, "token", token, "held", held)
	}
	fmt.Fprint(&out, errors.Join(fmt.Errorf("wrapped: %v", cred), &stile.Error{Op: "x", Sent: []slog.Attr{slog.Any("secret", secret)}}))
	for _, form := range []string{hidden, fmt.Sprintf("%x", hidden), fmt.Sprintf("%X", hidden), fmt.Sprintf("%v", []byte(hidden))} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the secret shows as %q", form)
		}
	}
	if !strings.Contains(out.String(), "[secret]") {
		t.Error("nothing was redacted: the test looks in the wrong place")
	}
	if secret.Reveal() != hidden {
		t.Error("Reveal does not reveal")
	}
}

func TestZeroSecret(t *testing.T) {
	t.Parallel()
	var zero stile.Secret
	if !zero.IsZero() || zero.Reveal() != "" || !stile.NewSecret("").IsZero() || stile.NewSecret("x").IsZero() {
		t.Error("zero is not askable")
	}
}

func TestKeysTellPartsApart(t *testing.T) {
	t.Parallel()
	seen := map[stile.Key][]string{}
	for _, parts := range [][]string{{}, {""}, {"", ""}, {"ab", "c"}, {"a", "bc"}, {"abc"}, {"abc", ""}, {"a", "b", "c"}} {
		key := stile.NewKey("kind", parts...)
		if other, dup := seen[key]; dup {
			t.Errorf("%q and %q share a key", parts, other)
		}
		seen[key] = parts
		if stile.NewKey("kind", parts...) != key || stile.NewKey("other", parts...) == key || key.IsZero() {
			t.Errorf("key of %q is not its own", parts)
		}
	}
	if !(stile.Key{}).IsZero() {
		t.Error("the zero Key is not zero")
	}
}

type keyedTarget struct {
	id string
	stile.Target
}

func (k keyedTarget) CacheKey() stile.Key { return stile.NewKey("t", k.id) }

type keyedSource struct {
	id string
	stile.Source
}

func (k keyedSource) CacheKey() stile.Key {
	if k.id == "" {
		return stile.Key{}
	}
	return stile.NewKey("s", k.id)
}

func TestCrossingKeys(t *testing.T) {
	t.Parallel()
	key := func(source, target string) stile.Key {
		return stile.Cross(keyedSource{id: source}, keyedTarget{id: target}).Key()
	}
	if key("a", "b") != key("a", "b") {
		t.Error("equal crossings have different keys")
	}
	if key("a", "b") == key("a", "c") || key("a", "b") == key("c", "b") || key("a", "b") == key("b", "a") {
		t.Error("different crossings share a key")
	}
	if key("", "b") == key("", "b") {
		t.Error("sources that cannot tell who they are share a key")
	}
}

func TestCrossWithoutEndsIsMisuse(t *testing.T) {
	t.Parallel()
	for _, c := range []stile.Crossing{{}, stile.Cross(nil, nil)} {
		if _, err := c.Credential(t.Context()); !errors.Is(err, stile.ErrMisuse) {
			t.Errorf("got %v, want misuse", err)
		}
	}
}

type neverExpires struct{}

func (neverExpires) Audience() string { return "a" }
func (neverExpires) Exchange(context.Context, stile.SubjectToken) (stile.Credential, error) {
	return stile.Credential{Kind: stile.KindIDToken}, nil
}

func TestCredentialWithoutExpiryIsRefused(t *testing.T) {
	t.Parallel()
	source := stile.SourceFunc(func(context.Context, string) (stile.SubjectToken, error) { return stile.SubjectToken{}, nil })
	if _, err := stile.Cross(source, neverExpires{}).Credential(t.Context()); err == nil || !strings.Contains(err.Error(), "no expiry") {
		t.Errorf("got %v", err)
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		err  *stile.Error
		want string
	}{
		"an answer": {
			&stile.Error{Op: "exchange the subject token", Cloud: "Google STS", Status: 400, Code: "invalid_target", Message: "gone", Err: stile.ErrRefused},
			"exchange the subject token: Google STS answered 400 invalid_target: gone"},
		"what was sent": {
			&stile.Error{Op: "ask", Cloud: "AWS STS", Status: 403, Sent: []slog.Attr{slog.String("role", "r"), slog.String("audience", "a")}, Err: stile.ErrRefused},
			"ask: AWS STS answered 403 (sent role r, audience a)"},
		"no answer": {
			&stile.Error{Op: "ask", Cloud: "AWS STS", Err: fmt.Errorf("%w: no answer", stile.ErrTemporary)},
			"ask: AWS STS: temporary: no answer"},
		"nobody asked": {
			&stile.Error{Op: "read the flags", Hint: "not here", Err: stile.ErrMisuse},
			"read the flags: misused"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := c.err.Error(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

const printsKey = "STILE_TEST_PRINTS_KEY"

// TestUnkeyedCrossingsOfTwoProcesses: each counts its own from one, and a store that both use must not mix them up.
func TestUnkeyedCrossingsOfTwoProcesses(t *testing.T) {
	t.Parallel()
	crossing := stile.Cross(stile.SourceFunc(nil), nil)
	if os.Getenv(printsKey) != "" {
		fmt.Println("key", crossing.Key(), crossing.Keyed())
		return
	}
	seen := map[string]bool{}
	for range 2 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestUnkeyedCrossingsOfTwoProcesses$")
		cmd.Env = append(os.Environ(), printsKey+"=1")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		_, key, found := strings.Cut(string(out), "key ")
		key, _, _ = strings.Cut(key, "\n")
		if !found || !strings.HasSuffix(key, " false") || seen[key] {
			t.Errorf("got %q, want a key of its own, and not keyed", key)
		}
		seen[key] = true
	}
}
