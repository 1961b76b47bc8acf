// SPDX-License-Identifier: Apache-2.0

//go:build unix

package storetest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Program finds an outside program that a test needs. Without it the test is skipped, or fails where
// STILE_REQUIRE_SERVERS is 1.
func Program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
	case os.Getenv("STILE_REQUIRE_SERVERS") == "1":
		t.Fatalf("%s is required and not here", name)
	default:
		t.Skipf("%s is not here", name)
	}
	return path
}

// FreePort is a TCP port on loopback that nobody listened on a moment ago.
func FreePort(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// A Process is a server of a test's own. It is killed when the test ends.
type Process struct {
	Address string // HOST:PORT

	t    *testing.T
	path string
	args func(port string) []string
	cmd  *exec.Cmd
	said *output
	gone chan struct{}
}

// output is what a process said.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Serve starts a program that listens on a free port of loopback, in a directory of its own, and waits until it does.
func Serve(t *testing.T, name string, args func(port string) []string) *Process {
	t.Helper()
	p := &Process{t: t, path: Program(t, name), args: args}
	t.Cleanup(p.Kill)
	// Another process may take the port between looking for it and listening on it.
	for range 5 {
		p.Address = net.JoinHostPort("127.0.0.1", FreePort(t))
		if p.start() {
			return p
		}
	}
	t.Fatalf("%s did not start: %s", name, p.said)
	return nil
}

// Start starts a killed process again, on the same port.
func (p *Process) Start() {
	p.t.Helper()
	if !p.start() {
		p.t.Fatalf("%s did not start again: %s", p.path, p.said)
	}
}

// start reports whether the process lives to be connected to.
func (p *Process) start() bool {
	p.t.Helper()
	_, port, _ := net.SplitHostPort(p.Address)
	cmd := exec.CommandContext(context.Background(), p.path, p.args(port)...) //nolint:gosec // G204: a test's own server
	said, gone := &output{}, make(chan struct{})
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.t.TempDir(), said, said
	p.cmd, p.said, p.gone = cmd, said, gone
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // it is killed
		close(gone)
	}()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", p.Address)
		if err == nil {
			_ = conn.Close()
		}
		select {
		case <-gone:
			return false
		case <-deadline.C:
			p.Kill()
			return false
		case <-tick.C:
			if err == nil {
				return true
			}
		}
	}
}

// Kill ends the process at once, and waits until it is gone.
func (p *Process) Kill() {
	if p.cmd != nil && p.cmd.Process != nil {
		_ = p.cmd.Process.Kill() // it may be gone already
		<-p.gone
	}
}

// Freeze stops the process where it is: it keeps its connections and answers nobody.
func (p *Process) Freeze() {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
	until(p.t, "all threads to stop", func() bool {
		// Where there is no /proc, the signal is taken to have come.
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.cmd.Process.Pid))
		for _, thread := range threads {
			if text, err := os.ReadFile(thread); err == nil && !strings.Contains(string(text), "T (stopped)") {
				return false
			}
		}
		return true
	})
}

// Thaw lets it go on.
func (p *Process) Thaw() { p.signal(syscall.SIGCONT) }

func (p *Process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}
