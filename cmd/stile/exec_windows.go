// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"syscall"
)

// terminalPath is the console that this process was started from.
const terminalPath = "CON"

// Windows delivers an interrupt to the whole console group and has no other signal to pass on.
var passedOn = []os.Signal{os.Interrupt}

func passOn(os.Signal, *os.Process) {}

func tie(*exec.Cmd) {}

func followStops(*os.Process) {}

func endOf(e *exec.ExitError) error { return exit(e.ExitCode()) }

func dieOf(syscall.Signal) {}
