// SPDX-License-Identifier: Apache-2.0

package seal

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
)

// NewLocalKey makes a random key for [LocalKey], as text: 32 bytes in base64. A file with that text, readable by its
// owner alone, is what [ReadLocalKey] wants.
func NewLocalKey() stile.Secret {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // it never fails
	return stile.NewSecret(base64.StdEncoding.EncodeToString(key))
}

// LocalKey is a wrapper whose key is at hand: 32 random bytes. It asks nobody, and encrypts with AES-256-GCM. A key of
// another size fails with [stile.ErrMisuse].
func LocalKey(key []byte) (Wrapper, error) {
	if len(key) != keySize {
		return nil, misused(fmt.Errorf("%d bytes, want %d", len(key), keySize), "make one with: openssl rand -base64 32")
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, misused(err, "")
	}
	// The key is random and longer than its name, so the name gives nothing of it away.
	name := sha256.Sum256(append([]byte("stile local key\x00"), key...))
	return localKey{aead: aead, name: hex.EncodeToString(name[:8])}, nil
}

// ParseLocalKey is [LocalKey] of what [NewLocalKey] made.
func ParseLocalKey(text stile.Secret) (Wrapper, error) {
	key, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(text.Reveal()))
	if err != nil {
		return nil, misused(errors.New("it is not base64"), "make one with: openssl rand -base64 32")
	}
	defer clear(key)
	return LocalKey(key)
}

// ReadLocalKey is [ParseLocalKey] of a file's text. A file that others than its owner may read or write is refused,
// but not on Windows, where the ACLs of its folder decide. It fails with [stile.ErrMisuse].
func ReadLocalKey(path string) (Wrapper, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, misused(err, "make one with: (umask 077; openssl rand -base64 32 > "+path+")")
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, misused(err, "")
	}
	if !info.Mode().IsRegular() {
		return nil, misused(fmt.Errorf("%s is not a file", path), "")
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, misused(fmt.Errorf("others may read or write %s (mode %#o)", path, perm), "chmod 600 "+path)
	}
	text, err := io.ReadAll(io.LimitReader(file, 1<<10))
	if err != nil {
		return nil, misused(err, "")
	}
	defer clear(text)
	wrapper, err := ParseLocalKey(stile.NewSecret(string(text)))
	if err != nil {
		return nil, misused(fmt.Errorf("%s holds no key of %d bytes in base64", path, keySize), "make one with: openssl rand -base64 32")
	}
	return wrapper, nil
}

func misused(why error, hint string) error {
	return &stile.Error{Op: "read the local key", Hint: hint, Err: fmt.Errorf("%w: %w", stile.ErrMisuse, why)}
}

type localKey struct {
	aead cipher.AEAD
	name string
}

// Name makes a foreign data key known before it is tried.
func (k localKey) Name() string { return "local " + k.name }

// Encrypt never fails.
func (k localKey) Encrypt(_ context.Context, key []byte) ([]byte, error) {
	return k.aead.Seal(nil, nil, key, []byte(k.Name())), nil //nolint:gosec // G407: this AEAD draws its own nonces
}

// Decrypt asks nobody, so whatever it cannot decrypt it never will.
func (k localKey) Decrypt(_ context.Context, wrapped []byte) ([]byte, error) {
	key, err := k.aead.Open(nil, nil, wrapped, []byte(k.Name()))
	if err != nil {
		return nil, fmt.Errorf("%w: another key wrapped it", keep.ErrAbsent)
	}
	return key, nil
}
