// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"strings"
	"time"

	"github.com/stile-project/stile/internal/shape"
)

// A Duration is a time span in whole seconds, written as Go writes durations: "1h", "45m", "1h30m".
type Duration time.Duration

// Std is d as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String leaves out the zero parts: "1h", not "1h0m0s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a duration of whole seconds in h, m and s, without a sign.
func (d *Duration) UnmarshalText(text []byte) error {
	const want = `want a duration in whole seconds, such as "1h" or "45m"`
	v, err := time.ParseDuration(string(text))
	if err != nil || !isPlain(string(text)) || v%time.Second != 0 {
		return errors.New(want)
	}
	*d = Duration(v)
	return nil
}

// isPlain wants numbers, each with its unit, without signs and without what time.ParseDuration takes beside them.
func isPlain(s string) bool {
	for more := true; more; more = s != "" {
		i := strings.IndexAny(s, "hms")
		if i < 0 {
			return false
		}
		whole, fraction, dotted := strings.Cut(s[:i], ".")
		if !shape.Only(whole, 1, 9, "0-9") || dotted && !shape.Only(fraction, 1, 9, "0-9") {
			return false
		}
		s = s[i+1:]
	}
	return true
}
