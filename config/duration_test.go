// SPDX-License-Identifier: Apache-2.0

package config

import (
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"1h": "1h", "60m": "1h", "3600s": "1h", "45m": "45m", "1h30m": "1h30m", "90s": "1m30s", "0s": "0s", "1.5h": "1h30m", "1h0m10s": "1h0m10s", "10h": "10h", "20m": "20m",
	} {
		var d Duration
		if err := d.UnmarshalText([]byte(in)); err != nil {
			t.Errorf("%s: %v", in, err)
		} else if d.String() != want {
			t.Errorf("%s: got %s, want %s", in, d, want)
		}
	}
	for _, in := range []string{"", "1", "h", "1d", "-1h", "+1h", "1500ms", "0.5s", "9999999h", " 1h", "1h ", "１h"} {
		d := Duration(time.Hour)
		if err := d.UnmarshalText([]byte(in)); err == nil || d != Duration(time.Hour) {
			t.Errorf("%q: got %v, %v", in, d, err)
		}
	}
}
