// SPDX-License-Identifier: Apache-2.0

// Package session is what the two AWS endpoints share: the session of a crossing, encoded once for each credential, and
// the words and status for why there is none.
package session

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/stile-project/stile"
)

// Stamp is how AWS's endpoints write times, in UTC: JavaScript refuses fractions of a second, and botocore any other zone.
const Stamp = "2006-01-02T15:04:05Z"

// What is the word for it in [offer.Handed].
const What = "AWS session"

// Held is one crossing's session, ready to be written out. It is safe for concurrent use.
type Held struct {
	supplier stile.Supplier
	clock    func() time.Time
	encode   func(s stile.Session, expires, now string) []byte
	last     atomic.Pointer[Answer]
}

// New encodes what supplier gives with encode, once for each credential. It is given times as [Stamp] has them, and a
// session whose parts are not empty and hold printable ASCII without spaces, so that only quotes and backslashes
// need escaping (see [AppendString]).
func New(supplier stile.Supplier, clock func() time.Time, encode func(s stile.Session, expires, now string) []byte) *Held {
	return &Held{supplier: supplier, clock: clock, encode: encode}
}

// An Answer is an encoded session. It is shared: nobody may change it.
type Answer struct {
	Body    []byte
	Length  []string  // the Content-Length header
	Expires time.Time // as the body tells: the credential's own expiry, less the fraction of a second

	credential stile.Credential
}

// Answer returns a session that is alive. It fails with what the supplier fails with, with [stile.ErrTemporary] for a
// session that has ended, and otherwise for what is no AWS session at all.
func (h *Held) Answer(ctx context.Context) (*Answer, error) {
	c, err := h.supplier.Credential(ctx)
	if err != nil {
		return nil, err
	}
	now := h.clock()
	a := h.last.Load()
	// Two credentials are equal when they are one: secrets compare by address.
	fresh := a == nil || a.credential != c
	if fresh {
		if err := check(c); err != nil {
			return nil, err
		}
		a = &Answer{credential: c, Expires: c.Expires.UTC().Truncate(time.Second)}
	}
	if !now.Before(a.Expires) {
		return nil, &stile.Error{Op: op, Err: fmt.Errorf("%w: the session ended at %s", stile.ErrTemporary, a.Expires.Format(Stamp))}
	}
	if fresh {
		a.Body = h.encode(c.Session, a.Expires.Format(Stamp), now.UTC().Format(Stamp))
		a.Length = []string{strconv.Itoa(len(a.Body))}
		h.last.Store(a)
	}
	return a, nil
}

const op = "hand out an AWS session"

var errUnusable = errors.New("not a session that an AWS SDK could use")

// check wants all of what makes a session.
func check(c stile.Credential) error {
	var bad string
	switch {
	case c.Kind != stile.KindAWSSession:
		bad = "the crossing gave another kind of credential: " + c.Kind.String()
	case !printable(c.Session.AccessKeyID):
		bad = "its access key id is empty or malformed"
	case !printable(c.Session.SecretAccessKey.Reveal()):
		bad = "its secret access key is empty or malformed"
	case !printable(c.Session.SessionToken.Reveal()):
		bad = "its session token is empty or malformed"
	case c.Session.AccountID != "" && !printable(c.Session.AccountID):
		bad = "its account id is malformed"
	case c.Expires.IsZero() || c.Expires.UTC().Year() > 9999:
		bad = "it does not say when it expires"
	default:
		return nil
	}
	return &stile.Error{Op: op, Hint: "offer only crossings into AWS here", Err: fmt.Errorf("%w: %s", errUnusable, bad)}
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}

// AppendString appends printable ASCII as a JSON string.
func AppendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

// AppendField appends one field of a JSON object that has been begun, with name as it is written.
func AppendField(b []byte, name, value string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, name...)
	b = append(b, `":`...)
	return AppendString(b, value)
}
