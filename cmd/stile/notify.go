// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// A notification tells systemd how a service stands. Nil: there is no systemd that wants to know.
// Source: sd_notify(3).
type notification struct {
	socket *net.UnixAddr
	was    atomic.Bool // ready
}

func notifier(socket string) *notification {
	if socket == "" {
		return nil
	}
	if strings.HasPrefix(socket, "@") {
		socket = "\x00" + socket[1:]
	}
	return &notification{socket: &net.UnixAddr{Name: socket, Net: "unixgram"}}
}

// send tells some assignments, as far as they can be told: whether systemd listens is systemd's affair. READY=1 alone is
// the end of a reload. Before the service has been ready, that would have systemd start what waits for it.
func (n *notification) send(assignments ...string) {
	const ready = "READY=1"
	switch {
	case n == nil:
		return
	case len(assignments) == 1 && assignments[0] == ready && !n.was.Load():
		return
	case assignments[0] == ready:
		n.was.Store(true)
	}
	conn, err := net.DialUnix("unixgram", nil, n.socket)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = conn.Write([]byte(strings.Join(assignments, "\n")))
}

func (n *notification) reloading() {
	if n != nil && n.was.Load() {
		n.send("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(monotonic().Microseconds(), 10))
	}
}

// watch says again and again that the service is alive, where systemd wants that, until the function it returns is
// called.
func (n *notification) watch() (stop func()) {
	every := watchdog()
	if n == nil || every == 0 {
		return func() {}
	}
	ticker, done := time.NewTicker(every), make(chan struct{})
	go func() {
		for {
			select {
			case <-ticker.C:
				n.send("WATCHDOG=1")
			case <-done:
				return
			}
		}
	}()
	return func() {
		ticker.Stop()
		close(done)
	}
}

// watchdog is half of the time that systemd waits for a sign of life; 0: it does not.
func watchdog() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	microseconds, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || microseconds < 2 || microseconds > int64(24*time.Hour/time.Microsecond) {
		return 0
	}
	return time.Duration(microseconds) * time.Microsecond / 2
}
