// SPDX-License-Identifier: Apache-2.0

package imds

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"time"
)

// longestTTL is how long a token may live, in seconds: six hours. Source: EC2 User Guide, "How Instance Metadata
// Service Version 2 works".
const longestTTL = 21600

// A mint gives out session tokens that carry their own end, signed, so that any number of them takes no memory. Its key
// lives as long as it does: tokens of another mint, or of this program before it was restarted, are refused with 401,
// upon which SDKs ask for a new one.
type mint struct {
	key [32]byte

	// What was checked last, at the place that a random character of it says: clients present a token for hours.
	checked [64]atomic.Pointer[checked]
}

// checked is a token whose signature was found right.
type checked struct {
	text [textLen]byte
	end  time.Time
}

func newMint() *mint {
	m := &mint{}
	_, _ = rand.Read(m.key[:]) // never fails
	return m
}

// A token is the second it ends at and a random number, and a signature of both.
const (
	signedLen = 16
	tokenLen  = signedLen + sha256.Size
	textLen   = tokenLen / 3 * 4
)

// tokenText has one text for each token: no bits are left over, and no line break can hide in 64 characters.
var tokenText = base64.URLEncoding

func (m *mint) token(now time.Time, ttl time.Duration) string {
	var b [tokenLen]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.Add(ttl).Unix())) //nolint:gosec // a clock before 1970 gives tokens that no one takes
	_, _ = rand.Read(b[8:signedLen])                               // never fails
	m.sign(b[:signedLen], b[signedLen:signedLen])
	return tokenText.EncodeToString(b[:])
}

// errToken is one error for all that is wrong with tokens: who sent it learns nothing more.
var errToken = errors.New("the token is not one of this endpoint's, or has expired")

func (m *mint) check(token string, now time.Time) error {
	if len(token) != textLen {
		return errToken
	}
	var text [textLen]byte
	copy(text[:], token)
	place := &m.checked[text[textLen/4]%64]
	known := place.Load()
	if known == nil || subtle.ConstantTimeCompare(known.text[:], text[:]) != 1 {
		end, ok := m.verify(text[:])
		if !ok {
			return errToken
		}
		known = &checked{text, end}
		place.Store(known)
	}
	if !now.Before(known.end) {
		return errToken
	}
	return nil
}

// verify tells when a token ends, if it is one of this mint's.
func (m *mint) verify(text []byte) (end time.Time, ok bool) {
	var b, want [tokenLen]byte
	if n, err := tokenText.Decode(b[:], text); err != nil || n != tokenLen {
		return time.Time{}, false
	}
	m.sign(b[:signedLen], want[signedLen:signedLen])
	if !hmac.Equal(b[signedLen:], want[signedLen:]) {
		return time.Time{}, false
	}
	return time.Unix(int64(binary.BigEndian.Uint64(b[:8])), 0), true //nolint:gosec // it was signed as it was made
}

func (m *mint) sign(signed, to []byte) {
	h := hmac.New(sha256.New, m.key[:])
	h.Write(signed)
	h.Sum(to)
}

// parseTTL reads a TTL header: seconds in digits, from 1 to six hours.
func parseTTL(s string) (seconds int, ok bool) {
	if s == "" || len(s) > 5 {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		seconds = seconds*10 + int(s[i]-'0')
	}
	return seconds, seconds >= 1 && seconds <= longestTTL
}
