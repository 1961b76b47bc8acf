// SPDX-License-Identifier: Apache-2.0

// Package seal turns a kept credential into bytes for a store, and back. [Envelope] encrypts them under a key of a key
// service, or under a [LocalKey]; [Plain] leaves them readable, for a place that only their owner can read:
//
//	sealer := seal.Envelope(current, older...)
//	sealed, err := sealer.Seal(ctx, key, record)
package seal

import (
	"context"
	"fmt"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
)

// MaxSize bounds what a [Sealer] makes and opens, in bytes. Credentials of both clouds are a tenth of that.
const MaxSize = 64 << 10

// A Sealer makes bytes of a record, for a store to hold, and a record of such bytes. Implementations are safe for
// concurrent use.
type Sealer interface {
	// Seal makes at most [MaxSize] bytes that open under key alone.
	Seal(ctx context.Context, key stile.Key, r keep.Record) ([]byte, error)

	// Open gives back what was sealed under key, whether it has expired or not. Bytes that are damaged, or sealed under
	// another key or by a foreign sealer, fail with [keep.ErrAbsent]: sealing anew mends that. Any other error, such as
	// a key service that did not answer, says nothing of the bytes.
	Open(ctx context.Context, key stile.Key, sealed []byte) (keep.Record, error)
}

// A Wrapper encrypts small keys. A *secrets.Keeper of gocloud.dev is one. Implementations are safe for concurrent use.
//
// A Wrapper that also has a Name method (see [Named]) is asked to decrypt only what bears its name.
type Wrapper interface {
	// Encrypt encrypts a key of 32 bytes so that Decrypt notices any change.
	Encrypt(ctx context.Context, key []byte) ([]byte, error)

	// Decrypt gives back what Encrypt was given. An error that wraps [keep.ErrAbsent] says that these bytes will never
	// decrypt here; any other, that the attempt failed.
	Decrypt(ctx context.Context, wrapped []byte) ([]byte, error)
}

// Named is what a [Wrapper] adds to have its own keys told from those of others without asking it.
type Named interface {
	// Name is the same in every process that wraps with this key, and in no other. It is no secret.
	Name() string
}

// Plain encrypts nothing. Whoever can read what it seals can use the credential.
var Plain Sealer = plain{}

type plain struct{}

func (plain) Seal(_ context.Context, key stile.Key, r keep.Record) ([]byte, error) {
	return Marshal(key, r)
}

func (plain) Open(_ context.Context, key stile.Key, sealed []byte) (keep.Record, error) {
	return Unmarshal(key, sealed)
}

func (plain) openNamed(_ context.Context, name string, sealed []byte) (keep.Record, error) {
	return unmarshal(name, sealed)
}

// OpenNamed is s.Open for a store that has its key as text only, as [stile.Key.String] gives it: in the name of a file.
// It works with the sealers of this package.
func OpenNamed(ctx context.Context, s Sealer, name string, sealed []byte) (keep.Record, error) {
	named, ok := s.(interface {
		openNamed(context.Context, string, []byte) (keep.Record, error)
	})
	if !ok {
		return keep.Record{}, &stile.Error{Op: "open the kept credential", Err: fmt.Errorf("%w: this sealer opens nothing by a key's name", stile.ErrMisuse)}
	}
	return named.openNamed(ctx, name, sealed)
}

// tooLong is what sealing fails with past [MaxSize].
func tooLong(n int) error {
	return &stile.Error{Op: "seal the credential", Err: fmt.Errorf("%d bytes are more than the %d that a store takes", n, MaxSize)}
}
