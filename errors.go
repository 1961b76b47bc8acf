// SPDX-License-Identifier: Apache-2.0

package stile

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// What kind of failure it was, for errors.Is. A cancelled or timed-out context shows through as itself as well.
var (
	// ErrMisuse: a setting is missing or malformed. No cloud was asked; only the caller can mend it.
	ErrMisuse = errors.New("misused")
	// ErrNoIdentity: this workload has no identity that the source could find.
	ErrNoIdentity = errors.New("no identity here")
	// ErrRefused: a cloud understood and said no. The same question gets the same answer until someone changes the
	// trust or the request, except in the minutes just after an IAM change.
	ErrRefused = errors.New("refused")
	// ErrTemporary: throttled, unreachable or broken on the far side. Asking again later may work.
	ErrTemporary = errors.New("temporary")
)

// An Error tells which step failed, what the cloud said, and what to do next. It never holds a secret.
type Error struct {
	Op         string        // what was being done: "exchange the subject token"
	Cloud      string        // who answered: "Google STS"; empty when nobody was asked
	Status     int           // HTTP status; 0 when no answer came
	Code       string        // the cloud's own code: "invalid_target"
	Message    string        // the cloud's own words, shortened, free of what was sent
	Sent       []slog.Attr   // what was presented: audience, subject, role; never the token
	Hint       string        // the step that usually mends it
	RetryAfter time.Duration // the cloud's own word on when to ask again; 0 when it gave none
	Err        error         // one of the kinds above, or a cause that wraps one
}

// Error gives the whole story but the hint, on one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Status != 0 {
		fmt.Fprintf(&b, ": %s answered %d", e.Cloud, e.Status)
		if e.Code != "" {
			b.WriteString(" " + e.Code)
		}
		if e.Message != "" {
			b.WriteString(": " + e.Message)
		}
	} else if e.Cloud != "" {
		b.WriteString(": " + e.Cloud)
	}
	for i, a := range e.Sent {
		sep := ", "
		if i == 0 {
			sep = " (sent "
		}
		fmt.Fprintf(&b, "%s%s %s", sep, a.Key, a.Value)
	}
	if len(e.Sent) > 0 {
		b.WriteString(")")
	}
	// With an answer at hand the bare kind would only repeat it.
	if bare := e.Err == ErrRefused || e.Err == ErrTemporary; e.Err != nil && (e.Status == 0 || !bare) { //nolint:errorlint // a wrapped kind has more to say
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap gives the kind or the cause.
func (e *Error) Unwrap() error { return e.Err }
