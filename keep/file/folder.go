// SPDX-License-Identifier: Apache-2.0

package file

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep/seal"
)

func unusable(why error, hint string) error {
	return &stile.Error{Op: "open the cache folder", Hint: hint, Err: fmt.Errorf("%w: %w", stile.ErrMisuse, why)}
}

// makeFolder makes dir, and whatever of its path is absent, for this user alone. One that is there is checked.
func makeFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return unusable(err, "")
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return unusable(err, "")
	}
	switch {
	case info.Mode().Type() == fs.ModeSymlink:
		return unusable(fmt.Errorf("%s is a symbolic link", dir), "name the folder that it leads to, or remove the link")
	case !info.IsDir():
		return unusable(fmt.Errorf("%s is not a folder", dir), "")
	case !mine(info):
		return unusable(fmt.Errorf("%s belongs to another user", dir), "name a folder of your own, with XDG_CACHE_HOME for example")
	case open(info):
		return unusable(fmt.Errorf("others may look into %s (mode %#o)", dir, info.Mode().Perm()), "chmod 700 "+dir)
	}
	return nil
}

// errPassedOver is what read fails with for a file that is there, and that a Save would replace.
var errPassedOver = errors.New("not a file that this store wrote")

// read reads a record's file in one open, one fstat and one read. It fails with fs.ErrNotExist, with errPassedOver, or
// because the file system did.
func read(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|noFollow, 0)
	switch {
	case errors.Is(err, fs.ErrPermission), isLink(err):
		return nil, fmt.Errorf("%w: it is a link, or may not be read", errPassedOver)
	case err != nil:
		return nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: it is not a file", errPassedOver)
	case !mine(info):
		return nil, fmt.Errorf("%w: it belongs to another user", errPassedOver)
	case open(info):
		return nil, fmt.Errorf("%w: others may read or write it (mode %#o)", errPassedOver, info.Mode().Perm())
	case info.Size() > seal.MaxSize:
		return nil, fmt.Errorf("%w: it is too long", errPassedOver)
	}
	content := make([]byte, info.Size())
	if _, err := io.ReadFull(file, content); err != nil {
		return nil, err
	}
	return content, nil
}
