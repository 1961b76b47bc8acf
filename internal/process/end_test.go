// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"context"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"
)

// The end of a process is seen though nobody has waited for it yet, by either way of looking.
func TestEnd(t *testing.T) {
	t.Parallel()
	for name, watch := range map[string]func(context.Context, int) (context.Context, error){"usual": End, "poll": pollEnd} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), "cat")
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			gone, err := watch(t.Context(), cmd.Process.Pid)
			if err != nil {
				t.Fatal(err)
			}
			if gone.Err() != nil {
				t.Error("it is taken for ended while it runs")
			}
			_ = in.Close()
			_, _ = io.Copy(io.Discard, out) // it has ended, or is about to
			select {
			case <-gone.Done():
			case <-time.After(30 * time.Second):
				t.Error("its end is not seen")
			}
			_ = cmd.Wait()
		})
	}
}

func TestEndOfNobody(t *testing.T) {
	t.Parallel()
	for name, watch := range map[string]func(context.Context, int) (context.Context, error){"usual": End, "poll": pollEnd} {
		if _, err := watch(t.Context(), 1999999999); err == nil {
			t.Errorf("%s: there is no such process, and it is watched", name)
		}
		if gone, err := watch(t.Context(), 1); err != nil || gone.Err() != nil { // another user's, or that of the container
			t.Errorf("%s: process 1: %v", name, err)
		}
		if gone, err := watch(t.Context(), os.Getpid()); err != nil || gone.Err() != nil {
			t.Errorf("%s: this process: %v", name, err)
		}
	}
}
