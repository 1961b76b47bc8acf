// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// away is a program without a terminal, as a supervisor starts it.
func away(t *testing.T, f folder, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = string(f), os.Environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// ending is how a process ended, as its parent sees it.
func ending(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	err := cmd.Wait()
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		t.Fatal(err)
	}
	return cmd.ProcessState.String()
}

func TestRunPassesSignals(t *testing.T) {
	t.Parallel()
	f := scripts(t, map[string]string{"tells": tells})
	cmd := away(t, f, "run", "sh", "tells")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan() // its parent
	for _, s := range []struct {
		signal syscall.Signal
		name   string
	}{
		{syscall.SIGINT, "INT"}, {syscall.SIGINT, "INT"}, {syscall.SIGTERM, "TERM"}, {syscall.SIGTERM, "TERM"}, {syscall.SIGHUP, "HUP"},
		{syscall.SIGQUIT, "QUIT"}, {syscall.SIGUSR2, "USR2"}, {syscall.SIGWINCH, "WINCH"},
	} {
		if slices.Contains(ignored, os.Signal(s.signal)) {
			continue // by whoever runs the tests
		}
		if err := cmd.Process.Signal(s.signal); err != nil {
			t.Fatal(err)
		}
		if !lines.Scan() || lines.Text() != "told "+s.name {
			t.Fatalf("after %v: %q, want the command to be told once", s.signal, lines.Text())
		}
	}
	if err := cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if !lines.Scan() || lines.Text() != "over" {
		t.Errorf("%q, want no other signal before the last", lines.Text())
	}
	if got := ending(t, cmd); got != "exit status 5" {
		t.Error(got)
	}
}

// What ended the command ends this process, as far as the Go runtime can; other signals are the exit code that a shell gives.
func TestRunEndsAsItsCommand(t *testing.T) {
	t.Parallel()
	if len(ignored) > 0 {
		t.Skip("the tests run with signals ignored, so commands are too")
	}
	f := scripts(t, nil)
	for script, want := range map[string]string{
		"exit 0": "exit status 0", "exit 3": "exit status 3", "exit 130": "exit status 130",
		"kill -INT $$": "signal: interrupt", "kill -TERM $$": "signal: terminated", "kill -HUP $$": "signal: hangup",
		"kill -KILL $$": "exit status 137", "ulimit -c 0; kill -QUIT $$": "exit status 131",
	} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			cmd := away(t, f, "run", "sh", "-c", script)
			var errs bytes.Buffer
			cmd.Stderr = &errs
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if got := ending(t, cmd); got != want || errs.Len() > 0 {
				t.Errorf("%s, want %s; %s", got, want, &errs)
			}
		})
	}
}

// What this process is started to ignore, the command ignores, as it does under nohup alone.
func TestRunIgnoredSignals(t *testing.T) {
	t.Parallel()
	f := scripts(t, map[string]string{"command": "kill -HUP $$; kill -INT $$; kill -HUP $PPID; kill -INT $PPID; echo alive"})
	out, err := away(t, f, "sh", "-c", "trap '' HUP INT; exec run sh command").Output()
	if string(out) != "alive\n" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
}

// Who is told to go on before it has stopped is not to be stopped later, for nothing would have it go on again.
func TestToldToGoOn(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "cat")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal tells it
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, s := range []struct {
		signal syscall.Signal
		told   bool
	}{{syscall.SIGTSTP, true}, {syscall.SIGWINCH, true}, {syscall.SIGCONT, false}} {
		if passOn(s.signal, cmd.Process); toldToStop.Load() != s.told {
			t.Errorf("after %v: told to stop: %t", s.signal, !s.told)
		}
	}
	_ = in.Close()
	_ = cmd.Wait()
}

// Killed, this process can pass nothing on: the kernel has the command end.
func TestRunKilled(t *testing.T) {
	t.Parallel()
	f := scripts(t, map[string]string{"command": "trap 'echo told; exit 0' TERM; echo ready; while :; do sleep 0.01; done"})
	cmd := away(t, f, "run", "sh", "command")
	r, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	cmd.Stdout = to
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = to.Close()
	if err := r.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(r)
	lines.Scan()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if got := ending(t, cmd); got != "signal: killed" {
		t.Error(got)
	}
	if !lines.Scan() || lines.Text() != "told" {
		t.Errorf("%q, %v: the command runs on", strings.TrimSpace(lines.Text()), lines.Err())
	}
}
