// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// terminalPath is the terminal that this process was started from.
const terminalPath = "/dev/tty"

var passedOn = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH,
	syscall.SIGTSTP, syscall.SIGCONT}

// passOn sends a signal on to the child, unless the terminal has sent it to both. Whoever stops stile means the child
// too, and stile waits with it.
func passOn(s os.Signal, child *os.Process) {
	switch s {
	case os.Interrupt, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGWINCH:
		if !atTerminal() {
			_ = child.Signal(s) // it may have ended already
		}
	default:
		_ = child.Signal(s)
	}
	if s == syscall.SIGTSTP {
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	}
}

// atTerminal reports whether what is typed at a terminal reaches this process and its child.
func atTerminal() bool {
	terminal, err := os.OpenFile(terminalPath, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer func() { _ = terminal.Close() }()
	group, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP)
	return err == nil && group == syscall.Getpgrp()
}

// exitStatus is the code that a shell would report, 128 and the signal's number where a signal ended the command.
func exitStatus(e *exec.ExitError) int {
	if ws, ok := e.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return e.ExitCode()
}
