// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// TerminalPath is the terminal that this process was started from.
const TerminalPath = "/dev/tty"

var passedOn = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH,
	syscall.SIGTSTP, syscall.SIGCONT}

// typed are the signals that a terminal sends to all that are in the foreground.
var typed = []os.Signal{os.Interrupt, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGWINCH}

// passOn sends a signal on to the child, unless the terminal has sent it to both: programs such as terraform take a
// second interrupt for impatience.
func passOn(s os.Signal, child *os.Process) {
	reached := slices.Contains(typed, s) && atTerminal() && sameGroup(child)
	switch {
	case s == syscall.SIGTSTP && !reached:
		toldToStop.Store(true)
	case s == syscall.SIGCONT: // who is to go on before it has stopped would never be told again
		toldToStop.Store(false)
	}
	if !reached {
		_ = child.Signal(s) // it may have ended already
	}
	if s == syscall.SIGTSTP {
		stopAtOnce()
	}
}

// toldToStop is whether a signal that asks to stop was passed on.
var toldToStop atomic.Bool

// atTerminal reports whether what is typed at a terminal reaches this process.
func atTerminal() bool {
	terminal, err := os.OpenFile(TerminalPath, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer func() { _ = terminal.Close() }()
	group, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP)
	return err == nil && group == syscall.Getpgrp()
}

// sameGroup reports whether the terminal reaches this process and the child together. One that began a session of its
// own, or took the foreground, it reaches alone or not at all.
func sameGroup(child *os.Process) bool {
	group, err := syscall.Getpgid(child.Pid)
	return err == nil && group == syscall.Getpgrp()
}

// endOf is the child's exit code, or the signal that ended it.
func endOf(e *exec.ExitError) Ended {
	if status, ok := e.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return Ended{Signal: status.Signal()}
	}
	return Ended{Code: e.ExitCode()}
}

// dieOf ends this process by a signal, and returns where that cannot be.
func dieOf(s syscall.Signal) {
	if !mayDieOf(s, os.Getpid()) {
		return
	}
	signal.Reset(s)
	if syscall.Kill(os.Getpid(), s) == nil {
		<-time.After(time.Second) // another thread may be the one to get it
	}
}

// mayDieOf reports whether a process can end by a signal: a container's first process does not die so, and of other
// signals the Go runtime makes a crash report.
func mayDieOf(s syscall.Signal, pid int) bool {
	return pid != 1 && slices.Contains([]syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM}, s) && !slices.Contains(ignored, os.Signal(s))
}
