// SPDX-License-Identifier: Apache-2.0

package keep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/stile-project/stile"
)

const (
	// DefaultFloor is the least remaining life of what a keeper hands out, unless a credential's whole life is shorter.
	DefaultFloor = 5 * time.Minute
	// DefaultTimeout bounds one exchange with its retries.
	DefaultTimeout = 2 * time.Minute
	// DefaultPropagation is how long a refusal is doubted at a crossing's first use: it may be that the IAM change
	// which allows it has not arrived everywhere.
	DefaultPropagation = 2 * time.Second
	// DefaultLimit is how many crossings a Memory knows at once.
	DefaultLimit = 1024
)

// Memory keeps the credentials of many crossings in this process. Crossings with equal keys share one credential and
// one exchange. It has one timer for all of them, and no goroutine but those that exchange; what nobody has asked for
// since it was last refreshed is refreshed no more. A Memory that is dropped without Close comes to rest by itself.
//
// One crossing takes about 1 KiB beside its credential and the source and the target themselves.
type Memory struct {
	floor       time.Duration
	timeout     time.Duration
	overdue     error // what an exchange fails with that takes longer
	propagation time.Duration
	limit       int
	clock       func() time.Time
	random      func() float64
	log         *slog.Logger
	observe     func(Event)
	store       *guard // nil without one
	trace       func(context.Context, string) (context.Context, func(Event))

	born    time.Time // where elapsed time begins
	pulse   *pulse
	running context.Context //nolint:containedctx // ends what runs detached from every caller
	stop    context.CancelFunc
	work    sync.WaitGroup // exchanges, and what is being saved

	mu       sync.Mutex
	entries  map[stile.Key]*entry
	schedule schedule
	closed   bool
}

// An Option changes a [Memory] from its defaults.
type Option func(*Memory)

// WithFloor sets the least remaining life of what is handed out, where [Terms] do not. Default: [DefaultFloor].
func WithFloor(d time.Duration) Option { return func(m *Memory) { m.floor = d } }

// WithTimeout bounds one exchange with its retries, whoever still waits for it. What is cut short fails with cause; nil
// is a [stile.ErrTemporary] that names d. Default: [DefaultTimeout].
func WithTimeout(d time.Duration, cause error) Option {
	return func(m *Memory) { m.timeout, m.overdue = d, cause }
}

// WithPropagation sets for how long after a crossing's first use a refusal with status 403 is asked again, because the
// trust may have been set up a moment ago. Zero: not at all. Default: [DefaultPropagation].
func WithPropagation(d time.Duration) Option { return func(m *Memory) { m.propagation = d } }

// WithLimit sets how many crossings are known at once; past it, one without a credential or with the one that expires
// first makes room, and is shared no more. Default: [DefaultLimit].
func WithLimit(n int) Option { return func(m *Memory) { m.limit = n } }

// WithClock sets the wall clock that expiry is judged by. Default: time.Now.
func WithClock(now func() time.Time) Option { return func(m *Memory) { m.clock = now } }

// WithRandom sets what jitter is made of: numbers from 0 up to 1. It must be safe for concurrent use.
// Default: math/rand/v2.
func WithRandom(float func() float64) Option { return func(m *Memory) { m.random = float } }

// WithLogger sets where exchanges and failures are noted. Default: nowhere.
func WithLogger(log *slog.Logger) Option { return func(m *Memory) { m.log = log } }

// WithObserver has every exchange told to observe, once it has ended. It is called with no lock held, and holds up
// nobody but the exchange after that.
func WithObserver(observe func(Event)) Option { return func(m *Memory) { m.observe = observe } }

// WithTracing has begin called before every exchange, with the name of the [Terms]. The context that it returns is the
// exchange's: source, target and store are called with it. What it returns beside that is told the end, when all who
// waited have their answer. begin is called with no lock held, and from many goroutines.
func WithTracing(begin func(ctx context.Context, name string) (context.Context, func(Event))) Option {
	return func(m *Memory) { m.trace = begin }
}

// WithStore adds what other processes keep, and saves there. Each call to it may take as long as deadline; zero is
// [DefaultStoreDeadline]. A store that fails is left alone for a while, which is logged once, and the Memory works as if
// there were none.
func WithStore(s Store, deadline time.Duration) Option {
	return func(m *Memory) { m.store = &guard{store: s, deadline: deadline} }
}

// NewMemory makes an empty Memory.
func NewMemory(opts ...Option) *Memory {
	m := &Memory{floor: DefaultFloor, timeout: DefaultTimeout, propagation: DefaultPropagation, limit: DefaultLimit,
		clock: time.Now, random: rand.Float64, log: slog.New(slog.DiscardHandler), observe: func(Event) {},
		born: time.Now(), entries: map[stile.Key]*entry{}}
	for _, opt := range opts {
		opt(m)
	}
	if m.overdue == nil {
		m.overdue = fmt.Errorf("%w: not done within %s", stile.ErrTemporary, m.timeout)
	}
	m.pulse = newPulse(m.now)
	m.running, m.stop = context.WithCancel(context.Background())
	if m.store != nil {
		m.store.memory = m
	}
	return m
}

// now is the moment by both clocks.
func (m *Memory) now() moment {
	return moment{m.clock().Round(0), time.Since(m.born)}
}

// Terms are how one crossing is kept. Where equal crossings differ, the stricter terms count for both.
type Terms struct {
	Name  string        // in logs, events and Status; decides nothing
	Floor time.Duration // the least remaining life; zero: the Memory's
	// Age is the most time since a credential was obtained, for readers who take its life to begin when they get it.
	// While an exchange is impossible an older one is handed out all the same. Zero: any.
	Age time.Duration
}

// Keep keeps the crossing's credential. Nothing is exchanged before the first use.
func (m *Memory) Keep(c stile.Crossing, t Terms) *Keeper {
	floor := t.Floor
	if floor == 0 {
		floor = m.floor
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entries[c.Key()]
	if e == nil {
		if len(m.entries) >= m.limit {
			m.evict()
		}
		e = &entry{memory: m, crossing: c, name: t.Name, slot: -1}
		m.entries[c.Key()] = e
	}
	e.keepers++
	e.raise(demands{floor, t.Age})
	return &Keeper{entry: e, pulse: m.pulse, memory: m}
}

// evict makes room for one more. Who keeps the evicted crossing goes on with it alone.
func (m *Memory) evict() {
	var first *entry
	for _, e := range m.entries {
		if first == nil || e.expires().Before(first.expires()) {
			first = e
		}
	}
	if first != nil {
		delete(m.entries, first.crossing.Key())
	}
}

// drop forgets an entry that has no keeper left.
func (m *Memory) drop(e *entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.keepers--; e.keepers > 0 {
		return
	}
	if m.entries[e.crossing.Key()] == e {
		delete(m.entries, e.crossing.Key())
	}
	m.schedule.remove(e)
	e.retired.Store(true)
}

// Close ends exchanges that are under way and refreshes nothing from then on. It returns once what is being saved is
// saved, within the store's deadline. What is held can be read until it is no longer fresh.
func (m *Memory) Close() {
	m.mu.Lock()
	m.closed = true
	m.schedule.stop()
	m.mu.Unlock()
	m.pulse.stop()
	m.stop()
	m.work.Wait()
}

// start runs work that Close waits for. It reports whether the Memory still runs.
func (m *Memory) start(work func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.work.Go(work)
	return true
}

var errClosed = &stile.Error{Op: "exchange", Hint: "keep the Memory open for as long as its keepers are used",
	Err: errors.Join(stile.ErrMisuse, errors.New("the memory was closed"))}
