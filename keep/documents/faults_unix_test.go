// SPDX-License-Identifier: Apache-2.0

//go:build unix

package documents_test

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
)

// An emulator that hangs, dies and comes back, under one store.
func TestOutages(t *testing.T) {
	t.Parallel()
	own := &emulator{jar: firestore.jar, args: firestore.args}
	s := open(t, "FIRESTORE_EMULATOR_HOST", own.at(t), native)
	t.Cleanup(own.kill)
	const name = "outage"
	set := func() error { return s.Set(t.Context(), name, []byte("v"), time.Hour) }
	if err := set(); err != nil {
		t.Fatal("Set:", err)
	}

	signal(t, own, syscall.SIGSTOP)
	for op, do := range map[string]func(context.Context) error{
		"Get":    func(ctx context.Context) error { _, err := s.Get(ctx, name); return err },
		"Set":    func(ctx context.Context) error { return s.Set(ctx, name, []byte("v"), time.Hour) },
		"Add":    func(ctx context.Context) error { _, err := s.Add(ctx, name, "h", time.Hour); return err },
		"Extend": func(ctx context.Context) error { _, err := s.Extend(ctx, name, "h", time.Hour); return err },
		"Remove": func(ctx context.Context) error { return s.Remove(ctx, name, "h") },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		began := time.Now()
		if err := do(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, stile.ErrTemporary) || errors.Is(err, keep.ErrAbsent) {
			t.Errorf("%s, frozen: got %v; want DeadlineExceeded", op, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s, frozen: it took %v", op, took)
		}
		cancel()
	}
	signal(t, own, syscall.SIGCONT)
	if got, err := s.Get(t.Context(), name); err != nil || string(got) != "v" {
		t.Errorf("Get, thawed: got %q, %v", got, err)
	}

	own.kill()
	if err := set(); !errors.Is(err, stile.ErrTemporary) {
		t.Errorf("Set, killed: got %v; want ErrTemporary", err)
	}
	own.at(t)
	until(t, "the store to find the emulator again", func() bool { return set() == nil })
}

func signal(t *testing.T, e *emulator, s syscall.Signal) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.process.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}
