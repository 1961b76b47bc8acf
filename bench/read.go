// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"
)

// readBench reads a credential that is held, as fast as it goes, and once in a while.
func readBench(ctx context.Context, at *place) (report, error) {
	rounds, benchtime, goroutines, seldom := 7, "80ms", []int{1, 2, 8, 64}, 15
	if at.short {
		rounds, benchtime, goroutines, seldom = 1, "1000x", []int{1, 8}, 0
	}
	testing.Init()
	if err := flag.Set("test.benchtime", benchtime); err != nil {
		return report{}, err
	}
	caches := make([]cache, len(kinds))
	for i, kind := range kinds {
		caches[i] = kind.make(&issuer{life: time.Hour, text: "token"}, 5*time.Minute)
		defer caches[i].close()
		if err := caches[i].reads(1); err != nil {
			return report{}, err
		}
	}
	// What testing.Benchmark calls an allocation is an average, rounded down.
	if n := testing.AllocsPerRun(10_000, func() { _ = caches[0].reads(1) }); n != 0 {
		return report{}, fmt.Errorf("a read allocates %v times, want never", n)
	}
	r := report{notes: []string{
		"Reads as fast as they go: the time of one, with all goroutines together. `auth.Credentials` is the same cache behind one more call.",
		fmt.Sprintf("Reads once a second: Stile's clock pulse (`keep/moment.go`) stands still by then, so the read asks the clock and starts it again. "+
			"%d reads each, less the time of reading a clock; whatever the pause pushed out of the processor's caches counts for all.", seldom)}}
	fast := panel{title: "time of one read, by goroutines", unit: span}
	for _, g := range goroutines {
		if err := fastRows(&r, &fast, caches, g, rounds); err != nil {
			return report{}, err
		}
	}
	r.panels = append(r.panels, fast)
	return r, seldomRows(ctx, &r, caches, seldom)
}

// fastRows measures all caches with so many goroutines, in turns.
func fastRows(r *report, p *panel, caches []cache, goroutines, rounds int) error {
	took := make([][]float64, len(caches))
	var allocated int64
	for range rounds {
		for i, c := range caches {
			result, err := parallel(c, goroutines)
			if err != nil {
				return fmt.Errorf("%s: %w", kinds[i].name, err)
			}
			took[i] = append(took[i], nanoseconds(result.T)/float64(result.N))
			if i == 0 {
				allocated = max(allocated, result.AllocsPerOp())
			}
		}
	}
	what := "read, alone"
	if goroutines > 1 {
		what = "read, " + strconv.Itoa(goroutines) + " goroutines"
	}
	if allocated != 0 {
		return fmt.Errorf("%s: %d allocations, want none", what, allocated)
	}
	r.rows = append(r.rows, row{what: what + ": allocations", ours: "0", budget: "0", met: met})
	g := group{label: what, bars: []bar{{ours, median(took[0]), true}}}
	for i := 1; i < len(caches); i++ {
		ratios := pairwise(took[i], took[0])
		r.rows = append(r.rows, row{what: what, ours: span(median(took[0])), against: kinds[i].name, theirs: span(median(took[i])),
			ratio: times(ratios), budget: "at least 3", met: judge(median(ratios) >= 3)})
		g.bars = append(g.bars, bar{kinds[i].name, median(took[i]), false})
	}
	p.groups = append(p.groups, g)
	return nil
}

// parallel has goroutines share the reads.
func parallel(c cache, goroutines int) (testing.BenchmarkResult, error) {
	errs := make([]error, goroutines)
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		if goroutines == 1 {
			errs[0] = c.reads(b.N)
			return
		}
		var all sync.WaitGroup
		for g := range goroutines {
			all.Go(func() { errs[g] = c.reads(b.N/goroutines + 1) })
		}
		all.Wait()
	})
	return result, errors.Join(errs...)
}

// seldomRows reads each cache once a second.
func seldomRows(ctx context.Context, r *report, caches []cache, times int) error {
	took, clock := make([][]float64, len(caches)), []float64(nil)
	for n := range times {
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
		began := time.Now()
		clock = append(clock, nanoseconds(time.Since(began)))
		for i := range caches {
			i = (i + n) % len(caches) // each is first now and then
			began := time.Now()
			err := caches[i].reads(1)
			took[i] = append(took[i], nanoseconds(time.Since(began)))
			if err != nil {
				return err
			}
		}
	}
	if times == 0 {
		return nil
	}
	net := func(i int) float64 { return max(0, median(took[i])-median(clock)) }
	p := panel{title: "time of one read, once a second", unit: span, groups: []group{{label: "once a second"}}}
	for i := range caches {
		p.groups[0].bars = append(p.groups[0].bars, bar{kinds[i].name, net(i), i == 0})
		if i > 0 {
			r.rows = append(r.rows, row{what: "read, once a second", ours: span(net(0)), against: kinds[i].name, theirs: span(net(i)), ratio: digits(net(i) / net(0))})
		}
	}
	r.panels = append(r.panels, p)
	return nil
}
