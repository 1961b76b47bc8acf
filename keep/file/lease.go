// SPDX-License-Identifier: Apache-2.0

package file

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/gofrs/flock"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
)

// Lease locks the key's lock file. The kernel ends the lock with the process, however that ends.
func (s *Store) Lease(ctx context.Context, key stile.Key) (keep.Lease, error) {
	path := s.path(key, lockEnd)
	held, err := tryLock(ctx, path)
	if errors.Is(err, fs.ErrNotExist) { // someone cleared the cache, with its folder
		if err = makeFolder(s.dir); err == nil {
			held, err = tryLock(ctx, path)
		}
	}
	if err != nil {
		return nil, failed("lock the key for an exchange", err)
	}
	if held == nil {
		return nil, nil
	}
	return lease{held}, nil
}

type lease struct{ held *flock.Flock }

func (lease) Term() time.Duration             { return 0 }
func (lease) Extend(context.Context) error    { return nil }
func (l lease) Release(context.Context) error { return l.held.Unlock() }

// tryLock returns nil where another holds the lock, in this process or another.
//
// Only who holds the lock of a lock file removes it (see removeLock). So whoever has the lock, and then sees that
// the path still names the file that it locked, knows that this stays so until it unlocks, and that everyone else
// who opens the path comes to the same file. Whoever locked a file that was removed meanwhile starts again.
func tryLock(ctx context.Context, path string) (*flock.Flock, error) {
	// Network file systems lock only what was opened for writing.
	lock := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR|noFollow), flock.SetPermissions(0o600))
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		locked, err := lock.TryLock()
		if err != nil || !locked {
			return nil, err
		}
		if named(lock, path) {
			return lock, nil
		}
		if err := lock.Unlock(); err != nil {
			return nil, err
		}
	}
}

// named reports whether path names the file that is locked.
func named(lock *flock.Flock, path string) bool {
	locked, err := lock.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(locked, there)
}

// waitLock waits for the lock until the context ends.
func waitLock(ctx context.Context, path string) (*flock.Flock, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if lock, err := tryLock(ctx, path); lock != nil || err != nil {
			return lock, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
