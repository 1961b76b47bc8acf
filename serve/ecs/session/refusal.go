// SPDX-License-Identifier: Apache-2.0

package session

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stile-project/stile"
)

// A Refusal is why no session is handed out, as HTTP tells it. The AWS SDKs ask again after any status from 500 on,
// and those of Go not after one below.
type Refusal struct {
	Status     int
	Code       string // one word, never empty, never Success
	Message    string // a line; no secret
	RetryAfter time.Duration
}

// RefusalOf tells an error of [Held.Answer]: 403 for what will be answered the same until somebody changes something,
// 500 for a credential that is no AWS session, and 503 for all that may pass. That the workload has no identity may: its
// metadata server, its token file or its SPIFFE socket can come later than it.
func RefusalOf(err error) Refusal {
	r := Refusal{Status: http.StatusServiceUnavailable, Code: "ServiceUnavailable", Message: "no credential could be had just now; see stile's log"}
	switch {
	case errors.Is(err, errUnusable):
		r.Status, r.Code = http.StatusInternalServerError, "InternalServerError"
	case errors.Is(err, stile.ErrRefused):
		r.Status, r.Code = http.StatusForbidden, "AccessDenied"
	case errors.Is(err, stile.ErrNoIdentity):
		r.Code = "NoIdentity"
	case errors.Is(err, stile.ErrMisuse):
		r.Status, r.Code = http.StatusForbidden, "Misconfigured"
	}
	// What others write into an error is not known to be free of secrets.
	var e *stile.Error
	if !errors.As(err, &e) {
		return r
	}
	r.Message = e.Error()
	if e.Hint != "" {
		r.Message += "; " + e.Hint
	}
	r.Message = line(r.Message)
	if word(e.Code) {
		r.Code = e.Code
	}
	if r.Status == http.StatusServiceUnavailable {
		r.RetryAfter = e.RetryAfter
	}
	return r
}

// word reports whether a cloud's code can stand as ours: Success would make a failure look like none.
func word(code string) bool {
	return code != "" && len(code) <= 64 && !strings.EqualFold(code, "success") && strings.IndexFunc(code, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-'
	}) < 0
}

// line is text on one line of bounded length.
func line(text string) string {
	const most = 1024
	text = strings.ToValidUTF8(text, "?")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, text)
}

// SetRetryAfter tells when to ask again, in whole seconds of at most an hour, where that is known.
func (r Refusal) SetRetryAfter(h http.Header) {
	if r.RetryAfter > 0 {
		seconds := (min(r.RetryAfter, time.Hour) + time.Second - 1) / time.Second
		h.Set("Retry-After", strconv.Itoa(int(seconds)))
	}
}
