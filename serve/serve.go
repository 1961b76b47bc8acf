// SPDX-License-Identifier: Apache-2.0

// Package serve puts the endpoints that SDKs know behind listeners, and decides who may ask them. The endpoints
// themselves are http.Handlers, in the packages below this one:
//
//	s := serve.New(serve.Options{Log: log, Audit: audit, Crossings: statuses})
//	err := s.Listen(ctx, []serve.Listener{
//		{Name: "ecs", Address: "127.0.0.1:9911", Handler: containers},
//		{Name: "admin", Address: "unix:/run/stile/admin.sock", Handler: s.Admin()},
//	})
//	…
//	err = s.Serve(ctx)
//
// What comes from a browser, through a proxy or under a foreign name is refused before any handler sees it.
package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
)

const (
	// DefaultTimeout is how long one request may take: more than an exchange, and than the longest wait for a change at
	// the GCE metadata server.
	DefaultTimeout = 3 * time.Minute
	// DefaultDrain is how long requests under way have, once the server ends.
	DefaultDrain = 10 * time.Second
	// DefaultConnections is how many connections one listener holds at once, where the process may open that many.
	DefaultConnections = 16384

	headerTimeout = 5 * time.Second
	idleTimeout   = 30 * time.Second
	headerBytes   = 16 << 10
)

// Options are what all listeners of a [Server] share. The zero Options are ready for use.
type Options struct {
	Log *slog.Logger // what goes wrong, and what is opened and closed; nil: nowhere

	// Audit gets one record for each credential that is handed out or refused, and for each request that is turned
	// away. It is called from one goroutine, a moment later than the answer is given; if it has a Flush method, as that
	// of [JSON] has, then that is called whenever no record waits. Nil: nobody is told.
	Audit slog.Handler

	// Crossings tells how the crossings stand, for [Server.Admin]. It is called for each request there.
	Crossings func() []keep.Status
	// Ready names the crossings that /readyz is about. Empty: all of them.
	Ready []string
	// Unready tells what else keeps the server from being ready, a line each. It is called for each request there. Nil:
	// nothing does.
	Unready func() []string
	// Files tells how files with credentials stand, for metrics. Nil: there are none.
	Files func() []FileStatus
	// Endpoints tells how endpoints stand, for metrics. Nil: nothing is told of them.
	Endpoints func() []EndpointStatus

	Version string // of the program, for metrics

	Drain  time.Duration    // zero: DefaultDrain
	Header time.Duration    // in which a request's header must have come; zero: 5 s
	Idle   time.Duration    // how long a connection may stay open unused; zero: 30 s
	Clock  func() time.Time // nil: time.Now
}

// A Listener is one address and what is answered there.
type Listener struct {
	// Name is what audit, metrics and errors call it. Required, and no two share one.
	Name string
	// Address is 127.0.0.1:PORT, [::1]:PORT, localhost:PORT (which is both of them), or unix:/PATH. Port 0 is any free
	// one: see [Server.Addresses].
	Address string
	// AllowRemote lets Address be one that other machines may reach.
	AllowRemote bool
	// Mode is the permission of a Unix socket, of which only read and write bits count. Zero: 0600.
	Mode fs.FileMode
	// TLS has the listener speak TLS and nothing else. Nil: plain HTTP.
	TLS *TLS

	// Handler gets the requests that may be made. If it is a pointer with a Close method, that is called when no
	// listener has it any longer, and when the server ends; requests under way then go on. Required.
	Handler http.Handler

	// Refusals are headers on the answers to what Handler does not see, for clients that look for them on every answer.
	Refusals http.Header

	// Hosts are further names that requests may be made under, beside the address, those of loopback, and those that
	// the clouds serve credentials under. Without a port.
	Hosts []string
	// AllowUsers are the ids of the users whose programs may ask; who cannot be told is refused. Only Linux can tell.
	// Empty: whoever can connect.
	AllowUsers []uint32
	// HopLimit is how many hops what is sent may go, 1 to 255: with 1, no further than this machine and its containers'
	// bridge. Linux only. Zero: the system's own.
	HopLimit int
	// Connections bounds how many are open at once; those past it are closed at once. Zero: DefaultConnections.
	Connections int
	// Timeout is how long one request may take. Zero: DefaultTimeout.
	Timeout time.Duration
}

// TLS is where a certificate is found. Both files are PEM. They may be replaced at any time, and count from the next
// connection on; the pair that was good last stays in use for as long as the new one is not.
type TLS struct {
	CertFile string // the certificate, and what leads from it to the authority
	KeyFile  string
}

// A Server holds the listeners. It is safe for concurrent use. It must be ended: by the end of [Server.Serve]'s context,
// or by [Server.Close] where that was never called.
type Server struct {
	o       Options
	log     *slog.Logger
	metrics *metrics
	audit   *audit
	room    *room

	configuration atomic.Pointer[ConfigurationReport] // nil: nobody has told

	mu      sync.Mutex
	running []*listener
	serving bool
	ended   bool
	failed  chan error
	closed  chan struct{}
	work    sync.WaitGroup // of listeners that serve, or drain
}

// New makes a server with no listener.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Crossings == nil {
		o.Crossings = func() []keep.Status { return nil }
	}
	if o.Unready == nil {
		o.Unready = func() []string { return nil }
	}
	if o.Endpoints == nil {
		o.Endpoints = func() []EndpointStatus { return nil }
	}
	if o.Files == nil {
		o.Files = func() []FileStatus { return nil }
	}
	for d, usual := range map[*time.Duration]time.Duration{&o.Drain: DefaultDrain, &o.Header: headerTimeout, &o.Idle: idleTimeout} {
		if *d == 0 {
			*d = usual
		}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	m := newMetrics(o.Clock())
	return &Server{o: o, log: o.Log, metrics: m, audit: newAudit(o.Audit, o.Clock, m, o.Log), room: newRoom(), failed: make(chan error, 1), closed: make(chan struct{})}
}

// Observe counts an exchange. It is made for keep.WithObserver.
func (s *Server) Observe(e keep.Event) { s.metrics.observe(e) }

// Listen makes these the listeners. Those that stay, by their address, go on without a break, and have what else changed
// from the next request on; new ones are open when Listen returns, and serve once [Server.Serve] was called; requests
// under way at the others are finished. If any cannot be had, none is changed.
//
// Whether a listener speaks TLS, its Mode, HopLimit, Connections and Timeout cannot change while it stays.
func (s *Server) Listen(ctx context.Context, listeners []Listener) error {
	wanted, err := check(listeners)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return &stile.Error{Op: "listen", Err: http.ErrServerClosed}
	}
	stays, next, err := s.match(wanted)
	if err != nil {
		return err
	}
	for i, l := range next {
		if l != nil {
			continue
		}
		if next[i], err = s.open(ctx, wanted[i]); err != nil {
			for j, l := range next {
				if l != nil && !stays[j] {
					l.abandon()
				}
			}
			return err
		}
	}
	s.change(next, stays, wanted)
	return nil
}

// change goes over to what was opened.
func (s *Server) change(next []*listener, stays []bool, wanted []site) {
	before := handlers(s.running)
	gone := map[*listener]bool{}
	for _, l := range s.running {
		gone[l] = true
	}
	s.running = next
	for i, l := range next {
		delete(gone, l)
		if stays[i] {
			l.now.Store(&wanted[i])
			continue
		}
		s.log.Info("listening", slog.String("listener", wanted[i].Name), slog.String("address", l.String()))
		if s.serving {
			s.start(l)
		}
	}
	for l := range gone {
		s.log.Info("no longer listening", slog.String("listener", l.now.Load().Name), slog.String("address", l.String()))
		s.work.Go(func() { l.drain(s.o.Drain) })
	}
	closeUnused(before, handlers(next))
}

// Serve answers requests until ctx ends or a listener breaks, and then lets those under way finish, for as long as
// Options.Drain says. It returns nil if all went well, and may be called once.
func (s *Server) Serve(ctx context.Context) error {
	s.mu.Lock()
	if s.serving || s.ended {
		s.mu.Unlock()
		return &stile.Error{Op: "serve", Err: http.ErrServerClosed}
	}
	s.serving = true
	for _, l := range s.running {
		s.start(l)
	}
	s.mu.Unlock()

	var broken error
	select {
	case <-ctx.Done():
	case <-s.closed:
	case broken = <-s.failed:
	}
	return errors.Join(broken, s.end())
}

// Close closes what was opened, where [Server.Serve] was never called; a server that serves ends as if its context had.
func (s *Server) Close() error { return s.end() }

func (s *Server) end() error {
	s.mu.Lock()
	old := s.running
	if !s.ended {
		close(s.closed)
	}
	s.running, s.ended = nil, true
	for _, l := range old {
		s.work.Go(func() { l.drain(s.o.Drain) })
	}
	s.mu.Unlock()
	closeUnused(handlers(old), nil)
	s.work.Wait()
	if err := s.audit.close(); err != nil {
		return fmt.Errorf("write the audit: %w", err)
	}
	return nil
}

// Addresses are where each listener listens, by its name. One for localhost has two.
func (s *Server) Addresses() map[string][]net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string][]net.Addr{}
	for _, l := range s.running {
		for _, socket := range l.sockets {
			all[l.now.Load().Name] = append(all[l.now.Load().Name], socket.Addr())
		}
	}
	return all
}
