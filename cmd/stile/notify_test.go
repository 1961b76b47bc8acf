// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A manager is what systemd is to a service: it is told how the service stands.
type manager struct {
	*net.UnixConn
	t *testing.T
}

// manage listens at a path, or at an abstract name, which begins with @.
func manage(t *testing.T, at string) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &manager{conn, t}
}

// told is the next notification that is no sign of life.
func (m *manager) told() []string {
	m.t.Helper()
	for {
		b := make([]byte, 4096)
		n, err := m.Read(b)
		if err != nil {
			m.t.Fatal(err)
		}
		if text := string(b[:n]); text != "WATCHDOG=1" {
			return strings.Split(text, "\n")
		}
	}
}

// alive waits for a sign of life.
func (m *manager) alive() {
	m.t.Helper()
	for b := make([]byte, 4096); ; {
		n, err := m.Read(b)
		if err != nil {
			m.t.Fatal(err)
		}
		if string(b[:n]) == "WATCHDOG=1" {
			return
		}
	}
}

// until waits for a notification that says something, and returns what came before it.
func (m *manager) until(assignment string) (before []string) {
	m.t.Helper()
	for {
		told := m.told()
		before = append(before, told...)
		if slices.Contains(told, assignment) {
			return before
		}
	}
}

const servesImages = imagesYAML + `serve:
  endpoints: [{ ecs: [images], listen: "127.0.0.1:0" }]
`

func TestNotifySystemd(t *testing.T) {
	t.Parallel()
	for name, abstract := range map[string]bool{"path": false, "abstract name": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := execWorkload(t, map[string]string{"serve.yaml": servesImages})
			at := filepath.Join(w.folder, "notify")
			if abstract {
				at = "@stile-test" + at
			}
			m := manage(t, at)
			const sts = "sts.eu-west-1.amazonaws.com"
			w.spoil(sts, answers(http.StatusServiceUnavailable, ""))
			cmd := away(t, w, "stile", "serve", "--config", "serve.yaml")
			cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+at, "XDG_RUNTIME_DIR="+w.folder, "WATCHDOG_USEC=20000")
			errs, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			signalled := func(s os.Signal) {
				if err := cmd.Process.Signal(s); err != nil {
					t.Fatal(err)
				}
			}
			m.until("STATUS=0 of 1 crossing ready")

			// A reload makes nobody ready.
			signalled(syscall.SIGHUP)
			said := bufio.NewScanner(errs)
			for said.Scan() && !strings.HasSuffix(said.Text(), "Z configuration taken over") { //nolint:revive // until it is done
			}
			w.spoil(sts, realFault(func(rw http.ResponseWriter, r *http.Request, real http.Handler) { real.ServeHTTP(rw, r) }))
			drained := make(chan struct{})
			go func() {
				defer close(drained)
				for said.Scan() {
				}
			}()
			for ready := false; !ready; {
				told := m.told()
				ready = slices.Contains(told, "READY=1")
				if told[0] == "RELOADING=1" || ready && !slices.Contains(told, "STATUS=1 of 1 crossing ready") {
					t.Fatalf("%q, with nothing ready yet", told)
				}
			}

			// Once it is ready, a reload begins and ends, by systemd's own clock.
			began := monotonic()
			signalled(syscall.SIGHUP)
			told := m.until("RELOADING=1")
			text, _ := strings.CutPrefix(told[len(told)-1], "MONOTONIC_USEC=")
			if at, err := strconv.ParseInt(text, 10, 64); err != nil || at < began.Microseconds() || at > monotonic().Microseconds() {
				t.Errorf("%q, want a time since %d", told, began.Microseconds())
			}
			m.until("READY=1")
			for range 3 {
				m.alive()
			}
			signalled(syscall.SIGTERM)
			m.until("STOPPING=1")
			<-drained
			if got := ending(t, cmd); got != "exit status 0" {
				t.Error(got)
			}
		})
	}
}

// stuffed is a manager that does not read, and whose socket takes no more.
func stuffed(t *testing.T, at string) (m *manager, held int) {
	t.Helper()
	m = manage(t, at)
	for { // what one sender has sent and nobody read is bounded too
		sent := stuff(t, at)
		if held += sent; sent == 0 {
			return m, held
		}
	}
}

// stuff sends as much as one sender can.
func stuff(t *testing.T, at string) (sent int) {
	t.Helper()
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: at, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for ; ; sent++ {
		if err := conn.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("X_STUFFING=1")); err != nil {
			return sent
		}
	}
}

// A systemd that does not read holds up nothing, and hears how the service stands once it does.
func TestNotifyWhoDoesNotRead(t *testing.T) {
	t.Parallel()
	at := filepath.Join(t.TempDir(), "notify")
	m, held := stuffed(t, at)
	n := notifier(at)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		n.send("STATUS=0 of 1 crossing ready")
		n.send("READY=1") // of a reload, before anything is ready
		n.send("READY=1", "STATUS=1 of 1 crossing ready")
		for range 100 {
			n.reloading()
			n.send("WATCHDOG=1")
			n.send("READY=1")
		}
		n.send("STATUS=0 of 1 crossing ready")
		n.send("STOPPING=1")
		n.send("READY=1")
	}()
	select {
	case <-sent:
	case <-time.After(30 * time.Second):
		t.Fatal("it waits for systemd")
	}
	for range held {
		if told := m.told(); told[0] != "X_STUFFING=1" {
			t.Fatalf("%q", told)
		}
	}
	told := m.until("STOPPING=1")
	rest, reloading := told, false // since the last reload began
	for at := slices.Index(rest, "RELOADING=1"); at >= 0; at = slices.Index(rest, "RELOADING=1") {
		rest, reloading = rest[at+1:], true
	}
	const some = 16 // of 300
	if len(told) > some || !reloading || !slices.Contains(rest, "READY=1") || !slices.Contains(rest, "STATUS=0 of 1 crossing ready") {
		t.Errorf("told %q", told)
	}
}

// SIGTERM ends a service though systemd does not read.
func TestEndWhereSystemdDoesNotRead(t *testing.T) {
	t.Parallel()
	w := execWorkload(t, map[string]string{"serve.yaml": servesImages})
	at := filepath.Join(w.folder, "notify")
	m, _ := stuffed(t, at)
	cmd := away(t, w, "stile", "serve", "--config", "serve.yaml")
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+at, "XDG_RUNTIME_DIR="+w.folder, "WATCHDOG_USEC=20000")
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewScanner(errs)
	for said.Scan() && !strings.Contains(said.Text(), " credential exchanged") { //nolint:revive // until it is
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() }).Stop()
	for said.Scan() { // until it has ended
	}
	if got := ending(t, cmd); got != "exit status 0" {
		t.Error(got)
	}
	_ = m.Close()
}

// Of the watchdog, half the time that systemd waits; that of another process is not this one's.
func TestWatchdog(t *testing.T) {
	for name, c := range map[string]struct {
		usec, pid string
		want      time.Duration
	}{
		"30 s":             {"30000000", "", 15 * time.Second},
		"this process":     {"30000000", strconv.Itoa(os.Getpid()), 15 * time.Second},
		"another process":  {"30000000", "1", 0},
		"none":             {"", "", 0},
		"no number":        {"30s", "", 0},
		"nothing to halve": {"1", "", 0},
		"beyond reason":    {"9223372036854775807", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("WATCHDOG_USEC", c.usec)
			t.Setenv("WATCHDOG_PID", c.pid)
			if got := watchdog(); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}
