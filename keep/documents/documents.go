// SPDX-License-Identifier: Apache-2.0

// Package documents keeps what machines share in a document database: Firestore, Firestore in Datastore mode, DynamoDB,
// or whatever else gocloud.dev/docstore drives. [Store] is a [shared.Backend]:
//
//	engine, err := documents.Open(ctx, "dynamodb://stile?region=eu-west-1")
//	store := shared.New(engine, seal.Envelope(key))
//
// The URLs:
//
//	firestore://projects/P/databases/D/documents/COLLECTION   the default database is (default); ?name_field= (name).
//	                                       Needs roles/datastore.user.
//	datastore://projects/P/databases/D/kinds/KIND             the same for a database in Datastore mode.
//	dynamodb://TABLE?partition_key=name    a table with a partition key of strings and no sort key; and the parameters of
//	                                       gocloud.dev/aws: region, profile, role, endpoint. Needs dynamodb:DescribeTable,
//	                                       BatchGetItem, PutItem, UpdateItem and DeleteItem.
//
// Application default credentials are used for the first two, and the AWS SDK's chain for the third. Emulators are found
// by FIRESTORE_EMULATOR_HOST, DATASTORE_EMULATOR_HOST and AWS_ENDPOINT_URL_DYNAMODB.
//
// A database in Datastore mode does not answer the API of Firestore, which is all that docstore's driver speaks, so its
// own API is spoken here, over REST.
//
// # A document
//
// It stands under the name that [shared.Store] gives it, and its other fields are value (what was put there), or holder
// (who has a lease); expires (when it ends, as a number of seconds since 1970); expires_at (the same as a time); and
// DocstoreRevision where docstore keeps one. What has expired counts as absent. To have the database also remove it,
// which costs nothing and may take days, make a TTL policy for the field expires_at in Firestore and in Datastore mode,
// or set expires as the TTL attribute in DynamoDB. In Firestore, exempt value from indexing: nothing searches it.
//
// # Clocks
//
// No document database has a time of its own that a lease could end by, so each machine judges by its clock whether
// another's lease has ended. A lease is written to last for [DefaultSkew] longer than asked, and clocks may differ by
// as much: nobody takes a lease early whose clock is at most that far ahead of the holder's. Beyond it two machines may
// exchange at once, which costs an exchange and breaks nothing. A machine that died is waited for that much longer.
package documents

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/keep/shared"
)

// DefaultSkew is how far apart the clocks of two machines may be.
const DefaultSkew = 2 * time.Second

// A Store is a document database as a [shared.Backend]. It is safe for concurrent use.
type Store struct {
	place string // as errors call it: "Firestore", "DynamoDB"
	hint  string // what usually mends a refusal
	table table
	now   func() time.Time
	skew  time.Duration
	close func() error
}

var _ shared.Backend = (*Store)(nil)

// An entry is a document's fields.
type entry struct {
	value   []byte
	holder  string
	expires time.Time // in whole seconds; zero where the document has no end, and so is not ours
}

// A table is documents under names. Its revisions are its own.
type table interface {
	// get fails with errMissing where nothing is, and takes fields of a wrong type for missing. A nil revision means
	// that the document has none to hold a change against.
	get(ctx context.Context, name string) (e entry, revision any, err error)
	// put puts e in place of whatever is there.
	put(ctx context.Context, name string, e entry) error
	// create puts e where nothing is, and otherwise fails with errConflict.
	create(ctx context.Context, name string, e entry) error
	// replace puts e in place of that revision, and fails with errConflict where another is, or nothing.
	replace(ctx context.Context, name string, e entry, revision any) error
	// remove removes that revision, and fails with errConflict where another is.
	remove(ctx context.Context, name string, revision any) error
	// stamp gives a document that has no revision one, and changes nothing of its entry.
	stamp(ctx context.Context, name string) error
}

var (
	errMissing  = errors.New("no such document")
	errConflict = errors.New("the document is another by now")
)

// An Option changes a [Store] from its defaults.
type Option func(*Store)

// Clock sets the clock by which documents end. Default: time.Now.
func Clock(now func() time.Time) Option { return func(s *Store) { s.now = now } }

// Skew sets how far apart the clocks of two machines may be. All machines that share must be given the same. Default:
// [DefaultSkew].
func Skew(d time.Duration) Option { return func(s *Store) { s.skew = max(0, d) } }

// Open finds the database that a URL names. It fails with [stile.ErrMisuse] for a URL that it cannot read, and with
// [stile.ErrNoIdentity] where credentials cannot be found. DynamoDB is asked what the table is, the others nothing.
func Open(ctx context.Context, rawURL string, opts ...Option) (*Store, error) {
	scheme, _, found := strings.Cut(rawURL, "://")
	open, known := map[string]func(context.Context, *url.URL) (*Store, error){
		"firestore": openFirestore, "datastore": openDatastore, "dynamodb": openDynamoDB,
	}[scheme]
	if !found || !known {
		return nil, misused("", "write firestore://…, datastore://… or dynamodb://…", "no such scheme")
	}
	u, err := url.Parse(rawURL)
	if err != nil || u.User != nil || u.Fragment != "" {
		return nil, misused(scheme, "", "what follows the scheme is not the URL of a database") // not err, which quotes all of it
	}
	s, err := open(ctx, u)
	if err != nil {
		return nil, err
	}
	return s.with(opts), nil
}

func (s *Store) with(opts []Option) *Store {
	s.now, s.skew = time.Now, DefaultSkew
	for _, opt := range opts {
		opt(s)
	}
	return s
}

// Close lets go of connections. The store is of no use afterwards.
func (s *Store) Close() error { return s.close() }

// Get returns the value under name, until it expires.
func (s *Store) Get(ctx context.Context, name string) ([]byte, error) {
	e, _, err := s.table.get(ctx, name)
	switch {
	case errors.Is(err, errMissing):
	case err != nil:
		return nil, s.failed(ctx, "read from", err)
	case s.lives(e) && e.value != nil && len(e.value) <= shared.MaxValue:
		return e.value, nil
	}
	return nil, &stile.Error{Op: "read from " + s.place, Err: keep.ErrAbsent}
}

// Set puts value under name for ttl, rounded down to the second in which it ends.
func (s *Store) Set(ctx context.Context, name string, value []byte, ttl time.Duration) error {
	if len(value) > shared.MaxValue {
		return &stile.Error{Op: "write to " + s.place, Err: fmt.Errorf("%w: %d bytes are more than the %d that a store takes", stile.ErrMisuse, len(value), shared.MaxValue)}
	}
	if value == nil {
		value = []byte{}
	}
	if err := s.table.put(ctx, name, entry{value: value, expires: s.now().Add(ttl).Truncate(time.Second)}); err != nil {
		return s.failed(ctx, "write to", err)
	}
	return nil
}

// Add puts holder under name where nothing is, or something that has ended. It looks before it writes: who waits for a
// lease reads, and reads are cheap.
func (s *Store) Add(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	old, revision, err := s.table.get(ctx, name)
	if err == nil && s.lives(old) {
		return false, nil
	}
	if err == nil && revision == nil { // somebody else's document: see what it is once it can be held to a revision
		if err = s.table.stamp(ctx, name); err == nil {
			old, revision, err = s.table.get(ctx, name)
		}
		if err == nil && (s.lives(old) || revision == nil) {
			return false, nil
		}
	}
	switch {
	case err == nil:
		err = s.table.replace(ctx, name, s.lease(holder, ttl), revision)
	case errors.Is(err, errMissing):
		err = s.table.create(ctx, name, s.lease(holder, ttl))
	}
	if errors.Is(err, errConflict) {
		return false, nil
	}
	if err != nil {
		return false, s.failed(ctx, "take a lease in", err)
	}
	return true, nil
}

// Extend has holder's lease last for ttl from now.
func (s *Store) Extend(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	held, err := s.whileHeld(ctx, name, holder, func(revision any) error {
		return s.table.replace(ctx, name, s.lease(holder, ttl), revision)
	})
	if err != nil {
		return false, s.failed(ctx, "extend a lease in", err)
	}
	return held, nil
}

// Remove removes holder's lease.
func (s *Store) Remove(ctx context.Context, name, holder string) error {
	if _, err := s.whileHeld(ctx, name, holder, func(revision any) error { return s.table.remove(ctx, name, revision) }); err != nil {
		return s.failed(ctx, "release a lease in", err)
	}
	return nil
}

// whileHeld does change to the revision in which the lease is holder's, and reports false where it is not. The holder
// itself may have come between looking and changing, as when one call of it was given up and the next came first; that
// is looked at again.
func (s *Store) whileHeld(ctx context.Context, name, holder string, change func(revision any) error) (bool, error) {
	err := errConflict
	for range 3 {
		var e entry
		var revision any
		e, revision, err = s.table.get(ctx, name)
		if errors.Is(err, errMissing) || err == nil && (e.holder != holder || revision == nil || !s.lives(e)) {
			return false, nil
		}
		if err == nil {
			err = change(revision)
		}
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, errConflict) {
			break
		}
	}
	return false, err
}

// lease is what holder is to hold for at least ttl, whoever's clock it is judged by.
func (s *Store) lease(holder string, ttl time.Duration) entry {
	return entry{holder: holder, expires: s.now().Add(ttl + s.skew + time.Second - 1).Truncate(time.Second)}
}

func (s *Store) lives(e entry) bool { return s.now().Before(e.expires) }
