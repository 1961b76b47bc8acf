// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package outlet

import (
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/stile-project/stile"
)

const noFollow = 0

// Who may do what is left to the ACLs of the folder.
func trusted(fs.FileInfo) bool                { return true }
func sameOwner(fs.FileInfo, fs.FileInfo) bool { return true }
func ownerOf(fs.FileInfo) string              { return "somebody" }
func hasNames(fs.FileInfo) bool               { return false }
func writableByAll(fs.FileInfo) bool          { return false }
func writableByGroup(fs.FileInfo) bool        { return false }
func open(fs.FileInfo) bool                   { return false }

// rename replaces the file to, whole or not at all. Windows refuses that while another process reads the file, which
// takes it microseconds.
func rename(from, to string) error {
	err := os.Rename(from, to)
	for wait := time.Millisecond; err != nil && wait < 500*time.Millisecond; wait *= 2 {
		<-time.After(wait)
		err = os.Rename(from, to)
	}
	return err
}

func (f File) own(*os.File, fs.FileInfo) error { return knownGroup(f.Group) }

func knownGroup(name string) error {
	if name != "" {
		return fmt.Errorf("%w: files have no group on this system", stile.ErrMisuse)
	}
	return nil
}
