// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

// A rotating is one contender of the rotation bench: many caches of one kind, and who reads them.
type rotating struct {
	name   string
	caches []cache
	logs   []readLog // one for each reader
	err    error
}

// A readLog is what one reader saw.
type readLog struct {
	took   []float64 // nanoseconds
	slow   int       // over slowRead
	during int       // of those, while the cache's token was being exchanged
	waited int       // took half an exchange or longer
}

// slowRead is what the budget allows a refresh to cost a reader.
const slowRead = time.Millisecond

// A course is how the rotation bench runs.
type course struct {
	life, takes, lasts, every time.Duration
	caches, readers           int
}

// rotationBench reads while tokens are replaced. All contenders run at once, so that what else the machine does falls on
// all alike; the control is Stile with a token that is never replaced.
func rotationBench(ctx context.Context, at *place) (report, error) {
	// The exchange fits into what Stile leaves for it: it refreshes, at the latest, a fortieth of such a short life
	// before the floor.
	c := course{life: 10 * time.Second, takes: 200 * time.Millisecond, lasts: 24 * time.Second, every: time.Millisecond, caches: 16, readers: 4}
	if at.short {
		c = course{life: 1200 * time.Millisecond, takes: 10 * time.Millisecond, lasts: 1500 * time.Millisecond, every: time.Millisecond, caches: 4, readers: 2}
	}
	contenders := []*rotating{c.ready("control: keep.Keeper, nothing replaced", kinds[0], time.Hour)}
	for _, k := range kinds {
		if k.name != "auth.Credentials" { // the same cache as the one before
			contenders = append(contenders, c.ready(k.name, k, c.life))
		}
	}
	var all sync.WaitGroup
	for _, r := range contenders {
		all.Go(func() { r.err = r.run(ctx, c) })
	}
	all.Wait()
	for _, r := range contenders {
		for _, one := range r.caches {
			one.close()
		}
		if r.err != nil {
			return report{}, fmt.Errorf("%s: a read failed: %w", r.name, r.err)
		}
	}
	return c.report(contenders)
}

func (c course) ready(name string, k kind, life time.Duration) *rotating {
	r := &rotating{name: name, logs: make([]readLog, c.readers)}
	for range c.caches {
		r.caches = append(r.caches, k.make(&issuer{life: life, takes: c.takes, text: "token"}, c.life/2))
	}
	return r
}

// run fills the caches, and then has them read.
func (r *rotating) run(ctx context.Context, c course) error {
	errs := make([]error, max(len(r.caches), c.readers))
	var filled sync.WaitGroup
	for i, one := range r.caches {
		filled.Go(func() { errs[i] = one.reads(1) })
	}
	filled.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.lasts)
	defer cancel()
	var read sync.WaitGroup
	for i := range c.readers {
		read.Go(func() { errs[i] = r.logs[i].read(ctx, r.caches, i, c) })
	}
	read.Wait()
	return errors.Join(errs...)
}

// read goes round the caches, a read at each tick, until ctx ends.
func (l *readLog) read(ctx context.Context, caches []cache, from int, c course) error {
	l.took = make([]float64, 0, c.lasts/c.every)
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	for n := from; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return nil
			}
			return context.Cause(ctx)
		}
		one := caches[n%len(caches)]
		flying := one.issuer.flying.Load() > 0
		began := time.Now()
		err := one.reads(1)
		took := time.Since(began)
		if err != nil {
			return err
		}
		l.took = append(l.took, nanoseconds(took))
		if took > slowRead {
			l.slow++
			if flying || one.issuer.flying.Load() > 0 || took >= c.takes/2 {
				l.during++
			}
		}
		if took >= c.takes/2 {
			l.waited++
		}
	}
}

// A rotated is what came of one contender.
type rotated struct {
	took                  []float64
	slow, during, waited  int
	replaced              int64
	p50, p99, p999, worst float64
}

func (r *rotating) sum() (s rotated) {
	for _, l := range r.logs {
		s.took = append(s.took, l.took...)
		s.slow, s.during, s.waited = s.slow+l.slow, s.during+l.during, s.waited+l.waited
	}
	for _, one := range r.caches {
		s.replaced += one.issuer.asked.Load() - 1
	}
	s.p50, s.p99, s.p999, s.worst = median(s.took), quantile(s.took, 0.99), quantile(s.took, 0.999), quantile(s.took, 1)
	return s
}

func (s rotated) text() string {
	return fmt.Sprintf("%s / %s / %s / %s", span(s.p50), span(s.p99), span(s.p999), span(s.worst))
}

func (c course) report(contenders []*rotating) (report, error) {
	r := report{notes: []string{fmt.Sprintf("%d credentials for each contender, each of %s and replaced with half of that left, by an exchange of %s; %d readers, "+
		"each reading one every %s for %s, all contenders at the same time. What a reader that waits would have read meanwhile is not counted against who made it wait.",
		c.caches, c.life, c.takes, c.readers, c.every, c.lasts),
		"`cloud.google.com/go/auth` too refreshes in the background; it does so once, and if that fails the reads wait at the expiry (see its `isRefreshErr`)."}}
	control := contenders[0].sum()
	p := panel{title: "reads while credentials are replaced", unit: span, budget: nanoseconds(slowRead)}
	for _, one := range contenders {
		s := one.sum()
		if one != contenders[0] && s.replaced == 0 {
			return r, fmt.Errorf("%s: nothing was replaced in %s", one.name, c.lasts)
		}
		mine := one == contenders[1]
		line := row{what: "p50 / p99 / p99.9 / max", against: one.name, theirs: s.text()}
		slow := fmt.Sprintf("%d of %s, %d waited for an exchange; %d replaced", s.slow, grouped(len(s.took)), s.waited, s.replaced)
		over := row{what: "reads over " + slowRead.String(), against: one.name, theirs: slow}
		if mine {
			line = row{what: line.what, ours: s.text()}
			over = row{what: over.what, ours: fmt.Sprintf("%s; %d while exchanging", slow, s.during), budget: "none that a refresh caused", met: judge(s.innocent(control))}
		}
		r.rows = append(r.rows, line, over)
		p.groups = append(p.groups, group{one.name, []bar{{"p50", s.p50, mine}, {"p99", s.p99, mine}, {"p99.9", s.p999, mine}, {"max", s.worst, mine}}})
	}
	r.panels = append(r.panels, p)
	return r, nil
}

// innocent reports whether what is slow is no more than what the machine makes slow: no read waited for an exchange, and
// of the slow ones there are no more than the control has, give or take what chance does.
func (s rotated) innocent(control rotated) bool {
	expected := float64(control.slow) * float64(len(s.took)) / float64(max(1, len(control.took)))
	return s.waited == 0 && float64(s.slow) <= expected+3*math.Sqrt(expected+1)
}
