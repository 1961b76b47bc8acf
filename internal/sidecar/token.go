// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/serve/ecs"
)

// TokenFile is where the bearer token of an ECS endpoint lies: where the endpoint says, or else in the folder, under a
// name that is the same for the same address and crossings.
func (o Options) TokenFile(e config.Endpoint) (string, error) {
	if e.TokenFile != "" {
		return o.absolute(e.TokenFile)
	}
	if o.Folder == "" {
		return "", misuse("find a place for the bearer token", "name one: token_file", "there is no folder for files of running programs")
	}
	about := e.Listen
	if isFree(about) {
		about += " " + strings.Join(e.ECS, " ")
	}
	sum := sha256.Sum256([]byte(about))
	return filepath.Join(o.Folder, "ecs-"+hex.EncodeToString(sum[:6])+".token"), nil
}

// A found token is what an endpoint's file holds as a plan is gone over to.
type found struct {
	token stile.Secret // zero: it cannot be read
	made  bool         // it was not there before
}

// tokenFile makes the file where it is absent, readable by this user alone unless the endpoint says otherwise. One that is
// there gets the mode and the group that the endpoint names, if any. Where the disk hangs, that of an endpoint that is
// served already goes on: it is looked at all the time.
func (s *Sidecar) tokenFile(e config.Endpoint) (string, error) {
	path, err := s.o.TokenFile(e)
	if err != nil {
		return "", err
	}
	before, watched := s.tokens.of(path)
	got, err := s.disk.ask(path, diskPatience, func() (found, error) { return provide(path, before, e) })
	switch {
	case err == nil:
		got.made = got.made || s.found[path].made // two endpoints may share it
		s.found[path] = got
	case watched && errors.Is(err, errHangs):
		return path, nil
	}
	return path, err
}

// provide sees to it that there is a file, and that no other user has put it there. before is what it held last; zero:
// that is not known.
func provide(path string, before stile.Secret, e config.Endpoint) (found, error) {
	if e.TokenFile == "" {
		if err := ownFolder(filepath.Dir(path)); err != nil {
			return found{}, misuse("find a place for the bearer token", "name a file of your own: token_file; or set XDG_RUNTIME_DIR to a folder of this user, as a login does and su does not", "%v", err)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		token, foreign := settled(path)
		if err == nil && foreign == nil {
			err = permit(path, e)
		}
		return found{token: token}, cmp.Or(foreign, err)
	}
	token, made := before, false // programs have it, whatever becomes of this plan
	if token.IsZero() {
		token, made = stile.NewSecret(NewToken()), true
	}
	wrote, err := writeToken(path, token, e, false)
	switch {
	case err != nil:
		err = unmade(err, path, e)
	case !wrote:
		token, err = settled(path)
	}
	return found{token, made && wrote}, err
}

// unmade says what could not be made, and where else it may be. What has a hint says that already.
func unmade(err error, path string, e config.Endpoint) error {
	if _, ok := errors.AsType[*stile.Error](err); ok {
		return err
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", stile.ErrMisuse, err)
	}
	hint := "name a file in a folder that this user may write to: token_file"
	if e.TokenFile == "" {
		hint = "set XDG_RUNTIME_DIR to a folder of this user, or name a file in one: token_file in the stile.yaml"
	}
	return &stile.Error{Op: "make the file of the bearer token, " + path, Err: err, Hint: hint}
}

// settled is the token in a file that is there. It fails where another user may have put the file there, or it is no file,
// and only then: it is looked at again, and what else is wrong told then.
func settled(path string) (stile.Secret, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return stile.Secret{}, misuse("read the bearer token from "+path, "name a file in it: token_file", "it is a folder")
	}
	token, err := readToken(path)
	if errors.Is(err, ecs.ErrForeign) {
		return token, misuse("read the bearer token from "+path, mendForeign, "%v", err)
	}
	return token, nil
}

const mendForeign = "have the file and each link to it belong to the user that runs this, or to root (chown), and closed to others (chmod o-w); or remove it, and name one in a folder of your own: token_file"

// writeToken makes a token's file, or puts it in the place of one that is there if over is set. It reports whether it did:
// another process may have been quicker.
func writeToken(path string, token stile.Secret, e config.Endpoint, over bool) (wrote bool, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return false, err
	}
	// Whole or not at all: two that start at once must not read half of it, nor write different ones.
	fresh := path + "." + rand.Text()
	if err := os.WriteFile(fresh, []byte(token.Reveal()), 0o600); err != nil {
		_ = os.Remove(fresh) // what a full disk left of it
		return false, err
	}
	defer func() { _ = os.Remove(fresh) }()
	if err := permit(fresh, e); err != nil {
		return false, err
	}
	if !over {
		err = os.Link(fresh, path)
		if err == nil || errors.Is(err, fs.ErrExist) {
			return err == nil, nil
		}
		// Some file systems have no links.
	}
	err = os.Rename(fresh, path)
	return err == nil, err
}

// unmake removes the token files that were made for a plan that is not gone over to. Another process that has found one
// meanwhile writes it again: see [tokens].
func (s *Sidecar) unmake() {
	for path, f := range s.found {
		if f.made {
			_, _ = s.disk.ask(path, diskPatience, func() (found, error) { return found{}, os.Remove(path) })
		}
	}
	s.found = nil
}

// permit lets those read the token's file whom the endpoint names. It says nothing where the endpoint names none.
func permit(path string, e config.Endpoint) error {
	mode := config.ParseMode(e.TokenMode)
	if mode == 0 && e.TokenGroup == "" {
		return nil
	}
	const op = "let others read the bearer token"
	f, err := regular(path)
	if err != nil {
		return misuse(op, "leave token_mode and token_group out, or name the file itself", "%v", err)
	}
	defer func() { _ = f.Close() }()
	if e.TokenGroup != "" {
		gid, err := groupID(e.TokenGroup)
		if err != nil {
			return misuse(op, "name a group of this machine, or its number: token_group", "%v", err)
		}
		if err := f.Chown(-1, gid); err != nil { // before the mode, so that no other group may read it even for a moment
			return misuse(op, "the user that runs this must own the file and be in the group: with systemd, SupplementaryGroups="+e.TokenGroup, "give the file to the group %s: %v", e.TokenGroup, err)
		}
	}
	if mode == 0 {
		return nil
	}
	if err := f.Chmod(mode); err != nil {
		return misuse(op, "leave token_mode out: the file is its owner's, who says who may read it", "%v", err)
	}
	return nil
}

// regular opens what is at path itself: a link could lead to any file of this user's.
func regular(path string) (*os.File, error) {
	there, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil, err
	case !there.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if opened, err := f.Stat(); err != nil || !os.SameFile(there, opened) {
		_ = f.Close()
		return nil, fmt.Errorf("%s was replaced meanwhile", path)
	}
	return f, nil
}

// groupID is the number of a group that is named, or is a number.
func groupID(name string) (int, error) {
	if id, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(id), nil
	}
	group, err := user.LookupGroup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(group.Gid)
}

// NewToken is a bearer token that nobody can guess: 260 random bits.
func NewToken() string { return rand.Text() + rand.Text() }
