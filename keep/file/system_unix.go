// SPDX-License-Identifier: Apache-2.0

//go:build unix

package file

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

// noFollow keeps a link from being followed, and a pipe from holding up who opens it.
const noFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// isLink reports whether opening failed because of what the path names: a link, or a socket.
func isLink(err error) bool {
	// FreeBSD says EMLINK and NetBSD EFTYPE; both are only seen as another error, and stand in the way just as well.
	return errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ENXIO)
}

// mine reports whether this user owns what info tells of.
func mine(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// open reports whether others than the owner may do anything with it.
func open(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }

func userID() (string, error) { return strconv.Itoa(os.Geteuid()), nil }

// rename replaces the file to, whole or not at all.
func rename(from, to string) error { return os.Rename(from, to) }
