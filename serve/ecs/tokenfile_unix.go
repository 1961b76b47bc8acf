// SPDX-License-Identifier: Apache-2.0

//go:build unix

package ecs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const maxLinks = 40

// openTrusted opens the file that path leads to. Each link on the way is held to the rules, and so is what was opened.
func openTrusted(path string) (*os.File, error) {
	path, err := followTrusted(path)
	if err != nil {
		return nil, err
	}
	// A link that came meanwhile is not followed, and a pipe does not hold this up.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if err := judge(f, path); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func judge(f *os.File, path string) error {
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errIrregular
	case !ours(info):
		return foreign("%s belongs to user %d", path, owner(info))
	case writableByAll(info):
		return foreign("everyone may write to %s", path)
	case onlyName(info):
		return nil
	}
	// Where everyone may make files they may make names too, of a file of this user's or root's that they can read.
	folder, err := os.Stat(filepath.Dir(path))
	if err == nil && writableByAll(folder) {
		err = foreign("%s has another name too, and everyone may write to its folder", path)
	}
	return err
}

// followTrusted gives the path without symbolic links in it. Kubernetes has them in what it mounts, and they are root's.
func followTrusted(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	at, rest := "/", elements(path)
	for links := 0; len(rest) > 0; {
		next := filepath.Join(at, rest[0])
		rest = rest[1:]
		info, err := os.Lstat(next)
		if err != nil {
			return "", err
		}
		if info.Mode().Type() != fs.ModeSymlink {
			at = next
			continue
		}
		if !ours(info) {
			return "", foreign("%s is a link of user %d", next, owner(info))
		}
		if links++; links > maxLinks {
			return "", &fs.PathError{Op: "open", Path: path, Err: syscall.ELOOP}
		}
		to, err := os.Readlink(next)
		if err != nil {
			return "", err
		}
		if filepath.IsAbs(to) {
			at = "/"
		}
		rest = append(elements(to), rest...)
	}
	return at, nil
}

func elements(path string) []string {
	return strings.FieldsFunc(path, func(c rune) bool { return c == '/' })
}

func foreign(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrForeign}, args...)...)
}

// ours reports whether this user or root owns what info tells of.
func ours(info fs.FileInfo) bool { return owner(info) == os.Geteuid() || owner(info) == 0 }

func owner(info fs.FileInfo) int {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1
	}
	return int(stat.Uid)
}

// onlyName reports whether a file has one name.
func onlyName(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink == 1
}

func writableByAll(info fs.FileInfo) bool { return info.Mode().Perm()&0o002 != 0 }
