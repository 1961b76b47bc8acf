// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/keep/shared"
)

func oneLease(t *testing.T, join Join) {
	one, other, key := machine(t, join, shared.Term(time.Minute)), machine(t, join, shared.Term(time.Minute)), newKey()
	l := take(t, one, key)
	if l.Term() != time.Minute {
		t.Errorf("Term: got %v; want 1m", l.Term())
	}
	if try(t, other, key) != nil || try(t, one, key) != nil {
		t.Fatal("a second lease was given while the first was held")
	}
	take(t, other, newKey())
	save(t, one, key, record("token", time.Hour))
	wantToken(t, other, key, "token")
	if err := l.Extend(t.Context()); err != nil {
		t.Fatal("Extend:", err)
	}
	if try(t, other, key) != nil {
		t.Fatal("a second lease was given after the first was extended")
	}
	for range 2 { // the second time it is already gone
		if err := l.Release(t.Context()); err != nil {
			t.Fatal("Release:", err)
		}
	}
	if err := l.Extend(t.Context()); !errors.Is(err, shared.ErrLost) {
		t.Fatalf("Extend after Release: got %v; want ErrLost", err)
	}
	wantToken(t, other, key, "token")
	take(t, other, key)
}

func deadHolder(t *testing.T, join Join) {
	dead, other, key := machine(t, join), machine(t, join), newKey()
	began := time.Now()
	take(t, dead, key) // and is never heard of again
	until(t, "the dead holder's lease to end", func() bool { return try(t, other, key) != nil })
	if took := time.Since(began); took < term || took > term+10*time.Second {
		t.Errorf("the lease of a dead holder ended after %v; its term is %v", took, term)
	}
}

func extended(t *testing.T, join Join) {
	const longer = 2 * time.Second
	one, other, key := machine(t, join, shared.Term(longer)), machine(t, join), newKey()
	began := time.Now()
	l := take(t, one, key)
	safe := began // until a term after this the lease is surely held
	until(t, "twice the term to pass", func() bool {
		asked := time.Now()
		if asked.Sub(safe) > longer/4 {
			err := l.Extend(t.Context())
			if err != nil && time.Since(safe) < longer {
				t.Fatal("Extend:", err)
			}
			safe = asked
		}
		if try(t, other, key) != nil {
			if time.Since(safe) < longer {
				t.Fatalf("another was given the lease %v after it was extended for %v", time.Since(safe), longer)
			}
			t.Skip("this machine is too busy to extend a lease in time")
		}
		return time.Since(began) > 2*longer
	})
}

func lost(t *testing.T, join Join) {
	one, other, third, key := machine(t, join), machine(t, join, shared.Term(time.Minute)), machine(t, join), newKey()
	l := take(t, one, key)
	var held keep.Lease
	until(t, "the lease to be lost", func() bool {
		held = try(t, other, key)
		return held != nil
	})
	if err := l.Extend(t.Context()); !errors.Is(err, shared.ErrLost) {
		t.Fatalf("Extend: got %v; want ErrLost", err)
	}
	if err := l.Release(t.Context()); err != nil {
		t.Fatal("Release:", err)
	}
	if try(t, third, key) != nil {
		t.Fatal("the release of a lost lease ended another's")
	}
	if err := held.Extend(t.Context()); err != nil {
		t.Fatal("Extend, by who holds it:", err)
	}
}

func fifty(t *testing.T, join Join) {
	machines := []*shared.Store{machine(t, join, shared.Term(time.Minute)), machine(t, join, shared.Term(time.Minute)), machine(t, join, shared.Term(time.Minute))}
	key := newKey()
	var all sync.WaitGroup
	var got atomic.Int64
	for i := range 50 {
		all.Go(func() {
			l, err := machines[i%len(machines)].Lease(t.Context(), key)
			if err != nil {
				t.Error("Lease:", err)
			}
			if l != nil {
				got.Add(1)
			}
		})
	}
	all.Wait()
	if got.Load() != 1 {
		t.Errorf("%d of fifty were given the lease; want one", got.Load())
	}
}

func handToHand(t *testing.T, join Join) {
	key := newKey()
	var all sync.WaitGroup
	var inside atomic.Int64
	for range 5 {
		one := machine(t, join, shared.Term(time.Minute))
		all.Go(func() {
			for range 4 {
				pass(t, one, key, &inside)
			}
		})
	}
	all.Wait()
}

// pass takes the lease as soon as it is free, extends it, and releases it.
func pass(t *testing.T, s keep.Store, key stile.Key, inside *atomic.Int64) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < patience; <-tick.C {
		l, err := s.Lease(t.Context(), key)
		if err != nil {
			t.Error("Lease:", err)
			return
		}
		if l == nil {
			continue
		}
		if inside.Add(1) != 1 {
			t.Error("two hold the lease at once")
		}
		if err := l.Extend(t.Context()); err != nil {
			t.Error("Extend:", err)
		}
		inside.Add(-1)
		if err := l.Release(t.Context()); err != nil {
			t.Error("Release:", err)
		}
		return
	}
	t.Errorf("the lease was not free once in %v", patience)
}
