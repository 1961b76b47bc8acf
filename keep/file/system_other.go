// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package file

import (
	"io/fs"
	"os"
	"os/user"
	"time"
)

const noFollow = 0

func isLink(error) bool { return false }

// mine and open leave it to the ACLs of the folder.
func mine(fs.FileInfo) bool { return true }

func open(fs.FileInfo) bool { return false }

func userID() (string, error) {
	u, err := user.Current()
	if err != nil {
		return "", err
	}
	return u.Uid, nil
}

// rename replaces the file to, whole or not at all. Windows refuses that while another process reads the file, which
// takes it microseconds.
func rename(from, to string) error {
	err := os.Rename(from, to)
	for wait := time.Millisecond; err != nil && wait < 100*time.Millisecond; wait *= 2 {
		<-time.After(wait)
		err = os.Rename(from, to)
	}
	return err
}
