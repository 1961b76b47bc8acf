// SPDX-License-Identifier: Apache-2.0

package fromoidc

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// ownGroup keeps the console's Ctrl-C, which is for us, from the program.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// killGroup ends the program and all that it started. Windows keeps no group to signal: taskkill follows the parents.
func killGroup(cmd *exec.Cmd) error {
	taskkill := filepath.Join(os.Getenv("SystemRoot"), "System32", "taskkill.exe")
	tree := exec.Command(taskkill, "/T", "/F", "/PID", strconv.Itoa(cmd.Process.Pid)).Run()
	return errors.Join(tree, cmd.Process.Kill())
}
