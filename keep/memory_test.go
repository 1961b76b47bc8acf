// SPDX-License-Identifier: Apache-2.0

package keep_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
)

// someone is a source that shares what it obtains with equal sources.
type someone string

func (s someone) CacheKey() stile.Key { return stile.NewKey("test source", string(s)) }

func (s someone) SubjectToken(context.Context, string) (stile.SubjectToken, error) {
	return stile.SubjectToken{Value: stile.NewSecret("subject"), Subject: string(s)}, nil
}

// something is a target that is told apart by what it is asked for.
type something struct {
	audience string
	duration time.Duration
	made     *atomic.Int64
}

func (something) Audience() string { return "provider" }

func (s something) CacheKey() stile.Key {
	return stile.NewKey("test target", s.audience, s.duration.String())
}

func (s something) Exchange(_ context.Context, token stile.SubjectToken) (stile.Credential, error) {
	s.made.Add(1)
	value := stile.NewSecret(fmt.Sprintf("%s for %s for %s", token.Subject, s.audience, s.duration))
	return stile.Credential{Kind: stile.KindIDToken, Token: value, Expires: time.Now().Add(s.duration)}, nil
}

// TestMemoryMixesNothingUp: one credential for each account, audience and duration, and never another's.
func TestMemoryMixesNothingUp(t *testing.T) {
	t.Parallel()
	memory, made := keep.NewMemory(), new(atomic.Int64)
	defer memory.Close()
	for range 3 {
		for _, account := range []string{"111122223333", "444455556666"} {
			for _, audience := range []string{"https://a.example", "https://b.example"} {
				for _, duration := range []time.Duration{time.Hour, 2 * time.Hour} {
					keeper := memory.Keep(stile.Cross(someone(account), something{audience, duration, made}), keep.Terms{})
					cred, err := keeper.Credential(t.Context())
					if want := fmt.Sprintf("%s for %s for %s", account, audience, duration); err != nil || cred.Token.Reveal() != want {
						t.Fatalf("got %q, %v, want %q", cred.Token.Reveal(), err, want)
					}
				}
			}
		}
	}
	if n := made.Load(); n != 8 {
		t.Errorf("%d exchanges, want one for each of 2 × 2 × 2", n)
	}
}

func TestMemorySharesNothingWithoutKeys(t *testing.T) {
	t.Parallel()
	memory, target := keep.NewMemory(), &issuer{life: time.Hour}
	defer memory.Close()
	for range 2 {
		if _, err := memory.Keep(stile.Cross(anyone, target), keep.Terms{}).Credential(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := target.made.Load(); n != 2 {
		t.Errorf("%d exchanges, want 2: nothing says that the two crossings are equal", n)
	}
}

func TestMemoryMeetsTheLongerFloor(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		memory, made := keep.NewMemory(), new(atomic.Int64)
		defer memory.Close()
		crossing := stile.Cross(someone("a"), something{"b", time.Hour, made})
		short := memory.Keep(crossing, keep.Terms{})
		token(t, short)
		time.Sleep(40 * time.Minute)
		long := memory.Keep(crossing, keep.Terms{Floor: 25 * time.Minute})
		for _, k := range []*keep.Keeper{long, short} {
			cred, err := k.Credential(t.Context())
			if err != nil || time.Until(cred.Expires) < 25*time.Minute {
				t.Errorf("got %s of life, %v", time.Until(cred.Expires), err)
			}
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		memory, made := keep.NewMemory(keep.WithLimit(4)), new(atomic.Int64)
		defer memory.Close()
		keeper := func(n int) *keep.Keeper {
			return memory.Keep(stile.Cross(someone(fmt.Sprint(n)), something{"b", time.Duration(n) * time.Hour, made}), keep.Terms{})
		}
		for n := 1; n <= 5; n++ {
			token(t, keeper(n))
		}
		for n := 5; n >= 2; n-- {
			token(t, keeper(n))
		}
		if n := made.Load(); n != 5 {
			t.Errorf("%d exchanges, want none for the four that expire last", n)
		}
		token(t, keeper(1))
		if n := made.Load(); n != 6 {
			t.Errorf("%d exchanges, want one for what had made room", n)
		}
	})
}

// TestMemoryForgetsClosedKeepers: what a program opens and closes again and again does not pile up.
func TestMemoryForgetsClosedKeepers(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		memory, made := keep.NewMemory(keep.WithLimit(1<<20)), new(atomic.Int64)
		defer memory.Close()
		crossing := stile.Cross(someone("a"), something{"b", time.Hour, made})
		first, second := memory.Keep(crossing, keep.Terms{}), memory.Keep(crossing, keep.Terms{})
		token(t, first)
		first.Close()
		first.Close()
		token(t, second)
		if n := made.Load(); n != 1 {
			t.Errorf("%d exchanges, want what the second keeper holds to stay", n)
		}
		second.Close()
		time.Sleep(2 * time.Hour)
		if n := made.Load(); n != 1 {
			t.Errorf("%d exchanges, want no refresh with no keeper left", n)
		}
		token(t, memory.Keep(crossing, keep.Terms{}))
		if n := made.Load(); n != 2 {
			t.Errorf("%d exchanges, want a new one after all were closed", n)
		}
	})
}

func TestMemoryHasOneTimer(t *testing.T) {
	in(t, func(t *testing.T) {
		memory, made := keep.NewMemory(keep.WithLimit(10_000)), new(atomic.Int64)
		defer memory.Close()
		before := runtime.NumGoroutine()
		keepers := make([]*keep.Keeper, 500)
		for n := range keepers {
			keepers[n] = memory.Keep(stile.Cross(someone(fmt.Sprint(n)), something{"b", time.Hour, made}), keep.Terms{})
			token(t, keepers[n])
		}
		for range 3 * 60 {
			time.Sleep(time.Minute)
			for _, k := range keepers {
				token(t, k)
			}
			if n := runtime.NumGoroutine(); n > before+50 { // other tests run beside this one
				t.Fatalf("%d goroutines, %d before", n, before)
			}
		}
		if n := made.Load(); n < 3*500 || n > 6*500 {
			t.Errorf("%d exchanges for 500 crossings in three hours", n)
		}
	})
}

func TestReadAllocatesNothing(t *testing.T) {
	keeper := kept(t, something{"b", time.Hour, new(atomic.Int64)})
	token(t, keeper)
	ctx := t.Context()
	if n := testing.AllocsPerRun(10_000, func() {
		if _, err := keeper.Credential(ctx); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for a read", n)
	}
}

// TestMemoryRefreshesFewAtOnce: what falls due together, as after a machine's sleep, is no stampede.
func TestMemoryRefreshesFewAtOnce(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		var slept, now, most atomic.Int64
		wall := func() time.Time { return time.Now().Add(time.Duration(slept.Load())) }
		memory := keep.NewMemory(keep.WithClock(wall))
		defer memory.Close()
		counting := stile.SourceFunc(func(ctx context.Context, _ string) (stile.SubjectToken, error) {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer now.Add(-1)
			return stile.SubjectToken{}, sleep(ctx, time.Second)
		})
		target := &issuer{life: time.Hour, now: wall}
		for range 100 {
			token(t, memory.Keep(stile.Cross(counting, target), keep.Terms{}))
		}
		slept.Store(int64(53 * time.Minute))
		time.Sleep(time.Minute)
		if n := target.made.Load(); n != 200 || most.Load() != 16 {
			t.Errorf("%d exchanges, %d at once, want 200 and 16", n, most.Load())
		}
	})
}

// TestMemoryKeepsAge: a reader who takes a credential's life to begin when it reads gets a young one.
func TestMemoryKeepsAge(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		memory, made := keep.NewMemory(), new(atomic.Int64)
		defer memory.Close()
		crossing := stile.Cross(someone("a"), something{"b", time.Hour, made})
		old, young := memory.Keep(crossing, keep.Terms{}), memory.Keep(crossing, keep.Terms{Age: time.Minute})
		for range 3 {
			for range 100 {
				token(t, old)
				cred, err := young.Credential(t.Context())
				if err != nil || time.Until(cred.Expires) < 59*time.Minute {
					t.Fatalf("got one with %s left, %v", time.Until(cred.Expires), err)
				}
				time.Sleep(time.Second)
			}
			time.Sleep(time.Hour)
		}
		if n := made.Load(); n < 6 || n > 12 {
			t.Errorf("%d exchanges in three times 100 s of reads, want one for each minute or a little less", n)
		}
	})
}
