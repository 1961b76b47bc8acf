// SPDX-License-Identifier: Apache-2.0

package fromoidc

import (
	"io/fs"
	"syscall"
	"testing"
)

// The tests may run as a user who may read everything, so that no file shows this.
func TestPlainSaysThatAFileMayNotBeRead(t *testing.T) {
	t.Parallel()
	err := plain(&fs.PathError{Op: "open", Path: "/secret", Err: syscall.EACCES})
	if want := "this process may not read it: permission denied"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}
