// SPDX-License-Identifier: Apache-2.0

package config

import "strings"

const (
	// wholeLimit is the size, in bytes, past which a file is read in parts. The time and the memory that parsing a mapping
	// takes grow with the square of its size: ten thousand crossings at once are six seconds and 240 MB.
	wholeLimit = 64 << 10
	partLimit  = 32 << 10
)

// A part is some lines of a file.
type part struct {
	above int // lines before it
	text  string
}

// inParts cuts the crossings out of a large stile.yaml, as parts of some crossings each. The first part is the rest of the
// file, with empty lines in the crossings' place. It reports whether the file is written so that this can be done.
func inParts(source string) ([]part, bool) {
	var rest, group strings.Builder
	var parts []part
	number, above, indent, inside := 0, 0, 0, false
	end := func() {
		if group.Len() > 0 {
			parts = append(parts, part{above, group.String()})
			group.Reset()
		}
	}
	for line := range strings.Lines(source) {
		number++
		content := strings.TrimRight(line, " \n")
		depth := len(content) - len(strings.TrimLeft(content, " "))
		switch {
		case content == "" || content[depth] == '#':
		case depth == 0:
			end()
			key, value, _ := strings.Cut(content, ":")
			value, _, _ = strings.Cut(value, "#")
			if inside = key == "crossings" && strings.TrimSpace(value) == ""; inside && indent > 0 {
				return nil, false // twice, which whoever reads it whole reports
			}
		case inside && indent == 0:
			indent = depth
		case inside && depth < indent:
			return nil, false
		}
		if !inside || depth == 0 && content != "" && content[0] != '#' || indent == 0 {
			rest.WriteString(line)
			continue
		}
		rest.WriteString("\n")
		if depth == indent && content != "" && content[depth] != '#' {
			if !begins(content[depth]) {
				return nil, false
			}
			if group.Len() > partLimit {
				end()
			}
		}
		if group.Len() == 0 {
			above = number - 1
		}
		group.WriteString(line)
	}
	end()
	return append([]part{{0, rest.String()}}, parts...), indent > 0
}

// begins reports whether a crossing's name can begin so: what closes a bracket is no new key.
func begins(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '"' || c == '\''
}

// parts reads what inParts has cut as if it were one.
func (r *reader) parts(name string, parts []part) *node {
	root := yamlReader{r, name, 0}.document(parts[0].text)
	if root == nil {
		return nil
	}
	whole := &node{kind: mapping, key: "crossings"}
	for _, p := range parts[1:] {
		n := yamlReader{r, name, p.above}.document(p.text)
		if n == nil {
			return nil
		}
		if n.kind != mapping {
			r.wrongKind(n, mapping)
			return nil
		}
		if len(whole.fields) == 0 {
			whole.at = n.at
		}
		for i := range n.fields {
			n.fields[i].value.key = n.fields[i].key
		}
		whole.fields = append(whole.fields, n.fields...)
	}
	for i := range root.fields {
		if root.fields[i].key == "crossings" {
			root.fields[i].value = whole
		}
	}
	return root
}
