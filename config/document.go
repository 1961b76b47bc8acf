// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/shape"
)

const (
	sizeLimit  = 1 << 20  // bytes of a file
	ownLimit   = 16 << 20 // bytes of a stile.yaml that the user chose: some fifty thousand crossings
	textLimit  = 2048     // bytes of one value: no setting may be longer
	depthLimit = 32       // mappings and lists inside one another
)

type kind int

const (
	nothing kind = iota
	truth
	number
	text
	list
	mapping
)

func (k kind) String() string {
	return [...]string{"nothing", "true or false", "a number", "text", "a list", "a mapping"}[k]
}

type position struct {
	file         string
	line, column int
}

// String reads FILE:LINE:COLUMN.
func (p position) String() string { return fmt.Sprintf("%s:%d:%d", p.file, p.line, p.column) }

// A node is one value of a document, whatever the document was written in.
type node struct {
	kind   kind
	at     position
	key    string // the key it stands under, for messages
	text   string // as written, for text, number and truth
	items  []*node
	fields []field
}

type field struct {
	key   string
	at    position // of the key
	value *node
}

func (n *node) field(key string) (field, bool) {
	for _, f := range n.fields {
		if f.key == key {
			return f, true
		}
	}
	return field{}, false
}

func (n *node) has(key string) bool {
	_, ok := n.field(key)
	return ok
}

// A setting is one key that a mapping may hold, and how its value is read.
type setting struct {
	key      string
	required bool
	read     func(*node)
}

func may(key string, read func(*node)) setting  { return setting{key, false, read} }
func must(key string, read func(*node)) setting { return setting{key, true, read} }

// A reader takes values out of nodes and collects what is wrong with them.
type reader struct {
	problems Problems
	warnings []string
	allow    ForeignPolicy
	unknown  func(f field, known []string)
}

func newReader(allow ForeignPolicy) *reader {
	r := &reader{allow: allow}
	r.unknown = r.refuseUnknown
	return r
}

func (r *reader) problem(at position, format string, args ...any) {
	r.problems = append(r.problems, &Problem{at.file, at.line, at.column, fmt.Sprintf(format, args...)})
}

func (r *reader) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	return r.problems.sorted()
}

func (r *reader) refuseUnknown(f field, known []string) {
	if near := nearest(f.key, known); near != "" {
		r.problem(f.at, "unknown key %q: did you mean %q?", f.key, near)
		return
	}
	r.problem(f.at, "unknown key%s: remove it, known here are %s", shownKey(f.key), joined(known))
}

func (r *reader) warnUnknown(f field, _ []string) {
	r.warnings = append(r.warnings, fmt.Sprintf("line %d: unknown field%s has no effect", f.at.line, shownKey(f.key)))
}

// mapping reads n with the given settings. It reports whether n is a mapping at all.
func (r *reader) mapping(n *node, settings ...setting) bool {
	if n.kind != mapping {
		r.wrongKind(n, mapping)
		return false
	}
	known := make(map[string]setting, len(settings))
	keys := make([]string, len(settings))
	for i, s := range settings {
		known[s.key], keys[i] = s, s.key
	}
	first := make(map[string]position, len(n.fields))
	for _, f := range n.fields {
		s, ok := known[f.key]
		if at, again := first[f.key]; again {
			r.duplicate(f, at)
			continue
		}
		first[f.key] = f.at
		if !ok {
			r.unknown(f, keys)
			continue
		}
		s.read(f.value)
	}
	for _, s := range settings {
		if _, ok := first[s.key]; s.required && !ok {
			r.problem(n.at, "%s is missing: add it%s", s.key, under(n))
		}
	}
	return true
}

func (r *reader) duplicate(f field, first position) {
	r.problem(f.at, "duplicate key%s: it stands at line %d already, remove one", shownKey(f.key), first.line)
}

func under(n *node) string {
	if n.key == "" {
		return ""
	}
	return " under " + n.key
}

func joined(words []string) string {
	var b bytes.Buffer
	for i, w := range words {
		switch {
		case i > 0 && i == len(words)-1:
			b.WriteString(" and ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(w)
	}
	return b.String()
}

func (r *reader) wrongKind(n *node, want kind) {
	name := n.key
	if name == "" {
		name = "the file"
	}
	switch {
	case n.kind == nothing && want == mapping:
		r.problem(n.at, "%s has no value: write {} where nothing is to be said", name)
	case n.kind == nothing:
		r.problem(n.at, "%s has no value: give it %v or remove it", name, want)
	case want == text && (n.kind == number || n.kind == truth):
		r.problem(n.at, "%s: want text, not %v: put it in quotes", name, n.kind)
	default:
		r.problem(n.at, "%s: want %v, not %v", name, want, n.kind)
	}
}

// textOf checks that n is text of bearable length.
func (r *reader) textOf(n *node) (string, bool) {
	if n.kind != text {
		r.wrongKind(n, text)
		return "", false
	}
	if len(n.text) > textLimit {
		r.problem(n.at, "%s is too long: at most %d bytes", n.key, textLimit)
		return "", false
	}
	return n.text, true
}

func (r *reader) text(dst *string, want shape.Shape) func(*node) {
	return func(n *node) {
		s, ok := r.textOf(n)
		if !ok {
			return
		}
		v, err := want(s)
		if err != nil {
			r.problem(n.at, "%s: %v", n.key, err)
			return
		}
		*dst = v
	}
}

// texts reads a list without repetitions of at least one text and at most limit.
func (r *reader) texts(dst *[]string, limit int, want shape.Shape) func(*node) {
	return func(n *node) {
		switch {
		case n.kind != list:
			r.wrongKind(n, list)
			return
		case len(n.items) == 0:
			r.problem(n.at, "%s is an empty list: remove it or fill it", n.key)
		case len(n.items) > limit:
			r.problem(n.at, "%s has %d entries: at most %d", n.key, len(n.items), limit)
			return
		}
		seen := make(map[string]bool)
		for _, item := range n.items {
			var v string
			r.text(&v, want)(item)
			if v != "" && seen[v] {
				r.problem(item.at, "%s: this entry stands there twice, remove one", n.key)
			}
			seen[v] = true
			*dst = append(*dst, v)
		}
	}
}

func (r *reader) truth(dst *bool) func(*node) {
	return func(n *node) {
		if n.kind != truth {
			r.wrongKind(n, truth)
			return
		}
		*dst = n.text == "true"
	}
}

func (r *reader) duration(dst *Duration, least, most time.Duration) func(*node) {
	return func(n *node) {
		if n.kind == number {
			r.problem(n.at, `%s: want a duration such as "1h" or "45m", not a bare number: add its unit`, n.key)
			return
		}
		s, ok := r.textOf(n)
		if !ok {
			return
		}
		var d Duration
		if err := d.UnmarshalText([]byte(s)); err != nil {
			r.problem(n.at, "%s: %v", n.key, err)
			return
		}
		if d.Std() < least || d.Std() > most {
			r.problem(n.at, "%s: want %v to %v", n.key, Duration(least), Duration(most))
			return
		}
		*dst = d
	}
}

// durationReader is [reader.duration] or [reader.chained].
type durationReader = func(dst *Duration, least, most time.Duration) func(*node)

// chained reads the duration of a session that another role's session is the way to.
func (r *reader) chained(dst *Duration, least, most time.Duration) func(*node) {
	return func(n *node) {
		var d Duration
		r.duration(&d, least, most)(n)
		if d.Std() > chainedMost {
			r.problem(n.at, "%s: want %v to %v: a role assumed with another role's session lasts an hour at most", n.key, Duration(least), Duration(chainedMost))
			return
		}
		*dst = d
	}
}

// words reads a command: a list of texts, the first of them not empty.
func (r *reader) words(dst *[]string) func(*node) {
	return func(n *node) {
		switch {
		case n.kind != list:
			r.wrongKind(n, list)
			return
		case len(n.items) == 0 || len(n.items) > listLimit:
			r.problem(n.at, "%s has %d words: want 1 to %d, the program first", n.key, len(n.items), listLimit)
			return
		}
		for i, item := range n.items {
			s, ok := r.textOf(item)
			if ok && (i == 0 && strings.TrimSpace(s) == "" || strings.ContainsFunc(s, unicode.IsControl)) {
				r.problem(item.at, "%s: want a program and its arguments, without control characters", n.key)
			}
			*dst = append(*dst, s)
		}
	}
}

// pairs reads a mapping whose keys are free, and at least one and at most limit. Two keys that same finds equal are a
// duplicate.
func (r *reader) pairs(n *node, limit int, same func(a, b string) bool, read func(field)) {
	switch {
	case n.kind != mapping:
		r.wrongKind(n, mapping)
		return
	case len(n.fields) == 0 || len(n.fields) > limit:
		r.problem(n.at, "%s has %d entries: want 1 to %d", n.key, len(n.fields), limit)
		return
	}
	for i, f := range n.fields {
		if j := slices.IndexFunc(n.fields[:i], func(o field) bool { return same(o.key, f.key) }); j >= 0 {
			r.duplicate(f, n.fields[j].at)
			continue
		}
		read(f)
	}
}

// tags reads session tags. Keys that differ in case only are one key to AWS.
func (r *reader) tags(dst *map[string]string) func(*node) {
	return func(n *node) {
		*dst = make(map[string]string)
		r.pairs(n, tagLimit, strings.EqualFold, func(f field) {
			key, err := tagKey(f.key)
			if err != nil {
				r.problem(f.at, "%s: %v", n.key, err)
				return
			}
			var value string
			r.text(&value, tagValue)(f.value)
			(*dst)[key] = value
		})
	}
}

// headers reads the headers of a request. Their values may be secrets.
func (r *reader) headers(dst *map[string]stile.Secret) func(*node) {
	return func(n *node) {
		*dst = make(map[string]stile.Secret)
		r.pairs(n, listLimit, strings.EqualFold, func(f field) {
			if err := headerName(f.key); err != nil {
				r.problem(f.at, "%s: %v", n.key, err)
				return
			}
			var value string
			r.text(&value, headerValue)(f.value)
			(*dst)[f.key] = stile.NewSecret(value)
		})
	}
}

// sizeLimit is higher for a file that the user chose, which is a stile.yaml.
func (r *reader) sizeLimit() int {
	if r.allow.AllowStores {
		return ownLimit
	}
	return sizeLimit
}

// readable strips a byte order mark and refuses what no reader here takes: too much, nothing, not UTF-8, binary.
func (r *reader) readable(name string, data []byte) ([]byte, bool) {
	at := position{name, 1, 1}
	if limit := r.sizeLimit(); len(data) > limit {
		r.problem(at, "the file is over %d MiB: it is no configuration", limit>>20)
		return nil, false
	}
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		r.problem(at, "the file is in UTF-16: save it as UTF-8")
		return nil, false
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if len(bytes.TrimSpace(data)) == 0 {
		r.problem(at, "the file is empty")
		return nil, false
	}
	for i := 0; i < len(data); {
		c, size := utf8.DecodeRune(data[i:])
		if c == utf8.RuneError && size == 1 {
			r.problem(positionAt(name, data, i), "not UTF-8 from here on: save the file as UTF-8")
			return nil, false
		}
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0x7f {
			r.problem(positionAt(name, data, i), "a control character: this is no text file, or it is damaged")
			return nil, false
		}
		i += size
	}
	return data, true
}

// positionAt counts lines and characters up to a byte of data.
func positionAt(name string, data []byte, offset int) position {
	before := data[:min(max(offset, 0), len(data))]
	line := before[bytes.LastIndexByte(before, '\n')+1:]
	return position{name, 1 + bytes.Count(before, []byte("\n")), 1 + utf8.RuneCount(line)}
}
