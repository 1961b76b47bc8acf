// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
)

// A crowd is a Memory of so many crossings, and what came of it.
type crowd struct {
	keys int
	life time.Duration // short, so that there is something to measure

	empty, full  float64 // bytes of a crossing without its credential, and with
	refreshes    int64
	cpu          float64 // nanoseconds of the processor, while it was watched
	watched      float64 // nanoseconds
	resting      int     // goroutines of the Memory's while nothing is exchanged
	most         int     // while it refreshes
	slowest      float64 // nanoseconds: reading all keys, each time
	issuers      []*issuer
	keepers      []*keep.Keeper
	memory       *keep.Memory
	goroutinesAt int
}

// keysBench fills one Memory with more and more crossings, and keeps all of them in use.
func keysBench(ctx context.Context, at *place) (report, error) {
	crowds, lasts := []*crowd{{keys: 10, life: time.Second}, {keys: 100, life: time.Second}, {keys: 1000, life: 2 * time.Second},
		{keys: 10_000, life: 4 * time.Second}, {keys: 100_000, life: 12 * time.Second}}, 8*time.Second
	if at.short {
		crowds, lasts = []*crowd{{keys: 100, life: time.Second}}, time.Second
	}
	r := report{notes: []string{"Memory is heap in use after a collection, less what sources and targets take; a credential is an access token of " +
		"1,000 characters, which is its text and what holds it. Every key is read each 200 ms, and their credentials live for seconds, so that " +
		"the Memory refreshes all the time; exchanging itself costs next to nothing here. The rows for credentials of an hour are what this comes to for " +
		"those, by multiplication. All keys of a row were first exchanged together, so their refreshes come in waves, more " +
		"than in life: the longest that reading all of them took is in the worst of these."}}
	perKey, perRefresh := panel{title: "memory of one", unit: size}, panel{title: "processor time of one refresh", unit: span}
	for _, c := range crowds {
		if err := c.run(ctx, lasts); err != nil {
			return report{}, fmt.Errorf("%d keys: %w", c.keys, err)
		}
		r.rows = append(r.rows, c.rows()...)
		label := grouped(c.keys) + " keys"
		perKey.groups = append(perKey.groups, group{label, []bar{{"without its credential", c.empty, true}, {"with it", c.full, true}}})
		perRefresh.groups = append(perRefresh.groups, group{label, []bar{{"", c.perRefresh(), true}}})
	}
	timers, err := countTimers()
	if err != nil {
		return report{}, err
	}
	r.rows = append(r.rows, row{what: "timers of one Memory, 1,000 keys", ours: fmt.Sprint(timers), budget: "does not grow with keys", met: judge(timers <= 2)})
	if !at.short {
		perKey.unit = func(v float64) string { return digits(v) + " B" }
		r.panels = []panel{perKey, perRefresh}
	}
	return r, nil
}

// held is the heap in use, when all that is not is gone.
func held() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

func (c *crowd) run(ctx context.Context, lasts time.Duration) error {
	c.fill()
	defer c.memory.Close()
	before := held()
	for i, target := range c.issuers {
		c.keepers[i] = c.memory.Keep(stile.Cross(anyone, target), keep.Terms{})
	}
	c.empty = (held() - before) / float64(c.keys)
	if _, err := c.readAll(ctx); err != nil {
		return err
	}
	c.full = (held() - before) / float64(c.keys)
	c.resting = runtime.NumGoroutine() - c.goroutinesAt
	if err := c.watch(ctx, lasts); err != nil {
		return err
	}
	// A key that nobody has left is no reason for anything to stay.
	for _, k := range c.keepers {
		k.Close()
	}
	return nil
}

func (c *crowd) fill() {
	text := strings.Repeat("t", 1000)
	c.issuers, c.keepers = make([]*issuer, c.keys), make([]*keep.Keeper, c.keys)
	for i := range c.issuers {
		c.issuers[i] = &issuer{life: c.life, text: text}
	}
	c.goroutinesAt = runtime.NumGoroutine()
	c.memory = keep.NewMemory(keep.WithLimit(c.keys))
}

// readAll reads every key once, by way of a few goroutines where they must wait for exchanges.
func (c *crowd) readAll(ctx context.Context) (time.Duration, error) {
	const readers = 8
	began := time.Now()
	errs := make([]error, readers)
	var all sync.WaitGroup
	for n := range readers {
		all.Go(func() {
			for i := n; i < c.keys; i += readers {
				if _, err := c.keepers[i].Credential(ctx); err != nil {
					errs[n] = err
					return
				}
			}
		})
	}
	all.Wait()
	return time.Since(began), errors.Join(errs...)
}

// watch reads all keys again and again, while they are refreshed.
func (c *crowd) watch(ctx context.Context, lasts time.Duration) error {
	const every = 200 * time.Millisecond
	if err := c.until(ctx, c.life, every); err != nil { // so that not all are due together
		return err
	}
	c.most, c.slowest = 0, 0
	asked, used, began := c.asked(), processorTime(), time.Now()
	if err := c.until(ctx, lasts, every); err != nil {
		return err
	}
	c.refreshes, c.cpu, c.watched = c.asked()-asked, processorTime()-used, nanoseconds(time.Since(began))
	if c.refreshes == 0 {
		return fmt.Errorf("nothing was refreshed in %s", lasts)
	}
	return nil
}

func (c *crowd) until(ctx context.Context, lasts, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < lasts; <-tick.C {
		took, err := c.readAll(ctx)
		if err != nil {
			return err
		}
		c.slowest = max(c.slowest, nanoseconds(took))
		c.most = max(c.most, runtime.NumGoroutine()-c.goroutinesAt)
	}
	return nil
}

func (c *crowd) asked() (n int64) {
	for _, i := range c.issuers {
		n += i.asked.Load()
	}
	return n
}

func (c *crowd) perRefresh() float64 { return c.cpu / float64(c.refreshes) }

func (c *crowd) rows() []row {
	name := grouped(c.keys) + " keys: "
	// Of an hour, a credential is refreshed after 55 minutes less a quarter and what of that is for trying again.
	const hourly = 45 * 60 * 1e9
	return []row{
		{what: name + "memory of one, without and with its credential", ours: size(c.empty) + ", " + size(c.full)},
		{what: name + "processor time of one refresh", ours: fmt.Sprintf("%s (%s a second, for %s of a processor)", span(c.perRefresh()),
			digits(float64(c.refreshes)/c.watched*1e9), percent(c.cpu/c.watched))},
		{what: name + "processor, credentials of an hour", ours: percent(c.perRefresh() * float64(c.keys) / hourly)},
		{what: name + "reading all of them, the longest it took", ours: span(c.slowest)},
		{what: name + "goroutines, at rest and at most", ours: fmt.Sprintf("%d, %d", max(0, c.resting), c.most), budget: "0 at rest", met: judge(c.resting <= 0)},
	}
}

func percent(v float64) string { return digits(v*100) + " %" }

// countTimers counts the timers that 1,000 keys leave behind, by the profile of the heap: who made each live object.
func countTimers() (int64, error) {
	before := runtime.MemProfileRate
	runtime.MemProfileRate = 1
	defer func() { runtime.MemProfileRate = before }()
	live := liveTimers()
	c := crowd{keys: 1000, life: time.Hour}
	c.fill()
	defer c.memory.Close()
	for i, target := range c.issuers {
		c.keepers[i] = c.memory.Keep(stile.Cross(anyone, target), keep.Terms{})
	}
	if _, err := c.readAll(context.Background()); err != nil {
		return 0, err
	}
	return liveTimers() - live, nil
}

func liveTimers() (n int64) {
	runtime.GC()
	runtime.GC()
	runtime.GC() // the profile tells of the cycle before
	records := make([]runtime.MemProfileRecord, 1024)
	for {
		filled, ok := runtime.MemProfile(records, false)
		if ok {
			records = records[:filled]
			break
		}
		records = make([]runtime.MemProfileRecord, 2*filled)
	}
	for _, r := range records {
		for frames := runtime.CallersFrames(r.Stack()); ; {
			frame, more := frames.Next()
			if frame.Function == "time.AfterFunc" || frame.Function == "time.NewTimer" || frame.Function == "time.newTimer" {
				n += r.InUseObjects()
				break
			}
			if !more {
				break
			}
		}
	}
	return n
}
