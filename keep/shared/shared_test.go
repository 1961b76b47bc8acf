// SPDX-License-Identifier: Apache-2.0

package shared_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/keep/seal"
	"github.com/stile-project/stile/keep/shared"
	"github.com/stile-project/stile/keep/shared/storetest"
)

// engine is the plainest Backend: it shows what the contract asks for, and records what it was given.
type engine struct {
	now func() time.Time

	mu    sync.Mutex
	items map[string]item
	fail  error
}

type item struct {
	value string
	ttl   time.Duration
	end   time.Time
}

func newEngine() *engine { return &engine{now: time.Now, items: map[string]item{}} }

// locked gives what is under name while nobody else changes it.
func (e *engine) locked(ctx context.Context, name string, do func(it item, there bool)) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	it, there := e.items[name]
	do(it, there && e.now().Before(it.end))
	return e.fail
}

func (e *engine) put(name, value string, ttl time.Duration) {
	e.items[name] = item{value, ttl, e.now().Add(ttl)}
}

func (e *engine) Get(ctx context.Context, name string) (value []byte, err error) {
	there := false
	err = e.locked(ctx, name, func(it item, found bool) { value, there = []byte(it.value), found })
	if err == nil && !there {
		err = keep.ErrAbsent
	}
	return value, err
}

func (e *engine) Set(ctx context.Context, name string, value []byte, ttl time.Duration) error {
	return e.locked(ctx, name, func(item, bool) { e.put(name, string(value), ttl) })
}

func (e *engine) Add(ctx context.Context, name, holder string, ttl time.Duration) (added bool, err error) {
	err = e.locked(ctx, name, func(_ item, there bool) {
		if added = !there; added {
			e.put(name, holder, ttl)
		}
	})
	return added, err
}

func (e *engine) Extend(ctx context.Context, name, holder string, ttl time.Duration) (held bool, err error) {
	err = e.locked(ctx, name, func(it item, there bool) {
		if held = there && it.value == holder; held {
			e.put(name, holder, ttl)
		}
	})
	return held, err
}

func (e *engine) Remove(ctx context.Context, name, holder string) error {
	return e.locked(ctx, name, func(it item, there bool) {
		if there && it.value == holder {
			delete(e.items, name)
		}
	})
}

func TestContract(t *testing.T) {
	t.Parallel()
	e := newEngine()
	storetest.Run(t, func(*testing.T) shared.Backend { return e })
}

// source is an instance that can prove its role, or its session of it.
type source struct{ role, session string }

func (source) SubjectToken(context.Context, string) (stile.SubjectToken, error) {
	return stile.SubjectToken{}, errors.New("not asked for here")
}

func (s source) Identity(_ context.Context, _ string, role bool) (stile.Key, error) {
	switch {
	case s.role == "":
		return stile.Key{}, errors.New("the role cannot be proven")
	case role:
		return stile.NewKey("role", s.role), nil
	}
	return stile.NewKey("session", s.role, s.session), nil
}

// target is a service account to become.
type target string

func (t target) CacheKey() stile.Key { return stile.NewKey("target", string(t)) }
func (t target) Audience() string    { return "anyone" }
func (t target) Exchange(context.Context, stile.SubjectToken) (stile.Credential, error) {
	return stile.Credential{}, errors.New("not asked for here")
}

func TestKeysAreOfTheIdentity(t *testing.T) {
	t.Parallel()
	key := func(c stile.Crossing, opts ...shared.Option) stile.Key {
		t.Helper()
		k, err := shared.New(newEngine(), seal.Plain, opts...).Key(t.Context(), c)
		if err != nil || k.IsZero() {
			t.Fatalf("got %v, %v", k, err)
		}
		return k
	}
	one := stile.Cross(source{"app", "i-1"}, target("reader"))
	two := stile.Cross(source{"app", "i-2"}, target("reader"))
	for _, c := range []struct {
		name string
		a, b stile.Key
		same bool
	}{
		{"the same session", key(one), key(stile.Cross(source{"app", "i-1"}, target("reader"))), true},
		{"the default namespace, given", key(one), key(one, shared.Namespace("stile")), true},
		{"two sessions", key(one), key(two), false},
		{"two sessions of a role that share", key(one, shared.SameRole()), key(two, shared.SameRole()), true},
		{"two roles that share", key(one, shared.SameRole()), key(stile.Cross(source{"db", "i-1"}, target("reader")), shared.SameRole()), false},
		{"one shares with its role, the other does not", key(one, shared.SameRole()), key(one), false},
		{"two targets", key(one), key(stile.Cross(source{"app", "i-1"}, target("writer"))), false},
		{"two namespaces", key(one), key(one, shared.Namespace("staging")), false},
		{"what is kept on one machine", key(one), one.Key(), false},
	} {
		if (c.a == c.b) != c.same {
			t.Errorf("%s: keys are equal: %v; want %v", c.name, c.a == c.b, c.same)
		}
	}
}

func TestKeysThatCannotBe(t *testing.T) {
	t.Parallel()
	s := shared.New(newEngine(), seal.Plain)
	if k, err := s.Key(t.Context(), stile.Cross(stile.SourceFunc(source{}.SubjectToken), target("reader"))); !errors.Is(err, stile.ErrMisuse) || !k.IsZero() {
		t.Errorf("a source that cannot prove itself: got %v, %v; want ErrMisuse", k, err)
	}
	if k, err := s.Key(t.Context(), stile.Cross(source{}, target("reader"))); err == nil || !k.IsZero() {
		t.Errorf("a proof that fails: got %v, %v", k, err)
	}
}

func record(life time.Duration) keep.Record {
	return keep.Record{Obtained: epoch.Add(-2 * time.Hour), Credential: stile.Credential{Kind: stile.KindIDToken, Token: stile.NewSecret("token"), Expires: epoch.Add(life)}}
}

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestTimeToLive(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ life, want time.Duration }{
		{time.Hour, time.Hour},
		{2*time.Second - 1, time.Second},
		{time.Second, time.Second},
		{time.Second - 1, 0},
		{0, 0},
		{-time.Hour, 0},
	} {
		e, key := newEngine(), stile.NewKey("ttl")
		e.now = func() time.Time { return epoch }
		if err := shared.New(e, seal.Plain, shared.Clock(e.now)).Save(t.Context(), key, record(c.life)); err != nil {
			t.Fatal(err)
		}
		if got := e.items["stile:{"+key.String()+"}:credential"].ttl; got != c.want {
			t.Errorf("a credential with %v left: kept for %v; want %v", c.life, got, c.want)
		}
	}
}

func TestExpiryIsJudgedHereToo(t *testing.T) {
	t.Parallel()
	now := epoch
	e, key := newEngine(), stile.NewKey("expiry")
	e.now = func() time.Time { return epoch } // an engine whose clock stands still
	s := shared.New(e, seal.Plain, shared.Clock(func() time.Time { return now }))
	if err := s.Save(t.Context(), key, record(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		after time.Duration
		want  error
	}{{time.Hour - 1, nil}, {time.Hour, keep.ErrAbsent}, {2 * time.Hour, keep.ErrAbsent}} {
		now = epoch.Add(c.after)
		if _, err := s.Load(t.Context(), key); !errors.Is(err, c.want) {
			t.Errorf("after %v: got %v; want %v", c.after, err, c.want)
		}
	}
}

func TestTerms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		opts []shared.Option
		want time.Duration
	}{
		{nil, shared.DefaultTerm},
		{[]shared.Option{shared.Term(20 * time.Second)}, 20 * time.Second},
		{[]shared.Option{shared.Term(1001 * time.Millisecond)}, 2 * time.Second},
		{[]shared.Option{shared.Term(1)}, time.Second},
		{[]shared.Option{shared.Term(0)}, time.Second},
		{[]shared.Option{shared.Term(-time.Minute)}, time.Second},
	} {
		e, key := newEngine(), stile.NewKey("term")
		l, err := shared.New(e, seal.Plain, c.opts...).Lease(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if kept := e.items["stile:{"+key.String()+"}:lease"].ttl; l.Term() != c.want || kept != c.want {
			t.Errorf("the lease says %v, and is kept for %v; want %v", l.Term(), kept, c.want)
		}
	}
}

// sealer seals into n bytes, and opens nothing.
type sealer struct {
	n   int
	err error
}

func (s sealer) Seal(context.Context, stile.Key, keep.Record) ([]byte, error) {
	return make([]byte, s.n), s.err
}

func (s sealer) Open(context.Context, stile.Key, []byte) (keep.Record, error) {
	return keep.Record{}, s.err
}

func TestSealersThatFail(t *testing.T) {
	t.Parallel()
	unreachable := errors.New("the key service did not answer")
	e, key, now := newEngine(), stile.NewKey("sealer"), shared.Clock(func() time.Time { return epoch })
	for n, want := range map[int]string{shared.MaxValue: "", shared.MaxValue + 1: fmt.Sprint(shared.MaxValue + 1)} {
		err := shared.New(e, sealer{n: n}, now).Save(t.Context(), key, record(time.Hour))
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("saving %d bytes: got %v; want an error that says %q", n, err, want)
		}
	}
	if err := shared.New(e, sealer{err: unreachable}, now).Save(t.Context(), key, record(time.Hour)); !errors.Is(err, unreachable) {
		t.Errorf("Save: got %v; want what the sealer says", err)
	}
	if _, err := shared.New(e, sealer{err: unreachable}, now).Load(t.Context(), stile.NewKey("none")); !errors.Is(err, keep.ErrAbsent) {
		t.Errorf("Load where nothing is: got %v; want ErrAbsent", err)
	}
	if _, err := shared.New(e, sealer{err: unreachable}, now).Load(t.Context(), key); !errors.Is(err, unreachable) || errors.Is(err, keep.ErrAbsent) {
		t.Errorf("Load: got %v; want what the sealer says", err)
	}
}

func TestEnginesThatFail(t *testing.T) {
	t.Parallel()
	e, key := newEngine(), stile.NewKey("engine")
	s := shared.New(e, seal.Plain, shared.Clock(func() time.Time { return epoch }))
	held, err := s.Lease(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	e.fail = errors.New("the engine is on fire")
	_, load := s.Load(t.Context(), key)
	l, lease := s.Lease(t.Context(), key)
	if l != nil {
		t.Error("a lease was given by an engine that failed")
	}
	for op, err := range map[string]error{"Load": load, "Lease": lease, "Save": s.Save(t.Context(), key, record(time.Hour)),
		"Extend": held.Extend(t.Context()), "Release": held.Release(t.Context())} {
		if !errors.Is(err, e.fail) || errors.Is(err, keep.ErrAbsent) {
			t.Errorf("%s: got %v; want what the engine says", op, err)
		}
	}
}
