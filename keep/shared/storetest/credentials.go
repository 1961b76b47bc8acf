// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/keep/shared"
)

// nameOf is where the credential of a key stands, in every engine.
func nameOf(key stile.Key) string { return "stile:{" + key.String() + "}:credential" }

func nothingAtFirst(t *testing.T, join Join) {
	wantAbsent(t, machine(t, join), newKey())
}

func saveAndLoad(t *testing.T, join Join) {
	one, other, key := machine(t, join), machine(t, join), newKey()
	want := keep.Record{Obtained: time.Now(), Credential: stile.Credential{
		Kind: stile.KindAWSSession, Expires: time.Now().Add(time.Hour), Principal: "arn:aws:sts::111122223333:assumed-role/reader/x",
		Session: stile.Session{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: stile.NewSecret("secret"), SessionToken: stile.NewSecret("session"), AccountID: "111122223333"}}}
	save(t, one, key, want)
	got, err := other.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Obtained.Equal(want.Obtained) || !got.Credential.Expires.Equal(want.Credential.Expires) {
		t.Errorf("got obtained %v, expires %v; want %v, %v", got.Obtained, got.Credential.Expires, want.Obtained, want.Credential.Expires)
	}
	if g, w := got.Credential.Session, want.Credential.Session; g.SecretAccessKey.Reveal() != w.SecretAccessKey.Reveal() ||
		g.SessionToken.Reveal() != w.SessionToken.Reveal() || g.AccessKeyID != w.AccessKeyID || got.Credential.Principal != want.Credential.Principal {
		t.Errorf("got another session: %v", got.Credential)
	}
	wantAbsent(t, other, newKey())
}

func lastSaveCounts(t *testing.T, join Join) {
	one, other, key := machine(t, join), machine(t, join), newKey()
	save(t, one, key, record("first, and longer than the second", time.Hour))
	save(t, other, key, record("second", time.Hour))
	wantToken(t, one, key, "second")
}

func readWhole(t *testing.T, join Join) {
	key, reader := newKey(), machine(t, join)
	texts := []string{strings.Repeat("a", 1000), strings.Repeat("b", 8000)}
	save(t, reader, key, record(texts[0], time.Hour))
	var writers sync.WaitGroup
	for _, text := range texts {
		writer := machine(t, join)
		writers.Go(func() {
			for range 50 {
				if err := writer.Save(t.Context(), key, record(text, time.Hour)); err != nil {
					t.Error("Save:", err)
				}
			}
		})
	}
	for range 100 {
		r, err := reader.Load(t.Context(), key)
		if got := r.Credential.Token.Reveal(); err != nil || got != texts[0] && got != texts[1] {
			t.Errorf("Load: got a token of %d bytes, %v", len(got), err)
			break
		}
	}
	writers.Wait()
}

func forgets(t *testing.T, join Join) {
	backend, name := join(t), nameOf(newKey())
	began := time.Now()
	if err := backend.Set(t.Context(), name, []byte("short-lived"), 2*time.Second); err != nil {
		t.Fatal("Set:", err)
	}
	until(t, "the engine to forget", func() bool {
		got, err := backend.Get(t.Context(), name)
		if err == nil && string(got) != "short-lived" || err != nil && !errors.Is(err, keep.ErrAbsent) {
			t.Fatalf("Get: got %q, %v", got, err)
		}
		return err != nil
	})
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v to forget what was to last 2 s", took)
	}
}

// The store judges expiry itself too: an engine's clock may be slow.
func expired(t *testing.T, join Join) {
	one, key := machine(t, join), newKey()
	save(t, one, key, record("token", time.Hour))
	wantToken(t, one, key, "token")
	wantAbsent(t, machine(t, join, shared.Clock(func() time.Time { return time.Now().Add(time.Hour) })), key)
}

func aboutToExpire(t *testing.T, join Join) {
	one, key := machine(t, join), newKey()
	for _, life := range []time.Duration{-time.Hour, 0, 900 * time.Millisecond} {
		save(t, one, key, record("token", life))
		wantAbsent(t, machine(t, join, shared.Clock(func() time.Time { return time.Now().Add(-2 * time.Hour) })), key)
	}
}

func boundToKey(t *testing.T, join Join) {
	backend, one, key, other := join(t), machine(t, join), newKey(), newKey()
	save(t, one, key, record("token", time.Hour))
	sealed, err := backend.Get(t.Context(), nameOf(key))
	if err != nil {
		t.Fatal("Get:", err)
	}
	if err := backend.Set(t.Context(), nameOf(other), sealed, time.Hour); err != nil {
		t.Fatal("Set:", err)
	}
	wantAbsent(t, one, other)
	wantToken(t, one, key, "token")
}

func damage(t *testing.T, join Join) {
	backend, one := join(t), machine(t, join)
	for _, garbage := range [][]byte{{}, {0}, []byte("END\r\n"), []byte("{}"), []byte("$-1\r\n"), bytes.Repeat([]byte{0xff}, 5000)} {
		key := newKey()
		if err := backend.Set(t.Context(), nameOf(key), garbage, time.Hour); err != nil {
			t.Fatal("Set:", err)
		}
		wantAbsent(t, one, key)
		save(t, one, key, record("token", time.Hour))
		wantToken(t, one, key, "token")
	}
}

func longest(t *testing.T, join Join) {
	backend, name := join(t), nameOf(newKey())
	want := bytes.Repeat([]byte{'\r', '\n', 0, 0xff}, shared.MaxValue/4)
	if err := backend.Set(t.Context(), name, want, time.Hour); err != nil {
		t.Fatal("Set:", err)
	}
	if got, err := backend.Get(t.Context(), name); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("Get: got %d bytes, %v; want the %d that were set", len(got), err, len(want))
	}
}

func cancelled(t *testing.T, join Join) {
	backend, name := join(t), nameOf(newKey())
	stopped, stop := context.WithCancel(t.Context())
	stop()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for ctx, want := range map[context.Context]error{stopped: context.Canceled, late: context.DeadlineExceeded} {
		_, get := backend.Get(ctx, name)
		_, add := backend.Add(ctx, name, "holder", time.Hour)
		_, extend := backend.Extend(ctx, name, "holder", time.Hour)
		for op, err := range map[string]error{"Get": get, "Add": add, "Extend": extend,
			"Set": backend.Set(ctx, name, []byte("x"), time.Hour), "Remove": backend.Remove(ctx, name, "holder")} {
			if !errors.Is(err, want) || errors.Is(err, keep.ErrAbsent) {
				t.Errorf("%s: got %v; want %v", op, err, want)
			}
		}
	}
	if got, err := backend.Get(t.Context(), name); !errors.Is(err, keep.ErrAbsent) {
		t.Errorf("Get: got %q, %v: something was done for a caller who had gone", got, err)
	}
}
