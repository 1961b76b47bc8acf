// SPDX-License-Identifier: Apache-2.0

package outlet

import (
	"errors"
	"os"
	"syscall"
)

const (
	sharingViolation = syscall.Errno(32)
	deleteOnClose    = 0x04000000 // FILE_FLAG_DELETE_ON_CLOSE
)

// tryLock gives no unlock where another holds the lock: a file that is open for one and removed when that one ends.
func tryLock(path string) (unlock func(), err error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	handle, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil, syscall.OPEN_ALWAYS,
		syscall.FILE_ATTRIBUTE_NORMAL|deleteOnClose, 0)
	if errors.Is(err, sharingViolation) {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	return func() { _ = syscall.CloseHandle(handle) }, nil
}
