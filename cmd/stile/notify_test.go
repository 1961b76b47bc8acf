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
