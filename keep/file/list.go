// SPDX-License-Identifier: Apache-2.0

package file

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep/seal"
)

const (
	// outdated is the age past which no file holds anything of use: no credential of either cloud lives longer than
	// 36 hours (AWS STS API, GetSessionToken, DurationSeconds).
	outdated = 48 * time.Hour
	// abandoned is the age past which nobody is writing a file any more.
	abandoned = 10 * time.Minute
	// sweepEvery is how often one process looks for what is outdated.
	sweepEvery = time.Hour
)

// An Entry is what is known of one kept credential. It holds no secret.
type Entry struct {
	Path      string
	Sealed    bool       // encrypted under the keyring's key
	Kind      stile.Kind // zero, as all that follows, where Problem is not empty
	Principal string
	Obtained  time.Time
	Expires   time.Time // may have passed: an expired credential is replaced or swept in time
	Problem   string    // why the file counts as absent: damaged, readable by others, its key not at hand
}

// List tells of every kept credential in the folder, in the order of their file names. Those of other users' or
// machines' processes, in a folder that is shared or copied, are among them.
func (s *Store) List(ctx context.Context) ([]Entry, error) {
	names, err := s.names()
	if err != nil {
		return nil, failed("list the kept credentials", err)
	}
	var entries []Entry
	for _, name := range names {
		end := filepath.Ext(name)
		if end != plainEnd && end != sealedEnd {
			continue
		}
		entry := Entry{Path: filepath.Join(s.dir, name), Sealed: end == sealedEnd}
		content, err := read(entry.Path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since
		}
		if err == nil {
			err = s.describe(ctx, &entry, content)
		}
		if ctx.Err() != nil {
			return nil, failed("list the kept credentials", context.Cause(ctx))
		}
		if err != nil {
			entry.Problem = err.Error()
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

// describe opens the record under the key that its file is named for.
func (s *Store) describe(ctx context.Context, entry *Entry, content []byte) error {
	sealer, err := s.sealerOf(ctx, entry.Path)
	if err != nil {
		return err
	}
	name := strings.TrimSuffix(filepath.Base(entry.Path), filepath.Ext(entry.Path))
	r, err := seal.OpenNamed(ctx, sealer, name, content)
	if err != nil {
		return err
	}
	entry.Kind, entry.Principal, entry.Obtained, entry.Expires = r.Credential.Kind, r.Credential.Principal, r.Obtained, r.Credential.Expires
	return nil
}

// Clear removes every kept credential, and what else the store has left in its folder, but no file that it did not
// write and no lock that is held. It returns how many credentials those were.
func (s *Store) Clear(ctx context.Context) (int, error) {
	names, err := s.names()
	if err != nil {
		return 0, failed("clear the cache", err)
	}
	n := 0
	var errs []error
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			errs = append(errs, err)
			break
		}
		err := s.remove(ctx, name)
		switch end := filepath.Ext(name); {
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, err)
		case err == nil && (end == plainEnd || end == sealedEnd):
			n++
		}
	}
	if len(errs) > 0 {
		return n, failed("clear the cache", errors.Join(errs...))
	}
	return n, nil
}

// sweep removes what has been of no use for long: at most once an hour, and saying nothing of what it could not.
func (s *Store) sweep() {
	now := s.clock()
	s.mu.Lock()
	due := now.Sub(s.swept) >= sweepEvery
	if due {
		s.swept = now
	}
	s.mu.Unlock()
	if !due {
		return
	}
	names, _ := s.names()
	for _, name := range names {
		limit := outdated
		if filepath.Ext(name) == newEnd {
			limit = abandoned
		}
		info, err := os.Lstat(filepath.Join(s.dir, name))
		if err == nil && now.Sub(info.ModTime()) > limit {
			_ = s.remove(context.Background(), name)
		}
	}
}

func (s *Store) remove(ctx context.Context, name string) error {
	path := filepath.Join(s.dir, name)
	if filepath.Ext(name) == lockEnd {
		return removeLock(ctx, path)
	}
	return os.Remove(path)
}

// names are the files in the folder that a store wrote, as far as their names and types tell.
func (s *Store) names() ([]string, error) {
	files, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, file := range files {
		if !file.IsDir() && wrote(file.Name()) {
			names = append(names, file.Name())
		}
	}
	return names, err
}

// wrote reports whether a store gives files this name: a key and an end, or for a new file a key, a number and an end.
func wrote(name string) bool {
	end := filepath.Ext(name)
	stem := strings.TrimSuffix(name, end)
	switch end {
	case newEnd:
		number := filepath.Ext(stem)
		stem = strings.TrimSuffix(stem, number)
		return number != "" && strings.Trim(number, ".0123456789") == "" && isKey(stem)
	case lockEnd:
		return name == keyringLock || isKey(stem)
	case plainEnd, sealedEnd:
		return isKey(stem)
	}
	return false
}

func isKey(text string) bool {
	sum, err := hex.DecodeString(text)
	return err == nil && len(sum) == 32 && text == strings.ToLower(text)
}
