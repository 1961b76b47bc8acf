// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestEndedIsNotSaidOfTheLiving(t *testing.T) {
	t.Parallel()
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Skip("this system has no descriptors of processes: ", err)
	}
	defer func() { _ = unix.Close(fd) }()
	if ended(uintptr(fd)) {
		t.Error("this process is said to have ended")
	}
}

// Another user's process is alive, though no signal may be sent to it.
func TestAliveThoughAnothers(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can become another; for others, process 1 is another's")
	}
	cmd := exec.CommandContext(t.Context(), "cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close(); _ = cmd.Wait() }()
	process := cmd.Process
	is := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends, and nothing else runs as nobody
		const nobody = 65534
		if _, _, failed := syscall.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); failed != 0 {
			is <- failed
			return
		}
		if err := process.Signal(syscall.Signal(0)); !errors.Is(err, syscall.EPERM) {
			is <- fmt.Errorf("got %w, want it forbidden", err)
			return
		}
		if !alive(process) {
			is <- errors.New("it is taken for dead")
			return
		}
		is <- nil
	}()
	if err := <-is; err != nil {
		t.Error(err)
	}
}
