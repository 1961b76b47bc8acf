// SPDX-License-Identifier: Apache-2.0

// Package keep holds credentials fresh. [New] keeps one crossing's credential in memory; crossings that share a
// [Memory] share a credential exactly when everything that decides it is equal.
package keep

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/stile-project/stile"
)

const (
	// DefaultFloor is the least remaining life of what a keeper hands out, unless a credential's whole life is shorter.
	DefaultFloor = 5 * time.Minute
	// exchangeTimeout bounds an exchange that every caller has given up on.
	exchangeTimeout = 2 * time.Minute
)

// A Keeper holds one crossing's credential. It is safe for concurrent use, starts no goroutine that outlives an
// exchange, and needs no closing.
type Keeper struct {
	crossing stile.Crossing
	memory   *Memory
	floor    time.Duration
	clock    func() time.Time
	log      *slog.Logger

	current atomic.Pointer[held]
}

type held struct {
	credential stile.Credential
	obtained   time.Time
}

// An Option changes a Keeper from its defaults.
type Option func(*Keeper)

// WithFloor sets the least remaining life of what is handed out. Default: [DefaultFloor].
func WithFloor(d time.Duration) Option { return func(k *Keeper) { k.floor = d } }

// WithClock sets the clock that expiry is judged by. Default: time.Now.
func WithClock(now func() time.Time) Option { return func(k *Keeper) { k.clock = now } }

// WithLogger sets where exchanges and their failures are noted. Default: nowhere.
func WithLogger(log *slog.Logger) Option { return func(k *Keeper) { k.log = log } }

// In shares what is kept, and the exchanges that are under way, with the other keepers of m.
// Default: a Memory of its own.
func In(m *Memory) Option { return func(k *Keeper) { k.memory = m } }

// New keeps the crossing's credential. Nothing is exchanged before the first use.
func New(c stile.Crossing, opts ...Option) *Keeper {
	k := &Keeper{crossing: c, floor: DefaultFloor, clock: time.Now, log: slog.New(slog.DiscardHandler)}
	for _, opt := range opts {
		opt(k)
	}
	if k.memory == nil {
		k.memory = NewMemory()
	}
	return k
}

// Credential returns a credential with at least the floor of life left, exchanging only when none is held. Concurrent
// callers share one exchange, and one who gives up fails alone. If an exchange fails while the held credential is
// still valid, that one is returned until its true expiry.
func (k *Keeper) Credential(ctx context.Context) (stile.Credential, error) {
	if h := k.current.Load(); k.fresh(h) {
		return h.credential, nil
	}
	done := k.memory.flight.DoChan(k.crossing.Key().String()+k.floor.String(), func() (any, error) {
		return k.renew(ctx)
	})
	select {
	case <-ctx.Done():
		return stile.Credential{}, &stile.Error{Op: "wait for the exchange", Err: fmt.Errorf("gave up waiting: %w", context.Cause(ctx))}
	case result := <-done:
		if result.Err != nil {
			return k.lastGood(ctx, result.Err)
		}
		h := result.Val.(*held)
		k.current.Store(h)
		return h.credential, nil
	}
}

// renew runs once for all callers of a key.
func (k *Keeper) renew(ctx context.Context) (*held, error) {
	if h := k.memory.get(k.crossing.Key()); k.fresh(h) {
		return h, nil
	}
	// One caller giving up must not fail the rest; values still flow.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exchangeTimeout)
	defer cancel()
	cred, err := k.crossing.Credential(ctx)
	if err != nil {
		return nil, err
	}
	now := k.clock()
	if !cred.Expires.After(now) {
		return nil, &stile.Error{Op: "keep the credential", Hint: "check this machine's clock",
			Err: fmt.Errorf("%w: it expired at %s, before it arrived", stile.ErrTemporary, cred.Expires.UTC().Format(time.RFC3339))}
	}
	h := &held{credential: cred, obtained: now}
	k.memory.put(k.crossing.Key(), h)
	k.log.LogAttrs(ctx, slog.LevelInfo, "credential exchanged",
		slog.String("kind", cred.Kind.String()), slog.String("principal", cred.Principal), slog.Time("expires", cred.Expires))
	return h, nil
}

func (k *Keeper) lastGood(ctx context.Context, err error) (stile.Credential, error) {
	h := k.memory.get(k.crossing.Key())
	if h == nil || !h.credential.Expires.After(k.clock()) {
		return stile.Credential{}, err
	}
	k.log.LogAttrs(ctx, slog.LevelWarn, "exchange failed, the held credential is still valid",
		slog.Time("expires", h.credential.Expires), slog.String("error", err.Error()))
	return h.credential, nil
}

// fresh reports whether h may be handed out with no exchange. Where a credential's whole life is short, half of it is
// the floor: a floor that nothing can meet would mean an exchange for every caller.
func (k *Keeper) fresh(h *held) bool {
	if h == nil {
		return false
	}
	left := h.credential.Expires.Sub(k.clock())
	whole := h.credential.Expires.Sub(h.obtained)
	return left > 0 && left >= min(k.floor, whole/2)
}
