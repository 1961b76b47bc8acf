// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"log"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/serve/offer"
)

// A listener is what is open for one [Listener].
type listener struct {
	server  *Server
	sockets []net.Listener
	forget  func() // takes the Unix socket out of its folder
	http    *http.Server
	now     atomic.Pointer[site]

	conns    sync.Mutex
	open     map[*conn]bool
	silent   list.List    // of *conn: those that have not asked anything yet, the oldest first
	count    atomic.Int64 // of open
	lastFull time.Time    // when it was last told that there are too many
}

// open opens what w asks for, and serves nothing yet.
func (s *Server) open(ctx context.Context, w site) (*listener, error) {
	l := &listener{server: s, forget: func() {}, open: map[*conn]bool{}}
	l.now.Store(&w)
	var certificates *tls.Config
	if w.TLS != nil {
		pair := &pair{files: *w.TLS, log: s.log, name: w.Name}
		if err := pair.load(); err != nil {
			return nil, err
		}
		certificates = &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: pair.certificate}
	}
	var err error
	if w.addr.path != "" {
		err = l.openUnix(ctx, w)
	} else {
		err = l.openTCP(ctx, w)
	}
	if err != nil {
		return nil, err
	}
	for i, socket := range l.sockets {
		l.sockets[i] = &gate{Listener: socket, l: l}
		if certificates != nil {
			l.sockets[i] = tls.NewListener(l.sockets[i], certificates)
		}
	}
	l.http = &http.Server{
		Handler: l, DisableGeneralOptionsHandler: true, Protocols: &http.Protocols{},
		ReadHeaderTimeout: s.o.Header, IdleTimeout: s.o.Idle, WriteTimeout: w.Timeout + s.o.Header, MaxHeaderBytes: headerBytes,
		ErrorLog: log.New(complaints{s.log.With(slog.String("listener", w.Name))}, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if t, ok := c.(*tls.Conn); ok {
				c = t.NetConn()
			}
			mine, ok := c.(*conn)
			if !ok {
				return ctx
			}
			return offer.WithNote(context.WithValue(ctx, connKey{}, mine), mine.note)
		},
	}
	l.http.Protocols.SetHTTP1(true)
	return l, nil
}

// complaints is where net/http tells what it could not return. A client that speaks no TLS, or hangs up, is no news.
type complaints struct{ log *slog.Logger }

func (c complaints) Write(b []byte) (int, error) {
	text, level := strings.TrimSpace(string(b)), slog.LevelDebug
	if strings.HasPrefix(text, "http: Accept error") {
		level = slog.LevelError
	}
	c.log.Log(context.Background(), level, text)
	return len(b), nil
}

// start accepts connections. The server's lock is held.
func (s *Server) start(l *listener) {
	for _, socket := range l.sockets {
		s.work.Go(func() {
			err := l.http.Serve(socket)
			if errors.Is(err, http.ErrServerClosed) {
				return
			}
			select {
			case s.failed <- &stile.Error{Op: "accept connections on " + l.String() + " for " + l.now.Load().Name, Err: err}:
			default: // another one broke before, and ends the server
			}
		})
	}
}

// settle is how long a connection may take to send its first byte once the listener ends, and the rest of a body that is
// not wanted.
const settle = 200 * time.Millisecond

// drain stops accepting, lets requests finish for as long as limit, and cuts what is left.
func (l *listener) drain(limit time.Duration) {
	l.forget()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	// net/http would wait 5 s for a connection that never asked anything.
	silent := time.AfterFunc(settle, func() {
		l.conns.Lock()
		var silent []*conn
		for e := l.silent.Front(); e != nil; e = e.Next() {
			if c, ok := e.Value.(*conn); ok {
				silent = append(silent, c)
			}
		}
		l.conns.Unlock()
		for _, c := range silent {
			_ = c.Close()
		}
	})
	defer silent.Stop()
	err := l.http.Shutdown(ctx)
	for _, socket := range l.sockets { // those that never served
		_ = socket.Close()
	}
	if err == nil {
		return
	}
	l.server.log.Warn("requests took too long to finish, and were cut", slog.String("listener", l.now.Load().Name),
		slog.Int("connections", len(l.held())), slog.Duration("after", limit))
	_ = l.http.Close()
}

// abandon closes what never served.
func (l *listener) abandon() {
	l.forget()
	for _, socket := range l.sockets {
		_ = socket.Close()
	}
}

func (l *listener) held() []*conn {
	l.conns.Lock()
	defer l.conns.Unlock()
	return slices.Collect(maps.Keys(l.open))
}

// String is the first address that it has, for messages.
func (l *listener) String() string {
	if addr := l.now.Load().addr; addr.path != "" {
		return addr.text
	}
	return l.sockets[0].Addr().String()
}
