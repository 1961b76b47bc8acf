// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"

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
	gone, end := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer func() { _ = unix.Close(fd) }()
		const often = 1000 // ms
		for ctx.Err() == nil {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, often) //nolint:gosec // a descriptor is an int
			if n > 0 {
				end()
				return
			}
			if err != nil && !errors.Is(err, unix.EINTR) {
				return
			}
		}
		end()
	}()
	return gone, nil
}
