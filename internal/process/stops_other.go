// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package process

import (
	"os"
	"os/exec"
	"syscall"
)

// tie does nothing here: only Linux tells a process of its parent's death.
func tie(*exec.Cmd) {}

// stopAtOnce stops this process as its child stops, or will: to see it stop, one would have to take its exit code from os/exec.
func stopAtOnce() { _ = syscall.Kill(os.Getpid(), syscall.SIGSTOP) }

func followStops(*os.Process) {}
