// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// tie has the kernel tell the command to end when this process is killed and can tell it nothing: it would run on, with a
// credential that nobody refreshes, and without whoever started it knowing.
// Source: prctl(2), PR_SET_PDEATHSIG.
func tie(child *exec.Cmd) { child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }

// stopAtOnce does nothing here: followStops does it, once the child has stopped.
func stopAtOnce() {}

// followStops stops this process whenever the child has stopped at the terminal, or because it was told to, so that the
// shell has its terminal back: a child may ignore the request, or finish something first, or stop on its own. It returns
// once the child has ended.
func followStops(child *os.Process) {
	for {
		switch err := unix.Waitid(unix.P_PID, child.Pid, nil, unix.WSTOPPED, nil); {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return
		case toldToStop.Swap(false) || atTerminal():
			_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP) // the Go runtime does not give SIGTSTP its meaning back
		}
	}
}
