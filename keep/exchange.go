// SPDX-License-Identifier: Apache-2.0

package keep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stile-project/stile"
)

// got is what one flight brought.
type got struct {
	record Record
	stored bool     // taken from the store: nothing was exchanged
	lease  *holding // to end once the record is saved; nil without one
}

// obtain takes the credential from the store where a newer one is, and else exchanges, as the only one who does where
// there is a store.
func (e *entry) obtain(ctx context.Context, first, background bool) (got, error) {
	g := e.memory.store
	if g == nil || g.resting() {
		return e.alone(ctx, first, background)
	}
	key, err := e.storeKey(ctx, first)
	switch {
	case unreachable(err): // the exchange would ask the same source, a third time
		return got{}, err
	case err != nil:
		return e.alone(ctx, first, background)
	}
	began := e.memory.now().elapsed
	for n := 0; ; n++ {
		looked := e.memory.now().elapsed
		if r, err := g.load(ctx, key); err == nil && e.better(r) {
			return got{record: r, stored: true}, nil
		}
		lease, err := g.lease(ctx, key)
		switch {
		case err != nil: // the store is out of order
			return e.alone(ctx, first, background)
		case lease != nil:
			return e.leading(ctx, key, lease, first, background)
		}
		now := e.memory.now().elapsed
		if err := wait(ctx, pollIn(n, now-looked, now-began, e.memory.random())); err != nil {
			return got{}, &stile.Error{Op: "wait for another process's exchange", Err: err}
		}
	}
}

// leading exchanges under the lease, unless the one who held it before has just done so.
func (e *entry) leading(ctx context.Context, key stile.Key, lease Lease, first, background bool) (got, error) {
	held := e.memory.store.hold(ctx, key, lease)
	if r, err := e.memory.store.load(ctx, key); err == nil && e.better(r) {
		return got{record: r, stored: true, lease: held}, nil
	}
	g, err := e.alone(ctx, first, background)
	g.lease = held
	return g, err
}

// better reports whether what the store has spares the exchange. What has too little life left for that is held all
// the same where nothing better is, for the case that no exchange succeeds.
func (e *entry) better(r Record) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.memory.now()
	stored, current := hold(r, e.demands, now), e.current.Load()
	if !stored.newer(current) {
		return false
	}
	if !stored.fresh(now) && stored.alive(now) {
		e.current.Store(stored)
	}
	return stored.fresh(now)
}

// pollIn is how long to wait for another's exchange before looking again, after the nth look, from 0, which took so long,
// and so long a wait in all. Many who wait on one machine keep the one they wait for from the processor, and one another
// from the store: then looking takes long, and they look less often. That costs nobody more than a quarter of what they
// have waited already.
func pollIn(n int, looking, waited time.Duration, random float64) time.Duration {
	const first, most, longest, times = 10 * time.Millisecond, 250 * time.Millisecond, 2 * time.Second, 16
	d := min(first<<min(n/2, 5), most)
	d = max(d, min(times*looking, waited/4, longest))
	return d/2 + time.Duration(random*float64(d/2))
}

// alone exchanges, and again where that can help.
func (e *entry) alone(ctx context.Context, first, background bool) (got, error) {
	m := e.memory
	doubted := m.now().elapsed + m.propagation
	for n := 0; ; n++ {
		r, err := e.exchange(ctx)
		if err == nil || background || n+1 >= attempts && !propagating(err) {
			return got{record: r}, err
		}
		d := backoff(firstRetry, n, m.random())
		switch {
		case lasting(err):
			left := doubted - m.now().elapsed
			if !first || !propagating(err) || left <= 0 {
				return got{}, err
			}
			d = min(d, left)
		case retryAfter(err) > patience || ctx.Err() != nil:
			return got{}, err
		default:
			d = max(d, retryAfter(err))
		}
		if wait(ctx, d) != nil {
			return got{}, err
		}
	}
}

const (
	// lastWords is how long an exchange whose time is up has to say which step it was at.
	lastWords = 500 * time.Millisecond
	// hanging is how many exchanges of one crossing may hang on past their time: a source that never returns must not
	// pile up more and more of them.
	hangingLimit = 3
)

// exchange crosses once. It returns when ctx ends even if source or target do not.
func (e *entry) exchange(ctx context.Context) (Record, error) {
	const op = "exchange"
	e.mu.Lock()
	hanging := e.hanging
	e.mu.Unlock()
	if hanging >= hangingLimit {
		return Record{}, &stile.Error{Op: op, Hint: "the source or the target ignores its deadline; see where the program hangs",
			Err: fmt.Errorf("%w: %d earlier exchanges have not returned", stile.ErrTemporary, hanging)}
	}
	type answer struct {
		cred stile.Credential
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		cred, err := e.crossing.Credential(ctx)
		answered <- answer{cred, err}
	}()
	var a answer
	select {
	case a = <-answered:
	case <-ctx.Done():
		timer := time.NewTimer(lastWords)
		defer timer.Stop()
		select {
		case a = <-answered:
		case <-timer.C:
			e.count(+1)
			go func() {
				<-answered
				e.count(-1)
			}()
			return Record{}, &stile.Error{Op: op, Err: fmt.Errorf("neither source nor target returned: %w", context.Cause(ctx))}
		}
	}
	if a.err != nil {
		return Record{}, a.err
	}
	now := e.memory.now()
	if !a.cred.Expires.After(now.wall) {
		return Record{}, deadOnArrival(a.cred)
	}
	return Record{Credential: a.cred, Obtained: now.wall}, nil
}

func (e *entry) count(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hanging += n
}

func deadOnArrival(c stile.Credential) error {
	return &stile.Error{Op: "keep the credential", Hint: "check this machine's clock",
		Err: fmt.Errorf("%w: it expired at %s, before it arrived", stile.ErrTemporary, c.Expires.UTC().Format(time.RFC3339))}
}

// provingTimeout bounds the proof of identity that a shared store's key is made of: it may ask the workload's cloud.
const provingTimeout = 10 * time.Second

// storeKey is made anew each time, for whom the source speaks for can change while the process lives. While it cannot
// be told, the store is not used for this crossing. Many who start at once ask one source, such as a machine's metadata
// server, so one that is short of time is asked once more: else each of them would exchange alone.
func (e *entry) storeKey(ctx context.Context, first bool) (stile.Key, error) {
	e.mu.Lock()
	unkept := e.unkept
	e.mu.Unlock()
	if unkept {
		return stile.Key{}, stile.ErrMisuse
	}
	crossing := e.crossing
	if !first {
		crossing = crossing.Again()
	}
	key, err := e.prove(ctx, crossing)
	if errors.Is(err, stile.ErrTemporary) && retryAfter(err) <= patience {
		if !unreachable(err) && wait(ctx, max(backoff(firstRetry, 0, e.memory.random()), retryAfter(err))) != nil {
			return stile.Key{}, err
		}
		key, err = e.prove(ctx, crossing)
	}
	if err != nil && !unreachable(err) {
		e.mu.Lock()
		e.unkept = errors.Is(err, stile.ErrMisuse)
		e.mu.Unlock()
		e.memory.log.WarnContext(ctx, "this credential is not shared", "crossing", e.name, "error", err.Error())
	}
	return key, err
}

// prove asks once.
func (e *entry) prove(ctx context.Context, crossing stile.Crossing) (stile.Key, error) {
	ctx, cancel := Patience(ctx, provingTimeout)
	defer cancel()
	return e.memory.store.store.Key(ctx, crossing)
}

// wait returns early, with the cause, when ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
