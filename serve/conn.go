// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"container/list"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stile-project/stile/serve/offer"
)

type connKey struct{}

// A conn is one accepted connection, and who is at its other end.
type conn struct {
	net.Conn
	l     *listener
	local netip.Addr // invalid on a Unix socket
	spoke atomic.Bool
	place *list.Element // among the silent; guarded by l.conns
	done  sync.Once

	reading, writing deadline

	host string // the last that by was right to be asked under; for the guard, which sees one request at a time
	by   *site

	asked sync.Once
	who   peer

	sought bool  // whether its process was looked for; the audit's writer's own
	pid    int32 // what was found, the same
}

// Read notes that the other end has something to say.
func (c *conn) Read(b []byte) (int, error) {
	if err := c.reading.begin(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(b)
	c.reading.end()
	if n > 0 && !c.spoke.Load() {
		c.spoke.Store(true)
		c.l.conns.Lock()
		c.l.silent.Remove(c.place)
		c.l.conns.Unlock()
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	if err := c.writing.begin(); err != nil {
		return 0, err
	}
	defer c.writing.end()
	return c.Conn.Write(b)
}

// SetReadDeadline has reading fail after t.
func (c *conn) SetReadDeadline(t time.Time) error { return c.reading.want(t) }

// SetWriteDeadline has writing fail after t.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.writing.want(t) }

// SetDeadline does both.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.reading.want(t), c.writing.want(t))
}

// Close gives the place up.
func (c *conn) Close() error {
	c.done.Do(func() {
		c.l.conns.Lock()
		delete(c.l.open, c)
		c.l.silent.Remove(c.place) // if it is still there
		c.l.count.Store(int64(len(c.l.open)))
		c.l.conns.Unlock()
		c.l.server.room.leave()
	})
	return c.Conn.Close()
}

// peer is who asks. It is found out once, and only if somebody wants to know: a connection stays with its process.
func (c *conn) peer() peer {
	c.asked.Do(func() { c.who = lookUp(c.Conn) })
	return c.who
}

// note is told by the endpoints what was handed out.
func (c *conn) note(h offer.Handed) {
	c.l.server.metrics.handed(h)
	c.l.server.audit.handed(c, h)
}

// A peer is whose program is at the other end.
type peer struct {
	known bool
	uid   uint32
	pid   int32  // 0: not known
	inode uint64 // of its socket, by which the process can be found; 0: not known
}

// A gate lets in as many connections as there may be.
type gate struct {
	net.Listener
	l *listener
}

func (g *gate) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				g.l.server.metrics.acceptFailed(g.l.now.Load().Name)
			}
			return nil, err
		}
		admitted, dropped := g.l.admit(c)
		if dropped != nil {
			_ = dropped.Close()
		}
		if admitted != nil {
			return admitted, nil
		}
	}
}

// kept is how many unused connections a listener keeps. A connection takes some 20 KiB, so that those of a program that
// never closes one would soon take more than all else. With more open than that, each is closed after its next answer;
// and of those that have not asked anything yet the oldest makes room for a new one: who means to ask does so at once.
const kept = 1024

// admit takes a connection in. It returns the one to close instead, if any, which may be this one.
func (l *listener) admit(raw net.Conn) (admitted, dropped net.Conn) {
	c := &conn{Conn: raw, l: l}
	c.reading.set, c.reading.slack, c.reading.since = raw.SetReadDeadline, min(l.http.ReadHeaderTimeout, l.http.IdleTimeout)/64, time.Now()
	c.writing.set, c.writing.slack, c.writing.since = raw.SetWriteDeadline, l.http.WriteTimeout/64, c.reading.since
	if tcp, ok := raw.LocalAddr().(*net.TCPAddr); ok {
		c.local = tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	now := l.now.Load()
	l.conns.Lock()
	defer l.conns.Unlock()
	if len(l.open) < now.Connections && l.server.room.enter() {
		if l.silent.Len() >= kept {
			dropped, _ = l.silent.Front().Value.(*conn)
			l.server.metrics.turnedAway(now.Name)
		}
		l.open[c], c.place = true, l.silent.PushBack(c)
		l.count.Store(int64(len(l.open)))
		return c, dropped
	}
	l.server.metrics.turnedAway(now.Name)
	if at := time.Now(); at.Sub(l.lastFull) > time.Minute {
		l.lastFull = at
		l.server.log.Warn("too many connections: new ones are closed until others end", slog.String("listener", now.Name), slog.Int("connections", len(l.open)))
	}
	return nil, raw
}

// A room is how many connections all listeners may hold together, so that files and sources can still be opened.
type room struct {
	taken atomic.Int64
	size  int64
}

func newRoom() *room { return &room{size: int64(descriptors()) * 3 / 4} }

func (r *room) enter() bool {
	if r.taken.Add(1) <= r.size {
		return true
	}
	r.taken.Add(-1)
	return false
}

func (r *room) leave() { r.taken.Add(-1) }
