// SPDX-License-Identifier: Apache-2.0

package stile

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"sync"
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
	// CacheKey covers every field that can change the outcome, and what the surroundings decide: variables, and the
	// contents of files, less what changes while the identity stays. One user's processes on one machine share what is
	// kept by it. An implementation that cannot tell returns the zero Key, which shares with nobody.
	CacheKey() Key
}

// Identified is what a [Source] adds to let machines share one kept credential.
type Identified interface {
	// Identity proves whom the source speaks for, and names it: equal on two machines only if no cloud could tell the
	// one from the other. With role, what only tells one session of an AWS role from the next is left out. Proving may
	// ask the workload's own cloud. It fails with [ErrMisuse] where the proof cannot be read.
	Identity(ctx context.Context, audience string, role bool) (Key, error)
}

// process tells what is unkeyed here from what is unkeyed in every other process. It is made when it is needed, as it
// seldom is, and not by every process that starts.
var process = sync.OnceValue(rand.Text)

var unkeyed atomic.Uint64

// keyOf also says whether v told its key itself.
func keyOf(v any) (key string, told bool) {
	if keyed, ok := v.(Keyed); ok {
		if k := keyed.CacheKey(); !k.IsZero() {
			return k.String(), true
		}
	}
	return "unkeyed " + process() + " " + strconv.FormatUint(unkeyed.Add(1), 10), false
}
