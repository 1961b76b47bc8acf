// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// monotonic is what systemd measures reloading by. Source: sd_notify(3), MONOTONIC_USEC.
func monotonic() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // cannot fail for this clock
	return time.Duration(now.Nano())
}

// processEnd gives a context that ends when the process does. A process that comes to have its number later is not
// taken for it.
func processEnd(ctx context.Context, pid int) (context.Context, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // an old kernel, or a container that forbids it
		return pollEnd(ctx, pid)
	}
	if err != nil {
		return nil, misuse("watch the process", "--exit-with %d: %w", pid, err)
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
