// SPDX-License-Identifier: Apache-2.0

package keep

import (
	"context"
	"sync/atomic"
	"time"
)

// patienceParts is how many times a process has to be there to hear an answer before it gives up. What asks a store
// takes several turns of the processor: to connect, to introduce itself, to ask. And who notices a part's end may be
// another thread than the one that asks, which waits longer for its turn: with ten parts, all had ended for some of a
// thousand processes that began at once, while that thread still waited. Each part wakes the process once.
const patienceParts = 40

// Patience is context.WithTimeout for who waits on a store. The context ends, with context.DeadlineExceeded as its cause,
// once the store has had d to answer while this process was there to hear it.
//
// The time is waited for in forty parts, and each begins when the process has noticed the end of the one before. A process
// that gets no processor, because the machine has too much to do or because it was stopped, so does not count its own
// absence against the store; where nothing keeps it waiting, it gives up after exactly d. How long that may become is
// for ctx to bound. What is returned has no deadline of its own, which a network connection would count by the clock.
func Patience(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return patiently(ctx, d, time.AfterFunc)
}

// patiently has after tell when a part is over.
func patiently(ctx context.Context, d time.Duration, after func(time.Duration, func()) *time.Timer) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	part := max(d/patienceParts, 1)
	var timer atomic.Pointer[time.Timer]
	var wait func(left time.Duration)
	wait = func(left time.Duration) {
		switch {
		case ctx.Err() != nil:
		case left <= 0:
			cancel(context.DeadlineExceeded)
		default:
			next := min(part, left)
			timer.Store(after(next, func() { wait(left - next) }))
		}
	}
	wait(d)
	return ctx, func() {
		cancel(context.Canceled)
		if t := timer.Load(); t != nil {
			t.Stop() // or else it would wake the process, which is dear where many wait for a processor
		}
	}
}
