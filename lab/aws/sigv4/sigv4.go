// SPDX-License-Identifier: Apache-2.0

// Package sigv4 checks AWS Signature Version 4 on requests as a service receives them.
//
// [Parse] reads who signed what; [Signed.CheckScope] and [Signed.CheckTime] hold the scope and the clock against the
// endpoint; [Signed.Verify] computes the signature anew. The order is left to the caller, because services differ in it.
// It signs nothing, and shares no code with what signs.
//
// Source: AWS IAM User Guide, "Create a signed AWS API request", and its troubleshooting page for the texts.
package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// Algorithm is the one algorithm this package knows.
const Algorithm = "AWS4-HMAC-SHA256"

// Values of x-amz-content-sha256 that are no hash (S3 API, "Signature calculations").
const (
	UnsignedPayload        = "UNSIGNED-PAYLOAD"
	StreamingUnsigned      = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	StreamingSigned        = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	StreamingSignedTrailer = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
)

// stampLayout is ISO 8601 basic, always UTC.
const stampLayout = "20060102T150405Z"

const terminator = "aws4_request"

// Signed is what a request says about its own signature. Nothing in it is believed until [Signed.Verify] has passed.
type Signed struct {
	AccessKeyID string
	Date        string // of the credential scope, YYYYMMDD
	Region      string
	Service     string
	Terminator  string    // "aws4_request" in every good request
	Headers     []string  // the signed header names, as listed
	Signature   string    // hexadecimal
	Stamp       string    // x-amz-date, in the basic form
	Time        time.Time // Stamp as a time
	Token       string    // x-amz-security-token; "" for long-term keys

	Presigned bool          // the signature came in the query
	Expires   time.Duration // how long a presigned request is good for
}

// Scope is the credential scope: date, region, service and terminator.
func (s *Signed) Scope() string {
	return strings.Join([]string{s.Date, s.Region, s.Service, s.Terminator}, "/")
}

// Verify computes the signature of r with secret and compares. payload is the last line of the canonical request: the
// hash of the body, or one of the constants of this package. It fails with a [*Error] of kind [Mismatch].
func (s *Signed) Verify(r *http.Request, secret, payload string, rule PathRule) error {
	canonical, err := Canonical(r, s.Headers, payload, rule)
	if err != nil {
		return err
	}
	if !s.matches(s.sign(secret, s.stringToSign(Algorithm, HashHex([]byte(canonical))))) {
		return &Error{Kind: Mismatch, Message: mismatchText}
	}
	return nil
}

// StringToSign is what the signature of r is computed over, for messages that show it. It holds no secret.
func (s *Signed) StringToSign(r *http.Request, payload string, rule PathRule) (string, error) {
	canonical, err := Canonical(r, s.Headers, payload, rule)
	if err != nil {
		return "", err
	}
	return s.stringToSign(Algorithm, HashHex([]byte(canonical))), nil
}

func (s *Signed) stringToSign(algorithm string, lines ...string) string {
	return strings.Join(append([]string{algorithm, s.Stamp, s.Scope()}, lines...), "\n")
}

func (s *Signed) sign(secret, text string) string {
	key := []byte("AWS4" + secret)
	for _, part := range []string{s.Date, s.Region, s.Service, s.Terminator, text} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return hex.EncodeToString(key)
}

func (s *Signed) matches(want string) bool { return hmac.Equal([]byte(want), []byte(s.Signature)) }

// HashHex is the SHA-256 of b in hexadecimal, as canonical requests want it.
func HashHex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
