// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"crypto/subtle"
	"net/http"
	"time"

	"github.com/stile-project/stile/lab/aws/sigv4"
	"github.com/stile-project/stile/lab/journal"
)

// stsWindow is how far a request's date may be from STS's clock: "(… - 5 min.)" in its messages.
const stsWindow = 5 * time.Minute

// authenticate finds out who signed r for STS: the key exists, the scope is this endpoint's, the date is near, the
// signature is right, the session still lives. It notes each step.
func (c *Cloud) authenticate(r *http.Request, body []byte, at endpoint, e *journal.Entry) (credential, error) {
	signed, err := sigv4.Parse(r)
	if err != nil {
		e.Fail("the request carries a readable Signature Version 4: %v", err)
		return credential{}, signatureFault(err)
	}
	who, ok := c.lookup(signed.AccessKeyID, at.partition)
	if !ok || !sameToken(who, signed) {
		e.Fail("access key %.24q and its session token belong to someone: AWS gave out no such pair", signed.AccessKeyID)
		return credential{}, invalidClientToken()
	}
	e.OK("access key %s belongs to %s", signed.AccessKeyID, who.who.arn)
	if err := signed.CheckScope(at.region, at.service); err != nil {
		e.Fail("the signature is made for %s in %s: %v", at.service, at.region, err)
		return credential{}, signatureFault(err)
	}
	e.OK("it is signed for %s in %s, and for no other service or region", at.service, at.region)
	now := c.now()
	if err := signed.CheckTime(now, stsWindow); err != nil {
		e.Fail("the request was signed within 5 minutes of now: %v", err)
		return credential{}, signatureFault(err)
	}
	e.OK("it was signed %s, inside the 5 minute window", ago(now.Sub(signed.Time)))
	if err := signed.Verify(r, who.SecretAccessKey, sigv4.HashHex(body), sigv4.Normalized); err != nil {
		e.Fail("the signature, computed again from the request and the key's secret, is the one sent: it differs")
		return credential{}, signatureFault(err)
	}
	e.OK("the signature, computed again from the request and the key's secret, is the one sent")
	if !who.Expires.IsZero() && !now.Before(who.Expires) {
		e.Fail("the session is alive: it ended at %s", who.Expires.Format(time.RFC3339))
		return credential{}, expiredToken()
	}
	e.Caller = who.who.arn
	return who, nil
}

// sameToken wants the session token that was given out with the key, and none with a long-term key.
func sameToken(c credential, s *sigv4.Signed) bool {
	return subtle.ConstantTimeCompare([]byte(c.SessionToken), []byte(s.Token)) == 1
}

// ago says how long before now something was, in words.
func ago(d time.Duration) string {
	if d < 0 {
		return (-d).String() + " in the future"
	}
	return d.String() + " ago"
}
