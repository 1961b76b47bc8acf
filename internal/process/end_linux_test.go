// SPDX-License-Identifier: Apache-2.0

package process

import (
	"os"
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
