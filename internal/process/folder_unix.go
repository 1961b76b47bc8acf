// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// own reports whether a folder is this user's, and nobody else may look into it.
func own(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.IsDir() && int(stat.Uid) == os.Geteuid() && info.Mode().Perm()&0o077 == 0
}

// hold makes a file and locks it. Whoever took it for a dead one's in between has removed it, or is about to.
func hold(path string) (io.Closer, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errSwept
	}
	if err != nil {
		return nil, err
	}
	if err = flock(file); errors.Is(err, syscall.EWOULDBLOCK) {
		err = errSwept
	}
	if err == nil {
		var locked, there fs.FileInfo
		if locked, err = file.Stat(); err == nil {
			if there, err = os.Lstat(path); err != nil || !os.SameFile(locked, there) {
				err = errSwept
			}
		}
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// take locks the file of a process that is dead. To open a pipe for both ways waits for nobody.
func take(folder *os.Root, name string) (io.Closer, error) {
	file, err := folder.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if err := flock(file); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// flock locks a file until it is closed, or its process ends in whatever way. It fails with EWOULDBLOCK where another has
// the lock.
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
