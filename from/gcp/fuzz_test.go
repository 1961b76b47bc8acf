// SPDX-License-Identifier: Apache-2.0

package fromgcp

import (
	"strings"
	"testing"
)

func FuzzUnverified(f *testing.F) {
	f.Add("e30.eyJzdWIiOiIxIiwiZXhwIjoxfQ.c2ln")
	f.Add("..")
	f.Add("a.b.c.d")
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := unverified(raw)
		if err != nil {
			return
		}
		if c.Expires.IsZero() || c.Subject == "" || strings.Count(raw, ".") != 2 {
			t.Errorf("%q was taken as %+v", raw, c)
		}
	})
}
