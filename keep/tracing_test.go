// SPDX-License-Identifier: Apache-2.0

package keep_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
)

type flightKey struct{}

// flights counts exchanges, gives each a context of its own, and notes who was called with it.
type flights struct {
	sync.Mutex
	began  []string // names
	ended  []keep.Event
	within []string // who had the last one's context
}

func (f *flights) begin(ctx context.Context, name string) (context.Context, func(keep.Event)) {
	f.Lock()
	defer f.Unlock()
	f.began = append(f.began, name)
	return context.WithValue(ctx, flightKey{}, len(f.began)), func(e keep.Event) {
		f.Lock()
		defer f.Unlock()
		f.ended = append(f.ended, e)
	}
}

func (f *flights) meet(ctx context.Context, who string) {
	f.Lock()
	defer f.Unlock()
	if ctx.Value(flightKey{}) == len(f.began) {
		f.within = append(f.within, who)
	} else {
		f.within = append(f.within, who+" outside")
	}
}

// tracedTarget is a target that notes its context.
type tracedTarget struct {
	*issuer
	met *flights
}

func (tracedTarget) CacheKey() stile.Key { return stile.NewKey("traced target") }

func (t tracedTarget) Exchange(ctx context.Context, s stile.SubjectToken) (stile.Credential, error) {
	t.met.meet(ctx, "target")
	return t.issuer.Exchange(ctx, s)
}

type tracedSource struct{ met *flights }

func (tracedSource) CacheKey() stile.Key { return stile.NewKey("traced source") }

func (s tracedSource) SubjectToken(ctx context.Context, _ string) (stile.SubjectToken, error) {
	s.met.meet(ctx, "source")
	return stile.SubjectToken{Value: stile.NewSecret("subject")}, nil
}

// Every exchange is told when it begins and how it ends, once, whoever waits for it or nobody does; and all that it asks
// is asked with the context that it was given.
func TestTracing(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		f, store := &flights{}, newShelf()
		store.meets(func(ctx context.Context, what string) error {
			f.meet(ctx, what)
			return nil
		})
		target := tracedTarget{&issuer{life: time.Hour, takes: time.Second}, f}
		memory := keep.NewMemory(keep.WithTracing(f.begin), keep.WithStore(store, 0))
		k := memory.Keep(stile.Cross(tracedSource{f}, target), keep.Terms{Name: "images"})
		for range 3 {
			go func() { _, _ = k.Credential(t.Context()) }()
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		f.Lock()
		if want := []string{"images"}; !slices.Equal(f.began, want) || len(f.ended) != 1 {
			t.Fatalf("three readers: began %q, want %q; %d ends", f.began, want, len(f.ended))
		}
		e := f.ended[0]
		if e.Name != "images" || e.Kind != stile.KindAccessToken || e.Took < time.Second || !e.Expires.After(time.Now()) || e.Stored || e.Err != nil {
			t.Errorf("the end is told as %+v", e)
		}
		if want := []string{"key", "load", "lease", "load", "source", "target", "save", "release"}; !slices.Equal(f.within, want) {
			t.Errorf("asked with the exchange's context: %q, want %q", f.within, want)
		}
		f.Unlock()

		wrong := errors.New("away")
		target.failWith(wrong)
		time.Sleep(54 * time.Minute) // past the refresh in the background
		memory.Close()               // cuts short what is under way, which is an end too
		if n := len(f.began); n < 2 || len(f.ended) != n {
			t.Fatalf("in the background: %d began, %d ended", n, len(f.ended))
		}
		if last := f.ended[1]; !errors.Is(last.Err, wrong) || last.Kind != 0 {
			t.Errorf("a failure is told as %+v", last)
		}
	})
}

// What is held is read without anything being begun.
func TestTracingLeavesReadsAlone(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		f := &flights{}
		k := kept(t, &issuer{life: time.Hour}, keep.WithTracing(f.begin))
		for range 10 {
			token(t, k)
		}
		if len(f.began) != 1 {
			t.Errorf("%d exchanges for ten reads", len(f.began))
		}
	})
}
