// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// json reads one JSON value into a node.
func (r *reader) json(name string, data []byte) *node {
	data, ok := r.readable(name, data)
	if !ok {
		return nil
	}
	// The token reader is lenient about commas; this check is not.
	if err := json.Unmarshal(data, new(json.RawMessage)); err != nil {
		at := position{name, 1, 1}
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			at = positionAt(name, data, int(syntax.Offset)-1)
		}
		r.problem(at, "not valid JSON from here on: the file is cut off or damaged")
		return nil
	}
	j := jsonReader{reader: r, data: data, dec: json.NewDecoder(bytes.NewReader(data)), pos: position{name, 1, 1}}
	j.dec.UseNumber()
	n, ok := j.value("", 0)
	if !ok {
		r.problem(j.pos, "nested too deep")
		return nil
	}
	return n
}

type jsonReader struct {
	*reader
	data    []byte
	dec     *json.Decoder
	pos     position // of the newest token
	counted int      // bytes that pos has counted
}

// token gives the next token and notes where it begins.
func (j *jsonReader) token() json.Token {
	start := int(j.dec.InputOffset())
	for start < len(j.data) && bytes.IndexByte([]byte(" \t\r\n:,"), j.data[start]) >= 0 {
		start++
	}
	for j.counted < start {
		c, size := utf8.DecodeRune(j.data[j.counted:])
		j.counted += size
		j.pos.column++
		if c == '\n' {
			j.pos.line, j.pos.column = j.pos.line+1, 1
		}
	}
	t, err := j.dec.Token()
	if err != nil {
		return nil // the document was checked as a whole, so this is a closing that More has seen already
	}
	return t
}

// value reads one value; false means that it nests too deep.
func (j *jsonReader) value(key string, depth int) (*node, bool) {
	t := j.token()
	n := &node{key: key, at: j.pos}
	if depth > depthLimit {
		return n, false
	}
	switch t := t.(type) {
	case bool:
		n.kind, n.text = truth, "false"
		if t {
			n.text = "true"
		}
	case json.Number:
		n.kind, n.text = number, t.String()
	case string:
		n.kind, n.text = text, t
	case json.Delim:
		return n, j.inside(n, t, depth)
	}
	return n, true
}

func (j *jsonReader) inside(n *node, open json.Delim, depth int) bool {
	n.kind = list
	if open == '{' {
		n.kind = mapping
	}
	for j.dec.More() {
		key, at := n.key, j.pos
		if n.kind == mapping {
			key, _ = j.token().(string)
			at = j.pos
		}
		v, ok := j.value(key, depth+1)
		if !ok {
			return false
		}
		if n.kind == mapping {
			n.fields = append(n.fields, field{key, at, v})
		} else {
			n.items = append(n.items, v)
		}
	}
	j.token() // the closing delimiter
	return true
}
