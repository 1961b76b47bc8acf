// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
)

// terminalPath is the console that this process was started from.
const terminalPath = "CON"

// Windows delivers an interrupt to the whole console group and has no other signal to pass on.
var passedOn = []os.Signal{os.Interrupt}

func passOn(os.Signal, *os.Process) {}

func exitStatus(e *exec.ExitError) int { return e.ExitCode() }
