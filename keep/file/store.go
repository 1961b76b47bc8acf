// SPDX-License-Identifier: Apache-2.0

// Package file keeps credentials in a folder that the processes of one user on one machine share, so that however many
// start, one of them exchanges:
//
//	dir, err := file.DefaultDir(os.LookupEnv)
//	store, err := file.Open(dir)
//
// What is kept is readable by its owner alone, and encrypted as well where [WithKeyring] gives a keyring that works.
// On Windows no permissions are checked: the ACLs of the user's profile, which is where [DefaultDir] is, keep others out.
//
// A file system that hangs, as one on a network may, holds a call past its context's deadline.
package file

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
)

// A Store keeps credentials as files of one folder. It is safe for concurrent use and needs no closing.
type Store struct {
	dir   string
	owner Owner
	clock func() time.Time
	log   *slog.Logger
	rest  *atRest // nil: without a keyring

	mu     sync.Mutex
	warned map[string]bool
	swept  time.Time
}

var _ keep.Store = (*Store)(nil)

// An Option changes a Store from its defaults.
type Option func(*Store)

// WithLogger sets where files that are passed over are noted, and a keyring that fails. Default: nowhere.
func WithLogger(log *slog.Logger) Option { return func(s *Store) { s.log = log } }

// WithClock sets the clock that expiry is judged by. Default: time.Now.
func WithClock(now func() time.Time) Option { return func(s *Store) { s.clock = now } }

// WithOwner sets whose processes share what is kept. Default: [ThisOwner].
func WithOwner(o Owner) Option { return func(s *Store) { s.owner = o } }

// WithKeyring encrypts what is kept under a key that lies in ring, and is made where there is none. The keyring is
// asked at most once, when a file is first saved or an encrypted one is found. If it fails, or takes longer than wait
// (zero: 500ms), the store works without for as long as it lives: it writes files that are not encrypted, and those that
// are count as absent. Default: no keyring.
func WithKeyring(ring Keyring, wait time.Duration) Option {
	return func(s *Store) {
		if wait <= 0 {
			wait = defaultWait
		}
		s.rest = &atRest{ring: ring, wait: wait, done: make(chan struct{})}
	}
}

// Open takes the folder dir into use, and makes it if it is absent. A folder that others than this user can read or
// write, or that is a symbolic link, fails with [stile.ErrMisuse].
func Open(dir string, opts ...Option) (*Store, error) {
	s := &Store{clock: time.Now, log: slog.New(slog.DiscardHandler), warned: map[string]bool{}}
	for _, opt := range opts {
		opt(s)
	}
	abs, err := filepath.Abs(dir)
	if err != nil || dir == "" {
		return nil, unusable(errors.Join(errors.New("no folder is named"), err), "")
	}
	s.dir = abs
	if err := makeFolder(s.dir); err != nil {
		return nil, err
	}
	if s.owner == (Owner{}) {
		if s.owner, err = ThisOwner(); err != nil {
			return nil, unusable(err, "")
		}
	}
	if s.rest != nil {
		s.rest.lock, s.rest.log = filepath.Join(s.dir, keyringLock), s.log
	}
	return s, nil
}

// DefaultDir is the folder for one user's credentials: $STILE_CACHE_DIR, else $XDG_CACHE_HOME/stile, else stile in the
// system's own folder for caches: ~/.cache, on macOS ~/Library/Caches, on Windows %LocalAppData%. A relative path in a variable is ignored, as
// the XDG Base Directory Specification demands. With no such folder it fails with [stile.ErrMisuse].
func DefaultDir(lookup func(string) (string, bool)) (string, error) {
	under := func(name string, elements ...string) string {
		if base, _ := lookup(name); filepath.IsAbs(base) {
			return filepath.Join(append([]string{base}, elements...)...)
		}
		return ""
	}
	if dir := under("STILE_CACHE_DIR"); dir != "" {
		return dir, nil
	}
	dir := under("XDG_CACHE_HOME", "stile")
	if dir != "" {
		return dir, nil
	}
	home := "HOME"
	switch runtime.GOOS {
	case "windows":
		home = "LocalAppData"
		dir = under(home, "stile")
	case "darwin":
		dir = under(home, "Library", "Caches", "stile")
	default:
		dir = under(home, ".cache", "stile")
	}
	if dir == "" {
		return "", &stile.Error{Op: "find the cache folder", Hint: "set XDG_CACHE_HOME to a folder of yours",
			Err: fmt.Errorf("%w: neither XDG_CACHE_HOME nor %s names a folder by its whole path", stile.ErrMisuse, home)}
	}
	return dir, nil
}

// warn notes once for each file why it is passed over.
func (s *Store) warn(path, why string) {
	const most = 256 // in a folder of thousands of bad files, the first say enough
	s.mu.Lock()
	known := s.warned[path+why] || len(s.warned) >= most
	if !known {
		s.warned[path+why] = true
	}
	s.mu.Unlock()
	if !known {
		s.log.Warn("kept credential passed over", slog.String("path", path), slog.String("why", why))
	}
}
