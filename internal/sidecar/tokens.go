// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
)

// tokens are the files with bearer tokens of the endpoints that are served. Endpoints read them at every request; here
// they are looked at without anyone asking. One that serve made is written again with what it held, since programs were
// started with that: folders such as /run/user are emptied when a user logs out.
type tokens struct {
	mu     sync.Mutex // held while the disk works
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
}

// of is what the file held last; zero where that is not known.
func (t *tokens) of(path string) stile.Secret {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := t.files[path]; f != nil {
		return f.token
	}
	return stile.Secret{}
}

// watch goes over to the files of these listeners, of which some were made just now.
func (t *tokens) watch(all map[string]*listener, made []string) {
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
				f = &bearerFile{path: path, ours: e.config.TokenFile == "" || slices.Contains(made, path)}
				if token, err := readToken(path); err == nil {
					f.token = token
				}
			}
			f.endpoint = e.config
			next[path] = f
		}
	}
	t.files = next
}

// unreadable tells by path why nobody is let in.
func (t *tokens) unreadable() map[string]error {
	if all := t.broken.Load(); all != nil {
		return *all
	}
	return nil
}

// lookAtTokens looks at each file, mends it where that is serve's to do, and logs what changed.
func (s *Sidecar) lookAtTokens() {
	t := &s.tokens
	t.mu.Lock()
	defer t.mu.Unlock()
	broken := map[string]error{}
	for path, f := range t.files {
		before := f.err
		mended := f.look()
		if f.err != nil {
			broken[path] = f.err
		}
		at := slog.String("file", path)
		switch {
		case mended:
			s.o.Log.Warn("the bearer token's file was missing or empty, and was written again with the same token", at)
		case f.err != nil && (before == nil || before.Error() != f.err.Error()):
			s.o.Log.Error("nobody is let in", at, slog.String("error", f.err.Error()), slog.String("hint", hintOf(f.err)))
		case f.err == nil && before != nil:
			s.o.Log.Info("the bearer token's file is good again", at)
		}
	}
	t.broken.Store(&broken)
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
	info, err := os.Stat(path)
	if err != nil {
		return token, err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for whoever writes it
		return token, errors.New("it is not a regular file")
	}
	file, err := os.Open(path)
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
