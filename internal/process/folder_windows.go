// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// own leaves whose a folder is to where it is: a user's temporary folder is nobody else's.
func own(info fs.FileInfo) bool { return info.IsDir() }

// hold makes a file and keeps others from opening it.
func hold(path string) (io.Closer, error) {
	held, err := alone(path, syscall.CREATE_NEW)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errSwept
	}
	return held, err
}

// take opens the file of a process that is dead.
func take(folder *os.Root, name string) (io.Closer, error) {
	return alone(filepath.Join(folder.Name(), name), syscall.OPEN_EXISTING)
}

type handle syscall.Handle

func (h handle) Close() error { return syscall.CloseHandle(syscall.Handle(h)) }

// alone opens a file that no other may have open at the same time.
func alone(path string, how uint32) (io.Closer, error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil, how, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return handle(h), nil
}
