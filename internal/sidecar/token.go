// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/stile-project/stile/config"
)

// TokenFile is where the bearer token of an ECS endpoint lies: where the endpoint says, or else in the folder, under a
// name that is the same for the same address and crossings.
func (o Options) TokenFile(e config.Endpoint) (string, error) {
	if e.TokenFile != "" {
		return filepath.Abs(o.underHome(e.TokenFile))
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

// underHome resolves ~/ in a path of the configuration.
func (o Options) underHome(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok && o.Home != "" {
		return filepath.Join(o.Home, rest)
	}
	return path
}

// tokenFile makes the file where it is absent, readable by this user alone.
func (s *Sidecar) tokenFile(e config.Endpoint) (string, error) {
	path, err := s.o.TokenFile(e)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	// Whole or not at all: two that start at once must not read half of it, nor write different ones.
	fresh := path + "." + rand.Text()
	if err := os.WriteFile(fresh, []byte(NewToken()), 0o600); err != nil {
		return "", err
	}
	defer func() { _ = os.Remove(fresh) }()
	if err := os.Link(fresh, path); err != nil && !errors.Is(err, fs.ErrExist) {
		// Some file systems have no links.
		if err := os.Rename(fresh, path); err != nil {
			return "", err
		}
	}
	return path, nil
}

// NewToken is a bearer token that nobody can guess: 260 random bits.
func NewToken() string { return rand.Text() + rand.Text() }
