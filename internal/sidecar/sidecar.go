// SPDX-License-Identifier: Apache-2.0

// Package sidecar runs what the serve block of a stile.yaml describes: crossings that are kept fresh, the endpoints and
// files that hand their credentials out, and what changes of these while it runs.
//
//	s := sidecar.New(sidecar.Options{Around: around, Log: log})
//	defer s.Close()
//	err := s.Apply(ctx, sidecar.Plan{Serve: *file.Serve, Crossings: file.Crossings})
//	…
//	err = s.Run(ctx)
package sidecar

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/assemble"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/serve"
)

// Options are what a [Sidecar] takes from the program around it.
type Options struct {
	// Around gives what crossings from there take from the process. Required.
	Around func(config.From) (assemble.Surroundings, error)
	// Region is the first that is named: by the crossing, then by the environment. Required.
	Region func(named string) string

	Store         keep.Store    // nil: credentials are kept in memory alone
	StoreDeadline time.Duration // of one call to it; zero: the keeper's own
	Shared        bool          // somebody asked for a store that machines share, and so wants to know of what is not

	Log     *slog.Logger // required
	Audit   slog.Handler // nil: none
	Version string

	// Keep is how credentials are kept, beside what is said here.
	Keep []keep.Option
	// Handler goes around all endpoints of a listener. Nil: nothing does.
	Handler func(listener string, next http.Handler) http.Handler

	// Standing is told when the number of crossings that are not ready changes: those without a credential, those of which
	// a file does not hold one, and those whose endpoint has lost its bearer token. Nil: nobody is.
	Standing func(unready, all int)
	// Timeout bounds one exchange, and Overdue is what it then fails with; zero: as the keeper has it.
	Timeout time.Duration
	Overdue error

	// Folder is where token files lie that the plan does not name. It is made when one is needed.
	Folder string
	// Token is the bearer token of ECS endpoints, in place of those in files.
	Token stile.Secret
	// Home is what a path that begins with ~/ lies under, a whole path. Empty: no path may begin so.
	Home string
}

// A Plan is what is to be served: the description, and the crossings that it names.
type Plan struct {
	Serve     config.Serve
	Crossings map[string]config.Crossing
}

// A Sidecar serves a [Plan].
type Sidecar struct {
	o      Options
	memory *keep.Memory // of the crossings that the plan names
	alone  *keep.Memory // of those among them that no store takes, where nobody asked for one
	server *serve.Server

	further *keep.Memory // of those that are made of them for a question
	turns   turns        // of its exchanges

	applying sync.Mutex
	found    map[string]found // under it: what the plan's token files hold, by path

	disk   disk
	tokens tokens

	mu        sync.Mutex
	held      map[string]*held
	listeners map[string]*listener // by name
	files     *files
	changed   chan struct{}   // somebody should look at all crossings now
	running   context.Context //nolint:containedctx // of Run; nil before
}

// New makes a sidecar that serves nothing yet.
func New(o Options) *Sidecar {
	s := &Sidecar{o: o, held: map[string]*held{}, listeners: map[string]*listener{}, changed: make(chan struct{}, 1), turns: newTurns(), tokens: tokens{soon: make(chan struct{}, 1)}}
	s.server = serve.New(serve.Options{Log: o.Log, Audit: o.Audit, Crossings: s.Statuses, Files: s.fileStatuses, Endpoints: s.endpointStatuses, Unready: s.unready, Version: o.Version})
	// What bounds how many there are is the plan, and for scopes and audiences the endpoint.
	options := []keep.Option{keep.WithLogger(o.Log), keep.WithObserver(s.server.Observe), keep.WithLimit(1 << 20)}
	if o.Timeout != 0 {
		options = append(options, keep.WithTimeout(o.Timeout, o.Overdue))
	}
	options = append(options, o.Keep...)
	s.further, s.alone = keep.NewMemory(options...), keep.NewMemory(options...)
	if o.Store != nil {
		options = append(options, keep.WithStore(o.Store, o.StoreDeadline))
	}
	s.memory = keep.NewMemory(options...)
	return s
}

// Apply goes over to a plan. What stands in both, the one before and this one, goes on untouched: the same crossing is not
// exchanged again, and the same listener stays open. If anything cannot be had, nothing changes.
func (s *Sidecar) Apply(ctx context.Context, p Plan) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	s.found = map[string]found{}
	next, err := s.build(ctx, p)
	if err != nil {
		return err
	}
	listeners, err := s.listenersOf(p.Serve, next)
	if err == nil {
		err = s.readable(listeners)
	}
	if err == nil {
		var files *files
		if files, err = s.filesOf(p.Serve, next); err == nil {
			if err = s.server.Listen(ctx, served(listeners)); err == nil {
				s.change(next, listeners, files)
				return nil
			}
		}
	}
	s.unmake()
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, h := range next {
		if s.held[name] == nil || s.held[name].keeper != h.keeper {
			h.keeper.Close()
		}
	}
	return err
}

// change goes over to what was built.
func (s *Sidecar) change(next map[string]*held, listeners map[string]*listener, f *files) {
	s.mu.Lock()
	before, old, gone := s.held, s.files, s.listeners
	s.held, s.listeners, s.files = next, listeners, f
	running := s.running
	s.mu.Unlock()
	s.tokens.watch(listeners, s.found)
	closeHandlers(gone, listeners)
	if old != f {
		_ = old.stop() // nothing is removed
		if running != nil {
			f.start(running)
		}
	}
	kept := map[*keep.Keeper]bool{}
	for _, h := range next {
		kept[h.keeper] = true
	}
	for _, h := range before {
		if !kept[h.keeper] {
			h.keeper.Close()
		}
	}
	s.lookNow()
}

// Run serves until ctx ends, and then lets requests under way finish. Credentials are fetched without anyone asking.
// It may be called once.
func (s *Sidecar) Run(ctx context.Context) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	s.running = inner
	f := s.files
	s.mu.Unlock()
	f.start(inner)
	var work sync.WaitGroup
	work.Go(func() { s.fetch(inner) })
	// Clients that wait for a change would hold up the end.
	defer context.AfterFunc(ctx, func() {
		s.mu.Lock()
		now := s.listeners
		s.mu.Unlock()
		closeHandlers(now, nil)
	})()
	err := s.server.Serve(ctx)
	cancel()
	work.Wait()
	s.mu.Lock()
	f = s.files
	s.mu.Unlock()
	return errors.Join(err, f.stop())
}

// Close ends everything, where Run did not.
func (s *Sidecar) Close() {
	_ = s.server.Close()
	s.further.Close()
	s.alone.Close()
	s.memory.Close()
}

// Statuses tells how the crossings stand.
func (s *Sidecar) Statuses() []keep.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]keep.Status, 0, len(s.held))
	for name, h := range s.held {
		status := h.keeper.Status()
		status.Name = name // equal crossings share a keeper, and the first one's name
		all = append(all, status)
	}
	return all
}

// Keeper gives the keeper of a crossing that is served, or nil.
func (s *Sidecar) Keeper(name string) *keep.Keeper {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.held[name]; h != nil {
		return h.keeper
	}
	return nil
}

// ConfigurationRead notes for status and metrics how reading the configuration, and going over to it, went.
func (s *Sidecar) ConfigurationRead(err error) { s.server.ConfigurationRead(err) }

// Admin is what answers at the admin's address.
func (s *Sidecar) Admin() http.Handler { return (*admin)(s) }
