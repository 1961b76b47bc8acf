// SPDX-License-Identifier: Apache-2.0

//go:build unix

package sidecar

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ownFolder fails where another user can put files into a folder, or another folder in its place: it, each above it, and
// each link on the way must be this user's or root's, and not everyone may rename what is in it. It need not be there.
func ownFolder(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	for {
		for _, look := range []func(string) (fs.FileInfo, error){os.Lstat, os.Stat} {
			info, err := look(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err == nil {
				err = harmless(path, info)
			}
			if err != nil {
				return err
			}
		}
		above := filepath.Dir(path)
		if above == path {
			return nil
		}
		path = above
	}
}

func harmless(path string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || stat.Uid != 0 && int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to another user", path)
	case info.IsDir() && info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0:
		return fmt.Errorf("everyone may rename what is in %s", path)
	}
	return nil
}
