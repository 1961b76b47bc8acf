// SPDX-License-Identifier: Apache-2.0

package keep

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile"
)

// absent is the timer of a process that notices everything d later than it is.
func absent(d time.Duration) func(time.Duration, func()) *time.Timer {
	return func(in time.Duration, f func()) *time.Timer { return time.AfterFunc(in+d, f) }
}

func TestPatience(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ d, absent, want time.Duration }{
		{time.Second, 0, time.Second},
		{time.Second, 1500 * time.Millisecond, 61 * time.Second},
		{time.Second, time.Hour, 40*time.Hour + time.Second},
		{19, 0, 19},
		{15, time.Second, 15*time.Second + 15},
		{1, 0, 1},
		{0, time.Second, 0},
		{-time.Second, time.Second, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := patiently(t.Context(), c.d, absent(c.absent))
			defer cancel()
			if _, set := ctx.Deadline(); set {
				t.Error("it has a deadline, which others would count by the clock")
			}
			began := time.Now()
			<-ctx.Done()
			if took := time.Since(began); took != c.want || !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
				t.Errorf("%s, by a process that is %s late: %v after %s, want %s", c.d, c.absent, context.Cause(ctx), took, c.want)
			}
		})
	}
}

func TestPatienceEndsEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		bounded, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		ctx, cancel := patiently(bounded, time.Second, absent(time.Hour))
		defer cancel()
		if <-ctx.Done(); time.Since(began) != time.Minute || ctx.Err() != context.DeadlineExceeded {
			t.Errorf("%v after %s, want the end of what bounds it", ctx.Err(), time.Since(began))
		}
		var last atomic.Pointer[time.Timer]
		ctx, cancel = patiently(t.Context(), time.Second, func(d time.Duration, f func()) *time.Timer {
			timer := time.AfterFunc(d, f)
			last.Store(timer)
			return timer
		})
		time.Sleep(150 * time.Millisecond)
		cancel()
		if <-ctx.Done(); context.Cause(ctx) != context.Canceled || last.Load().Stop() { //nolint:errorlint // what it must be
			t.Errorf("given up: %v, and a timer that may still run", context.Cause(ctx))
		}
		time.Sleep(time.Hour) // the timers of what another bounds end by themselves
	})
}

// distant is a store that answers after a while.
type distant struct {
	Store
	after time.Duration
}

func (d distant) Load(ctx context.Context, _ stile.Key) (Record, error) {
	select {
	case <-time.After(d.after):
		return Record{}, nil
	case <-ctx.Done():
		return Record{}, context.Cause(ctx)
	}
}

// TestGuardMindsItsOwnAbsence: a process that was not there to hear an answer does not take the store for broken.
func TestGuardMindsItsOwnAbsence(t *testing.T) {
	t.Parallel()
	const late = 1500 * time.Millisecond
	for _, c := range []struct {
		absent, answers time.Duration
		costs           time.Duration
		fails           bool
	}{
		{absent: 0, answers: time.Second - 1, costs: time.Second - 1},
		{absent: 0, answers: time.Second + 1, costs: time.Second, fails: true},
		{absent: late, answers: time.Minute, costs: time.Minute},
		{absent: late, answers: 62 * time.Second, costs: time.Second + 40*late, fails: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			memory := NewMemory()
			defer memory.Close()
			g := &guard{store: distant{after: c.answers}, memory: memory, after: absent(c.absent)}
			began := time.Now()
			_, err := g.load(t.Context(), stile.Key{})
			if took := time.Since(began); took != c.costs || (err != nil) != c.fails || c.fails && !errors.Is(err, context.DeadlineExceeded) || g.resting() != c.fails {
				t.Errorf("%s late, with an answer after %s: %v after %s, resting: %v", c.absent, c.answers, err, took, g.resting())
			}
			time.Sleep(time.Hour)
		})
	}
}
