// SPDX-License-Identifier: Apache-2.0

package stile

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"sync/atomic"
)

// A Key identifies everything that decides a credential: two crossings with one key are interchangeable, and no two
// that could differ in any way share one. Keys compare with ==, and the zero Key equals no key that NewKey made.
type Key struct{ sum [sha256.Size]byte }

// NewKey makes a key of a kind and the parts that decide it, in order. Parts are told apart by their lengths, so
// ("ab", "c") and ("a", "bc") differ. The parts themselves cannot be read back out of it.
func NewKey(kind string, parts ...string) Key {
	h := sha256.New()
	for _, part := range append([]string{kind}, parts...) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write([]byte(part))
	}
	var k Key
	h.Sum(k.sum[:0])
	return k
}

// String is the key in hexadecimal, fit for a file name.
func (k Key) String() string { return hex.EncodeToString(k.sum[:]) }

// IsZero reports whether k was never made.
func (k Key) IsZero() bool { return k == Key{} }

// Keyed is what a [Source] or [Target] adds to let equal crossings share one kept credential. Without it every
// crossing built from that value has a key of its own.
type Keyed interface {
	// CacheKey covers every field that can change the outcome. An implementation that cannot tell returns the zero
	// Key, which shares with nobody.
	CacheKey() Key
}

var unkeyed atomic.Uint64

func keyOf(v any) string {
	if keyed, ok := v.(Keyed); ok {
		if k := keyed.CacheKey(); !k.IsZero() {
			return k.String()
		}
	}
	return "unkeyed " + strconv.FormatUint(unkeyed.Add(1), 10)
}
