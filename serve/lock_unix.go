// SPDX-License-Identifier: Apache-2.0

//go:build unix && !solaris && !aix

package serve

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// lockFolder waits up to 2 s until nobody else opens a socket in the folder. No file is left behind: the folder itself
// is locked.
func lockFolder(ctx context.Context, folder string) (unlock func(), err error) {
	f, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			_ = f.Close()
			return nil, os.NewSyscallError("flock", err)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, errors.New("another program has had the folder locked for 2 seconds")
		case <-again.C:
		}
	}
}
