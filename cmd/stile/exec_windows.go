// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
)

// Windows delivers an interrupt to the whole console group and has no other signal to pass on.
var passedOn = []os.Signal{os.Interrupt}

func exitStatus(e *exec.ExitError) int { return e.ExitCode() }
