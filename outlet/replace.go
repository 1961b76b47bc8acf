// SPDX-License-Identifier: Apache-2.0

package outlet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	lockPatience = 10 * time.Second
	lockPoll     = 10 * time.Millisecond
)

// replace gives the file the content that change makes of the old one. It holds the lock that all users of this package
// take. Other programs know of no lock: a file of profiles that they write is left alone until it has rested, see
// [watch], and change is asked again.
func (f File) replace(ctx context.Context, change func(old []byte) ([]byte, error), makeFolder bool) (fs.FileInfo, error) {
	var seen watch
	for began := time.Now(); ; {
		info, err := f.replaceOnce(ctx, &seen, change, makeFolder)
		busy, ok := errors.AsType[unrested](err)
		if !ok || time.Since(began) >= lockPatience {
			return info, err
		}
		if err := pause(ctx, busy.wait); err != nil {
			return nil, err
		}
	}
}

// replaceOnce fails with [unrested] where others must be left alone first.
func (f File) replaceOnce(ctx context.Context, seen *watch, change func(old []byte) ([]byte, error), makeFolder bool) (fs.FileInfo, error) {
	p, err := f.place()
	if err == nil && !p.folder {
		if !makeFolder {
			return nil, &fs.PathError{Op: "open", Path: filepath.Dir(p.path), Err: fs.ErrNotExist}
		}
		if err := os.Mkdir(filepath.Dir(p.path), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		p, err = f.place() // someone else may have been faster
	}
	if err != nil {
		return nil, err
	}
	unlock, err := lock(ctx, p)
	if err != nil {
		return nil, f.replaceable(err)
	}
	defer unlock()
	_ = os.Remove(p.beside("new")) // left by a process that was killed
	info, err := f.try(ctx, p, seen, change)
	return info, f.replaceable(err)
}

// try replaces the file whose lock is held.
func (f File) try(ctx context.Context, p place, seen *watch, change func(old []byte) ([]byte, error)) (fs.FileInfo, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	old, before, err := p.read()
	if err != nil {
		return nil, err
	}
	content, err := change(old)
	var mode fs.FileMode
	if err == nil {
		mode, err = p.mode(f, before)
	}
	if err == nil && bytes.Equal(old, content) && (before == nil || before.Mode().Perm() == mode && f.Group == "") && (before != nil || len(content) == 0) {
		return before, nil
	}
	if f.Form == FormProfile {
		if wait := seen.wait(old, before, time.Now()); wait > 0 {
			return nil, unrested{wait} // and what change said of it says nothing
		}
	}
	if err != nil {
		return nil, err
	}
	fresh := p.beside("new")
	err = f.prepare(fresh, p.path, content, mode, before)
	if err == nil && f.Form == FormProfile {
		var now []byte
		var after fs.FileInfo
		now, after, err = p.read()
		if err == nil && (!same(after, before) || !bytes.Equal(now, old)) {
			err = unrested{recent}
		}
	}
	if err == nil {
		err = rename(fresh, p.path)
	}
	if err != nil {
		_ = os.Remove(fresh)
		return nil, err
	}
	return os.Lstat(p.path)
}

// prepare writes the new file, to the disk itself: a machine that loses power must not come back with an empty one.
func (f File) prepare(path, old string, content []byte, mode fs.FileMode, before fs.FileInfo) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|noFollow, OwnerOnly)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = f.own(file, before)
	}
	if err == nil && f.Form == FormProfile && before != nil {
		err = keepACL(old, path)
	}
	if err == nil {
		err = file.Chmod(mode)
	}
	if err == nil && f.Form == FormProfile {
		err = mark(path)
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// replaceable adds to an error what usually mends it.
func (f File) replaceable(err error) error {
	switch {
	case errors.As(err, new(hinted)):
		return err
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return hinted{err, "the folder must be writable too: a file is replaced, not written over"}
	case errors.Is(err, syscall.EBUSY):
		return hinted{err, "a file that is mounted by itself cannot be replaced: mount its folder"}
	}
	return err
}

// remove removes the file.
func (p place) remove() error { return os.Remove(p.path) }

// untouched reports whether the file is the one that was written.
func (k *kept) untouched() bool {
	info, err := os.Stat(k.Path)
	return err == nil && k.info != nil && same(info, k.info) && info.Mode() == k.info.Mode()
}

// lock waits for the lock file beside a place, which is removed on unlocking. The system ends the lock of a process that
// dies.
func lock(ctx context.Context, p place) (unlock func(), err error) {
	path := p.beside("lock")
	ctx, cancel := context.WithTimeoutCause(ctx, lockPatience, hinted{fmt.Errorf("another program has held the lock %s for %s", path, lockPatience),
		"see which: fuser " + path})
	defer cancel()
	for {
		unlock, err := tryLock(path)
		if unlock != nil {
			return unlock, nil
		}
		if odd := p.oddLock(path); odd != nil {
			return nil, odd
		}
		if err != nil {
			return nil, err
		}
		if err := pause(ctx, lockPoll); err != nil {
			return nil, err
		}
	}
}

// oddLock tells of what is there instead of a lock file of this package, and of another user's where users keep each other
// from nothing else: they could hold it for ever.
func (p place) oddLock(path string) error {
	info, _ := os.Lstat(path)
	switch {
	case info == nil: // gone again, or nothing to tell of
		return nil
	case !info.Mode().IsRegular():
		return refused("remove it: rm -r "+path, "%s, of %s, is in the place of the lock file", path, ownerOf(info))
	case p.strict && !trusted(info):
		return refused("name a folder of your own, or have them or root remove it: rm "+path,
			"the lock file %s belongs to %s, in a folder that everyone may write to", path, ownerOf(info))
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
