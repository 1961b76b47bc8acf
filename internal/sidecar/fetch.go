// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/stile-project/stile/keep"
)

const (
	fetching = 32              // exchanges at once, when there is nothing yet
	giveWay  = 5 * time.Second // of one that takes long: it goes on, and others are asked meanwhile
	look     = 2 * time.Second // between two looks at all crossings
	lookSoon = 500 * time.Millisecond
)

// fetch sees to it that every crossing has a credential before anyone asks, and goes on having one: keepers refresh only
// what is used, and this counts as use. What cannot be had is asked for again as often as its keeper allows.
func (s *Sidecar) fetch(ctx context.Context) {
	f := &fetcher{asked: map[*keep.Keeper]context.CancelFunc{}, came: s.lookNow}
	defer f.work.Wait()
	f.work.Go(func() { s.attendTokens(ctx) }) // beside: a disk that hangs must not hold up fetching
	// A context that has ended asks for what is held, and for no exchange.
	glance, end := context.WithCancel(ctx)
	end()
	timer := time.NewTimer(0)
	defer timer.Stop()
	last := [2]int{-1, -1}
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.changed:
		}
		keepers, lacking := s.keepers(), s.lacking()
		var missing []*keep.Keeper
		unready := 0
		for name, k := range keepers {
			_, err := k.Credential(glance)
			if err != nil {
				missing = append(missing, k)
			}
			if err != nil || lacking[name] {
				unready++
			}
		}
		f.drop(keepers)
		f.ask(ctx, missing)
		if now := [2]int{unready, len(keepers)}; now != last && s.o.Standing != nil {
			s.o.Standing(now[0], now[1])
			last = now
		}
		if unready > 0 {
			timer.Reset(lookSoon)
		} else {
			timer.Reset(look)
		}
	}
}

// A fetcher asks many keepers, a few at a time.
type fetcher struct {
	came func() // called when something came and there is nothing left to ask
	work sync.WaitGroup

	mu      sync.Mutex
	asked   map[*keep.Keeper]context.CancelFunc // nil for one that waits
	waiting []*keep.Keeper
	asking  int
}

// ask asks those that are not asked already.
func (f *fetcher) ask(ctx context.Context, keepers []*keep.Keeper) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range keepers {
		if _, ok := f.asked[k]; !ok {
			f.asked[k] = nil
			f.waiting = append(f.waiting, k)
		}
	}
	for range min(fetching-f.asking, len(f.waiting)) {
		f.asking++
		f.work.Go(func() {
			for k, asked := f.next(ctx); k != nil; k, asked = f.next(ctx) {
				_, err := k.Credential(asked) // the keeper logs what failed
				f.done(k, err == nil)
			}
		})
	}
}

// drop gives up those that a reload has dropped: nobody would get what came, and others wait for their turn.
func (f *fetcher) drop(held map[string]*keep.Keeper) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.asked) == 0 {
		return
	}
	stays := make(map[*keep.Keeper]bool, len(held))
	for _, k := range held {
		stays[k] = true
	}
	f.waiting = slices.DeleteFunc(f.waiting, func(k *keep.Keeper) bool { return !stays[k] })
	for k, end := range f.asked {
		switch {
		case stays[k]:
		case end == nil:
			delete(f.asked, k)
		default:
			end()
		}
	}
}

// next gives nil where there is nothing left to do.
func (f *fetcher) next(ctx context.Context) (*keep.Keeper, context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.waiting) == 0 || ctx.Err() != nil {
		f.asking--
		return nil, nil
	}
	k := f.waiting[0]
	f.waiting = f.waiting[1:]
	asked, end := context.WithTimeout(ctx, giveWay)
	f.asked[k] = end
	return k, asked
}

func (f *fetcher) done(k *keep.Keeper, came bool) {
	f.mu.Lock()
	f.asked[k]()
	delete(f.asked, k)
	last := len(f.asked) == 0
	f.mu.Unlock()
	if came && last {
		f.came()
	}
}

// lookNow has fetch look at all crossings.
func (s *Sidecar) lookNow() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// keepers are those of all crossings, by name.
func (s *Sidecar) keepers() map[string]*keep.Keeper {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]*keep.Keeper, len(s.held))
	for name, h := range s.held {
		all[name] = h.keeper
	}
	return all
}
