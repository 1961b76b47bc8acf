// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A Folder is this user's alone, and this process's: [Sweep] removes one whose process was killed, and leaves those of
// others that run.
type Folder struct {
	Path    string
	running io.Closer // locked while this process lives
}

// runningName is the file in a folder that is locked while its process lives.
const runningName = "running"

// NewFolder makes a folder in the first of some others where that can be done. Its name begins with prefix.
func NewFolder(prefix string, in ...string) (*Folder, error) {
	failed := make([]error, 0, len(in))
	for _, base := range in {
		f, err := newFolder(prefix, base)
		if err == nil {
			return f, nil
		}
		failed = append(failed, err)
	}
	return nil, errors.Join(failed...)
}

func newFolder(prefix, base string) (*Folder, error) {
	const often = 100
	for range often {
		path, err := os.MkdirTemp(base, prefix)
		if err != nil {
			return nil, err
		}
		running, err := hold(filepath.Join(path, runningName))
		if err == nil {
			return &Folder{path, running}, nil
		}
		_ = os.RemoveAll(path)
		if !errors.Is(err, errSwept) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("make a folder in %s: it was removed at once, %d times", base, often)
}

// errSwept is that someone took a folder without a lock for a dead one's, before it had one.
var errSwept = errors.New("the folder was removed while it was made")

// Remove removes the folder and all in it.
func (f *Folder) Remove() {
	_ = f.running.Close() // Windows removes no file that is open
	_ = os.RemoveAll(f.Path)
}

// Sweep removes the folders of a prefix whose processes are dead, from where [NewFolder] may have made them. What it cannot
// look at, or is not this user's alone, it leaves, and says nothing.
func Sweep(prefix string, in ...string) {
	for _, base := range in {
		root, err := os.OpenRoot(base)
		if err != nil {
			continue
		}
		for _, name := range names(root) {
			if strings.HasPrefix(name, prefix) {
				sweep(root, name)
			}
		}
		_ = root.Close()
	}
}

func names(root *os.Root) []string {
	all, err := root.Open(".")
	if err != nil {
		return nil
	}
	defer func() { _ = all.Close() }()
	found, _ := all.Readdirnames(-1)
	return found
}

// sweep removes one folder.
func sweep(base *os.Root, name string) {
	if info, err := base.Lstat(name); err == nil && own(info) {
		sweepThis(base, name, info)
	}
}

// sweepThis removes a folder that was looked at. Where others may write, its name may lead elsewhere by now: what is
// removed is removed from that very folder.
func sweepThis(base *os.Root, name string, info fs.FileInfo) {
	folder, err := base.OpenRoot(name)
	if err != nil {
		return
	}
	defer func() { _ = folder.Close() }()
	if opened, err := folder.Stat("."); err != nil || !os.SameFile(info, opened) {
		return
	}
	running, err := take(folder, runningName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		_ = base.Remove(name) // only if it is empty: it may be in the making
		return
	case err != nil:
		return
	}
	for _, inside := range names(folder) {
		if inside != runningName {
			_ = folder.RemoveAll(inside)
		}
	}
	_ = folder.Remove(runningName)
	_ = running.Close()
	_ = folder.Remove(runningName) // Windows removes no file that is open
	_ = base.Remove(name)
}

// IsOwn reports whether a folder is there, and is this user's alone.
func IsOwn(path string) bool {
	info, err := os.Stat(path)
	return err == nil && filepath.IsAbs(path) && own(info)
}
