// SPDX-License-Identifier: Apache-2.0

package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/keep/seal"
)

// What a key's files end in.
const (
	plainEnd  = ".json"
	sealedEnd = ".sealed"
	lockEnd   = ".lock"
	newEnd    = ".new" // what a Save is writing, or what one that was killed left
)

func (s *Store) path(key stile.Key, end string) string {
	return filepath.Join(s.dir, key.String()+end)
}

// Load returns what is kept under key, unless it has expired. A file that is damaged, that others can read or write, or
// that belongs to another user counts as absent.
func (s *Store) Load(ctx context.Context, key stile.Key) (keep.Record, error) {
	for _, end := range []string{sealedEnd, plainEnd} {
		r, err := s.load(ctx, key, s.path(key, end))
		if err == nil && r.Credential.Expires.After(s.clock()) {
			return r, nil
		}
		if err != nil && !errors.Is(err, keep.ErrAbsent) {
			return keep.Record{}, failed("load the kept credential", err)
		}
	}
	return keep.Record{}, failed("load the kept credential", keep.ErrAbsent)
}

// load reads one file, and notes why one that is there is passed over.
func (s *Store) load(ctx context.Context, key stile.Key, path string) (keep.Record, error) {
	if err := ctx.Err(); err != nil {
		return keep.Record{}, err
	}
	content, err := read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return keep.Record{}, keep.ErrAbsent
	case errors.Is(err, errPassedOver):
		s.warn(path, err.Error())
		return keep.Record{}, fmt.Errorf("%w: %w", keep.ErrAbsent, err)
	case err != nil:
		return keep.Record{}, err
	}
	sealer, err := s.sealerOf(ctx, path)
	if err != nil {
		return keep.Record{}, err
	}
	r, err := sealer.Open(ctx, key, content)
	if err != nil {
		s.warn(path, err.Error())
	}
	return r, err
}

// sealerOf is what opens the file at path.
func (s *Store) sealerOf(ctx context.Context, path string) (seal.Sealer, error) {
	if filepath.Ext(path) == plainEnd {
		return seal.Plain, nil
	}
	sealer, err := s.rest.sealer(ctx)
	if err == nil && sealer == nil {
		err = fmt.Errorf("%w: it is encrypted, and the keyring with its key is not at hand", keep.ErrAbsent)
	}
	return sealer, err
}

// Save replaces what is kept under key. Readers see the old file or the new one, and nothing in between.
func (s *Store) Save(ctx context.Context, key stile.Key, r keep.Record) error {
	end, other := sealedEnd, plainEnd
	sealer, err := s.rest.sealer(ctx)
	if err != nil {
		return failed("save the credential", err)
	}
	if sealer == nil {
		sealer, end, other = seal.Plain, plainEnd, sealedEnd
	}
	content, err := sealer.Seal(ctx, key, r)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return failed("save the credential", err)
	}
	err = s.replace(key, end, content)
	if errors.Is(err, fs.ErrNotExist) { // someone cleared the cache, with its folder
		if err = makeFolder(s.dir); err == nil {
			err = s.replace(key, end, content)
		}
	}
	if err != nil {
		return failed("save the credential", err)
	}
	if err := os.Remove(s.path(key, other)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.LogAttrs(ctx, slog.LevelWarn, "outdated credential not removed", slog.String("error", err.Error()))
	}
	s.sweep()
	return nil
}

// replace writes a new file beside the old one and renames it. Nothing is forced to disk: what a crash of the machine
// leaves is damaged or absent, and costs one exchange; on Linux it is not even looked for after a restart.
func (s *Store) replace(key stile.Key, end string, content []byte) error {
	file, err := os.CreateTemp(s.dir, key.String()+".*"+newEnd) // with O_EXCL, for its owner alone
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Close()); err == nil {
		err = rename(file.Name(), s.path(key, end))
	}
	if info, gone := os.Lstat(s.path(key, end)); err != nil && gone == nil && info.IsDir() {
		if err = os.Remove(s.path(key, end)); err == nil { // an empty folder stood in the way
			err = rename(file.Name(), s.path(key, end))
		}
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}

func failed(op string, err error) error { return &stile.Error{Op: op, Err: err} }
