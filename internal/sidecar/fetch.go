// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"context"
	"sync"
	"time"

	"github.com/stile-project/stile/keep"
)

const (
	fetching = 32              // exchanges at once, when there is nothing yet
	look     = 2 * time.Second // between two looks at all crossings
	lookSoon = 500 * time.Millisecond
)

// fetch sees to it that every crossing has a credential before anyone asks, and goes on having one: keepers refresh only
// what is used, and this counts as use. What cannot be had is asked for again as often as its keeper allows.
func (s *Sidecar) fetch(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	room := make(chan struct{}, fetching)
	var mu sync.Mutex
	busy := map[*keep.Keeper]bool{}
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
		keepers, unready := s.keepers(), 0
		for _, k := range keepers {
			if _, err := k.Credential(glance); err == nil {
				continue
			}
			unready++
			mu.Lock()
			already := busy[k]
			busy[k] = true
			mu.Unlock()
			if already {
				continue
			}
			work.Go(func() {
				came := false
				select {
				case room <- struct{}{}:
					_, err := k.Credential(ctx) // the keeper logs what failed
					came = err == nil
					<-room
				case <-ctx.Done():
				}
				mu.Lock()
				delete(busy, k)
				last := len(busy) == 0
				mu.Unlock()
				if came && last { // of ten thousand, not each: a look is at all of them
					s.lookNow()
				}
			})
		}
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

// lookNow has fetch look at all crossings.
func (s *Sidecar) lookNow() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *Sidecar) keepers() []*keep.Keeper {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*keep.Keeper, 0, len(s.held))
	for _, h := range s.held {
		all = append(all, h.keeper)
	}
	return all
}
