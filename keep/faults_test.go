// SPDX-License-Identifier: Apache-2.0

package keep_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
)

var (
	seed       = flag.Uint64("seed", 1, "of the fault run")
	operations = flag.Int("operations", 100_000, "reads of the fault run")
)

// A dice is random numbers from a seed, for many goroutines.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (d *dice) float() float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.Float64()
}

// pick is one in many, in so many percent of the throws; else the zero value.
func pick[T any](d *dice, percent float64, many ...T) (one T) {
	if d.float()*100 >= percent {
		return one
	}
	return many[int(d.float()*float64(len(many)))]
}

func (d *dice) upTo(most time.Duration) time.Duration {
	return time.Duration(d.float() * float64(most))
}

// A trouble is one thing that goes wrong at once.
type trouble func(context.Context, *dice) error

var troubles = []trouble{
	func(context.Context, *dice) error { return outage },
	func(context.Context, *dice) error { return refusal },
	func(context.Context, *dice) error { return denial },
	func(context.Context, *dice) error { return errors.New("odd") },
	func(_ context.Context, d *dice) error {
		return &stile.Error{Op: "exchange", Status: http.StatusTooManyRequests, RetryAfter: d.upTo(10 * time.Minute), Err: stile.ErrTemporary}
	},
	func(ctx context.Context, d *dice) error { return sleep(ctx, d.upTo(time.Hour)) },              // slow
	func(_ context.Context, d *dice) error { time.Sleep(d.upTo(10 * time.Minute)); return nil },    // slow, and minds no deadline
	func(_ context.Context, d *dice) error { time.Sleep(d.upTo(10 * time.Minute)); return outage }, // so, and fails in the end
}

// troubled is a source, a target and a store's nerves.
type troubled struct {
	dice    *dice
	percent float64
	life    time.Duration
	name    string
}

func (x troubled) trouble(ctx context.Context) error {
	if t := pick(x.dice, x.percent, troubles...); t != nil {
		return t(ctx, x.dice)
	}
	return nil
}

func (x troubled) CacheKey() stile.Key { return stile.NewKey("troubled", x.name) }
func (x troubled) Audience() string    { return "anyone" }

func (x troubled) SubjectToken(ctx context.Context, _ string) (stile.SubjectToken, error) {
	return stile.SubjectToken{Value: stile.NewSecret("subject"), Subject: x.name}, x.trouble(ctx)
}

func (x troubled) Exchange(ctx context.Context, token stile.SubjectToken) (stile.Credential, error) {
	if err := x.trouble(ctx); err != nil {
		return stile.Credential{}, err
	}
	cred := stile.Credential{Kind: stile.KindIDToken, Token: stile.NewSecret(token.Subject), Expires: time.Now().Add(x.life)}
	if err := x.trouble(ctx); err != nil { // on the way back: it may be dead when it arrives
		return stile.Credential{}, err
	}
	return cred, nil
}

// TestFaults reads from many goroutines in three processes, while sources, targets, the store and the clock misbehave.
// Whatever happens, no credential is handed out dead or to the wrong reader, and all reads return in time.
func TestFaults(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		const processes, crossings, readers = 3, 12, 40
		d := &dice{r: rand.New(rand.NewPCG(*seed, 0))}
		store := newShelf()
		store.meets(func(ctx context.Context, what string) error {
			if what == "release" && d.float() < 0.05 {
				return errors.New("died holding the lease")
			}
			return troubled{dice: d, percent: 10}.trouble(ctx)
		})
		// The wall clock is set again and again, to the truth or ahead of it. Behind, it would be wrong about what is
		// dead, and nobody could know.
		var ahead atomic.Int64
		wall := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		var memories []*keep.Memory
		var keepers [processes][crossings]*keep.Keeper
		for p := range processes {
			memory := keep.NewMemory(keep.WithClock(wall), keep.WithRandom(d.float), keep.WithStore(store, 0), keep.WithLimit(crossings/2))
			memories = append(memories, memory)
			for n := range crossings {
				life := []time.Duration{30 * time.Second, 10 * time.Minute, time.Hour}[n%3]
				x := troubled{d, 20, life, fmt.Sprint("crossing ", n)}
				keepers[p][n] = memory.Keep(stile.Cross(x, x), keep.Terms{})
			}
		}
		var got, failed atomic.Int64
		var all sync.WaitGroup
		for range readers {
			all.Go(func() {
				for range *operations / readers {
					time.Sleep(pick(d, 70, d.upTo(time.Second), d.upTo(time.Minute), d.upTo(time.Hour)))
					if d.float() < 0.02 {
						ahead.Store(int64(pick(d, 60, d.upTo(time.Minute), d.upTo(2*time.Hour))))
					}
					n := int(d.float() * crossings)
					patience := pick(d, 50, 0, d.upTo(time.Second), d.upTo(time.Minute)) + time.Millisecond
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					before := time.Now()
					cred, err := keepers[int(d.float()*processes)][n].Credential(ctx)
					cancel()
					now := time.Now()
					if late := now.Sub(before) - patience; late > 0 {
						t.Errorf("a read took %s longer than it had", late)
					}
					switch {
					case err != nil:
						failed.Add(1)
					case !cred.Expires.After(now):
						t.Errorf("handed out dead since %s", now.Sub(cred.Expires))
					case cred.Token.Reveal() != fmt.Sprint("crossing ", n):
						t.Errorf("crossing %d got the credential of %s", n, cred.Token.Reveal())
					default:
						got.Add(1)
					}
				}
			})
		}
		all.Wait()
		for _, m := range memories {
			m.Close()
		}
		time.Sleep(time.Hour) // what minds no deadline ends
		t.Logf("seed %d: %d reads got a credential and %d failed, in %s of the clock", *seed, got.Load(), failed.Load(), time.Since(begun).Round(time.Minute))
		if got.Load() < int64(*operations/4) || failed.Load() == 0 {
			t.Errorf("%d reads got a credential and %d failed: this tests nothing", got.Load(), failed.Load())
		}
	})
}
