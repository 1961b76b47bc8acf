// SPDX-License-Identifier: Apache-2.0

package shape

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Shapes are spelt out rather than compiled from regular expressions: every command would compile them all as it
// starts, and a count such as {1,2048} makes a program of megabytes. The patterns stand beside them in the tests.

// Only reports whether s has least to most bytes, all of them in class, which is written as between the brackets of a
// regular expression, without escapes: "a-z0-9_" or, with the hyphen itself last, "a-z-".
func Only(s string, least, most int, class string) bool {
	if len(s) < least || len(s) > most {
		return false
	}
	for i := range len(s) {
		if !within(s[i], class) {
			return false
		}
	}
	return true
}

func within(c byte, class string) bool {
	for i := 0; i < len(class); i++ {
		low, high := class[i], class[i]
		if i+2 < len(class) && class[i+1] == '-' {
			high = class[i+2]
			i += 2
		}
		if low <= c && c <= high {
			return true
		}
	}
	return false
}

// Begins reports whether the first byte of s is in class, written as for [Only].
func Begins(s, class string) bool { return s != "" && within(s[0], class) }

// Name is [Only] for what begins and ends with a lower-case letter or a digit, as the names of many things do.
func Name(s string, least, most int, class string) bool {
	const edge = "a-z0-9"
	return Begins(s, edge) && within(s[len(s)-1], edge) && Only(s, least, most, class)
}

// IsTag reports whether s has least to most characters that a key or value of a session tag may hold.
// Source: AWS STS API, Tag; IAM user guide, "Passing session tags".
func IsTag(s string, least, most int) bool {
	n := utf8.RuneCountInString(s)
	return n >= least && n <= most && !strings.ContainsFunc(s, func(c rune) bool {
		return !unicode.In(c, unicode.L, unicode.Z, unicode.N) && !strings.ContainsRune("_.:/=+-@", c)
	})
}

// segments takes the values out of a resource name, KEY/VALUE/KEY/VALUE…, with just these keys. Nil: it is none.
func segments(name string, keys ...string) []string {
	parts := strings.Split(name, "/")
	if len(parts) != 2*len(keys) {
		return nil
	}
	values := make([]string, len(keys))
	for i, key := range keys {
		if values[i] = parts[2*i+1]; parts[2*i] != key || values[i] == "" {
			return nil
		}
	}
	return values
}
