// SPDX-License-Identifier: Apache-2.0

// Package storetest holds every engine that machines share to one contract:
//
//	storetest.Run(t, func(t *testing.T) shared.Backend { … })
package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/keep/seal"
	"github.com/stile-project/stile/keep/shared"
)

// Join connects one more machine to the engine under test, and disconnects it when t ends. What one machine puts there,
// all others find.
type Join func(t *testing.T) shared.Backend

// term is short, so that a lease whose holder died need not be waited for long.
const term = time.Second

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// Run holds the engine to the contract. It takes a few seconds, for the shortest time an engine knows is one.
func Run(t *testing.T, join Join) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(t *testing.T, join Join)
	}{
		{"nothing at first", nothingAtFirst},
		{"what one machine saves another loads", saveAndLoad},
		{"the last save counts", lastSaveCounts},
		{"a record is read whole", readWhole},
		{"the engine forgets in time", forgets},
		{"what has expired is absent", expired},
		{"what is about to expire is not saved", aboutToExpire},
		{"a credential opens under its own key alone", boundToKey},
		{"damage is absence, and mended", damage},
		{"the longest value fits", longest},
		{"one lease at a time", oneLease},
		{"a dead holder's lease ends with its term, and not before", deadHolder},
		{"an extended lease goes on", extended},
		{"a lost lease cannot be extended, and its release harms nobody", lost},
		{"fifty at once, one holder", fifty},
		{"the lease passes from hand to hand", handToHand},
		{"a cancelled context is honoured", cancelled},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, join)
		})
	}
}

// machine is a store of one more machine.
func machine(t *testing.T, join Join, opts ...shared.Option) *shared.Store {
	t.Helper()
	return shared.New(join(t), seal.Plain, append([]shared.Option{shared.Term(term)}, opts...)...)
}

// newKey is a key that no other test has.
func newKey() stile.Key { return stile.NewKey("storetest", rand.Text()) }

func record(token string, life time.Duration) keep.Record {
	now := time.Now()
	return keep.Record{Obtained: now.Add(-2 * time.Hour), Credential: stile.Credential{
		Kind: stile.KindAccessToken, Token: stile.NewSecret(token), Principal: "reader@example.test", Expires: now.Add(life)}}
}

// until waits for done.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

func wantAbsent(t *testing.T, s keep.Store, key stile.Key) {
	t.Helper()
	if r, err := s.Load(t.Context(), key); !errors.Is(err, keep.ErrAbsent) {
		t.Fatalf("Load: got %v, %v; want ErrAbsent", r, err)
	}
}

func wantToken(t *testing.T, s keep.Store, key stile.Key, want string) {
	t.Helper()
	r, err := s.Load(t.Context(), key)
	if err != nil || r.Credential.Token.Reveal() != want {
		t.Fatalf("Load: got token %q, %v; want %q", r.Credential.Token.Reveal(), err, want)
	}
}

func save(t *testing.T, s keep.Store, key stile.Key, r keep.Record) {
	t.Helper()
	if err := s.Save(t.Context(), key, r); err != nil {
		t.Fatal("Save:", err)
	}
}

// try asks for the lease once.
func try(t *testing.T, s keep.Store, key stile.Key) keep.Lease {
	t.Helper()
	l, err := s.Lease(t.Context(), key)
	if err != nil {
		t.Fatal("Lease:", err)
	}
	return l
}

// take asks for the lease once, and must get it.
func take(t *testing.T, s keep.Store, key stile.Key) keep.Lease {
	t.Helper()
	l := try(t, s, key)
	if l == nil {
		t.Fatal("Lease: another has it, though nobody should")
	}
	return l
}
