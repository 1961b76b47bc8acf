// SPDX-License-Identifier: Apache-2.0

package gce

import (
	"sync"
	"sync/atomic"

	"github.com/stile-project/stile"
)

// mostSupplies bounds each shelf. Programs ask for a handful of scope sets and audiences; one that asks for a million only
// makes the least recently used give way.
const mostSupplies = 64

// A supply is a supplier and what was last written of its credential.
type supply struct {
	from    stile.Supplier
	encoded atomic.Pointer[encoded]
	lasting bool // the crossing's own: never on a shelf, and never closed

	// Of a supply on a shelf, under the shelf's lock.
	used  uint64 // when, in turns of the shelf
	users int
	off   bool // off the shelf: the last user closes it
}

// end closes a supplier that can be closed, as a keeper can: it stops refreshing.
func (s *supply) end() {
	if c, ok := s.from.(interface{ Close() }); ok {
		c.Close()
	}
}

// A shelf holds suppliers that were made for a question, such as an audience. Its zero value is empty and ready for use.
type shelf struct {
	mu     sync.Mutex
	closed bool
	turn   uint64
	held   map[string]*supply
}

// take gives the supply for key, made where there is none yet. The caller gives it back with put.
func (s *shelf) take(key string, ask func() (stile.Supplier, error)) (*supply, error) {
	if got := s.find(key, nil); got != nil {
		return got, nil
	}
	// Not under the lock: what is called here is not ours, and others need not wait for it.
	from, err := ask()
	if err != nil {
		return nil, err
	}
	fresh := &supply{from: from}
	got := s.find(key, fresh)
	if got != fresh {
		fresh.end() // another was quicker
	}
	return got, nil
}

// find looks for key, and puts fresh there if there is nothing yet.
func (s *shelf) find(key string, fresh *supply) *supply {
	s.mu.Lock()
	got := s.held[key]
	var gone *supply
	if got == nil && fresh != nil {
		got = fresh
		if s.closed {
			got.off = true
		} else {
			gone = s.makeRoom()
			s.held[key] = got
		}
	}
	if got != nil {
		s.turn++
		got.used = s.turn
		got.users++
	}
	s.mu.Unlock()
	if gone != nil {
		gone.end()
	}
	return got
}

// makeRoom takes the least recently used supply off a full shelf. It returns it if nobody is using it.
func (s *shelf) makeRoom() *supply {
	if s.held == nil {
		s.held = map[string]*supply{}
	}
	if len(s.held) < mostSupplies {
		return nil
	}
	var oldest string
	least := ^uint64(0)
	for key, held := range s.held {
		if held.used < least {
			oldest, least = key, held.used
		}
	}
	gone := s.held[oldest]
	delete(s.held, oldest)
	gone.off = true
	if gone.users > 0 {
		return nil
	}
	return gone
}

// put gives a supply back.
func (s *shelf) put(got *supply) {
	if got.lasting {
		return
	}
	s.mu.Lock()
	got.users--
	last := got.off && got.users == 0
	s.mu.Unlock()
	if last {
		got.end()
	}
}

// close takes everything off the shelf for good. What is made from then on serves one request.
func (s *shelf) close() {
	s.mu.Lock()
	held := s.held
	s.held, s.closed = nil, true
	var idle []*supply
	for _, h := range held {
		h.off = true
		if h.users == 0 {
			idle = append(idle, h)
		}
	}
	s.mu.Unlock()
	for _, h := range idle {
		h.end()
	}
}
