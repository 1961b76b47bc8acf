// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"os"
	"sync"
	"time"
)

// A deadline is a connection's for reading or for writing. It reaches the socket only once something is read or written,
// and not at all where the socket has nearly the same: net/http sets eight for each request, most of them replaced before
// they could matter, and each would take locks and a timer's change.
type deadline struct {
	set   func(time.Time) error // the socket's own
	slack time.Duration         // how much sooner it may come than was wanted; positive
	since time.Time             // when the connection began: what is before that has passed

	mu     sync.Mutex
	wanted time.Time // zero: none
	given  time.Time // what the socket has
	users  int       // who read or write now: for them a new one counts at once
}

func (d *deadline) want(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wanted = t
	if d.users == 0 {
		return nil
	}
	return d.give()
}

// begin comes before reading or writing, and end after it, unless begin fails.
func (d *deadline) begin() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.wanted.IsZero() && d.wanted.Before(d.since) { // so net/http ends a read that it may have only just begun
		return os.ErrDeadlineExceeded
	}
	if err := d.give(); err != nil {
		return err
	}
	d.users++
	return nil
}

func (d *deadline) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.users--
}

// give is called with the lock held. None at all is near nothing else: zero time is millennia away.
func (d *deadline) give() error {
	if later := d.wanted.Sub(d.given); later >= 0 && later < d.slack {
		return nil
	}
	d.given = d.wanted
	return d.set(d.wanted)
}
