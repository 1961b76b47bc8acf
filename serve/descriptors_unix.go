// SPDX-License-Identifier: Apache-2.0

//go:build unix

package serve

import "syscall"

// descriptors is how many files and sockets the process may have open.
func descriptors() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	return int(min(limit.Cur, 1<<20)) //nolint:gosec,unconvert,nolintlint // some systems' limits are signed
}
