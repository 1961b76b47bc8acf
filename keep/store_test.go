// SPDX-License-Identifier: Apache-2.0

package keep_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
)

// shelf is a store in this process. What goes wrong is up to the test.
type shelf struct {
	term   time.Duration // of a lease
	before func(ctx context.Context, what string) error

	mu      sync.Mutex
	records map[stile.Key]keep.Record
	leases  map[stile.Key]*shelfLease
	calls   map[string]int
}

func newShelf() *shelf {
	return &shelf{term: 15 * time.Second, records: map[stile.Key]keep.Record{}, leases: map[stile.Key]*shelfLease{}, calls: map[string]int{}}
}

func (s *shelf) begin(ctx context.Context, what string) error {
	s.mu.Lock()
	s.calls[what]++
	before := s.before
	s.mu.Unlock()
	if before != nil {
		return before(ctx, what)
	}
	return nil
}

// meets has every call go through before; nil: all go well.
func (s *shelf) meets(before func(ctx context.Context, what string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = before
}

// holds is how many records and leases there are.
func (s *shelf) holds() (records, leases int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.records), len(s.leases)
}

func (s *shelf) put(key stile.Key, r keep.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[key] = r
}

// A logbook is read while it is written.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (s *shelf) Key(ctx context.Context, c stile.Crossing) (stile.Key, error) {
	if !c.Keyed() {
		return stile.Key{}, stile.ErrMisuse
	}
	return stile.NewKey("shelf", c.Key().String()), s.begin(ctx, "key")
}

func (s *shelf) Load(ctx context.Context, key stile.Key) (keep.Record, error) {
	if err := s.begin(ctx, "load"); err != nil {
		return keep.Record{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[key]
	if !ok {
		return r, fmt.Errorf("on the shelf: %w", keep.ErrAbsent)
	}
	return r, nil
}

func (s *shelf) Save(ctx context.Context, key stile.Key, r keep.Record) error {
	if err := s.begin(ctx, "save"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[key] = r
	return nil
}

func (s *shelf) Lease(ctx context.Context, key stile.Key) (keep.Lease, error) {
	if err := s.begin(ctx, "lease"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.leases[key]; l != nil && time.Now().Before(l.until) {
		return nil, nil
	}
	l := &shelfLease{shelf: s, key: key, until: time.Now().Add(s.term)}
	s.leases[key] = l
	return l, nil
}

type shelfLease struct {
	shelf *shelf
	key   stile.Key
	until time.Time
}

func (l *shelfLease) Term() time.Duration { return l.shelf.term }

func (l *shelfLease) Extend(ctx context.Context) error {
	if err := l.shelf.begin(ctx, "extend"); err != nil {
		return err
	}
	l.shelf.mu.Lock()
	defer l.shelf.mu.Unlock()
	if l.shelf.leases[l.key] != l {
		return errors.New("another has it")
	}
	l.until = time.Now().Add(l.shelf.term)
	return nil
}

func (l *shelfLease) Release(ctx context.Context) error {
	if err := l.shelf.begin(ctx, "release"); err != nil {
		return err
	}
	l.shelf.mu.Lock()
	defer l.shelf.mu.Unlock()
	if l.shelf.leases[l.key] == l {
		delete(l.shelf.leases, l.key)
	}
	return nil
}

func (s *shelf) count(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[what]
}

// slowly takes its time for each exchange.
type slowly struct {
	something
	takes time.Duration
	fail  error
}

func (s slowly) Exchange(ctx context.Context, token stile.SubjectToken) (stile.Credential, error) {
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		return stile.Credential{}, context.Cause(ctx)
	}
	if s.fail != nil {
		s.made.Add(1)
		return stile.Credential{}, s.fail
	}
	return s.something.Exchange(ctx, token)
}

// A fleet is processes that share a store and make one crossing.
type fleet struct {
	shelf   *shelf
	made    atomic.Int64
	keepers []*keep.Keeper
}

func newFleet(t *testing.T, size int, takes time.Duration, opts ...keep.Option) *fleet {
	t.Helper()
	f := &fleet{shelf: newShelf()}
	for range size {
		memory := keep.NewMemory(append(opts, keep.WithStore(f.shelf, 0))...)
		t.Cleanup(memory.Close)
		f.keepers = append(f.keepers, memory.Keep(f.crossing(takes), keep.Terms{}))
	}
	return f
}

func (f *fleet) crossing(takes time.Duration) stile.Crossing {
	return stile.Cross(someone("one"), slowly{something{"a", time.Hour, &f.made}, takes, nil})
}

// all reads once in every process, at the same time, and says how long the longest took.
func (f *fleet) all(t *testing.T) time.Duration {
	t.Helper()
	before := time.Now()
	var reads sync.WaitGroup
	for _, k := range f.keepers {
		for range 20 {
			reads.Go(func() {
				cred, err := k.Credential(t.Context())
				if err != nil || time.Until(cred.Expires) < keep.DefaultFloor {
					t.Errorf("got %s of life, %v", time.Until(cred.Expires), err)
				}
			})
		}
	}
	reads.Wait()
	return time.Since(before)
}

func TestStoreOneExchangeForAll(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		f := newFleet(t, 50, 2*time.Second)
		took := f.all(t)
		if n := f.made.Load(); n != 1 {
			t.Errorf("%d exchanges in 50 processes, want 1", n)
		}
		if took > 2*time.Second+250*time.Millisecond {
			t.Errorf("the last of them had it after %s", took)
		}
	})
}

// TestStoreSharesRefreshes: a fleet costs what one process does, for a day.
func TestStoreSharesRefreshes(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		f := newFleet(t, 20, 200*time.Millisecond)
		f.all(t)
		for elapsed := time.Duration(0); elapsed < 24*time.Hour; elapsed += 10 * time.Second {
			for _, k := range f.keepers {
				before := time.Now()
				token(t, k)
				if waited := time.Since(before); waited > 0 {
					t.Fatalf("after %s a read waited %s", elapsed, waited)
				}
			}
			time.Sleep(10 * time.Second)
		}
		if n := f.made.Load(); n < 25 || n > 36 {
			t.Errorf("%d exchanges in a day for 20 processes, want one for each life", n)
		}
	})
}

func TestStoreLeaderDiesHoldingTheLease(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		f := newFleet(t, 3, time.Second)
		key, err := f.shelf.Key(t.Context(), f.crossing(0))
		if err != nil {
			t.Fatal(err)
		}
		if lease, err := f.shelf.Lease(t.Context(), key); lease == nil || err != nil {
			t.Fatal(lease, err)
		}
		took := f.all(t)
		if n := f.made.Load(); n != 1 || took < f.shelf.term || took > f.shelf.term+2*time.Second {
			t.Errorf("%d exchanges after %s, want 1 as soon as the dead leader's lease had ended", n, took)
		}
	})
}

func TestStoreLeaseLastsAsLongAsTheExchange(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		f := newFleet(t, 3, time.Minute)
		f.all(t)
		if n := f.made.Load(); n != 1 {
			t.Errorf("%d exchanges, want 1: it takes four terms of the lease", n)
		}
		if _, n := f.shelf.holds(); n != 0 {
			t.Errorf("%d leases are left", n)
		}
	})
}

func TestStoreFollowersTakeOverFromALeaderThatFails(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		f := newFleet(t, 1, time.Second)
		broken := keep.NewMemory(keep.WithStore(f.shelf, 0))
		defer broken.Close()
		leader := broken.Keep(stile.Cross(someone("one"), slowly{something{"a", time.Hour, &f.made}, time.Second, refusal}), keep.Terms{})
		failed := make(chan error, 1)
		go func() {
			_, err := leader.Credential(t.Context())
			failed <- err
		}()
		synctest.Wait()
		if took := f.all(t); took > 3*time.Second {
			t.Errorf("the follower had it after %s", took)
		}
		if err := <-failed; !errors.Is(err, stile.ErrRefused) {
			t.Errorf("the leader got %v", err)
		}
	})
}

// TestStoreLooksLessOftenWhereThatTakesLong: who waits does not keep the one who exchanges from the processor, and has
// what comes within a quarter of the time that it took.
func TestStoreLooksLessOftenWhereThatTakesLong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		looking, exchange time.Duration
		most              int           // looks
		late              time.Duration // at most
	}{
		{0, 20 * time.Second, 90, 250 * time.Millisecond},
		{time.Millisecond, 20 * time.Second, 90, 250 * time.Millisecond},
		{50 * time.Millisecond, 20 * time.Second, 40, 900 * time.Millisecond},
		{500 * time.Millisecond, 20 * time.Second, 16, 2500 * time.Millisecond},
		{500 * time.Millisecond, 60 * time.Second, 32, 2500 * time.Millisecond},
		{500 * time.Millisecond, 3 * time.Second, 6, 1250 * time.Millisecond}, // a quarter, and a look
	} {
		in(t, func(t *testing.T) {
			f := newFleet(t, 1, 0, keep.WithRandom(func() float64 { return 0.999 })) // waits are as long as they get
			leader := keep.NewMemory(keep.WithStore(f.shelf, 0))
			defer leader.Close()
			leading := leader.Keep(f.crossing(c.exchange), keep.Terms{})
			var led sync.WaitGroup
			led.Go(func() { token(t, leading) })
			synctest.Wait()
			before := f.shelf.count("load")
			f.shelf.meets(func(ctx context.Context, what string) error {
				if what == "load" {
					return sleep(ctx, c.looking)
				}
				return nil
			})
			took := f.all(t)
			looks := f.shelf.count("load") - before
			if late := took - c.exchange; looks > c.most || late > c.late || f.made.Load() != 1 {
				t.Errorf("a look takes %s: %d looks and %s late for an exchange of %s, want at most %d and %s; %d exchanges",
					c.looking, looks, late, c.exchange, c.most, c.late, f.made.Load())
			}
			led.Wait()
		})
	}
}

// TestStoreProofIsAskedForAgain: a source that is short of time is asked twice, so that a herd that overwhelms it does
// not exchange alone; and nobody waits longer for one that never answers than for two answers.
func TestStoreProofIsAskedForAgain(t *testing.T) {
	t.Parallel()
	silent := &stile.Error{Op: "ask", Err: fmt.Errorf("%w: %w", stile.ErrNoIdentity, stile.ErrTemporary)}
	busy := &stile.Error{Op: "ask", Status: 429, Err: stile.ErrTemporary}
	later := func(d time.Duration) error {
		return &stile.Error{Op: "ask", Status: 429, Err: stile.ErrTemporary, RetryAfter: d}
	}
	for name, c := range map[string]struct {
		fails  []error // of one proof after another
		each   time.Duration
		proofs int
		takes  [2]time.Duration // at least, at most
		shared bool
		want   error
	}{
		"silent once":            {[]error{silent}, 5 * time.Second, 2, [2]time.Duration{10 * time.Second, 10 * time.Second}, true, nil},
		"silent":                 {[]error{silent, silent, silent}, 5 * time.Second, 2, [2]time.Duration{10 * time.Second, 10 * time.Second}, false, stile.ErrNoIdentity},
		"not there":              {[]error{silent, silent, silent}, 0, 2, [2]time.Duration{}, false, stile.ErrNoIdentity},
		"busy once":              {[]error{busy}, 0, 2, [2]time.Duration{100 * time.Millisecond, 200 * time.Millisecond}, true, nil},
		"busy":                   {[]error{busy, busy, busy}, 0, 2, [2]time.Duration{100 * time.Millisecond, 200 * time.Millisecond}, false, nil},
		"busy for a second":      {[]error{later(time.Second)}, 0, 2, [2]time.Duration{time.Second, time.Second}, true, nil},
		"busy for a minute":      {[]error{later(time.Minute), silent}, 0, 1, [2]time.Duration{}, false, nil},
		"refused":                {[]error{refusal, refusal}, 0, 1, [2]time.Duration{}, false, nil},
		"silent, and then busy":  {[]error{silent, busy, busy}, 0, 2, [2]time.Duration{}, false, nil},
		"hanging, in all":        {nil, time.Hour, 1, [2]time.Duration{10 * time.Second, 10 * time.Second}, false, nil},
		"well, with no hurry":    {nil, 9 * time.Second, 1, [2]time.Duration{9 * time.Second, 9 * time.Second}, true, nil},
		"no identity that lasts": {[]error{stile.ErrNoIdentity, silent}, 0, 1, [2]time.Duration{}, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				var log logbook
				f := newFleet(t, 1, 0, keep.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
				fails := c.fails
				f.shelf.meets(func(ctx context.Context, what string) error {
					if what != "key" {
						return nil
					}
					if err := sleep(ctx, c.each); err != nil {
						return err
					}
					if len(fails) == 0 {
						return nil
					}
					err := fails[0]
					fails = fails[1:]
					return err
				})
				before := time.Now()
				_, err := f.keepers[0].Credential(t.Context())
				took := time.Since(before)
				f.keepers[0].Close()
				synctest.Wait()
				if n := f.shelf.count("key"); n != c.proofs || took < c.takes[0] || took > c.takes[1] || !errors.Is(err, c.want) {
					t.Errorf("%d proofs in %s, %v; want %d in %s, %v", n, took, err, c.proofs, c.takes, c.want)
				}
				if n, _ := f.shelf.holds(); n == 1 != c.shared || f.made.Load() == 1 != (c.want == nil) {
					t.Errorf("%d records and %d exchanges", n, f.made.Load())
				}
				if told := strings.Contains(log.String(), "this credential is not shared"); told != (!c.shared && c.want == nil) {
					t.Errorf("said:\n%s", log.String())
				}
			})
		})
	}
}

// TestStoreOutOfOrder: whatever the store does costs one deadline, is said once, and Memory works without it.
func TestStoreOutOfOrder(t *testing.T) {
	t.Parallel()
	down := errors.New("connection refused")
	cases := map[string]struct {
		before func(ctx context.Context, what string) error
		costs  time.Duration
	}{
		"down":               {func(context.Context, string) error { return down }, 0},
		"slow":               {func(ctx context.Context, _ string) error { return sleep(ctx, time.Hour) }, keep.DefaultStoreDeadline},
		"hanging":            {func(context.Context, string) error { time.Sleep(time.Minute); return nil }, keep.DefaultStoreDeadline},
		"down for loading":   {only("load", down), 0},
		"down for leases":    {only("lease", down), 0},
		"full":               {only("save", errors.New("OOM command not allowed")), 0},
		"down for releasing": {only("release", down), 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				var log logbook
				f := newFleet(t, 1, time.Second, keep.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
				f.shelf.meets(func(ctx context.Context, what string) error {
					if what == "key" {
						return nil
					}
					return c.before(ctx, what)
				})
				if took := f.all(t); took != time.Second+c.costs {
					t.Errorf("took %s, want the exchange's second and %s", took, c.costs)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if n := strings.Count(log.String(), "going on without it"); n != 1 {
					t.Errorf("said %d times that the store is out of order:\n%s", n, log.String())
				}
				for range 60 { // an hour or more of use goes on
					time.Sleep(2 * time.Minute)
					before := time.Now()
					token(t, f.keepers[0])
					if waited := time.Since(before); waited > 0 {
						t.Fatalf("a read waited %s", waited)
					}
				}
				if n := strings.Count(log.String(), "going on without it"); n != 1 {
					t.Errorf("said %d times that the store is out of order", n)
				}
				f.shelf.meets(nil)
				time.Sleep(2 * time.Hour)
				token(t, f.keepers[0])
				time.Sleep(time.Minute)
				if n, _ := f.shelf.holds(); !strings.Contains(log.String(), "the store works again") || n != 1 {
					t.Errorf("the store works again, with %d records, and nobody says so:\n%s", n, log.String())
				}
			})
		})
	}
}

func only(what string, err error) func(context.Context, string) error {
	return func(_ context.Context, asked string) error {
		if asked == what {
			return err
		}
		return nil
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestStoreLateLeaseIsGivenBack: a lease that comes after the deadline must not keep the others out.
func TestStoreLateLeaseIsGivenBack(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		f := newFleet(t, 1, time.Second)
		f.shelf.meets(func(_ context.Context, what string) error {
			if what == "lease" {
				time.Sleep(5 * time.Second)
			}
			return nil
		})
		f.all(t)
		time.Sleep(10 * time.Second)
		n := f.shelf.count("release")
		if _, leases := f.shelf.holds(); n != 1 || leases != 0 {
			t.Errorf("released %d times, %d leases are left", n, leases)
		}
	})
}

func TestStoreWhatIsOfNoUse(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		left, whole time.Duration
		used        bool
	}{
		"fresh":                    {time.Hour, time.Hour, true},
		"just over the floor":      {5*time.Minute + time.Second, time.Hour, true},
		"under the floor":          {4 * time.Minute, time.Hour, false},
		"dead":                     {-time.Second, time.Hour, false},
		"short, in its first half": {40 * time.Second, time.Minute, true},
		"short, in its second":     {20 * time.Second, time.Minute, false},
		"obtained in the future":   {time.Hour, 30 * time.Minute, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				f := newFleet(t, 1, 0)
				key, err := f.shelf.Key(t.Context(), f.crossing(0))
				if err != nil {
					t.Fatal(err)
				}
				expires := time.Now().Add(c.left)
				f.shelf.put(key, keep.Record{Obtained: expires.Add(-c.whole),
					Credential: stile.Credential{Kind: stile.KindIDToken, Token: stile.NewSecret("kept"), Expires: expires}})
				if got := token(t, f.keepers[0]); (got == "kept") != c.used {
					t.Errorf("got %q", got)
				}
			})
		})
	}
}

// TestStoreLastGood: under the floor and alive, another process's credential is better than none.
func TestStoreLastGood(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		f := newFleet(t, 1, 0)
		token(t, f.keepers[0])
		synctest.Wait()
		f.keepers[0].Close()
		time.Sleep(57 * time.Minute)
		broken := keep.New(stile.Cross(someone("one"), slowly{something{"a", time.Hour, &f.made}, 0, refusal}), keep.WithStore(f.shelf, 0))
		defer broken.Close()
		token(t, broken)
		time.Sleep(3 * time.Minute)
		if _, err := broken.Credential(t.Context()); !errors.Is(err, stile.ErrRefused) {
			t.Errorf("got %v once it had expired", err)
		}
	})
}

func TestStoreKeepsNothingWithoutKeys(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		shelf, target := newShelf(), &issuer{life: time.Hour}
		for range 2 {
			token(t, kept(t, target, keep.WithStore(shelf, 0)))
		}
		if n := target.made.Load(); n != 2 || shelf.count("load")+shelf.count("save") != 0 {
			t.Errorf("%d exchanges, %d calls of the store", n, shelf.count("load")+shelf.count("save"))
		}
	})
}

// TestStoreCloseWaitsForTheSave: a program that ends after one credential has left it for the next.
func TestStoreCloseWaitsForTheSave(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		made, shelf := new(atomic.Int64), newShelf()
		shelf.meets(func(ctx context.Context, what string) error {
			if what == "save" {
				return sleep(ctx, 500*time.Millisecond)
			}
			return nil
		})
		keeper := keep.New(stile.Cross(someone("one"), something{"a", time.Hour, made}), keep.WithStore(shelf, 0))
		before := time.Now()
		if _, err := keeper.Credential(t.Context()); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(before); waited > 0 {
			t.Errorf("the caller waited %s for the save", waited)
		}
		keeper.Close()
		if records, leases := shelf.holds(); records != 1 || leases != 0 {
			t.Errorf("%d records and %d leases after Close", records, leases)
		}
	})
}

// TestStoreDueWhenTaken: a command that wants a credential once begins no exchange that its end would cut short, and what
// stays does not wait long.
func TestStoreDueWhenTaken(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		var log bytes.Buffer
		f := newFleet(t, 0, 0)
		keeper := keep.New(f.crossing(time.Second), keep.WithStore(f.shelf, 0), keep.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		key, err := f.shelf.Key(t.Context(), f.crossing(0))
		if err != nil {
			t.Fatal(err)
		}
		f.shelf.put(key, keep.Record{Obtained: time.Now().Add(-50 * time.Minute),
			Credential: stile.Credential{Kind: stile.KindIDToken, Token: stile.NewSecret("kept"), Expires: time.Now().Add(10 * time.Minute)}})
		if got := token(t, keeper); got != "kept" {
			t.Errorf("got %q", got)
		}
		time.Sleep(900 * time.Millisecond)
		synctest.Wait()
		if leases := f.shelf.count("lease"); leases != 0 {
			t.Errorf("%d leases were taken within a second of the first read", leases)
		}
		time.Sleep(600 * time.Millisecond)
		synctest.Wait()
		if leases := f.shelf.count("lease"); leases != 1 {
			t.Errorf("%d leases, want one for the refresh under way", leases)
		}
		keeper.Close()
		if text := log.String(); strings.Contains(text, "failed") {
			t.Errorf("what Close cuts short was told as a failure:\n%s", text)
		}
	})
}

// TestStoreLooksAgainUnderTheLease: the leader before may have saved and released since the last look.
func TestStoreLooksAgainUnderTheLease(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		f := newFleet(t, 1, 0)
		key, err := f.shelf.Key(t.Context(), f.crossing(0))
		if err != nil {
			t.Fatal(err)
		}
		f.shelf.meets(func(_ context.Context, what string) error {
			if what == "lease" {
				f.shelf.put(key, keep.Record{Obtained: time.Now(),
					Credential: stile.Credential{Kind: stile.KindIDToken, Token: stile.NewSecret("kept"), Expires: time.Now().Add(time.Hour)}})
			}
			return nil
		})
		if got := token(t, f.keepers[0]); got != "kept" || f.made.Load() != 0 {
			t.Errorf("got %q after %d exchanges", got, f.made.Load())
		}
	})
}

// turncoat is a source whose identity changes under the program that uses it.
type turncoat struct{ who *atomic.Pointer[string] }

func (c turncoat) CacheKey() stile.Key { return someone(*c.who.Load()).CacheKey() }

func (c turncoat) SubjectToken(ctx context.Context, audience string) (stile.SubjectToken, error) {
	return someone(*c.who.Load()).SubjectToken(ctx, audience)
}

// TestStoreIdentityChangesUnderTheProgram: what is exchanged for the new identity is not kept as the old one's.
func TestStoreIdentityChangesUnderTheProgram(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		shelf, made, who := newShelf(), new(atomic.Int64), new(atomic.Pointer[string])
		old, renewed := "old", "new"
		target := something{"a", time.Hour, made}
		read := func(c stile.Crossing) string {
			k := keep.New(c, keep.WithStore(shelf, 0))
			defer k.Close()
			return token(t, k)
		}
		who.Store(&old)
		changing := keep.New(stile.Cross(turncoat{who}, target), keep.WithStore(shelf, 0))
		defer changing.Close()
		token(t, changing)
		who.Store(&renewed)
		time.Sleep(2 * time.Hour)
		if got := token(t, changing); got != "new for a for 1h0m0s" {
			t.Errorf("got %q", got)
		}
		synctest.Wait()
		if got := read(stile.Cross(someone(old), target)); got != "old for a for 1h0m0s" {
			t.Errorf("the old identity got %q", got)
		}
		if got := read(stile.Cross(someone(renewed), target)); got != "new for a for 1h0m0s" {
			t.Errorf("the new identity got %q", got)
		}
	})
}
