// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/serve/ecs"
)

// tokens are the files with bearer tokens of the endpoints that are served. Endpoints read them at every request; here
// they are looked at without anyone asking. One that serve made is written again with what it held, since programs were
// started with that: folders such as /run/user are emptied when a user logs out.
type tokens struct {
	soon   chan struct{} // another plan's are watched now
	mu     sync.Mutex    // never held while the disk works
	files  map[string]*bearerFile
	broken atomic.Pointer[map[string]error] // by path: why nobody is let in
}

// A bearerFile is one of them.
type bearerFile struct {
	path     string
	endpoint config.Endpoint
	ours     bool         // serve made it, this process or another
	token    stile.Secret // what it held last; zero: nothing yet
	empty    bool         // it was, at the last look
	err      error        // of the last look
	looking  bool         // and it may be that the disk hangs
}

// of is what the file held last, zero where that is not known, and whether it is one of those watched.
func (t *tokens) of(path string) (token stile.Secret, watched bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := t.files[path]; f != nil {
		return f.token, true
	}
	return stile.Secret{}, false
}

// watch goes over to the files of these listeners, and what was found there.
func (t *tokens) watch(all map[string]*listener, there map[string]found) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := map[string]*bearerFile{}
	for _, l := range all {
		for _, e := range l.endpoints {
			path := e.tokenFile
			if path == "" {
				continue
			}
			f := t.files[path]
			if f == nil {
				f = &bearerFile{path: path, ours: e.config.TokenFile == "" || there[path].made, token: there[path].token}
			}
			f.endpoint = e.config
			next[path] = f
		}
	}
	t.files = next
	select {
	case t.soon <- struct{}{}:
	default:
	}
}

// unreadable tells by path why nobody is let in.
func (t *tokens) unreadable() map[string]error {
	if all := t.broken.Load(); all != nil {
		return *all
	}
	return nil
}

// lookPatience is how long a file system has for one look before that is told.
const lookPatience = time.Second

// attendTokens looks at each file now and then, until ctx ends.
func (s *Sidecar) attendTokens(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.tokens.soon:
		}
		s.lookAtTokens()
		if len(s.tokens.unreadable()) > 0 {
			timer.Reset(lookSoon)
		} else {
			timer.Reset(look)
		}
	}
}

// lookAtTokens looks at each file, and returns when all have been seen, or one hangs. Such a one is looked at no more until
// the look has ended.
func (s *Sidecar) lookAtTokens() {
	t := &s.tokens
	var looks sync.WaitGroup
	var seen []*bearerFile
	t.mu.Lock()
	for _, f := range t.files {
		if !f.looking {
			f.looking = true
			seen = append(seen, f)
			looks.Go(func() { s.lookAt(f) })
		}
	}
	t.mu.Unlock()
	done := make(chan struct{})
	go func() {
		looks.Wait()
		close(done)
	}()
	timer := time.NewTimer(lookPatience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		for _, f := range seen {
			s.saw(f, func() bool {
				if f.looking {
					f.err = f.fail(fmt.Errorf("%w within %s", errHangs, lookPatience), "see whether a network disk is away")
				}
				return false
			})
		}
	}
	s.noteBroken()
}

// lookAt looks at one file, mends it where that is serve's to do, and logs what changed.
func (s *Sidecar) lookAt(f *bearerFile) {
	s.tokens.mu.Lock()
	now, before := *f, f.err
	s.tokens.mu.Unlock()
	s.disk.at(f.path)
	mended := now.look()
	s.saw(f, func() bool {
		f.token, f.empty, f.err, f.looking = now.token, now.empty, now.err, false
		return mended
	})
	if before == nil && now.err == nil {
		return
	}
	s.noteBroken()
}

// saw notes what was seen of a file, and logs it if it is news.
func (s *Sidecar) saw(f *bearerFile, note func() (mended bool)) {
	s.tokens.mu.Lock()
	before := f.err
	mended := note()
	now := f.err
	s.tokens.mu.Unlock()
	at := slog.String("file", f.path)
	switch {
	case mended:
		s.o.Log.Warn("the bearer token's file was missing or empty, and was written again with the same token", at)
	case now != nil && (before == nil || before.Error() != now.Error()):
		s.o.Log.Error("nobody is let in", at, slog.String("error", now.Error()), slog.String("hint", hintOf(now)))
	case now == nil && before != nil:
		s.o.Log.Info("the bearer token's file is good again", at)
	}
}

// noteBroken has status tell which files are broken, and all crossings looked at where these are others than before.
func (s *Sidecar) noteBroken() {
	t := &s.tokens
	t.mu.Lock()
	broken := map[string]error{}
	for path, f := range t.files {
		if f.err != nil {
			broken[path] = f.err
		}
	}
	before := t.unreadable()
	t.broken.Store(&broken)
	t.mu.Unlock()
	if !maps.EqualFunc(before, broken, func(error, error) bool { return true }) {
		s.lookNow()
	}
}

// look reads the file, and reports whether it had to be written again.
func (f *bearerFile) look() (mended bool) {
	token, err := readToken(f.path)
	absent, wasEmpty := errors.Is(err, fs.ErrNotExist), f.empty
	f.empty = errors.Is(err, errEmpty)
	switch {
	case err == nil:
		f.token, f.err = token, nil
		return false
	case errors.Is(err, ecs.ErrForeign):
		f.err = f.fail(err, mendForeign)
		return false
	case !f.ours:
		f.err = f.fail(err, "put a token into the file: one line of printable ASCII; programs that run must know it")
		return false
	case !absent && !f.empty:
		f.err = f.fail(err, "remove the file, and it is written again")
		return false
	case f.empty && !wasEmpty:
		f.err = f.fail(err, "it is written again in a moment") // unless somebody is writing it just now
		return false
	}
	if f.token.IsZero() {
		f.token = stile.NewSecret(NewToken()) // nobody was ever let in with another
	}
	if _, again := writeToken(f.path, f.token, f.endpoint, f.empty); again != nil {
		f.err = f.fail(fmt.Errorf("%w, and it cannot be written again: %w", err, again), "its folder must be writable")
		return false
	}
	f.empty, f.err = false, nil
	return true
}

func (f *bearerFile) fail(err error, hint string) error {
	return &stile.Error{Op: "read the bearer token from " + f.path, Hint: hint, Err: fmt.Errorf("%w: %w", stile.ErrTemporary, err)}
}

var (
	errEmpty     = errors.New("the file is empty")
	errMalformed = errors.New("what is in the file is no token")
)

// readToken reads a token as package ecs does, and by the same rules.
func readToken(path string) (token stile.Secret, err error) {
	const most = 8 << 10
	file, err := ecs.OpenTokenFile(path)
	if err != nil {
		return token, err
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, most+3)) // one too many, with a line break
	if err != nil {
		return token, err
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	switch {
	case text == "":
		return token, errEmpty
	case len(text) > most, text != strings.Trim(text, " "), strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' }):
		return token, errMalformed
	}
	return stile.NewSecret(text), nil
}

// hintOf is what mends an error, or nothing.
func hintOf(err error) string {
	if e, ok := errors.AsType[*stile.Error](err); ok {
		return e.Hint
	}
	return ""
}
