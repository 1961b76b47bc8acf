// SPDX-License-Identifier: Apache-2.0

package keep_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
)

var anyone = stile.SourceFunc(func(context.Context, string) (stile.SubjectToken, error) {
	return stile.SubjectToken{Value: stile.NewSecret("subject")}, nil
})

// issuer is a target whose credentials live for life and take a moment to get.
type issuer struct {
	life  time.Duration
	takes time.Duration
	fail  atomic.Pointer[error]
	now   func() time.Time // the cloud's clock; nil: time.Now
	asked atomic.Int64
	made  atomic.Int64
}

func (*issuer) Audience() string { return "anyone" }

func (i *issuer) failWith(err error) { i.fail.Store(&err) }
func (i *issuer) mend()              { i.fail.Store(nil) }

func (i *issuer) Exchange(ctx context.Context, _ stile.SubjectToken) (stile.Credential, error) {
	i.asked.Add(1)
	select {
	case <-time.After(i.takes):
	case <-ctx.Done():
		return stile.Credential{}, ctx.Err()
	}
	if err := i.fail.Load(); err != nil {
		return stile.Credential{}, *err
	}
	now := time.Now
	if i.now != nil {
		now = i.now
	}
	return stile.Credential{Kind: stile.KindAccessToken, Token: stile.NewSecret(fmt.Sprint("token ", i.made.Add(1))), Expires: now().Add(i.life)}, nil
}

// in runs a test in a bubble of its own, where time passes when all sleep.
func in(t *testing.T, test func(*testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

// kept keeps target's credential until the test ends.
func kept(t *testing.T, target stile.Target, opts ...keep.Option) *keep.Keeper {
	t.Helper()
	k := keep.New(stile.Cross(anyone, target), opts...)
	t.Cleanup(k.Close)
	return k
}

func token(t *testing.T, k *keep.Keeper) string {
	t.Helper()
	cred, err := k.Credential(t.Context())
	if err != nil {
		t.Fatalf("after %s: %v", time.Since(begun), err)
	}
	if left := time.Until(cred.Expires); left <= 0 {
		t.Errorf("handed out dead: %s past its expiry", -left)
	}
	return cred.Token.Reveal()
}

// begun is when time begins in every bubble.
var begun = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

var (
	outage  = &stile.Error{Op: "exchange", Cloud: "STS", Status: http.StatusServiceUnavailable, Err: stile.ErrTemporary}
	refusal = &stile.Error{Op: "exchange", Cloud: "STS", Status: http.StatusBadRequest, Err: stile.ErrRefused}
	denial  = &stile.Error{Op: "exchange", Cloud: "STS", Status: http.StatusForbidden, Err: stile.ErrRefused}
)

func TestKeeperExchangesOnceForAll(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		target := &issuer{life: time.Hour, takes: time.Second}
		keeper := kept(t, target)
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if cred, err := keeper.Credential(t.Context()); err != nil || cred.Token.Reveal() != "token 1" {
					t.Errorf("got %q, %v", cred.Token.Reveal(), err)
				}
			})
		}
		all.Wait()
		if n := target.made.Load(); n != 1 {
			t.Errorf("%d exchanges, want 1", n)
		}
	})
}

// TestKeeperRefreshesAhead reads once a second for a day: no read waits, none gets less than the floor, and there are no
// more exchanges than lives need.
func TestKeeperRefreshesAhead(t *testing.T) {
	t.Parallel()
	for name, life := range map[string]time.Duration{"a minute": time.Minute, "a quarter of an hour": 15 * time.Minute, "an hour": time.Hour, "twelve hours": 12 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				target := &issuer{life: life, takes: 200 * time.Millisecond}
				keeper := kept(t, target)
				token(t, keeper)
				floor := min(keep.DefaultFloor, life/2)
				for elapsed := time.Duration(0); elapsed < 24*time.Hour; elapsed += time.Second {
					before := time.Now()
					cred, err := keeper.Credential(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if waited := time.Since(before); waited > 0 {
						t.Fatalf("after %s a read waited %s", elapsed, waited)
					}
					if left := time.Until(cred.Expires); left < floor {
						t.Fatalf("after %s: %s left, want at least %s", elapsed, left, floor)
					}
					time.Sleep(time.Second)
				}
				most := int64(24*time.Hour/((life-floor)*3/4)) + 1
				if n := target.made.Load(); n > most {
					t.Errorf("%d exchanges in a day, want at most %d", n, most)
				}
			})
		})
	}
}

// TestKeeperSpreadsRefreshes: of a fleet that starts together, no tenth of the window sees more than three tenths.
func TestKeeperSpreadsRefreshes(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		const fleet = 1000
		target := &issuer{life: time.Hour}
		memory := keep.NewMemory(keep.WithLimit(fleet))
		defer memory.Close()
		var perMinute [60]int64
		for range fleet {
			if _, err := memory.Keep(stile.Cross(anyone, target), keep.Terms{}).Credential(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for minute := range perMinute {
			before := target.made.Load()
			time.Sleep(time.Minute)
			perMinute[minute] = target.made.Load() - before
		}
		var all int64
		for minute, n := range perMinute {
			if all += n; n > fleet*3/10/2 {
				t.Errorf("minute %d: %d of %d refreshed", minute, n, fleet)
			}
			if n > 0 && (minute < 41 || minute > 54) {
				t.Errorf("minute %d: %d refreshed, outside of the window", minute, n)
			}
		}
		if all != fleet {
			t.Errorf("%d refreshed, want %d", all, fleet)
		}
	})
}

func TestKeeperStopsWhenIdle(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		target := &issuer{life: time.Hour}
		keeper := kept(t, target)
		token(t, keeper)
		time.Sleep(30 * 24 * time.Hour)
		if n := target.made.Load(); n != 2 {
			t.Errorf("%d exchanges in a month for one read, want the first and one refresh", n)
		}
		if s := keeper.Status(); s.Ready || !s.NextRefresh.IsZero() {
			t.Errorf("got %+v, want neither a credential nor a plan", s)
		}
		if got := token(t, keeper); got != "token 3" {
			t.Errorf("got %q, want a new one", got)
		}
		time.Sleep(2 * time.Hour)
		if n := target.made.Load(); n != 4 {
			t.Errorf("%d exchanges, want refreshing to go on after the next read", n)
		}
	})
}

// TestKeeperForCachingClient: an SDK that caches by itself asks once per life, and finds a fresh one there.
func TestKeeperForCachingClient(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		keeper := kept(t, &issuer{life: time.Hour, takes: time.Second})
		token(t, keeper)
		for range 24 {
			cred, err := keeper.Credential(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Until(cred.Expires.Add(-keep.DefaultFloor)))
			before := time.Now()
			token(t, keeper)
			if waited := time.Since(before); waited > 0 {
				t.Errorf("after %s: waited %s", time.Since(begun), waited)
			}
		}
	})
}

func TestKeeperCancelledCallerFailsAlone(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		target := &issuer{life: time.Hour, takes: 10 * time.Second}
		keeper := kept(t, target)
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := keeper.Credential(impatient); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the impatient caller got %v, want its own deadline", err)
			}
		})
		synctest.Wait() // the impatient one leads the exchange
		all.Go(func() {
			if _, err := keeper.Credential(t.Context()); err != nil {
				t.Errorf("the patient caller got %v", err)
			}
		})
		all.Wait()
		if n := target.made.Load(); n != 1 {
			t.Errorf("%d exchanges, want 1", n)
		}
	})
}

func TestKeeperCancelledBeforehandExchangesNothing(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		target := &issuer{life: time.Hour}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := kept(t, target).Credential(ctx); !errors.Is(err, context.Canceled) || target.asked.Load() != 0 {
			t.Errorf("got %v and %d exchanges", err, target.asked.Load())
		}
	})
}

// TestKeeperServesLastGoodUntilItsExpiry also counts how often the cloud that is down is asked meanwhile.
func TestKeeperServesLastGoodUntilItsExpiry(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{"an outage": outage, "a refusal": refusal, "a denial": denial} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				target := &issuer{life: time.Hour}
				keeper := kept(t, target)
				first := token(t, keeper)
				target.failWith(err)
				for range 3599 {
					time.Sleep(time.Second)
					before := time.Now()
					if got := token(t, keeper); got != first {
						t.Fatalf("got %q, want the last good %q", got, first)
					}
					if waited := time.Since(before); waited > 0 {
						t.Fatalf("a read waited %s for a cloud that is known to fail", waited)
					}
				}
				time.Sleep(time.Second - time.Nanosecond)
				token(t, keeper)
				time.Sleep(time.Nanosecond)
				if _, got := keeper.Credential(t.Context()); !errors.Is(got, err) {
					t.Errorf("at expiry: got %v, want what failed", got)
				}
				if n := target.asked.Load(); n > 150 {
					t.Errorf("the cloud was asked %d times in an hour", n)
				}
				target.mend()
				time.Sleep(time.Minute)
				if got := token(t, keeper); got == first {
					t.Error("got the dead credential")
				}
			})
		})
	}
}

func TestKeeperRecoversInTheBackground(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		target := &issuer{life: time.Hour}
		keeper := kept(t, target)
		token(t, keeper)
		target.failWith(outage)
		time.Sleep(56 * time.Minute)
		if s := keeper.Status(); s.Failures == 0 || !errors.Is(s.Err, outage) || !s.Ready || s.NextRefresh.IsZero() {
			t.Errorf("got %+v, want failures, a credential and a plan", s)
		}
		target.mend()
		time.Sleep(time.Minute + time.Second)
		if s := keeper.Status(); s.Failures != 0 || s.Err != nil || time.Until(s.Expires) < 50*time.Minute {
			t.Errorf("got %+v, want a new credential a minute after the outage at most", s)
		}
	})
}

// TestKeeperComesBackSoonToASource: one that cannot be reached, as while a machine starts, is not remembered for as long
// as a refusal, and is asked once for each who waits.
func TestKeeperComesBackSoonToASource(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		target := &issuer{life: time.Hour}
		target.failWith(fmt.Errorf("%w: %w", stile.ErrNoIdentity, stile.ErrTemporary))
		keeper := kept(t, target)
		if _, err := keeper.Credential(t.Context()); !errors.Is(err, stile.ErrNoIdentity) {
			t.Fatal(err)
		}
		if n := target.asked.Load(); n != 1 {
			t.Errorf("asked %d times, want 1", n)
		}
		target.mend()
		time.Sleep(time.Second + time.Nanosecond)
		token(t, keeper)
	})
}

func TestKeeperRemembersRefusals(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		target := &issuer{life: time.Hour}
		target.failWith(refusal)
		keeper := kept(t, target)
		for range 1000 {
			if _, err := keeper.Credential(t.Context()); !errors.Is(err, stile.ErrRefused) {
				t.Fatal(err)
			}
		}
		if n := target.asked.Load(); n != 1 {
			t.Errorf("asked %d times, want 1", n)
		}
		if next := time.Until(keeper.Status().NextRefresh); next != 10*time.Second {
			t.Errorf("the status says that it is asked again in %s, want 10s", next)
		}
		target.mend()
		time.Sleep(10*time.Second + time.Nanosecond)
		if s := keeper.Status(); !s.NextRefresh.IsZero() {
			t.Errorf("the status says that it is asked again at %s, which has passed", s.NextRefresh)
		}
		token(t, keeper)
	})
}

func TestKeeperDoubtsRefusalsAtFirstUseOnly(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		opts      []keep.Option
		failure   error
		mendAfter time.Duration
		works     bool
		within    time.Duration
	}{
		"the change arrives within the window": {failure: denial, mendAfter: time.Second, works: true, within: keep.DefaultPropagation},
		"it does not":                          {failure: denial, mendAfter: time.Hour, within: keep.DefaultPropagation},
		"a longer window":                      {opts: []keep.Option{keep.WithPropagation(time.Minute)}, failure: denial, mendAfter: 50 * time.Second, works: true, within: time.Minute},
		"no window":                            {opts: []keep.Option{keep.WithPropagation(0)}, failure: denial, mendAfter: time.Second},
		"not what an IAM change mends":         {failure: refusal, mendAfter: time.Second},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				target := &issuer{life: time.Hour}
				target.failWith(c.failure)
				keeper := kept(t, target, c.opts...)
				mending := time.AfterFunc(c.mendAfter, target.mend)
				defer mending.Stop()
				before := time.Now()
				_, err := keeper.Credential(t.Context())
				if (err == nil) != c.works {
					t.Errorf("got %v", err)
				}
				if took := time.Since(before); took > c.within {
					t.Errorf("took %s, want at most %s", took, c.within)
				}
				if c.works {
					return
				}
				time.Sleep(11 * time.Second) // the refusal is forgotten
				target.failWith(denial)
				before = time.Now()
				if _, err := keeper.Credential(t.Context()); err == nil || time.Since(before) > 0 {
					t.Errorf("the second use took %s and got %v, want the refusal at once", time.Since(before), err)
				}
			})
		})
	}
}

func TestKeeperRetriesWhatMayPass(t *testing.T) {
	t.Parallel()
	throttled := &stile.Error{Op: "exchange", Status: http.StatusTooManyRequests, RetryAfter: 3 * time.Second, Err: stile.ErrTemporary}
	long := &stile.Error{Op: "exchange", Status: http.StatusTooManyRequests, RetryAfter: time.Minute, Err: stile.ErrTemporary}
	cases := map[string]struct {
		failure   error
		mendAfter time.Duration
		works     bool
		from, to  time.Duration
		asked     int64
	}{
		"a short outage":     {outage, 500 * time.Millisecond, true, 500 * time.Millisecond, 1500 * time.Millisecond, 4},
		"a long one":         {outage, time.Hour, false, 700 * time.Millisecond, 1500 * time.Millisecond, 4},
		"Retry-After":        {throttled, time.Second, true, 3 * time.Second, 3 * time.Second, 2},
		"a long Retry-After": {long, time.Second, false, 0, 0, 1},
		"a wrong certificate": {fmt.Errorf("%w: %w", stile.ErrTemporary, &tls.CertificateVerificationError{Err: errors.New("unknown authority")}),
			time.Hour, false, 0, 0, 1},
		"an unknown error": {errors.New("odd"), 100 * time.Millisecond, true, 100 * time.Millisecond, 600 * time.Millisecond, 3},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				target := &issuer{life: time.Hour}
				target.failWith(c.failure)
				keeper := kept(t, target)
				mending := time.AfterFunc(c.mendAfter, target.mend)
				defer mending.Stop()
				before := time.Now()
				_, err := keeper.Credential(t.Context())
				if took := time.Since(before); (err == nil) != c.works || took < c.from || took > c.to {
					t.Errorf("got %v after %s, want success %t between %s and %s", err, took, c.works, c.from, c.to)
				}
				if n := target.asked.Load(); n > c.asked {
					t.Errorf("asked %d times, want at most %d", n, c.asked)
				}
			})
		})
	}
}

func TestKeeperWaitsAsLongAsTheCloudSays(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		target := &issuer{life: time.Hour}
		target.failWith(&stile.Error{Op: "exchange", Status: http.StatusTooManyRequests, RetryAfter: 90 * time.Second, Err: stile.ErrTemporary})
		keeper := kept(t, target)
		for range 90 {
			if _, err := keeper.Credential(t.Context()); !errors.Is(err, stile.ErrTemporary) {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if n := target.asked.Load(); n != 1 {
			t.Errorf("asked %d times in the 90 s that the cloud wanted to be left alone", n)
		}
		target.mend()
		time.Sleep(time.Second)
		token(t, keeper)
	})
}

func TestKeeperRefusesCredentialsDeadOnArrival(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		if _, err := kept(t, &issuer{life: -time.Second}).Credential(t.Context()); !errors.Is(err, stile.ErrTemporary) {
			t.Errorf("got %v, want a refusal to hand out a dead credential", err)
		}
	})
}

func TestKeeperTakesAnyExpiry(t *testing.T) {
	t.Parallel()
	for _, life := range []time.Duration{time.Nanosecond, time.Millisecond, pulse, time.Second, 1<<63 - 1} {
		t.Run(life.String(), func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				target := &issuer{life: life}
				keeper := kept(t, target)
				for range 100 {
					token(t, keeper)
					time.Sleep(life / 7 % time.Hour)
				}
			})
		})
	}
}

// pulse is how old the time may be that a read is judged by.
const pulse = 100 * time.Millisecond

// hanger neither returns nor minds its context until it is freed.
type hanger struct {
	issuer
	free chan struct{}
}

func (h *hanger) Exchange(ctx context.Context, token stile.SubjectToken) (stile.Credential, error) {
	h.asked.Add(1)
	<-h.free
	return h.issuer.Exchange(ctx, token)
}

func TestKeeperOutlivesWhatHangs(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		target := &hanger{issuer{life: time.Hour}, make(chan struct{})}
		keeper := kept(t, target)
		for n := range 6 {
			before := time.Now()
			_, err := keeper.Credential(t.Context())
			if !errors.Is(err, stile.ErrTemporary) || time.Since(before) > keep.DefaultTimeout+time.Second {
				t.Fatalf("use %d: got %v after %s", n, err, time.Since(before))
			}
			time.Sleep(2 * time.Minute)
		}
		if n := target.asked.Load(); n != 3 {
			t.Errorf("%d exchanges hang, want no more than 3", n)
		}
		close(target.free)
		synctest.Wait()
		token(t, keeper)
	})
}

func TestKeeperServesWhileTheNextHangs(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		target := &hanger{issuer{life: time.Hour}, make(chan struct{}, 1)}
		target.free <- struct{}{}
		keeper := kept(t, target)
		first := token(t, keeper)
		for elapsed := time.Duration(0); elapsed < 59*time.Minute; {
			before := time.Now()
			if got := token(t, keeper); got != first {
				t.Fatalf("got %q", got)
			}
			if waited := time.Since(before); waited > 2*time.Second {
				t.Fatalf("a read waited %s and there was a valid credential", waited)
			}
			time.Sleep(time.Second)
			elapsed = time.Since(begun)
		}
		close(target.free)
		synctest.Wait()
	})
}

// TestKeeperMindsBothClocks sets the wall clock, which time.Now cannot be made to see, and lets time pass.
func TestKeeperMindsBothClocks(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		step      time.Duration // of the wall clock, after half an hour
		then      time.Duration // how long after that
		exchanges int64
	}{
		"no step":                       {0, time.Second, 1},
		"forward, or a machine's sleep": {2 * time.Hour, pulse, 2},
		"forward by a little":           {time.Minute, time.Second, 1},
		"back by a day, soon after":     {-24 * time.Hour, time.Second, 1},
		"back by a day, an hour after":  {-24 * time.Hour, 31 * time.Minute, 2},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				var offset atomic.Int64
				wall := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
				target := &issuer{life: time.Hour, now: wall}
				keeper := kept(t, target, keep.WithClock(wall))
				read := func() {
					cred, err := keeper.Credential(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if !cred.Expires.After(wall()) {
						t.Errorf("handed out at %s, dead since %s", wall(), cred.Expires)
					}
				}
				for range 30 * 60 {
					read()
					time.Sleep(time.Second)
				}
				offset.Store(int64(c.step))
				time.Sleep(pulse)
				for range c.then / pulse {
					read()
					time.Sleep(pulse)
				}
				if n := target.made.Load(); n != c.exchanges {
					t.Errorf("%d exchanges, want %d", n, c.exchanges)
				}
			})
		})
	}
}

func TestKeeperClosed(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		target := &issuer{life: time.Hour, takes: time.Minute}
		keeper := keep.New(stile.Cross(anyone, target))
		waiting := make(chan error)
		go func() {
			_, err := keeper.Credential(t.Context())
			waiting <- err
		}()
		synctest.Wait()
		go keeper.Close()
		if err := <-waiting; !errors.Is(err, context.Canceled) {
			t.Errorf("who waited got %v", err)
		}
		keeper.Close()
		time.Sleep(time.Hour)
		if _, err := keeper.Credential(t.Context()); !errors.Is(err, stile.ErrMisuse) {
			t.Errorf("got %v after Close", err)
		}
		if n := target.asked.Load(); n != 1 {
			t.Errorf("%d exchanges, want none after Close", n)
		}
	})
}

func TestKeeperTellsWhatHappens(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		var mu sync.Mutex
		var events []keep.Event
		target := &issuer{life: time.Hour, takes: time.Second}
		memory := keep.NewMemory(keep.WithObserver(func(e keep.Event) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, e)
		}))
		defer memory.Close()
		keeper := memory.Keep(stile.Cross(anyone, target), keep.Terms{Name: "warehouse"})
		if s := keeper.Status(); s != (keep.Status{Name: "warehouse"}) {
			t.Errorf("before the first use: %+v", s)
		}
		token(t, keeper)
		synctest.Wait()
		target.failWith(refusal)
		time.Sleep(55 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if len(events) < 2 {
			t.Fatalf("got %d events", len(events))
		}
		if e := events[0]; e.Name != "warehouse" || e.Took != time.Second || e.Err != nil || !e.Expires.Equal(begun.Add(time.Hour+time.Second)) {
			t.Errorf("got %+v", e)
		}
		if e := events[1]; !errors.Is(e.Err, stile.ErrRefused) || !e.Expires.IsZero() {
			t.Errorf("got %+v", e)
		}
	})
}

// unused has keeper's credential refreshed once and then left alone, until left of its life is left.
func unused(t *testing.T, k *keep.Keeper, left time.Duration) {
	t.Helper()
	token(t, k)
	time.Sleep(56 * time.Minute)
	time.Sleep(time.Until(k.Status().Expires) - left)
	if s := k.Status(); !s.NextRefresh.IsZero() {
		t.Fatalf("a refresh is planned: %+v", s)
	}
}

func TestKeeperPrefersLateToHanging(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		target := &hanger{issuer{life: time.Hour}, make(chan struct{}, 2)}
		target.free <- struct{}{}
		target.free <- struct{}{}
		keeper := kept(t, target)
		unused(t, keeper, time.Minute)
		before := time.Now()
		if got := token(t, keeper); got != "token 2" || time.Since(before) != 2*time.Second {
			t.Errorf("got %q after %s, want the one that is under the floor after 2s", got, time.Since(before))
		}
		close(target.free)
		synctest.Wait()
	})
}

// TestKeeperReadsInQuickSuccession crosses an expiry at a pace where no read asks the clock.
func TestKeeperReadsInQuickSuccession(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		target := &issuer{life: time.Minute + pulse/2}
		keeper := kept(t, target)
		token(t, keeper)
		target.failWith(outage)
		served, refused := 0, 0
		for range 7000 {
			cred, err := keeper.Credential(t.Context())
			switch {
			case err != nil:
				refused++
			case !cred.Expires.After(time.Now()):
				t.Fatalf("handed out dead since %s", time.Since(cred.Expires))
			default:
				served++
			}
			time.Sleep(10 * time.Millisecond)
		}
		if served < 5999 || refused < 900 {
			t.Errorf("%d reads served and %d refused", served, refused)
		}
	})
}

func TestKeeperKeepsWhatLivesWhenTheNextIsDead(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		var behind atomic.Int64
		target := &issuer{life: time.Hour, now: func() time.Time { return time.Now().Add(-time.Duration(behind.Load())) }}
		keeper := kept(t, target)
		first := token(t, keeper)
		behind.Store(int64(2 * time.Hour))
		time.Sleep(58 * time.Minute)
		if got := token(t, keeper); got != first {
			t.Errorf("got %q", got)
		}
		if s := keeper.Status(); s.Failures == 0 {
			t.Errorf("got %+v, want credentials dead on arrival to count as failures", s)
		}
	})
}

func TestKeeperClockSetBackWhileTheCloudIsDown(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		var back atomic.Int64
		wall := func() time.Time { return time.Now().Add(-time.Duration(back.Load())) }
		target := &issuer{life: time.Hour}
		keeper := kept(t, target, keep.WithClock(wall))
		token(t, keeper)
		target.failWith(outage)
		back.Store(int64(24 * time.Hour))
		time.Sleep(time.Hour)
		if cred, err := keeper.Credential(t.Context()); err == nil {
			t.Errorf("handed out dead since %s, by a clock that was set back", time.Since(cred.Expires))
		}
	})
}

func TestKeeperClockSetBackIsNotFelt(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		var back atomic.Int64
		wall := func() time.Time { return time.Now().Add(-time.Duration(back.Load())) }
		target := &issuer{life: time.Hour, takes: time.Second, now: wall}
		keeper := kept(t, target, keep.WithClock(wall))
		token(t, keeper)
		back.Store(int64(24 * time.Hour))
		for range 3 * 60 {
			time.Sleep(time.Minute)
			before := time.Now()
			if _, err := keeper.Credential(t.Context()); err != nil || time.Since(before) > 0 {
				t.Fatalf("after %s a read waited %s and got %v", time.Since(begun), time.Since(before), err)
			}
		}
	})
}

// TestKeeperAfterSleep: timers stand still while a machine sleeps, and its wall clock is ahead when it wakes.
func TestKeeperAfterSleep(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		var slept atomic.Int64
		wall := func() time.Time { return time.Now().Add(time.Duration(slept.Load())) }
		target := &issuer{life: time.Hour, now: wall}
		keeper := kept(t, target, keep.WithClock(wall))
		token(t, keeper)
		slept.Store(int64(8 * time.Hour))
		time.Sleep(31 * time.Second)
		if s := keeper.Status(); s.Expires.Before(wall()) {
			t.Errorf("half a minute after waking: %+v, want a new credential though nobody asked", s)
		}
	})
}

func TestKeeperAsksNoClockWhenIdle(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		var asked atomic.Int64
		keeper := kept(t, &issuer{life: 12 * time.Hour}, keep.WithClock(func() time.Time {
			asked.Add(1)
			return time.Now()
		}))
		for range 100 {
			token(t, keeper)
			time.Sleep(time.Millisecond)
		}
		before := asked.Load()
		time.Sleep(time.Hour)
		if n := asked.Load() - before; n > 130 {
			t.Errorf("asked %d times in an hour with no reads", n)
		}
	})
}

func TestKeeperJittersRetries(t *testing.T) {
	t.Parallel()
	for random, want := range map[float64]time.Duration{0: 700 * time.Millisecond, 0.5: 1050 * time.Millisecond} {
		in(t, func(t *testing.T) {
			target := &issuer{life: time.Hour}
			target.failWith(outage)
			keeper := kept(t, target, keep.WithRandom(func() float64 { return random }))
			before := time.Now()
			_, _ = keeper.Credential(t.Context())
			if took := time.Since(before); took != want {
				t.Errorf("random %v: gave up after %s, want %s", random, took, want)
			}
		})
	}
}

// TestKeeperStartsNothingForAReadNowAndThen: the pulse is for readers in a hurry.
func TestKeeperStartsNothingForAReadNowAndThen(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		var asked atomic.Int64
		keeper := kept(t, &issuer{life: 12 * time.Hour}, keep.WithClock(func() time.Time {
			asked.Add(1)
			return time.Now()
		}))
		token(t, keeper)
		before := asked.Load()
		for range 3600 {
			time.Sleep(time.Second)
			token(t, keeper)
		}
		if n := asked.Load() - before; n > 3600+130 {
			t.Errorf("the clock was asked %d times for 3600 reads", n)
		}
	})
}

// TestKeeperComesBackSoonAfterAnOutage: credentials of a minute, and an outage that outlives each of them by a little.
func TestKeeperComesBackSoonAfterAnOutage(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		target := &issuer{life: time.Minute}
		keeper := kept(t, target)
		for range 20 {
			token(t, keeper)
			target.failWith(outage)
			time.Sleep(70 * time.Second)
			for range 3 {
				if _, err := keeper.Credential(t.Context()); err == nil {
					t.Fatal("got a credential in an outage that outlived it")
				}
				time.Sleep(5 * time.Second)
			}
			target.mend()
			ended := time.Now()
			for {
				if _, err := keeper.Credential(t.Context()); err == nil {
					break
				}
				time.Sleep(100 * time.Millisecond)
			}
			if took := time.Since(ended); took > 5*time.Second {
				t.Errorf("it took %s after the outage", took)
			}
		}
	})
}

// TestKeeperTriesMoreOftenWithLessLeft: half of all exchanges fail, and a reader of short-lived credentials hardly sees it.
func TestKeeperTriesMoreOftenWithLessLeft(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		target := &issuer{life: time.Minute}
		keeper := kept(t, target)
		token(t, keeper)
		failed := 0
		for n := range 3600 {
			if n%2 == 0 {
				target.failWith(outage)
			} else {
				target.mend()
			}
			if n%60 < 20 { // every minute an outage of 20 s
				target.failWith(outage)
			}
			if _, err := keeper.Credential(t.Context()); err != nil {
				failed++
			}
			time.Sleep(time.Second)
		}
		if failed > 0 {
			t.Errorf("%d of 3600 reads failed", failed)
		}
	})
}
