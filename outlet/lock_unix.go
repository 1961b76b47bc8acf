// SPDX-License-Identifier: Apache-2.0

//go:build unix && !aix && !solaris

package outlet

import (
	"errors"
	"os"
	"syscall"
)

// tryLock gives no unlock where another holds the lock, in this process or another.
//
// Only who holds the lock of a file removes it. So whoever has the lock, and then sees that the path still names the
// file that it locked, knows that this stays so until it unlocks.
func tryLock(path string) (unlock func(), err error) {
	for {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|noFollow, OwnerOnly)
		if err != nil {
			return nil, err
		}
		if err := flock(file); err != nil {
			_ = file.Close()
			if errors.Is(err, syscall.EWOULDBLOCK) {
				return nil, nil
			}
			return nil, &os.PathError{Op: "lock", Path: path, Err: err}
		}
		locked, err := file.Stat()
		there, gone := os.Lstat(path)
		if err == nil && gone == nil && os.SameFile(locked, there) {
			return func() {
				_ = os.Remove(path)
				_ = file.Close()
			}, nil
		}
		_ = file.Close()
	}
}

func flock(file *os.File) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		for {
			failed = syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB)
			if !errors.Is(failed, syscall.EINTR) {
				return
			}
		}
	})
	return errors.Join(err, failed)
}
