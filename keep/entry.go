// SPDX-License-Identifier: Apache-2.0

package keep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stile-project/stile"
)

// An entry is one crossing of a Memory.
type entry struct {
	memory   *Memory
	crossing stile.Crossing
	name     string

	current atomic.Pointer[held]
	used    atomic.Bool // since it was last refreshed
	retired atomic.Bool // no keeper is left

	mu      sync.Mutex
	demands demands
	flight  *flight // nil while nothing is exchanged
	tried   bool    // the first use is over
	failure failure
	hanging int  // exchanges that did not end with their time
	unkept  bool // the store cannot keep it

	// Guarded by the Memory's lock.
	keepers int
	due     due
	slot    int // in the queue; -1 outside
}

// A flight is one exchange, and what all who wait for it get.
type flight struct {
	done  chan struct{}
	held  *held
	err   error
	first bool
}

// note counts a read as use. As with the pulse, it only stores what changes something.
func (e *entry) note() {
	if !e.used.Load() {
		e.used.Store(true)
	}
}

// raise has what is held meet demands that may be higher than before.
func (e *entry) raise(d demands) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if d = e.demands.and(d); d == e.demands {
		return
	}
	e.demands = d
	if h := e.current.Load(); h != nil {
		e.current.Store(hold(h.record, d, e.memory.now()))
	}
}

func (e *entry) expires() time.Time {
	if h := e.current.Load(); h != nil {
		return h.record.Credential.Expires
	}
	return time.Time{}
}

// slowFlight is how long a caller who could be given a credential with less than the floor left waits for a better.
const slowFlight = 2 * time.Second

// credential is the way of a read that cannot be sure: it asks the clock, and waits for an exchange if it must.
func (e *entry) credential(ctx context.Context) (stile.Credential, error) {
	m := e.memory
	now := m.now()
	e.note()
	h := e.current.Load()
	if h.fresh(now) {
		m.pulse.asked(now)
		return h.record.Credential, nil
	}
	gaveUp := func() error {
		return &stile.Error{Op: "wait for the exchange", Err: fmt.Errorf("gave up waiting: %w", context.Cause(ctx))}
	}
	if ctx.Err() != nil {
		return e.lastGood(gaveUp())
	}
	f, err := e.join(ctx, now)
	if err != nil {
		return e.lastGood(err)
	}
	var slow <-chan time.Time
	if h.alive(now) {
		timer := time.NewTimer(slowFlight)
		defer timer.Stop()
		slow = timer.C
	}
	select {
	case <-f.done:
		if f.err != nil {
			return e.lastGood(f.err)
		}
		if now := m.now(); !f.held.alive(now) {
			return stile.Credential{}, deadOnArrival(f.held.record.Credential)
		}
		return f.held.record.Credential, nil
	case <-slow:
		return e.lastGood(&stile.Error{Op: "wait for the exchange", Err: fmt.Errorf("%w: it is taking long", stile.ErrTemporary)})
	case <-ctx.Done():
		return e.lastGood(gaveUp())
	}
}

// lastGood returns what is held for as long as it lives, and else err.
func (e *entry) lastGood(err error) (stile.Credential, error) {
	if h := e.current.Load(); h.alive(e.memory.now()) {
		return h.record.Credential, nil
	}
	return stile.Credential{}, err
}

// join returns the exchange under way, or starts one; or returns the failure that is remembered.
func (e *entry) join(ctx context.Context, now moment) (*flight, error) {
	e.mu.Lock()
	switch h := e.current.Load(); {
	case e.flight != nil:
		defer e.mu.Unlock()
		return e.flight, nil
	case h.fresh(now): // it came a moment ago
		defer e.mu.Unlock()
		return landed(h), nil
	case e.failure.answers(now):
		defer e.mu.Unlock()
		return nil, e.failure.err
	}
	f := e.begin()
	e.mu.Unlock()
	// One caller giving up must not fail the rest; values still flow.
	ctx = context.WithoutCancel(ctx)
	if !e.memory.start(func() { e.fly(ctx, f, false) }) {
		e.land(f, Record{}, errClosed)
		return nil, errClosed
	}
	return f, nil
}

func landed(h *held) *flight {
	f := &flight{done: make(chan struct{}), held: h}
	close(f.done)
	return f
}

// begin makes the next exchange the caller's to fly. The caller holds the lock.
func (e *entry) begin() *flight {
	e.flight = &flight{done: make(chan struct{}), first: !e.tried}
	e.tried = true
	return e.flight
}

// refresh exchanges with nobody waiting, unless an exchange is under way.
func (e *entry) refresh() {
	e.mu.Lock()
	if e.flight != nil {
		e.mu.Unlock()
		return
	}
	f := e.begin()
	e.mu.Unlock()
	e.fly(e.memory.running, f, true)
}

// fly exchanges, tells all who wait, plans the next time, and saves what came.
func (e *entry) fly(ctx context.Context, f *flight, background bool) {
	m := e.memory
	ctx, cancel := context.WithTimeoutCause(ctx, m.timeout, m.overdue)
	defer cancel()
	defer context.AfterFunc(m.running, cancel)()

	var ended func(Event)
	if m.trace != nil {
		ctx, ended = m.trace(ctx, e.name)
	}
	started := m.now()
	got, err := e.obtain(ctx, f.first, background)
	e.land(f, got.record, err)
	event := Event{Name: e.name, Key: e.crossing.Key(), Stored: got.stored, Took: m.now().elapsed - started.elapsed,
		Kind: got.record.Credential.Kind, Expires: got.record.Credential.Expires, Err: err}
	if ended != nil {
		ended(event) // before the credential is saved: nobody waits for that
	}
	e.tell(ctx, event)
	if got.lease != nil {
		got.lease.end(ctx, got.record, err == nil && !got.stored)
	}
	m.observe(event)
}

// land ends the flight: what came is held, or the failure remembered, and the next time is planned.
func (e *entry) land(f *flight, r Record, err error) {
	m := e.memory
	now, random := m.now(), m.random()
	e.mu.Lock()
	f.err = err
	e.flight = nil
	var next time.Duration
	if err == nil {
		f.held = hold(r, e.demands, now)
		e.current.Store(f.held)
		e.failure = failure{}
		next = f.held.refreshIn(random)
	} else {
		e.failure = e.failure.after(err, now, e.current.Load().left(now), random)
		next = e.failure.wait
		e.note() // a failure is not the end of interest
	}
	alive := e.current.Load().alive(now)
	e.mu.Unlock()
	close(f.done)
	if alive {
		m.plan(e, next)
	}
}

// tell logs how an exchange ended.
func (e *entry) tell(ctx context.Context, v Event) {
	log := e.memory.log
	if e.name != "" {
		log = log.With(slog.String("crossing", e.name))
	}
	if why, ok := errors.AsType[*stile.Error](v.Err); ok && why.Hint != "" {
		log = log.With(slog.String("hint", why.Hint))
	}
	switch {
	case v.Err != nil && e.memory.running.Err() != nil: // it was given up by Close, and nobody waits for it
	case v.Err == nil:
		h := e.current.Load()
		what := "credential exchanged"
		if v.Stored {
			what = "credential taken from the store"
		}
		log.LogAttrs(ctx, slog.LevelInfo, what, slog.String("kind", h.record.Credential.Kind.String()),
			slog.String("principal", h.record.Credential.Principal), slog.Time("expires", v.Expires), slog.Duration("took", v.Took))
	case e.current.Load().alive(e.memory.now()):
		log.LogAttrs(ctx, slog.LevelWarn, "exchange failed, the held credential is still valid",
			slog.Time("expires", e.expires()), slog.String("error", v.Err.Error()))
	default:
		log.LogAttrs(ctx, slog.LevelError, "exchange failed", slog.String("error", v.Err.Error()))
	}
}

func (e *entry) status() Status {
	m := e.memory
	m.mu.Lock()
	due, planned := e.due.wall, e.slot >= 0
	m.mu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	s := Status{Name: e.name, Exchanging: e.flight != nil, Failures: e.failure.row, Err: e.failure.err, FailedAt: e.failure.at}
	switch {
	case planned:
		s.NextRefresh = due
	case e.flight == nil && e.failure.answers(m.now()):
		s.NextRefresh = e.failure.at.Add(e.failure.wait)
	}
	if h := e.current.Load(); h != nil {
		cred := h.record.Credential
		s.Ready, s.Kind, s.Principal, s.Obtained, s.Expires = h.alive(m.now()), cred.Kind, cred.Principal, h.record.Obtained, cred.Expires
	}
	return s
}
