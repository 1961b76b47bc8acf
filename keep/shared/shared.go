// SPDX-License-Identifier: Apache-2.0

// Package shared keeps credentials where many machines find them. [New] makes a store of a [Backend], which is an engine
// such as that of keep/redis, keep/memcache or keep/documents, and of a sealer, so that the engine and whoever reads it
// see no credential:
//
//	engine, err := redis.Open(options)
//	store := shared.New(engine, seal.Envelope(wrapper))
//	memory := keep.NewMemory(keep.WithStore(store, 0))
//
// Two machines share a credential exactly when their sources prove the same identity for equal targets, in the same
// namespace. One of them exchanges, under a lease that ends by itself if that machine dies.
package shared

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/keep/seal"
)

// MaxValue is how long a value under one name may be, in bytes. What an engine holds beyond it is not ours.
const MaxValue = seal.MaxSize

// DefaultTerm is how long a lease lasts that is not extended.
const DefaultTerm = 15 * time.Second

// ErrLost is why a lease cannot be extended: it has ended, and another may hold it.
var ErrLost = errors.New("the lease has ended, and may be another's")

// A Backend is an engine that machines share. Names are at most 100 bytes of printable ASCII without spaces; what stands
// in braces must decide alone where a name is kept, if the engine spreads names. Every ttl is a whole number of seconds,
// at least one, and nothing is found once it is over. Errors hold no secret and nothing of what the engine holds.
//
// Implementations are safe for concurrent use, honour the context, and neither retry nor log.
type Backend interface {
	// Get returns what Set last put under name. It fails with [keep.ErrAbsent] where that is nothing, or where what is
	// there cannot have been put there by Set: it is longer than [MaxValue], or no plain value.
	Get(ctx context.Context, name string) ([]byte, error)

	// Set puts at most [MaxValue] bytes under name, in place of whatever is there, for at most ttl.
	Set(ctx context.Context, name string, value []byte, ttl time.Duration) error

	// Add puts holder under name for at least ttl, and reports true, where nothing is. Where something is, it changes
	// nothing and reports false. What has no end cannot have been put there by Add, and is replaced.
	Add(ctx context.Context, name, holder string, ttl time.Duration) (bool, error)

	// Extend has name last for at least ttl from now if holder is what is there, and reports whether it is. No other's
	// change comes between looking and extending.
	Extend(ctx context.Context, name, holder string, ttl time.Duration) (bool, error)

	// Remove removes name if holder is what is there. No other's change comes between looking and removing.
	Remove(ctx context.Context, name, holder string) error
}

// Store is a [keep.Store] on an engine that machines share. It is safe for concurrent use, and holds nothing that needs
// closing; the Backend may.
type Store struct {
	backend   Backend
	sealer    seal.Sealer
	namespace string
	role      bool
	term      time.Duration
	now       func() time.Time
}

var _ keep.Store = (*Store)(nil)

// An Option changes a [Store] from its defaults.
type Option func(*Store)

// Namespace keeps stores apart that use one engine: those of another namespace find nothing of this one's. All machines
// that share must be given the same. Default: "stile".
func Namespace(name string) Option { return func(s *Store) { s.namespace = name } }

// SameRole has all sessions of one AWS role share: every task of a service has a session of its own, and the far cloud
// may see the difference, so this is only right where nobody tells the tasks apart. All machines that share must be
// given it alike.
func SameRole() Option { return func(s *Store) { s.role = true } }

// Term sets how long a lease lasts that is not extended, which is how long the others wait for a machine that died while
// it exchanged. It is rounded up to whole seconds, and at least one. Default: [DefaultTerm].
func Term(d time.Duration) Option {
	return func(s *Store) { s.term = max(time.Second, (d + time.Second - 1).Truncate(time.Second)) }
}

// Clock sets the clock that a credential's expiry is judged by. Default: time.Now.
func Clock(now func() time.Time) Option { return func(s *Store) { s.now = now } }

// New makes a store of an engine, and of what seals the credentials in it.
func New(backend Backend, sealer seal.Sealer, opts ...Option) *Store {
	s := &Store{backend: backend, sealer: sealer, namespace: "stile", term: DefaultTerm, now: time.Now}
	for _, opt := range opts {
		opt(s)
	}
	return s
}

// Key is of whom c's source proves to be, of its target, and of the namespace. It fails with [stile.ErrMisuse] for a
// crossing that cannot tell, and otherwise as proving does.
func (s *Store) Key(ctx context.Context, c stile.Crossing) (stile.Key, error) {
	identity, err := c.Identity(ctx, s.role)
	if err != nil {
		return stile.Key{}, err
	}
	return stile.NewKey("shared", s.namespace, identity.String()), nil
}

// Load returns what any machine last saved under key, if it has not expired.
func (s *Store) Load(ctx context.Context, key stile.Key) (keep.Record, error) {
	sealed, err := s.backend.Get(ctx, credentialName(key))
	if err != nil {
		return keep.Record{}, err
	}
	r, err := s.sealer.Open(ctx, key, sealed)
	if err != nil {
		return keep.Record{}, err
	}
	if !s.now().Before(r.Credential.Expires) {
		return keep.Record{}, &stile.Error{Op: "load the shared credential", Err: fmt.Errorf("%w: what is there has expired", keep.ErrAbsent)}
	}
	return r, nil
}

// Save seals r and puts it under key until its expiry, rounded down to whole seconds. What has less than a second left is
// not saved.
func (s *Store) Save(ctx context.Context, key stile.Key, r keep.Record) error {
	sealed, err := s.sealer.Seal(ctx, key, r)
	if err != nil {
		return err
	}
	if len(sealed) > MaxValue {
		return &stile.Error{Op: "save the shared credential", Err: fmt.Errorf("%d bytes are more than the %d that a store takes", len(sealed), MaxValue)}
	}
	// Sealing may have asked a key service, so the time is taken after it.
	ttl := r.Credential.Expires.Sub(s.now()).Truncate(time.Second)
	if ttl < time.Second {
		return nil
	}
	return s.backend.Set(ctx, credentialName(key), sealed, ttl)
}

// Lease tries once to make the caller the only one who exchanges for key.
func (s *Store) Lease(ctx context.Context, key stile.Key) (keep.Lease, error) {
	// A holder of its own for every lease: one machine's next attempt is not taken for its last.
	l := &lease{store: s, name: leaseName(key), holder: rand.Text()}
	taken, err := s.backend.Add(ctx, l.name, l.holder, s.term)
	if err != nil || !taken {
		return nil, err
	}
	return l, nil
}

// The braces have a Redis cluster keep both names of a key on one machine.
func credentialName(key stile.Key) string { return "stile:{" + key.String() + "}:credential" }
func leaseName(key stile.Key) string      { return "stile:{" + key.String() + "}:lease" }

// lease is held by whoever knows its holder, a random word.
type lease struct {
	store  *Store
	name   string
	holder string
}

func (l *lease) Term() time.Duration { return l.store.term }

func (l *lease) Extend(ctx context.Context) error {
	held, err := l.store.backend.Extend(ctx, l.name, l.holder, l.store.term)
	if err == nil && !held {
		err = &stile.Error{Op: "extend the lease", Err: ErrLost}
	}
	return err
}

func (l *lease) Release(ctx context.Context) error {
	return l.store.backend.Remove(ctx, l.name, l.holder)
}
