// SPDX-License-Identifier: Apache-2.0

//go:build unix

package ecs_test

import (
	"net/http"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stile-project/stile/serve/ecs"
)

// TestTokenFileIsAPipe: nobody writes it, and nobody waits for that.
func TestTokenFileIsAPipe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	h := newHandler(t, ecs.Options{TokenFile: path})
	done := make(chan int, 1)
	go func() {
		w, _, _ := ask(h, http.MethodGet, ecs.Path("good"), authorized())
		done <- w.status
	}()
	select {
	case status := <-done:
		if status != http.StatusServiceUnavailable {
			t.Errorf("got %d", status)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for the pipe")
	}
}
