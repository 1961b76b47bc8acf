// SPDX-License-Identifier: Apache-2.0

package keep

import (
	"crypto/tls"
	"errors"
	"net/http"
	"time"

	"github.com/stile-project/stile"
)

const (
	refusalKept    = 10 * time.Second // a refusal is remembered for so long: asking again gets the same answer
	firstRetry     = 200 * time.Millisecond
	firstBackoff   = time.Second // after a failure: doubled for each in a row
	longestBackoff = time.Minute
	longestWait    = 5 * time.Minute // the most that a cloud's Retry-After is believed
	longestWithout = 5 * time.Second // the longest backoff with no credential at hand
	// attempts is how often one exchange is tried for those who wait for it; in the background there is time between.
	attempts = 4
	// patience is how long a wait between two of these may be.
	patience = 5 * time.Second
)

// lasting reports whether the same question would get the same answer.
func lasting(err error) bool {
	var unverified *tls.CertificateVerificationError
	return errors.As(err, &unverified) || errors.Is(err, stile.ErrRefused) || errors.Is(err, stile.ErrMisuse) || errors.Is(err, stile.ErrNoIdentity)
}

// unreachable reports whether a source did not answer: there may be none here.
func unreachable(err error) bool {
	return errors.Is(err, stile.ErrNoIdentity) && errors.Is(err, stile.ErrTemporary)
}

// propagating reports whether a refusal can come of an IAM change that has not arrived everywhere yet.
func propagating(err error) bool {
	var e *stile.Error
	return errors.As(err, &e) && errors.Is(err, stile.ErrRefused) && e.Status == http.StatusForbidden
}

func retryAfter(err error) time.Duration {
	var e *stile.Error
	if !errors.As(err, &e) {
		return 0
	}
	return min(max(0, e.RetryAfter), longestWait)
}

// backoff is how long to wait after the nth failure in a row, from 0: doubled each time, and from half of that to all
// of it, so that those who failed together do not come back together.
func backoff(first time.Duration, n int, random float64) time.Duration {
	d := first
	for range min(n, 30) {
		if d *= 2; d >= longestBackoff {
			d = longestBackoff
			break
		}
	}
	return d/2 + time.Duration(random*float64(d/2))
}

// A failure is the last in a row, and for how long it is the answer.
type failure struct {
	err   error
	at    time.Time
	wait  time.Duration
	until limit
	row   int
}

func (f failure) answers(now moment) bool { return f.err != nil && !f.until.passed(now) }

// after is the failure that err makes of those before it, with a credential at hand that lives for left. The less is left,
// the sooner another try. A source that could not be reached is tried again as soon as anything else, though nobody who
// waits is kept waiting for that: it may be that there is none here.
func (f failure) after(err error, now moment, left time.Duration, random float64) failure {
	wait := refusalKept
	if !lasting(err) || unreachable(err) {
		most := max(left/4, firstBackoff)
		if left <= 0 {
			most = longestWithout
		}
		wait = max(min(backoff(firstBackoff, f.row, random), most), retryAfter(err))
	}
	return failure{err: err, at: now.wall, wait: wait, until: now.in(wait), row: f.row + 1}
}
