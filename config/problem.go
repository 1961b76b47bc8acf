// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/url"
	"sort"
	"strings"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/shape"
)

// A Problem is one thing wrong in a file, and what mends it. It wraps [stile.ErrMisuse] and quotes no value.
type Problem struct {
	File         string // as the caller named it; of a URL without credentials and query
	Line, Column int    // from 1, the column in characters; 0 where the file as a whole is meant
	Text         string
}

// Error reads FILE:LINE:COLUMN: TEXT.
func (p *Problem) Error() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Text)
}

// Unwrap gives [stile.ErrMisuse].
func (p *Problem) Unwrap() error { return stile.ErrMisuse }

// Problems is everything wrong in a file, in the order of the file. The readers of this package return no other error.
type Problems []*Problem

// Error gives one line for each problem, and stops at 20.
func (ps Problems) Error() string {
	const shown = 20
	var lines []string
	for _, p := range ps[:min(len(ps), shown)] {
		lines = append(lines, p.Error())
	}
	if len(ps) > shown {
		lines = append(lines, fmt.Sprintf("%s: and %d more", ps[0].File, len(ps)-shown))
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives each problem.
func (ps Problems) Unwrap() []error {
	errs := make([]error, len(ps))
	for i, p := range ps {
		errs[i] = p
	}
	return errs
}

func (ps Problems) sorted() Problems {
	sort.SliceStable(ps, func(i, j int) bool {
		return ps[i].Line < ps[j].Line || ps[i].Line == ps[j].Line && ps[i].Column < ps[j].Column
	})
	return ps
}

// shownName is a file's name fit for a message: a URL may be presigned, and a path may hold what a terminal obeys.
func shownName(name string) string {
	if scheme, rest, ok := strings.Cut(name, "://"); ok {
		if u, err := url.Parse(name); err == nil {
			u.User, u.RawQuery, u.Fragment = nil, "", ""
			name = u.String()
		} else {
			name = scheme + "://…" + rest[max(strings.LastIndexByte(rest, '/'), 0):]
			name, _, _ = strings.Cut(name, "?")
		}
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, name)
}

// shownKey quotes a key that reads like one, and not whatever stands before a colon in a file of another kind.
func shownKey(key string) string {
	if shape.Only(key, 1, 40, "A-Za-z_-") && shape.Begins(key, "A-Za-z") {
		return fmt.Sprintf(" %q", key)
	}
	return ""
}
