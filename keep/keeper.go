// SPDX-License-Identifier: Apache-2.0

// Package keep holds credentials fresh. [New] keeps one crossing's credential; crossings of one [Memory] share a
// credential exactly when everything that decides it is equal, and a [Store] lets processes and machines share it too.
//
// A credential is refreshed in the background, at a random moment of the last quarter of its life before the floor.
// Until then and while that runs, reads return what is held; they take no lock and allocate nothing. If refreshing
// fails, what is held is handed out until its true expiry and no longer. Refusals are remembered for 10 seconds;
// throttling and outages are asked again with growing pauses, or after what the cloud says: of at most a minute, a quarter
// of the life that is left, and 5 seconds once there is none.
package keep

import (
	"context"
	"sync"
	"time"

	"github.com/stile-project/stile"
)

// A Keeper holds one crossing's credential. It is safe for concurrent use. One that is dropped without Close stops
// refreshing by itself, after one more refresh at most.
type Keeper struct {
	entry  *entry
	pulse  *pulse
	memory *Memory
	own    bool // memory is this keeper's
	closed sync.Once
}

// New keeps one crossing's credential in a [Memory] of its own. Nothing is exchanged before the first use.
func New(c stile.Crossing, opts ...Option) *Keeper {
	k := NewMemory(opts...).Keep(c, Terms{})
	k.own = true
	return k
}

// Credential returns a credential with at least the floor of life left. Concurrent callers share one exchange, and one
// who gives up fails alone. If no exchange succeeds while the held credential is still valid, that one is returned until
// its true expiry.
func (k *Keeper) Credential(ctx context.Context) (stile.Credential, error) {
	if h := k.entry.current.Load(); h != nil && k.pulse.within(h.until) {
		k.pulse.note()
		k.entry.note()
		return h.record.Credential, nil
	}
	return k.entry.credential(ctx)
}

// Close ends refreshing for this keeper. Other keepers of an equal crossing go on.
func (k *Keeper) Close() {
	k.closed.Do(func() {
		k.memory.drop(k.entry)
		if k.own {
			k.memory.Close()
		}
	})
}

// Status is how a crossing stands. Times are zero where there is nothing to tell.
type Status struct {
	Name      string
	Ready     bool // a credential would be handed out now
	Kind      stile.Kind
	Principal string
	Obtained  time.Time
	Expires   time.Time
	// NextRefresh is when the next exchange is planned; after a failure with nothing to hand out, the time from which asking
	// exchanges anew. Zero: before the first use, when that time has come, or when nobody has asked for long.
	NextRefresh time.Time
	Exchanging  bool

	Failures int   // in a row, since the last success
	Err      error // the last of them
	FailedAt time.Time
}

// Status tells how the crossing stands. It asks nobody, and does not count as use.
func (k *Keeper) Status() Status { return k.entry.status() }

// An Event is one exchange, or one credential taken from the store in place of one.
type Event struct {
	Name    string // of the [Terms]
	Key     stile.Key
	Stored  bool // taken from the store: nothing was exchanged
	Took    time.Duration
	Kind    stile.Kind // zero on failure
	Expires time.Time  // zero on failure
	Err     error
}
