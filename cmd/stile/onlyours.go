// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// services is where systemd has the folders of services, which are theirs and nobody else can make: RuntimeDirectory.
const services = "/run"

// cannotLead reports whether nobody but this user, root and a service in its folder of [services] can have a path lead to a
// file of their choice, now or later: no link at its end, and no link, folder or file of others on the way.
func cannotLead(path string) bool {
	folder := filepath.Dir(path)
	if info, err := os.Lstat(path); err == nil && (!info.Mode().IsRegular() || !isOurs(info) && !isService(folder)) {
		return false
	}
	if !foldersAreOurs(folder) {
		return false
	}
	real, err := filepath.EvalSymlinks(folder)
	return err != nil || real == folder || foldersAreOurs(real) // err: it is not there, or for nobody here to see
}

// foldersAreOurs goes from the root to a folder, as far as there is one.
func foldersAreOurs(folder string) bool {
	at := filepath.VolumeName(folder) + string(filepath.Separator)
	for name := range strings.SplitSeq(strings.TrimPrefix(filepath.Clean(folder), at), string(filepath.Separator)) {
		at = filepath.Join(at, name)
		info, err := os.Lstat(at)
		switch {
		case err != nil: // what would have to make it is looked at already
			return true
		case isOurs(info):
		case info.IsDir() && isService(at):
		default:
			return false
		}
		if info.IsDir() && isOpen(info) {
			return false
		}
	}
	return true
}

func isService(folder string) bool { return filepath.Dir(folder) == services }

// isOpen reports whether everyone may rename what is in a folder.
func isOpen(info fs.FileInfo) bool {
	return os.PathSeparator == '/' && info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0
}
