// SPDX-License-Identifier: Apache-2.0

package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/serve/ecs/session"
)

var now = time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)

type supplier func() (stile.Credential, error)

func (s supplier) Credential(context.Context) (stile.Credential, error) { return s() }

func credential(change func(*stile.Credential)) stile.Credential {
	c := stile.Credential{Kind: stile.KindAWSSession, Expires: now.Add(time.Hour), Session: stile.Session{
		AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: stile.NewSecret("secret"), SessionToken: stile.NewSecret("token"), AccountID: "111122223333"}}
	if change != nil {
		change(&c)
	}
	return c
}

func encode(s stile.Session, expires, now string) []byte {
	return []byte(s.AccessKeyID + " " + s.SecretAccessKey.Reveal() + " " + expires + " " + now)
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(*stile.Credential)
		want   string
		status int // 0: no refusal
	}{
		"an hour left":          {nil, "ASIAEXAMPLE secret 2026-11-22T04:00:00Z 2026-11-22T03:00:00Z", 0},
		"less than the floor":   {func(c *stile.Credential) { c.Expires = now.Add(time.Minute) }, "ASIAEXAMPLE secret 2026-11-22T03:01:00Z 2026-11-22T03:00:00Z", 0},
		"in another zone":       {func(c *stile.Credential) { c.Expires = c.Expires.In(time.FixedZone("", 3600)) }, "ASIAEXAMPLE secret 2026-11-22T04:00:00Z 2026-11-22T03:00:00Z", 0},
		"fractions of a second": {func(c *stile.Credential) { c.Expires = now.Add(2*time.Second - 1) }, "ASIAEXAMPLE secret 2026-11-22T03:00:01Z 2026-11-22T03:00:00Z", 0},
		"no account":            {func(c *stile.Credential) { c.Session.AccountID = "" }, "ASIAEXAMPLE secret 2026-11-22T04:00:00Z 2026-11-22T03:00:00Z", 0},
		"told as ended":         {func(c *stile.Credential) { c.Expires = now.Add(time.Second - 1) }, "", 503},
		"ended":                 {func(c *stile.Credential) { c.Expires = now }, "", 503},
		"no expiry":             {func(c *stile.Credential) { c.Expires = time.Time{} }, "", 500},
		"an expiry too far":     {func(c *stile.Credential) { c.Expires = now.AddDate(9000, 0, 0) }, "", 500},
		"nothing":               {func(c *stile.Credential) { *c = stile.Credential{} }, "", 500},
		"another kind":          {func(c *stile.Credential) { c.Kind, c.Token = stile.KindAccessToken, stile.NewSecret("ya29.x") }, "", 500},
		"no key id":             {func(c *stile.Credential) { c.Session.AccessKeyID = "" }, "", 500},
		"no secret":             {func(c *stile.Credential) { c.Session.SecretAccessKey = stile.Secret{} }, "", 500},
		"no token":              {func(c *stile.Credential) { c.Session.SessionToken = stile.Secret{} }, "", 500},
		"a line break":          {func(c *stile.Credential) { c.Session.SessionToken = stile.NewSecret("token\n") }, "", 500},
		"not ASCII":             {func(c *stile.Credential) { c.Session.SecretAccessKey = stile.NewSecret("sécret") }, "", 500},
		"a bad account":         {func(c *stile.Credential) { c.Session.AccountID = "1 2" }, "", 500},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := session.New(supplier(func() (stile.Credential, error) { return credential(c.change), nil }), func() time.Time { return now }, encode)
			a, err := h.Answer(t.Context())
			if err != nil {
				if got := session.RefusalOf(err); got.Status != c.status {
					t.Errorf("got %v, status %d; want %d", err, got.Status, c.status)
				}
				return
			}
			if got := string(a.Body); got != c.want || a.Length[0] != fmt.Sprint(len(got)) || c.status != 0 {
				t.Errorf("got %q, length %s; want %q, status %d", got, a.Length, c.want, c.status)
			}
		})
	}
}

func TestEncodesOncePerCredential(t *testing.T) {
	t.Parallel()
	held, clock, encoded := credential(nil), now, 0
	h := session.New(supplier(func() (stile.Credential, error) { return held, nil }), func() time.Time { return clock },
		func(s stile.Session, expires, now string) []byte { encoded++; return encode(s, expires, now) })
	for range 5 {
		if _, err := h.Answer(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if encoded != 1 {
		t.Errorf("encoded %d times, want once", encoded)
	}
	first, _ := h.Answer(t.Context())
	held = credential(func(c *stile.Credential) { c.Session.SecretAccessKey = stile.NewSecret("another") })
	if second, err := h.Answer(t.Context()); err != nil || string(second.Body) == string(first.Body) {
		t.Errorf("got the old session for a new one: %v", err)
	}
	clock = held.Expires
	if _, err := h.Answer(t.Context()); !errors.Is(err, stile.ErrTemporary) {
		t.Errorf("got %v for a session that has ended since it was encoded", err)
	}
}

func TestNoAllocationsOnceEncoded(t *testing.T) {
	held := credential(nil)
	h := session.New(supplier(func() (stile.Credential, error) { return held, nil }), func() time.Time { return now }, encode)
	if n := testing.AllocsPerRun(100, func() { _, _ = h.Answer(context.Background()) }); n != 0 {
		t.Errorf("got %v allocations", n)
	}
}

// TestPartsNeverMix has many ask while the credential changes.
func TestPartsNeverMix(t *testing.T) {
	t.Parallel()
	var held [8]stile.Credential
	for i := range held {
		held[i] = credential(func(c *stile.Credential) {
			c.Session.AccessKeyID, c.Session.SecretAccessKey = fmt.Sprint("id", i), stile.NewSecret(fmt.Sprint("id", i))
		})
	}
	var mu sync.Mutex
	next := 0
	h := session.New(supplier(func() (stile.Credential, error) {
		mu.Lock()
		defer mu.Unlock()
		next++
		return held[next%len(held)], nil
	}), func() time.Time { return now }, encode)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				a, err := h.Answer(context.Background())
				if err != nil {
					t.Error(err)
					return
				}
				if parts := strings.Fields(string(a.Body)); parts[0] != parts[1] {
					t.Errorf("mixed %q", a.Body)
				}
			}
		})
	}
	wg.Wait()
}

func TestRefusalOf(t *testing.T) {
	t.Parallel()
	cloud := func(kind error, code string) error {
		return &stile.Error{Op: "assume the role", Cloud: "AWS STS", Status: 403, Code: code, Message: "Not\nauthorized", Hint: "see the trust policy",
			RetryAfter: 1500 * time.Millisecond, Err: kind}
	}
	const words = "; see the trust policy"
	cases := map[string]struct {
		err     error
		status  int
		code    string
		message string
		retry   string
	}{
		"refused":               {cloud(stile.ErrRefused, "AccessDenied"), 403, "AccessDenied", "assume the role: AWS STS answered 403 AccessDenied: Not authorized" + words, ""},
		"refused, wrapped":      {fmt.Errorf("secret words: %w", cloud(stile.ErrRefused, "invalid_target")), 403, "invalid_target", "assume the role: AWS STS answered 403 invalid_target: Not authorized" + words, ""},
		"throttled":             {cloud(stile.ErrTemporary, "Throttling"), 503, "Throttling", "assume the role: AWS STS answered 403 Throttling: Not authorized" + words, "2"},
		"a code like success":   {cloud(stile.ErrRefused, "SUCCESS"), 403, "AccessDenied", "assume the role: AWS STS answered 403 SUCCESS: Not authorized" + words, ""},
		"a code that is none":   {cloud(stile.ErrTemporary, "<b>"), 503, "ServiceUnavailable", "assume the role: AWS STS answered 403 <b>: Not authorized" + words, "2"},
		"no identity":           {&stile.Error{Op: "look", Err: stile.ErrNoIdentity}, 503, "NoIdentity", "look: no identity here", ""},
		"misused":               {&stile.Error{Op: "look", Err: stile.ErrMisuse}, 403, "Misconfigured", "look: misused", ""},
		"no error of ours":      {errors.New("secret words"), 503, "ServiceUnavailable", "no credential could be had just now; see stile's log", ""},
		"a refusal, bare":       {fmt.Errorf("secret words: %w", stile.ErrRefused), 403, "AccessDenied", "no credential could be had just now; see stile's log", ""},
		"the caller went away":  {context.Canceled, 503, "ServiceUnavailable", "no credential could be had just now; see stile's log", ""},
		"more than an hour off": {&stile.Error{Op: "look", RetryAfter: 48 * time.Hour, Err: stile.ErrTemporary}, 503, "ServiceUnavailable", "look: temporary", "3600"},
		"very long":             {&stile.Error{Op: strings.Repeat("é", 2000), Err: stile.ErrTemporary}, 503, "ServiceUnavailable", strings.Repeat("é", 512) + "…", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := session.RefusalOf(c.err)
			if got.Status != c.status || got.Code != c.code || got.Message != c.message {
				t.Errorf("got %+v\nwant %d %s: %s", got, c.status, c.code, c.message)
			}
			header := http.Header{}
			got.SetRetryAfter(header)
			if header.Get("Retry-After") != c.retry {
				t.Errorf("got Retry-After %q, want %q", header.Get("Retry-After"), c.retry)
			}
		})
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add(`a"b\c</script>`)
	f.Fuzz(func(t *testing.T, s string) {
		for i := range len(s) {
			if s[i] <= ' ' || s[i] > '~' {
				return
			}
		}
		var back string
		if err := json.Unmarshal(session.AppendString(nil, s), &back); err != nil || back != s {
			t.Errorf("%q came back as %q: %v", s, back, err)
		}
	})
}
