// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// listen has serve speak with everyone who connects, until t ends.
func listen(t *testing.T, serve func(ctx context.Context, conn net.Conn)) (address string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer func() { _ = conn.Close() }()
				defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
				serve(ctx, conn)
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		all.Wait()
	})
	return l.Addr().String()
}

// Babbler listens, and answers every message with the same bytes. It returns its address.
func Babbler(t *testing.T, answer []byte) string {
	t.Helper()
	return listen(t, func(_ context.Context, conn net.Conn) {
		var message [64 << 10]byte
		for {
			if _, err := conn.Read(message[:]); err != nil {
				return
			}
			if _, err := conn.Write(answer); err != nil {
				return
			}
		}
	})
}

// Echo listens, and answers every message with before, the message and after. It returns its address.
func Echo(t *testing.T, before, after string) string {
	t.Helper()
	return listen(t, func(_ context.Context, conn net.Conn) {
		var message [64 << 10]byte
		for {
			n, err := conn.Read(message[:])
			if err != nil {
				return
			}
			if _, err := conn.Write([]byte(before + string(message[:n]) + after)); err != nil {
				return
			}
		}
	})
}

// A Proxy stands between a client and a server.
type Proxy struct {
	Address string
	left    atomic.Int64 // bytes of answers until it resets the connection; negative: it does not
}

// NewProxy makes a proxy before the server at the address.
func NewProxy(t *testing.T, server string) *Proxy {
	t.Helper()
	p := &Proxy{}
	p.left.Store(-1)
	p.Address = listen(t, func(ctx context.Context, client net.Conn) {
		far, err := (&net.Dialer{}).DialContext(ctx, "tcp", server)
		if err != nil {
			return
		}
		defer func() { _ = far.Close() }()
		var both sync.WaitGroup
		both.Go(func() {
			defer func() { _ = far.Close() }()
			p.pass(far, client, false)
		})
		p.pass(client, far, true)
		_ = client.Close()
		both.Wait()
	})
	return p
}

// CutAfter has the proxy reset the connection once so many bytes of answers have passed. Negative: never.
func (p *Proxy) CutAfter(bytes int64) { p.left.Store(bytes) }

// pass copies what comes from one side to the other, byte by byte where it counts.
func (p *Proxy) pass(to, from net.Conn, answers bool) {
	var buffer [4 << 10]byte
	for {
		n, err := from.Read(buffer[:])
		if err != nil {
			return
		}
		send, cut := buffer[:n], false
		if left := p.left.Load(); answers && left >= 0 {
			send = send[:min(int64(n), left)]
			cut = int64(n) >= left
			p.left.Store(left - int64(len(send)))
		}
		if _, err := to.Write(send); err != nil {
			return
		}
		if cut {
			if tcp, ok := to.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // a reset, rather than an end
			}
			return
		}
	}
}
