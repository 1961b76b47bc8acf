// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/keep/file"
	"github.com/stile-project/stile/keep/redis"
	"github.com/stile-project/stile/keep/seal"
	"github.com/stile-project/stile/keep/shared"
)

// herdBench has very many want one credential that nobody has, at once, and counts what AWS was asked, by the lab's own
// journal.
func herdBench(ctx context.Context, at *place) (report, error) {
	goroutines := 10_000
	if at.short {
		goroutines = few
	}
	c, err := raise(at.scratch)
	if err != nil {
		return report{}, err
	}
	defer c.close()
	r := report{}
	server, err := c.startRedis(ctx)
	switch {
	case err != nil:
		return report{}, err
	case server == nil:
		r.notes = append(r.notes, "There is no redis-server on this machine, so what it is for is absent.")
	default:
		defer server.end()
	}
	for _, s := range c.gatherings(at, server) {
		if err := c.gather(ctx, &r, s, goroutines); err != nil {
			return report{}, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return r, herdOfProcesses(ctx, at, c, server, &r)
}

// A gathering is how goroutines share what one of them gets.
type gathering struct {
	name     string
	memories int
	open     func() (keep.Store, func() error, error) // nil: without a store
	want     int
}

func (c *clouds) gatherings(at *place, server *redisServer) []gathering {
	all := []gathering{
		{name: "one Memory", memories: 1, want: 1},
		{name: "10 Memories, without a store", memories: 10, want: 10},
		{name: "10 Memories, file store", memories: 10, want: 1, open: func() (keep.Store, func() error, error) {
			s, err := file.Open(filepath.Join(at.scratch, "goroutines"))
			return s, func() error { return nil }, err
		}},
	}
	if server == nil {
		return all
	}
	return append(all, gathering{name: "10 Memories, Redis", memories: 10, want: 1, open: func() (keep.Store, func() error, error) {
		wrapper, err := seal.ReadLocalKey(server.keyFile)
		if err != nil {
			return nil, nil, err
		}
		client, err := redis.Open(redis.Options{Addresses: []string{server.address}})
		if err != nil {
			return nil, nil, err
		}
		return shared.New(client, seal.Envelope(wrapper), shared.Namespace("goroutines")), client.Close, nil
	}})
}

// gather lets all goroutines go at once.
func (c *clouds) gather(ctx context.Context, r *report, s gathering, goroutines int) error {
	crossing, err := c.crossing()
	if err != nil {
		return err
	}
	keepers, closeAll, err := s.keepers(crossing)
	defer closeAll()
	if err != nil {
		return err
	}
	var ready, done sync.WaitGroup
	start, errs := make(chan struct{}), make([]error, goroutines)
	for i := range goroutines {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			_, errs[i] = keepers[i%len(keepers)].Credential(ctx)
		})
	}
	ready.Wait()
	before, began := c.count(), time.Now()
	close(start)
	done.Wait()
	took := time.Since(began)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	what := fmt.Sprintf("%s goroutines, %s", grouped(goroutines), s.name)
	return r.exchanged(what, c.count()-before, s.want, took, goroutines <= few)
}

// few callers must get by with the exchanges that are wanted on any machine. Of very many, some may find that a machine
// which is busy with all the others answers too late, and help themselves: that is a budget that is missed.
const few = 200

// exchanged adds a row. It fails where the count must be what was wanted, and is not.
func (r *report) exchanged(what string, got, want int, took time.Duration, must bool) error {
	line := row{what: what, ours: fmt.Sprintf("%s in %s", exchanges(got), span(nanoseconds(took)))}
	if want == 1 {
		line.budget, line.met = "1 exchange", judge(got == 1)
	}
	r.rows = append(r.rows, line)
	if got != want && (must || want != 1) {
		return fmt.Errorf("%s, want %d", exchanges(got), want)
	}
	return nil
}

func exchanges(n int) string {
	if n == 1 {
		return "1 exchange"
	}
	return strconv.Itoa(n) + " exchanges"
}

// keepers makes a keeper for each Memory. What it gives must be closed even where it fails.
func (s gathering) keepers(crossing stile.Crossing) (keepers []*keep.Keeper, closeAll func(), err error) {
	var closers []func()
	closeAll = func() {
		for i := len(closers) - 1; i >= 0; i-- {
			closers[i]()
		}
	}
	for range s.memories {
		var options []keep.Option
		if s.open != nil {
			store, closeStore, err := s.open()
			if err != nil {
				return nil, closeAll, err
			}
			closers = append(closers, func() { _ = closeStore() }) // nothing is lost with it
			options = append(options, keep.WithStore(store, 0))
		}
		m := keep.NewMemory(options...)
		closers = append(closers, m.Close)
		keepers = append(keepers, m.Keep(crossing, keep.Terms{}))
	}
	return keepers, closeAll, nil
}
