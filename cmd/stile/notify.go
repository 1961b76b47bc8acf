// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A notification tells systemd how a service stands. Nil: there is no systemd that wants to know. Nobody waits for systemd:
// what it does not take is tried again until it does, by then as it stands then. Only a sign of life is not: it would be none.
// Source: sd_notify(3).
type notification struct {
	socket *net.UnixAddr

	mu   sync.Mutex
	was  bool          // ready
	ends bool          // it has been told to
	owed standing      // what is to be told
	told chan struct{} // closed once nothing is owed; nil: nothing is
	wake chan struct{} // there is more to tell
}

// standing is what systemd may have to hear, in this order.
type standing struct {
	reloading string // RELOADING=1, and when that began
	ready     bool
	status    string
	stopping  bool
	alive     bool
}

func notifier(socket string) *notification {
	if socket == "" {
		return nil
	}
	if strings.HasPrefix(socket, "@") {
		socket = "\x00" + socket[1:]
	}
	return &notification{socket: &net.UnixAddr{Name: socket, Net: "unixgram"}, wake: make(chan struct{}, 1)}
}

const (
	notifyWrite = time.Second            // how long one try may take
	notifyAgain = 5 * time.Second        // the longest pause between two
	notifyLast  = 200 * time.Millisecond // how long the last word may take: what ends does not wait for systemd
)

// send has some assignments told. READY=1 alone is the end of a reload. Before the service has been ready, that would have
// systemd start what waits for it.
func (n *notification) send(assignments ...string) {
	if n == nil {
		return
	}
	n.mu.Lock()
	alone, last := len(assignments) == 1, false
	for _, one := range assignments {
		switch {
		case one == "READY=1":
			n.was = n.was || !alone
			n.owed.ready = n.owed.ready || n.was && !n.ends
		case one == "RELOADING=1":
			n.owed.reloading, n.owed.ready = strings.Join(assignments, "\n"), false
		case strings.HasPrefix(one, "STATUS="):
			n.owed.status = one
		case one == "STOPPING=1":
			n.owed.stopping, n.ends, last = true, true, true
		case one == "WATCHDOG=1":
			n.owed.alive = true
		}
	}
	if n.told == nil && n.owed != (standing{}) {
		n.told = make(chan struct{})
		go n.tell()
	}
	told := n.told
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default: // it is awake
	}
	if last { // soon nobody will be there to tell it
		select {
		case <-told:
		case <-time.After(notifyLast):
		}
	}
}

// tell tells all that is owed.
func (n *notification) tell() {
	const first = 50 * time.Millisecond
	for pause := first; ; {
		text, notTold := n.next()
		if text == "" {
			return
		}
		if n.write(text) == nil {
			pause = first
			continue
		}
		notTold()
		select {
		case <-n.wake:
		case <-time.After(pause):
		}
		pause = min(2*pause, notifyAgain)
	}
}

// next takes what is to be told next, and gives what puts it back, unless something newer has come. "": there is nothing.
func (n *notification) next() (text string, notTold func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	was, now := n.owed, &n.owed
	put := func(back func()) func() {
		return func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			back()
		}
	}
	switch {
	case was.reloading != "":
		now.reloading = ""
		return was.reloading, put(func() { now.reloading = cmp.Or(now.reloading, was.reloading) })
	case was.ready || was.status != "":
		now.ready, now.status = false, ""
		text = was.status
		if was.ready {
			text = strings.TrimSpace("READY=1\n" + text)
		}
		return text, put(func() {
			now.ready = now.ready || was.ready && now.reloading == ""
			now.status = cmp.Or(now.status, was.status)
		})
	case was.stopping:
		now.stopping = false
		return "STOPPING=1", put(func() { now.stopping = true })
	case was.alive:
		now.alive = false
		return "WATCHDOG=1", func() {}
	}
	close(n.told)
	n.told = nil
	return "", nil
}

func (n *notification) write(text string) error {
	conn, err := net.DialUnix("unixgram", nil, n.socket)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err = conn.SetWriteDeadline(time.Now().Add(notifyWrite)); err == nil {
		_, err = conn.Write([]byte(text))
	}
	return err
}

func (n *notification) reloading() {
	if n == nil {
		return
	}
	n.mu.Lock()
	was := n.was
	n.mu.Unlock()
	if was {
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
