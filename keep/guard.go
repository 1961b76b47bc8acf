// SPDX-License-Identifier: Apache-2.0

package keep

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/stile-project/stile"
)

const (
	// DefaultStoreDeadline is how long a store has for one call, counted as [Patience] does.
	DefaultStoreDeadline = time.Second

	firstRest   = 30 * time.Second // how long a store that failed is left alone: doubled for each failure in a row
	longestRest = 10 * time.Minute
)

var errResting = errors.New("the store failed a while ago, and is left alone")

// A guard stands between a Memory and its store. Whatever the store does costs one deadline.
type guard struct {
	store    Store
	deadline time.Duration
	memory   *Memory
	after    func(time.Duration, func()) *time.Timer // nil: time.AfterFunc

	mu     sync.Mutex
	failed int             // in a row
	broken map[string]bool // what did not work when it was last tried
	rest   limit
}

// ask has the store do one thing. A failure that is not the caller's own giving up sends the store to rest. What
// comes too late goes to late.
func ask[T any](ctx context.Context, g *guard, what string, do func(context.Context) (T, error), late func(T)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	deadline := g.deadline
	if deadline == 0 {
		deadline = DefaultStoreDeadline
	}
	bounded, cancel := patiently(ctx, deadline, g.timer())
	defer cancel()
	answered, gone := make(chan answer), make(chan struct{})
	go func() {
		value, err := do(bounded)
		select {
		case answered <- answer{value, err}:
		case <-gone:
			if err == nil {
				late(value)
			}
		}
	}()
	var a answer
	select {
	case a = <-answered:
	case <-bounded.Done():
		select {
		case a = <-answered: // just in time
		default:
			close(gone)
			a.err = context.Cause(bounded)
		}
	}
	if a.err == nil || ctx.Err() == nil {
		g.judge(ctx, what, a.err)
	}
	return a.value, a.err
}

func (g *guard) timer() func(time.Duration, func()) *time.Timer {
	if g.after != nil {
		return g.after
	}
	return time.AfterFunc
}

func (g *guard) resting() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failed > 0 && !g.rest.passed(g.memory.now())
}

// judge sends a store that failed to rest, and says so once until all that failed works again: a store that is full
// or may only be read still loads.
func (g *guard) judge(ctx context.Context, what string, err error) {
	m := g.memory
	g.mu.Lock()
	before := len(g.broken)
	if err == nil || errors.Is(err, ErrAbsent) {
		if delete(g.broken, what); len(g.broken) == 0 {
			g.failed = 0
		}
	} else {
		if g.broken == nil {
			g.broken = map[string]bool{}
		}
		g.broken[what] = true
		g.rest = m.now().in(min(firstRest<<min(g.failed, 10), longestRest))
		g.failed++
	}
	after := len(g.broken)
	g.mu.Unlock()
	switch {
	case before == 0 && after > 0:
		m.log.LogAttrs(ctx, slog.LevelWarn, "the store failed: going on without it", slog.String("while", what), slog.String("error", err.Error()))
	case before > 0 && after == 0:
		m.log.LogAttrs(ctx, slog.LevelInfo, "the store works again")
	}
}

func (g *guard) load(ctx context.Context, key stile.Key) (Record, error) {
	if g.resting() {
		return Record{}, errResting
	}
	return ask(ctx, g, "loading", func(ctx context.Context) (Record, error) { return g.store.Load(ctx, key) }, func(Record) {})
}

// lease returns nil where another holds it.
func (g *guard) lease(ctx context.Context, key stile.Key) (Lease, error) {
	if g.resting() {
		return nil, errResting
	}
	return ask(ctx, g, "taking a lease", func(ctx context.Context) (Lease, error) { return g.store.Lease(ctx, key) }, func(l Lease) {
		if l != nil {
			_ = l.Release(context.WithoutCancel(ctx)) // it ends with its term
		}
	})
}

// tell is ask for what has no answer but an error.
func (g *guard) tell(ctx context.Context, what string, do func(context.Context) error) error {
	_, err := ask(ctx, g, what, func(ctx context.Context) (struct{}, error) { return struct{}{}, do(ctx) }, func(struct{}) {})
	return err
}

// A holding is a lease that is extended until it is ended.
type holding struct {
	guard  *guard
	key    stile.Key
	lease  Lease
	cancel context.CancelFunc
	done   chan struct{}
}

// hold extends the lease for as long as the exchange takes.
func (g *guard) hold(ctx context.Context, key stile.Key, l Lease) *holding {
	ctx, cancel := context.WithCancel(ctx)
	h := &holding{guard: g, key: key, lease: l, cancel: cancel, done: make(chan struct{})}
	if l.Term() <= 0 {
		close(h.done)
		return h
	}
	go func() {
		defer close(h.done)
		for wait(ctx, l.Term()/3) == nil {
			// A lease that is lost is no more than a second exchange: the one under way goes on.
			if g.tell(ctx, "extending a lease", l.Extend) != nil {
				return
			}
		}
	}()
	return h
}

// end saves what came and gives the lease up. Neither depends on who still waits.
func (h *holding) end(ctx context.Context, r Record, came bool) {
	h.cancel()
	<-h.done
	ctx = context.WithoutCancel(ctx)
	if came && !h.guard.resting() {
		_ = h.guard.tell(ctx, "saving", func(ctx context.Context) error { return h.guard.store.Save(ctx, h.key, r) }) // logged
	}
	_ = h.guard.tell(ctx, "giving a lease up", h.lease.Release) // logged
}
