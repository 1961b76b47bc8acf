// SPDX-License-Identifier: Apache-2.0

package outlet

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/stile-project/stile"
)

const (
	maxLinks = 40
	maxSize  = 16 << 20 // bytes of a file that is there already
)

// A place is where a path leads once no symbolic link is left in it.
type place struct {
	path   string
	folder bool // the folder is there
	strict bool // everyone may make files in the folder
}

// beside is the name of a hidden file in the same folder. What a process that died has left there, the next takes over.
func (p place) beside(what string) string {
	return filepath.Join(filepath.Dir(p.path), "."+filepath.Base(p.path)+".stile-"+what)
}

func refused(hint, format string, args ...any) error {
	return hinted{fmt.Errorf("%w: %s", stile.ErrMisuse, fmt.Sprintf(format, args...)), hint}
}

// place follows the path from the root on, and holds each folder and link on the way to the rules.
func (f File) place() (place, error) {
	path, err := filepath.Abs(f.Path)
	if err != nil {
		return place{}, err
	}
	w := walk{file: f}
	if err := w.begin(path); err != nil {
		return place{}, err
	}
	for {
		if p, err := w.step(); p.path != "" || err != nil {
			return p, err
		}
	}
}

// A walk is on its way along a path.
type walk struct {
	file   File
	at     string // a folder that was looked at
	folder fs.FileInfo
	ground ground
	rest   []string
	links  int
}

// A ground is who may put things into a folder.
type ground int

const (
	groundOwn    ground = iota // its owner and root, or whoever does, if that was said to be safe
	groundShared               // its group too
	groundOpen                 // everyone, but each may remove no more than what is theirs
)

// begin goes to the root of an absolute path.
func (w *walk) begin(path string) error {
	root := filepath.VolumeName(path) + string(filepath.Separator)
	w.rest = append(elements(strings.TrimPrefix(path, root)), w.rest...)
	return w.enter(root)
}

func (w *walk) enter(folder string) (err error) {
	w.at = folder
	w.folder, w.ground, err = w.file.folder(folder)
	return err
}

// place is where the walk came to.
func (w *walk) place(path string, folder bool) place {
	return place{path, folder, folder && w.ground == groundOpen}
}

// step takes the next name of the path. It gives the place once it is there.
func (w *walk) step() (place, error) {
	name := w.rest[0]
	w.rest = w.rest[1:]
	next := filepath.Join(w.at, name)
	if name == ".." { // only a link says so
		next = filepath.Dir(w.at)
	}
	last := len(w.rest) == 0
	info, err := os.Lstat(next)
	switch {
	case errors.Is(err, fs.ErrNotExist) && last:
		return w.place(next, true), nil
	case errors.Is(err, fs.ErrNotExist) && len(w.rest) == 1:
		return w.place(filepath.Join(next, w.rest[0]), false), nil
	case err != nil:
		return place{}, err
	}
	if err := w.mayUse(next, info, last); err != nil {
		return place{}, err
	}
	switch {
	case info.Mode().Type() == fs.ModeSymlink:
		return place{}, w.follow(next)
	case last && info.IsDir():
		return place{}, refused("name a file in it", "%s is a folder", next)
	case last && !info.Mode().IsRegular():
		return place{}, refused("", "%s is no file that could be replaced", next)
	case last:
		return w.place(next, true), nil
	}
	return place{}, w.enter(next)
}

// mayUse refuses what somebody else may have put in the path's way. Other users' folders, and what is in them, are taken: root
// writes into their homes, and what is replaced there is theirs. But a link there would lead root to where they may not
// write; and a file of profiles keeps its owner, who would get the credential.
func (w *walk) mayUse(path string, info fs.FileInfo, last bool) error {
	link := info.Mode().Type() == fs.ModeSymlink
	known := trusted(info) || info.Mode().IsRegular() && w.file.Form != FormProfile
	switch {
	case w.ground == groundOpen && !trusted(info):
		return refused("name a folder of your own", "%s belongs to another user, in a folder that everyone may write to", path)
	case link && !trusted(info):
		return refused("name the place that it leads to", "%s is a symbolic link of another user", path)
	case link && hasNames(info) && (w.ground != groundOwn || !trusted(w.folder)):
		return refused("name the place that it leads to", "%s is a symbolic link with a second name, which anyone may have given it", path)
	case w.file.InsecureFolder:
		return nil
	case w.ground == groundShared && !known && !sameOwner(info, w.folder):
		return refused("chmod g-w "+w.at+", name another folder, or say that this one is safe all the same",
			"%s belongs to another user, in a folder that its group may write to", path)
	case last && !known && !trusted(w.folder) && !sameOwner(info, w.folder):
		return refused("chown it, or say that the folder is safe all the same", "%s belongs to another user than its folder, and would give them the credential", path)
	}
	return nil
}

// follow puts where a link leads in front of the rest.
func (w *walk) follow(path string) error {
	if w.links++; w.links > maxLinks {
		return refused("", "%s is one of too many symbolic links", path)
	}
	link, err := os.Readlink(path)
	if err != nil {
		return err
	}
	if filepath.IsAbs(link) {
		err = w.begin(link)
	} else {
		w.rest = append(elements(link), w.rest...)
	}
	if err == nil && len(w.rest) == 0 {
		err = refused("", "%s leads to a folder", path)
	}
	return err
}

func elements(path string) (names []string) {
	for name := range strings.SplitSeq(filepath.ToSlash(path), "/") {
		if name != "" && name != "." {
			names = append(names, name)
		}
	}
	return names
}

// folder looks who may make files in the folder.
func (f File) folder(path string) (fs.FileInfo, ground, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if !info.IsDir() {
		return nil, 0, fmt.Errorf("%s: %w", path, errNotFolder)
	}
	switch {
	case writableByAll(info) && info.Mode()&fs.ModeSticky != 0:
		return info, groundOpen, nil
	case f.InsecureFolder:
		return info, groundOwn, nil
	case writableByAll(info):
		return nil, 0, refused("chmod o-w "+path+", name another folder, or say that this one is safe all the same",
			"everyone may write to %s, and could put another file in the place of this one", path)
	case writableByGroup(info) && info.Mode()&fs.ModeSticky == 0:
		return info, groundShared, nil
	}
	return info, groundOwn, nil
}

var errNotFolder = errors.New("not a folder")

// read gives the content, and nil info where there is no file.
func (p place) read() ([]byte, fs.FileInfo, error) {
	file, err := os.OpenFile(p.path, os.O_RDONLY|noFollow, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, refused("", "%s is no file that could be replaced", p.path)
	}
	content, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	if err == nil && len(content) > maxSize {
		err = refused("", "%s is longer than %d MiB", p.path, maxSize>>20)
	}
	return content, info, err
}

// mode is the mode that the file is to have. A file of profiles that is there has a say in it; before tells of the very file
// that was read.
func (p place) mode(f File, before fs.FileInfo) (fs.FileMode, error) {
	mode := f.Mode
	if mode == 0 {
		mode = OwnerOnly
	}
	switch {
	case f.Form != FormProfile || before == nil:
		return mode, nil
	case f.Mode != 0:
		return before.Mode().Perm() & f.Mode, nil
	case open(before):
		return 0, refused("chmod 600 "+p.path+", or say which mode it may have", "others may read or write %s (mode %#o)", p.path, before.Mode().Perm())
	}
	return before.Mode().Perm(), nil
}
