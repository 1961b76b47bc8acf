// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/stile-project/stile"
)

// rounds is how often a port is sought that is free for both kinds of loopback.
const rounds = 16

// openTCP opens one socket, or for localhost two with the same port: another program that had the one would be asked in
// our place.
func (l *listener) openTCP(ctx context.Context, w site) error {
	var err error
	for range rounds {
		if l.sockets, err = openPorts(ctx, w); err == nil || !w.addr.free() || !errors.Is(err, syscall.EADDRINUSE) {
			return err
		}
	}
	return err
}

func openPorts(ctx context.Context, w site) ([]net.Listener, error) {
	var opened []net.Listener
	port := w.addr.at[0].Port()
	for i, at := range w.addr.at {
		socket, err := openPort(ctx, w, netip.AddrPortFrom(at.Addr(), port))
		if i > 0 && (errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)) {
			continue // there is no IPv6 here, so nobody else can have it either
		}
		if err != nil {
			for _, o := range opened {
				_ = o.Close()
			}
			return nil, err
		}
		opened = append(opened, socket)
		if tcp, ok := socket.Addr().(*net.TCPAddr); ok {
			port = tcp.AddrPort().Port()
		}
	}
	return opened, nil
}

func openPort(ctx context.Context, w site, at netip.AddrPort) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		if w.HopLimit == 0 {
			return nil
		}
		return setHopLimit(raw, w.HopLimit) // accepted sockets have their listener's, and so has the handshake
	}}
	lc.SetMultipathTCP(false) // its sockets are missing from the table that tells whose a socket is
	network := "tcp"
	if at.Addr().Is4() {
		network = "tcp4"
	}
	socket, err := lc.Listen(ctx, network, at.String())
	if err != nil {
		return nil, openError(w, at.String(), err, holder(net.TCPAddrFromAddrPort(at)))
	}
	return socket, nil
}

// openError says what was wanted, by whom, and what mends it.
func openError(w site, at string, err error, holder string) error {
	failed := &stile.Error{Op: "listen on " + at + " for " + w.Name, Hint: "see which addresses this machine has: ip address", Err: err}
	switch {
	case errors.Is(err, syscall.EADDRINUSE) && holder != "":
		failed.Err = fmt.Errorf("%s has it: %w", holder, err)
		fallthrough
	case errors.Is(err, syscall.EADDRINUSE):
		failed.Hint = "end the program that listens there, or give " + w.Name + " another address"
	case errors.Is(err, syscall.EACCES):
		failed.Hint = "choose a port above 1023, or allow the program CAP_NET_BIND_SERVICE"
	}
	return failed
}
