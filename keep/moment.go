// SPDX-License-Identifier: Apache-2.0

package keep

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// A moment is now by two clocks. The wall clock is the one that a credential's expiry is written in, and it may be
// set; elapsed time cannot be set, and stands still while the machine sleeps. A credential is good only by both.
type moment struct {
	wall    time.Time // without a monotonic reading, so that comparing it compares wall clocks
	elapsed time.Duration
}

// A limit is a moment that must not have passed.
type limit struct {
	wall    int64 // nanoseconds since 1970
	elapsed int64 // nanoseconds
}

// in is the limit d from now.
func (m moment) in(d time.Duration) limit {
	return limit{m.wall.Add(d).UnixNano(), int64(m.elapsed + d)}
}

func (l limit) passed(m moment) bool {
	return m.wall.UnixNano() > l.wall || int64(m.elapsed) > l.elapsed
}

// pulsePeriod is how old the time can be that a read is judged by. After the machine wakes from sleep it is how long
// a reader may see the time before it.
const pulsePeriod = 100 * time.Millisecond

// A pulse lets reads do without asking a clock, which costs more than all the rest of a read. While there are reads,
// it takes the time every pulsePeriod; after a period without one it stops, and reads ask the clock themselves until
// two come within a period again: for a read now and then, starting it costs more than it saves.
type pulse struct {
	wall, elapsed atomic.Int64 // math.MaxInt64 while it stands still: every limit has passed then
	read          atomic.Bool  // since the last beat
	last          atomic.Int64 // elapsed time at the last read that asked the clock
	now           func() moment

	mu      sync.Mutex
	timer   *time.Timer
	beating bool
	stopped bool
}

func newPulse(now func() moment) *pulse {
	p := &pulse{now: now}
	p.last.Store(-int64(pulsePeriod))
	p.stand()
	return p
}

// within reports whether l is surely still to come.
func (p *pulse) within(l limit) bool {
	return p.wall.Load() < l.wall && p.elapsed.Load() < l.elapsed
}

// note says that somebody reads. A store only where it changes something keeps readers on many processors out of each
// other's way.
func (p *pulse) note() {
	if !p.read.Load() {
		p.read.Store(true)
	}
}

// asked has it beat from now on, if the clock was asked a moment ago too.
func (p *pulse) asked(now moment) {
	if now.elapsed-time.Duration(p.last.Swap(int64(now.elapsed))) >= pulsePeriod {
		return
	}
	p.note()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.beating || p.stopped {
		return
	}
	p.beating = true
	p.set(now)
	if p.timer == nil {
		p.timer = time.AfterFunc(pulsePeriod, p.beat)
	} else {
		p.timer.Reset(pulsePeriod)
	}
}

func (p *pulse) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped || !p.read.Swap(false) {
		p.beating = false
		p.stand()
		return
	}
	p.set(p.now())
	p.timer.Reset(pulsePeriod)
}

func (p *pulse) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped, p.beating = true, false
	p.stand()
	if p.timer != nil {
		p.timer.Stop()
	}
}

func (p *pulse) set(now moment) {
	p.wall.Store(now.wall.UnixNano())
	p.elapsed.Store(int64(now.elapsed))
}

func (p *pulse) stand() {
	p.wall.Store(math.MaxInt64)
	p.elapsed.Store(math.MaxInt64)
}
