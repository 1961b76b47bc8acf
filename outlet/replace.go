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
	settle       = 50 * time.Millisecond // between two looks at a file that somebody has just written
	recent       = time.Second
	attempts     = 20 // at a file that somebody keeps writing
)

// replace gives the file the content that change makes of the old one. It holds the lock that all users of this package
// take. Other programs know of no lock: what they write while the new content is made is seen, and change is
// asked again.
func (f File) replace(ctx context.Context, change func(old []byte) ([]byte, error), makeFolder bool) (fs.FileInfo, error) {
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
	unlock, err := lock(ctx, p.beside("lock"))
	if err != nil {
		return nil, f.replaceable(err)
	}
	defer unlock()
	_ = os.Remove(p.beside("new")) // left by a process that was killed
	for range attempts {
		info, again, err := f.try(ctx, p, change)
		if err != nil {
			return nil, f.replaceable(err)
		}
		if !again {
			return info, nil
		}
		if err := pause(ctx, settle); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("another program keeps writing the file")
}

// try is one attempt. It is made again where somebody else has written the file meanwhile.
func (f File) try(ctx context.Context, p place, change func(old []byte) ([]byte, error)) (_ fs.FileInfo, again bool, err error) {
	old, before, err := p.read()
	if err != nil {
		return nil, false, err
	}
	if f.Form == FormProfile && before != nil && time.Since(before.ModTime()).Abs() < recent {
		// The aws CLI empties the file and then writes it: let it finish.
		if err := pause(ctx, settle); err != nil {
			return nil, false, err
		}
		if now, _, err := p.read(); err != nil || !bytes.Equal(now, old) {
			return nil, true, err
		}
	}
	content, err := change(old)
	if err != nil {
		return nil, false, err
	}
	mode, err := p.mode(f)
	if err != nil {
		return nil, false, err
	}
	if before != nil && bytes.Equal(old, content) && before.Mode().Perm() == mode && f.Group == "" {
		return before, false, nil
	}
	if before == nil && len(content) == 0 {
		return nil, false, nil
	}
	fresh := p.beside("new")
	defer func() {
		if again || err != nil {
			_ = os.Remove(fresh)
		}
	}()
	if err := f.prepare(fresh, content, mode, before); err != nil {
		return nil, false, err
	}
	if f.Form == FormProfile {
		now, _, err := p.read()
		if err != nil || !bytes.Equal(now, old) {
			return nil, true, err
		}
	}
	if err := rename(fresh, p.path); err != nil {
		return nil, false, err
	}
	info, err := os.Lstat(p.path)
	return info, false, err
}

// prepare writes the new file, to the disk itself: a machine that loses power must not come back with an empty one.
func (f File) prepare(path string, content []byte, mode fs.FileMode, before fs.FileInfo) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|noFollow, OwnerOnly)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = f.own(file, before)
	}
	if err == nil {
		err = file.Chmod(mode)
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
	return err == nil && k.info != nil && os.SameFile(info, k.info) && info.Size() == k.info.Size() &&
		info.ModTime().Equal(k.info.ModTime()) && info.Mode() == k.info.Mode()
}

// lock waits for the lock file at path, which is removed on unlocking. The system ends the lock of a process that dies.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lockPatience, fmt.Errorf("somebody else has held the lock %s for %s", path, lockPatience))
	defer cancel()
	for {
		unlock, err := tryLock(path)
		if unlock != nil || err != nil {
			return unlock, err
		}
		if err := pause(ctx, lockPoll); err != nil {
			return nil, err
		}
	}
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
