// SPDX-License-Identifier: Apache-2.0

package sidecar_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/assemble"
	"github.com/stile-project/stile/internal/sidecar"
	"github.com/stile-project/stile/keep"
)

// A client may ask for one audience or set of scopes after another: none of them has a client of its own, and none needs
// anything that may fail by then.
func TestAudiencesShareOneClient(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	var asked atomic.Int64
	var gone atomic.Bool
	inner := s.options.Around
	s.options.Around = func(from config.From) (assemble.Surroundings, error) {
		asked.Add(1)
		if gone.Load() {
			return assemble.Surroundings{}, errors.New("too many open files")
		}
		return inner(from)
	}
	s.sidecar = sidecar.New(s.options)
	t.Cleanup(s.sidecar.Close)
	s.apply("  endpoints: [{ gce: warehouse, listen: '127.0.0.1:0' }]\n")
	s.run()
	s.until("ready", s.ready)
	gone.Store(true)
	for i := range 200 {
		if code, body := s.gce(fmt.Sprintf("instance/service-accounts/default/identity?audience=a%d", i)); code != http.StatusOK {
			t.Fatalf("%d %s", code, body)
		}
	}
	if code, body := s.gce("instance/service-accounts/default/token?scopes=https://www.googleapis.com/auth/devstorage.read_only"); code != http.StatusOK {
		t.Fatalf("%d %s", code, body)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("%d clients were made, want 1", n)
	}
	gone.Store(false)
	s.apply("  endpoints: [{ gce: warehouse, listen: '127.0.0.1:0' }]\n")
	if n := asked.Load(); n != 2 {
		t.Errorf("%d clients were made by the next plan, want 2", n)
	}
}

// counting is a store that counts what is saved in it.
type counting struct {
	mu    sync.Mutex
	saved map[stile.Key]keep.Record
}

func (c *counting) Key(_ context.Context, crossing stile.Crossing) (stile.Key, error) {
	return crossing.Key(), nil
}

func (c *counting) Load(_ context.Context, key stile.Key) (keep.Record, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r, ok := c.saved[key]; ok {
		return r, nil
	}
	return keep.Record{}, keep.ErrAbsent
}

func (c *counting) Save(_ context.Context, key stile.Key, r keep.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.saved[key] = r
	return nil
}

func (c *counting) Lease(context.Context, stile.Key) (keep.Lease, error) { return noLease{}, nil }

func (c *counting) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.saved)
}

type noLease struct{}

func (noLease) Term() time.Duration           { return 0 }
func (noLease) Extend(context.Context) error  { return nil }
func (noLease) Release(context.Context) error { return nil }

// Any caller may ask for one audience after another. That fills neither memory nor the store, and takes nothing from the
// crossing itself.
func TestManyAudiencesAreBounded(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	store := &counting{saved: map[stile.Key]keep.Record{}}
	s.options.Store = store
	s.sidecar = sidecar.New(s.options)
	t.Cleanup(s.sidecar.Close)
	s.apply("  endpoints: [{ gce: warehouse, listen: '127.0.0.1:0' }]\n")
	s.run()
	s.until("ready", s.ready)
	const token = "instance/service-accounts/default/token"
	_, own := s.gce(token)
	s.exchanges()
	const many = 300
	for i := range many {
		if code, body := s.gce(fmt.Sprintf("instance/service-accounts/default/identity?audience=a%d", i)); code != http.StatusOK {
			t.Fatalf("%d %s", code, body)
		}
	}
	if n := s.exchanges(); n != many {
		t.Errorf("%d exchanges", n)
	}
	if n := sidecar.Further(s.sidecar); n != 64 {
		t.Errorf("%d are held, want the 64 of the endpoint's shelf", n)
	}
	s.until("saved", func() bool { return store.len() == 1 })
	if n := store.len(); n != 1 {
		t.Errorf("%d are in the store, want the crossing's own", n)
	}
	if _, now := s.gce(token); now[:60] != own[:60] || s.exchanges() != 0 {
		t.Error("the crossing's own was pushed out")
	}
	s.apply(oneECS)
	if n := sidecar.Further(s.sidecar); n != 0 {
		t.Errorf("%d are held for an endpoint that is no more", n)
	}
}

// Who asks and hangs up leaves an exchange behind. However many do, so many run, so many wait, and the rest is refused at
// once; what is held goes on.
func TestAbandonedAudiencesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		var under, most atomic.Int64
		inner := s.options.Around
		s.options.Around = func(from config.From) (assemble.Surroundings, error) {
			around, err := inner(from)
			client := *around.Client
			client.Transport = waiting{client.Transport, &under, &most}
			around.Client = &client
			return around, err
		}
		s.sidecar = sidecar.New(s.options)
		t.Cleanup(s.sidecar.Close)
		s.apply("  endpoints: [{ gce: warehouse, listen: '127.0.0.1:0' }]\n")
		crossing := s.sidecar.Google("warehouse")
		held, err := crossing.IDToken("held")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := held.Credential(t.Context()); err != nil {
			t.Fatal(err)
		}
		most.Store(0)
		under.Store(hanging)
		const many = 1000
		crowded := 0
		for i := range many {
			supplier, err := crossing.IDToken(fmt.Sprintf("a%d", i))
			if err != nil {
				t.Fatal(err)
			}
			asked, hangUp := context.WithTimeout(t.Context(), time.Millisecond)
			_, err = supplier.Credential(asked)
			hangUp()
			if err != nil && strings.Contains(err.Error(), "too many other scopes and audiences") {
				crowded++
				if !errors.Is(err, stile.ErrTemporary) {
					t.Errorf("%v", err)
				}
			}
			supplier.(interface{ Close() }).Close()
		}
		synctest.Wait()
		if n := most.Load(); n != 64 {
			t.Errorf("%d exchanges at once, want 64", n)
		}
		if want := many - 64 - 256; crowded != want {
			t.Errorf("%d were refused at once, want %d", crowded, want)
		}
		if _, err := held.Credential(t.Context()); err != nil {
			t.Errorf("what is held is refused: %v", err)
		}
		under.Store(0)
		time.Sleep(10 * time.Minute)
		if _, err := held.Credential(t.Context()); err != nil {
			t.Errorf("they still hold up others: %v", err)
		}
	})
}

// waiting is a network on which nothing comes back while under is at least hanging.
type waiting struct {
	http.RoundTripper
	under, most *atomic.Int64
}

const hanging = 1 << 20

func (w waiting) RoundTrip(r *http.Request) (*http.Response, error) {
	if w.under.Load() < hanging {
		return w.RoundTripper.RoundTrip(r)
	}
	now := w.under.Add(1) - hanging
	defer w.under.Add(-1)
	for {
		if was := w.most.Load(); now <= was || w.most.CompareAndSwap(was, now) {
			break
		}
	}
	<-r.Context().Done()
	return nil, r.Context().Err()
}
