// SPDX-License-Identifier: Apache-2.0

package process

import (
	"os"
	"os/exec"
	"syscall"
)

// TerminalPath is the console that this process was started from.
const TerminalPath = "CON"

// Windows delivers an interrupt to the whole console group and has no other signal to pass on.
var passedOn = []os.Signal{os.Interrupt}

func passOn(os.Signal, *os.Process) {}

func tie(*exec.Cmd) {}

func followStops(*os.Process) {}

func endOf(e *exec.ExitError) Ended { return Ended{Code: e.ExitCode()} }

func dieOf(syscall.Signal) {}
