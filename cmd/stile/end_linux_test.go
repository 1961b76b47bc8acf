// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// unread starts a stile serve whose standard error is a full pipe that nobody reads, and has it asked.
func unread(t *testing.T) (cmd *exec.Cmd, address string) {
	t.Helper()
	w := execWorkload(t, map[string]string{"serve.yaml": strings.Replace(servesImages, "ecs: [images]", "imds: images", 1)})
	stderr, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = stderr.Close(), theirs.Close() })
	cmd = away(t, w, "stile", "serve", "--config", "serve.yaml")
	cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR="+w.folder)
	cmd.Stderr = theirs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for said := bufio.NewScanner(stderr); said.Scan() && !strings.HasSuffix(said.Text(), "ready: 1 crossing"); {
		if _, at, ok := strings.Cut(said.Text(), "address "); ok {
			address = at
		}
	}
	fill(t, int(theirs.Fd()))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+address+"/latest/api/token", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "elsewhere.example"
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req) // which the audit has a line of
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return cmd, address
}

// fill fills a pipe, whose every write of a page takes one of its places.
func fill(t *testing.T, pipe int) {
	t.Helper()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pipe), Events: unix.POLLOUT}}, 0)
		if n == 0 && err == nil {
			return
		}
		if _, err := unix.Write(pipe, make([]byte, os.Getpagesize())); err != nil {
			t.Fatal(err)
		}
	}
}

// endsWithin reports how a process ended, which must be soon.
func endsWithin(t *testing.T, cmd *exec.Cmd, limit time.Duration) string {
	t.Helper()
	defer time.AfterFunc(limit, func() { _ = cmd.Process.Kill() }).Stop()
	return ending(t, cmd)
}

// A second signal ends at once, though whoever is to read standard error does not.
func TestSecondSignalWhereNobodyReads(t *testing.T) {
	t.Parallel()
	cmd, address := unread(t)
	signalled := func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	signalled()
	for late := time.Now().Add(time.Minute); time.Now().Before(late); time.Sleep(5 * time.Millisecond) {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			break // it has begun to end
		}
		_ = conn.Close()
	}
	signalled()
	if got := endsWithin(t, cmd, 4*time.Second); got != "exit status 143" {
		t.Error(got)
	}
}

// One signal ends too, within bounds.
func TestEndWhereNobodyReads(t *testing.T) {
	t.Parallel()
	cmd, _ := unread(t)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := endsWithin(t, cmd, endPatience+20*time.Second); got != "exit status 1" {
		t.Error(got)
	}
}
