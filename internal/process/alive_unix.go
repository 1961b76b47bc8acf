// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"errors"
	"os"
	"syscall"
)

// alive reports whether a process is there, be it another user's. A child that has ended is there until it is waited for,
// which falls to this process after sh -c 'program & exec stile serve --exit-with $!'.
func alive(process *os.Process) bool {
	if pid, err := syscall.Wait4(process.Pid, nil, syscall.WNOHANG, nil); err == nil && pid == process.Pid {
		return false
	}
	err := process.Signal(syscall.Signal(0))
	return err == nil || errors.Is(err, syscall.EPERM)
}
