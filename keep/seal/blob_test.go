// SPDX-License-Identifier: Apache-2.0

package seal

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stile-project/stile"
)

// The checksum is no secret, so whoever moves bytes to another key can mend it. The tag is what stops them.
func TestForgersCannotMendTheTag(t *testing.T) {
	t.Parallel()
	aead, err := newAEAD(make([]byte, keySize))
	if err != nil {
		t.Fatal(err)
	}
	here, there := stile.NewKey("here").String(), stile.NewKey("there").String()
	data := dataKey{aead: aead, head: header{label: label{1}, wrapped: []byte("wrapped")}}
	sealed := seal(data, here, []byte("text"))
	body := sealed[:len(sealed)-checksumSize]
	mended := func(body []byte, name string) []byte { return slices.Concat(body, checksum(name, body)) }
	try := func(name string, sealed []byte) ([]byte, error) {
		head, rest, err := split(name, sealed)
		if err != nil {
			t.Fatalf("the mended checksum was refused: %v", err)
		}
		return open(data, head, name, rest)
	}
	if text, err := try(here, mended(body, here)); string(text) != "text" || err != nil {
		t.Errorf("got %q, %v", text, err)
	}
	if _, err := try(there, mended(body, there)); err == nil {
		t.Error("moved to another key, it opened")
	}
	for i := 1; i < len(body); i++ {
		if i == 9 || i == 10 {
			continue // the length, which TestDamageIsAbsence changes
		}
		flipped := bytes.Clone(body)
		flipped[i] ^= 1
		if _, err := try(here, mended(flipped, here)); err == nil {
			t.Errorf("with byte %d changed it opened", i)
		}
	}
}
