// SPDX-License-Identifier: Apache-2.0

// Package shape knows what the names of both clouds look like, so that files, flags and targets agree on it.
package shape

import (
	"errors"
	"fmt"
	"regexp"
)

// A Shape checks one value and gives it in its canonical spelling. Its error says what is wanted and never quotes the
// value: it may be someone's secret, put in the wrong place.
type Shape = func(string) (string, error)

func matching(pattern, want string) Shape {
	p := regexp.MustCompile(`^(?:` + pattern + `)$`)
	return func(s string) (string, error) {
		if !p.MatchString(s) {
			return "", errors.New(want)
		}
		return s, nil
	}
}

// atMost is s for values of up to n bytes, where a pattern cannot count that far.
func atMost(n int, s Shape) Shape {
	return func(v string) (string, error) {
		if len(v) > n {
			return "", fmt.Errorf("want at most %d characters", n)
		}
		return s(v)
	}
}
