// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"unicode/utf8"
)

// A section is one [header] of an AWS configuration file and the mapping below it. Sections of one name are one
// section, as the AWS SDKs have it.
type section struct {
	name string // "profile from-gcp", white space made single, quotes removed
	at   position
	body *node
}

// ini reads the sections of an AWS configuration or credentials file. Lines that cannot be read become problems when
// their section is used (see [reader.sound]), so that one person's broken profile does not stop another's.
func (r *reader) ini(name string, data []byte) map[string]*section {
	sections := make(map[string]*section)
	data, ok := r.readable(name, data)
	if !ok {
		return sections
	}
	var cur *section
	var parent *node // the setting without a value that indented lines belong to
	line := 0
	for text := range strings.Lines(string(data)) {
		line++
		text = strings.TrimRight(text, "\r\n")
		plain := strings.TrimSpace(text)
		at := position{name, line, 1 + utf8.RuneCountInString(text[:len(text)-len(strings.TrimLeft(text, " \t"))])}
		switch {
		case plain == "" || plain[0] == '#' || plain[0] == ';':
		case plain[0] == '[' && at.column == 1:
			parent, cur = nil, r.header(sections, plain, at)
		case cur == nil:
			r.problem(at, "a setting before the first [section]: put it under its profile")
			return sections
		case at.column > 1 && parent != nil:
			parent.kind = mapping
			parent.fields = append(parent.fields, pair(plain, at))
		default:
			f := pair(plain, at)
			cur.body.fields = append(cur.body.fields, f)
			parent = nil
			if f.value.kind == nothing {
				parent = f.value
			}
		}
	}
	return sections
}

// header opens the section that a line names.
func (r *reader) header(sections map[string]*section, line string, at position) *section {
	name, ok := sectionName(line)
	if !ok {
		r.problem(at, "not a section: want [profile NAME] on a line of its own") // what follows belongs to nobody
	}
	if sections[name] == nil {
		sections[name] = &section{name, at, &node{kind: mapping, at: at}}
	}
	return sections[name]
}

// sectionName reads [NAME], with white space made single and quotes removed.
func sectionName(line string) (string, bool) {
	inside, rest, closed := strings.Cut(line[1:], "]")
	rest = strings.TrimSpace(rest)
	if !closed || strings.TrimSpace(inside) == "" || rest != "" && rest[0] != '#' && rest[0] != ';' {
		return "", false
	}
	return strings.Join(strings.Fields(strings.NewReplacer(`"`, " ", `'`, " ").Replace(inside)), " "), true
}

// pair splits KEY = VALUE, or KEY: VALUE, which the AWS SDKs read as well. A line that is none has the empty key.
func pair(line string, at position) field {
	i := strings.IndexAny(line, "=:")
	if i < 0 || strings.TrimSpace(line[:i]) == "" {
		return field{"", at, &node{at: at}}
	}
	key := strings.ToLower(strings.TrimSpace(line[:i]))
	value, _ := cutComment(line[i+1:])
	n := &node{kind: text, key: key, at: at, text: strings.TrimSpace(value)}
	if n.text == "" {
		n.kind = nothing
	}
	return field{key, at, n}
}

// cutComment splits off a comment, which begins with white space before its mark.
func cutComment(line string) (before, comment string) {
	for i := 1; i < len(line); i++ {
		if (line[i] == '#' || line[i] == ';') && (line[i-1] == ' ' || line[i-1] == '\t') {
			return line[:i-1], line[i:]
		}
	}
	return line, ""
}

// sound reports the lines of a mapping that could not be read.
func (r *reader) sound(n *node) {
	kept := n.fields[:0:0]
	for _, f := range n.fields {
		if f.key == "" {
			r.problem(f.at, "not a setting: want KEY = VALUE")
			continue
		}
		kept = append(kept, f)
	}
	n.fields = kept
}
