// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"sync"
	"time"
)

// An allowance is a request's context with a deadline for which no timer runs until somebody waits. Handlers mostly
// answer from memory, and a timer would cost more than they do.
type allowance struct {
	context.Context //nolint:containedctx // the request's own, which ends once it is answered
	until           time.Time

	mu     sync.Mutex
	timed  context.Context //nolint:containedctx // nil until somebody waits
	cancel context.CancelFunc
}

func allow(ctx context.Context, d time.Duration) *allowance {
	return &allowance{Context: ctx, until: time.Now().Add(d)}
}

// Deadline is when the time is up.
func (a *allowance) Deadline() (time.Time, bool) { return a.until, true }

// Done starts the timer.
func (a *allowance) Done() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timed == nil {
		a.timed, a.cancel = context.WithDeadline(a.Context, a.until)
	}
	return a.timed.Done()
}

// Err needs no timer.
func (a *allowance) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timed != nil {
		return a.timed.Err()
	}
	if err := a.Context.Err(); err != nil {
		return err
	}
	if !time.Now().Before(a.until) {
		return context.DeadlineExceeded
	}
	return nil
}

// Value lets package context find the timer's own context, whose children need no goroutine.
func (a *allowance) Value(key any) any {
	a.mu.Lock()
	timed := a.timed
	a.mu.Unlock()
	if timed != nil {
		return timed.Value(key)
	}
	return a.Context.Value(key)
}

func (a *allowance) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cancel != nil {
		a.cancel()
	}
}
