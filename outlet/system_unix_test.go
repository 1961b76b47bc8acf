// SPDX-License-Identifier: Apache-2.0

//go:build unix

package outlet

import (
	"io/fs"
	"syscall"
	"testing"
)

// An owned is what a disk tells of a file that belongs to a user.
type owned struct {
	fs.FileInfo
	user uint32
}

func (o owned) Sys() any { return &syscall.Stat_t{Uid: o.user} }

func TestTrusted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		user  int
		owner uint32
		want  bool
	}{{1000, 1000, true}, {1000, 0, true}, {1000, 1001, false}, {0, 0, true}, {0, 1000, false}} {
		if got := trustedBy(c.user, owned{user: c.owner}); got != c.want {
			t.Errorf("what belongs to %d is trusted by %d: %v", c.owner, c.user, got)
		}
	}
}
