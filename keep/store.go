// SPDX-License-Identifier: Apache-2.0

package keep

import (
	"context"
	"errors"
	"time"

	"github.com/stile-project/stile"
)

// A Record is a credential as a [Store] holds it.
type Record struct {
	Credential stile.Credential
	Obtained   time.Time // when the exchange gave it: with its expiry, how long its whole life is
}

// ErrAbsent is what [Store.Load] fails with where nothing of use is kept: nothing was ever saved, it has expired, or it
// is damaged or another's. The next Save mends all of these.
var ErrAbsent = errors.New("nothing is kept under this key")

// A Store keeps credentials where other processes find them. It serves a [Memory], which works on without it when it
// fails, and has every call's context end when the store has had its time. That context need have no deadline, since its
// time is counted as [Patience] does: what bounds a call by itself had better do the same. Implementations are safe for
// concurrent use and honour the context.
type Store interface {
	// Key is what c's credential is kept under: equal for two processes exactly when they may use each other's.
	// It fails with [stile.ErrMisuse] for a crossing that cannot be shared.
	Key(ctx context.Context, c stile.Crossing) (stile.Key, error)

	// Load returns what was last saved under key. It fails with [ErrAbsent] where that is nothing, and with any other
	// error where the store did not do its work.
	Load(ctx context.Context, key stile.Key) (Record, error)

	// Save replaces what is kept under key, whole or not at all, until the credential's expiry.
	Save(ctx context.Context, key stile.Key, r Record) error

	// Lease tries once to make the caller the only one, among all who share the store, who exchanges for key. It
	// returns nil where another is at it, and does not wait for them.
	Lease(ctx context.Context, key stile.Key) (Lease, error)
}

// A Lease is the right to exchange for one key. It ends with Release, with its term, or with the process that holds it.
type Lease interface {
	// Term is how long the lease lasts from when it was taken or last extended. Zero: for as long as the process lives.
	Term() time.Duration
	// Extend has the lease last for its term from now.
	Extend(ctx context.Context) error
	// Release ends the lease. A lease that another holds by now is left alone.
	Release(ctx context.Context) error
}
