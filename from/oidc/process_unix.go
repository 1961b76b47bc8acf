// SPDX-License-Identifier: Apache-2.0

//go:build unix

package fromoidc

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// ownGroup lets the program and all that it starts be ended together.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

// killGroup ends the program and all that it started, but for what made a group of its own.
func killGroup(cmd *exec.Cmd) error {
	err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone // which exec takes for what it is
	}
	return err
}
