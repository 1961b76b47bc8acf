// SPDX-License-Identifier: Apache-2.0

package sigv4

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// A Kind says what is wrong with a signature. Each service has its own code for it.
type Kind int

// The kinds, in the order in which a request meets them.
const (
	Missing    Kind = iota + 1 // there is no signature at all
	Incomplete                 // there is one, and it cannot be read
	Scope                      // made for another region, service or day
	Early                      // dated too far in the future
	Stale                      // dated too far in the past
	Unsigned                   // a header that must be signed is not
	Mismatch                   // the computed signature differs
)

// An Error is a refusal in AWS's own words. It holds no secret: where AWS would show the header, it shows its hash.
type Error struct {
	Kind    Kind
	Message string
	Headers []string // for Unsigned: the headers in question
}

func (e *Error) Error() string { return e.Message }

const (
	missingText  = "Request is missing Authentication Token"
	mismatchText = "The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
)

func incomplete(format string, args ...any) error {
	return &Error{Kind: Incomplete, Message: fmt.Sprintf(format, args...)}
}

// hashed is how AWS refers to a header it does not want to repeat.
func hashed(header string) string {
	sum := sha256.Sum256([]byte(header))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// CheckScope holds the credential scope against the endpoint that received the request.
func (s *Signed) CheckScope(region, service string) error {
	var wrong []string
	if s.Region != region {
		wrong = append(wrong, fmt.Sprintf("Credential should be scoped to a valid Region, not '%s'.", s.Region))
	}
	if s.Service != service {
		wrong = append(wrong, fmt.Sprintf("Credential should be scoped to correct service: '%s'.", service))
	}
	if s.Terminator != terminator {
		wrong = append(wrong, fmt.Sprintf("Credential should be scoped with a valid terminator: '%s', not '%s'.", terminator, s.Terminator))
	}
	if day := s.Time.Format("20060102"); s.Date != day {
		wrong = append(wrong, fmt.Sprintf("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s', from '%s'.", s.Date, day, s.Stamp))
	}
	if len(wrong) > 0 {
		return &Error{Kind: Scope, Message: strings.Join(wrong, " ")}
	}
	return nil
}

// CheckTime holds the date of the request against the service's clock. A presigned request is good until it expires,
// any other for window on either side of now.
func (s *Signed) CheckTime(now time.Time, window time.Duration) error {
	now = now.UTC().Truncate(time.Second)
	minutes := int(window / time.Minute)
	if latest := now.Add(window); s.Time.After(latest) {
		return &Error{Kind: Early, Message: fmt.Sprintf("Signature not yet current: %s is still later than %s (%s + %d min.)",
			s.Stamp, latest.Format(stampLayout), now.Format(stampLayout), minutes)}
	}
	if s.Presigned {
		if end := s.Time.Add(s.Expires); now.After(end) {
			return &Error{Kind: Stale, Message: fmt.Sprintf("Signature expired: %s is now earlier than %s", end.Format(stampLayout), now.Format(stampLayout))}
		}
		return nil
	}
	if earliest := now.Add(-window); s.Time.Before(earliest) {
		return &Error{Kind: Stale, Message: fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - %d min.)",
			s.Stamp, earliest.Format(stampLayout), now.Format(stampLayout), minutes)}
	}
	return nil
}
