// SPDX-License-Identifier: Apache-2.0

package documents

import (
	"context"
	"errors"
	"time"

	"gocloud.dev/docstore"
	"gocloud.dev/gcerrors"
	"google.golang.org/grpc/status"
)

// The fields of a document, beside its name.
const (
	valueField     = "value"
	holderField    = "holder"
	expiresField   = "expires"
	expiresAtField = "expires_at"
)

// New makes a store of a docstore collection whose documents are named by the field key, and which it closes. Its reads
// must be consistent: what one machine has written, the next read of any machine finds. It must count revisions in the
// field [docstore.DefaultRevisionField].
func New(c *docstore.Collection, key string, opts ...Option) *Store {
	s := &Store{place: "the document database", table: &collection{c, key}, close: c.Close, hint: "see that this identity may read and write its documents"}
	return s.with(opts)
}

// A collection is a table of docstore.
type collection struct {
	docs *docstore.Collection
	key  string
}

func (c *collection) get(ctx context.Context, name string) (entry, any, error) {
	d := c.named(name, nil)
	// These alone: docstore fails where a field of somebody else's is of a type that it has no word for.
	err := c.docs.Get(ctx, d, valueField, holderField, expiresField, docstore.DefaultRevisionField)
	if gcerrors.Code(err) == gcerrors.NotFound && !answered(err) {
		return entry{}, nil, errMissing
	}
	if err != nil {
		return entry{}, nil, err
	}
	value, _ := d[valueField].([]byte)
	holder, _ := d[holderField].(string)
	return entry{value: value, holder: holder, expires: seconds(d[expiresField])}, d[docstore.DefaultRevisionField], nil
}

func (c *collection) put(ctx context.Context, name string, e entry) error {
	return c.docs.Put(ctx, c.document(name, e, nil))
}

func (c *collection) create(ctx context.Context, name string, e entry) error {
	return conflict(c.docs.Create(ctx, c.document(name, e, nil)))
}

func (c *collection) replace(ctx context.Context, name string, e entry, revision any) error {
	return conflict(c.docs.Replace(ctx, c.document(name, e, revision)))
}

func (c *collection) remove(ctx context.Context, name string, revision any) error {
	return conflict(c.docs.Delete(ctx, c.named(name, revision)))
}

func (c *collection) stamp(ctx context.Context, name string) error {
	err := c.docs.Update(ctx, c.named(name, nil), docstore.Mods{"stamped": true})
	return conflict(err)
}

// named is a document with nothing but its name and revision. It has the field of revisions even where there is none
// yet: without it docstore would keep none.
func (c *collection) named(name string, revision any) map[string]any {
	return map[string]any{c.key: name, docstore.DefaultRevisionField: revision}
}

func (c *collection) document(name string, e entry, revision any) map[string]any {
	d := c.named(name, revision)
	d[expiresField] = e.expires.Unix()
	d[expiresAtField] = e.expires.UTC()
	if e.holder != "" {
		d[holderField] = e.holder
	} else {
		d[valueField] = e.value
	}
	return d
}

// seconds reads a number as the database's driver gives it.
func seconds(v any) time.Time {
	switch n := v.(type) {
	case int64:
		return time.Unix(n, 0)
	case float64:
		return time.Unix(int64(n), 0)
	}
	return time.Time{}
}

// conflict tells a change that came too late from other failures.
func conflict(err error) error {
	switch gcerrors.Code(err) {
	case gcerrors.AlreadyExists, gcerrors.FailedPrecondition:
		return errConflict
	case gcerrors.NotFound: // Firestore's word for a revision of what is no longer there
		return errConflict
	}
	return err
}

// answered reports whether the database itself failed the request, as for a table or a database that is not there.
// docstore has the same code for those as for a document that is not.
func answered(err error) bool {
	var aws interface{ ErrorCode() string }
	var google interface{ GRPCStatus() *status.Status }
	return errors.As(err, &aws) || errors.As(err, &google)
}
