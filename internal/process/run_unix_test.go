// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What does not start is told, with the exit code of env, and with what to do about it where it would start elsewhere.
func TestUnstarted(t *testing.T) {
	t.Parallel()
	f := scripts(t, map[string]string{"plain": "echo ran\n", "closed": "#!/bin/sh\necho ran\n", "lost": "#!/not/there\n"})
	for _, name := range []string{"plain", "lost"} {
		if err := os.Chmod(filepath.Join(string(f), name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		path, command string
		code          int
		want          string
	}{
		"none":                       {"/bin", "no-such-command", 127, "find the command: "},
		"none of that path":          {"/bin", "./no-such-command", 127, "find the command: "},
		"not to be run":              {"/bin", "./closed", 126, "find the command: "},
		"a script without #!":        {"/bin", "./plain", 126, "exec format error: a script must begin with #! and its interpreter"},
		"no such interpreter":        {"/bin", "./lost", 127, "start the command: "},
		"in the current folder":      {".:/bin", "plain", 126, "current directory: name it by its path"},
		"in an element that is none": {":/bin", "plain", 126, "current directory: name it by its path"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), "run", c.command)
			cmd.Dir, cmd.Env = string(f), append(os.Environ(), "PATH="+c.path)
			out, err := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(string(out), c.want) {
				t.Errorf("%d, %v, want %d: %s", code, err, c.code, out)
			}
		})
	}
}

// A signal before the command ends what is done then, and is not forgotten, whatever that says.
func TestUnless(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	gaveUp := func(says error) func(context.Context) error {
		return func(ctx context.Context) error {
			<-ctx.Done()
			return says
		}
	}
	late, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	over, end := context.WithCancel(t.Context())
	end()
	contexts := map[string]context.Context{"main's interrupt": over, "no more time": late}
	for name, c := range map[string]struct {
		by   []os.Signal
		do   func(context.Context) error
		want error
	}{
		"nothing":                 {nil, func(context.Context) error { return nil }, nil},
		"a failure":               {nil, func(context.Context) error { return failed }, failed},
		"a signal, and a failure": {[]os.Signal{syscall.SIGTERM}, gaveUp(failed), Ended{Signal: syscall.SIGTERM}},
		"a signal, and none":      {[]os.Signal{syscall.SIGHUP}, gaveUp(nil), Ended{Signal: syscall.SIGHUP}},
		"main's interrupt":        {nil, gaveUp(failed), Ended{Signal: syscall.SIGINT}},
		"no more time":            {nil, gaveUp(failed), failed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &Signals{make(chan os.Signal, 1)}
			for _, one := range c.by {
				s.got <- one
			}
			ctx := t.Context()
			if other := contexts[name]; other != nil {
				ctx = other
			}
			if got := s.Unless(ctx, c.do); !errors.Is(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestMayDieOf(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM} {
		if want := !slices.Contains(ignored, os.Signal(s)); mayDieOf(s, 2) != want {
			t.Errorf("%v: want %t", s, want)
		}
		if mayDieOf(s, 1) {
			t.Errorf("%v: the first process would wait for an end that does not come", s)
		}
	}
	for _, s := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGKILL, syscall.SIGPIPE} {
		if mayDieOf(s, 2) {
			t.Errorf("%v", s)
		}
	}
}
