// SPDX-License-Identifier: Apache-2.0

package ecs

import (
	"errors"
	"os"
)

// ErrForeign is that another user may have put a bearer token's file where it is, and so knows what is in it.
var ErrForeign = errors.New("another user may have put it there")

var errIrregular = errors.New("it is not a regular file")

// OpenTokenFile opens a file with a bearer token as a [Handler] does at requests. The file, and each symbolic link that leads
// to it, must be this user's or root's, and not everyone may write to it, or else this fails with [ErrForeign]. Where everyone
// may write to the folder it must have no other name. On Windows no owner is looked at: there it is for the folder's ACL to
// keep others out. What is no regular file is not opened.
func OpenTokenFile(path string) (*os.File, error) { return openTrusted(path) }
