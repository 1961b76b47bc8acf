// SPDX-License-Identifier: Apache-2.0

package documents

import (
	"errors"
	"testing"
)

func FuzzFound(f *testing.F) {
	for _, answer := range []string{
		`{"found": [{"entity": {"properties": {"value": {"blobValue": "aGVsbG8="}, "expires": {"integerValue": "1800000000"}}}, "version": "2"}]}`,
		`{"found": [{"entity": {"properties": {"value": {"stringValue": "x"}, "expires": {"integerValue": "never"}, "holder": {"arrayValue": {}}}}, "version": "2"}]}`,
		`{"missing": [{}]}`, `{"found": [{}]}`, `{"found": [], "missing": [{}], "deferred": [{}]}`, `{}`, `null`, `[]`, ``,
	} {
		f.Add([]byte(answer))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		e, version, err := found(answer)
		if err == nil && (version == nil || version == "") || err != nil && (version != nil || e.value != nil || e.holder != "" || !e.expires.IsZero()) {
			t.Errorf("got %v, version %v, %v", e, version, err)
		}
		if err != nil && !errors.Is(err, errMissing) && !errors.Is(err, errMalformed) {
			t.Errorf("got %v", err)
		}
	})
}
