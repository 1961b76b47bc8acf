// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// End gives a context that ends when the process does. A process that comes to have its number later is not
// taken for it. The error is that there is none now.
func End(ctx context.Context, pid int) (context.Context, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // an old kernel, or a container that forbids it
		return pollEnd(ctx, pid)
	}
	if err != nil {
		return nil, err
	}
	_ = unix.SetNonblock(fd, true)
	process := os.NewFile(uintptr(fd), "pidfd")
	raw, err := process.SyscallConn()
	if err != nil || process.SetReadDeadline(time.Time{}) != nil { // the Go runtime cannot wait for it
		_ = process.Close()
		return pollEnd(ctx, pid)
	}
	gone, end := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer end()
		defer context.AfterFunc(ctx, func() { _ = process.SetReadDeadline(time.Unix(1, 0)) })()
		defer func() { _ = process.Close() }()
		_ = raw.Read(ended)
	}()
	return gone, nil
}

// ended reports whether a process has, which its descriptor says by what it has to read. Source: pidfd_open(2).
func ended(fd uintptr) bool {
	n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0) //nolint:gosec // a descriptor is an int
	return n > 0
}
