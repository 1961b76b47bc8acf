// SPDX-License-Identifier: Apache-2.0

package awstrust

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// An Error is what is wrong with a policy document and where. It quotes at most the one value that is wrong.
type Error struct {
	Line, Column int    // from 1, columns in characters; 0 when it is about the document as a whole
	Statement    string // "statement 1 (from-gcp)"; empty outside of statements
	Element      string // "Action", "Condition StringEquals"; empty when it is about the statement or the document
	Problem      string
}

// Error puts the place before the problem.
func (e *Error) Error() string {
	var parts []string
	if e.Line > 0 {
		parts = append(parts, fmt.Sprintf("line %d column %d", e.Line, e.Column))
	}
	for _, part := range []string{e.Statement, e.Element, e.Problem} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return "policy document: " + strings.Join(parts, ": ")
}

// kind is the JSON type of a node, as messages name it.
type kind string

const (
	kindObject  kind = "an object"
	kindList    kind = "a list"
	kindString  kind = "a string"
	kindNumber  kind = "a number"
	kindBoolean kind = "a boolean"
	kindNull    kind = "null"
)

// A node is a JSON value that knows where it stood.
type node struct {
	kind    kind
	offset  int
	text    string // of a string, number or boolean
	items   []node // of a list
	members []member
}

type member struct {
	name   string
	offset int
	value  node
}

// maxDepth is twice what the policy grammar needs.
const maxDepth = 16

// A reader turns a document into nodes.
type reader struct {
	doc []byte
	dec *json.Decoder
}

// readDocument reads doc as one JSON value without duplicate names. limit counts characters that are no white space, as
// IAM counts them.
func readDocument(doc []byte, limit int) (node, *reader, error) {
	r := &reader{doc: doc}
	if err := r.checkText(limit); err != nil {
		return node{}, nil, err
	}
	var whole json.RawMessage
	if err := json.Unmarshal(doc, &whole); err != nil {
		offset := len(doc)
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			offset = int(syntax.Offset) - 1
		}
		return node{}, nil, r.errorAt(offset, "not JSON: "+err.Error())
	}
	r.dec = json.NewDecoder(bytes.NewReader(doc))
	r.dec.UseNumber()
	root, err := r.value(0)
	return root, r, err
}

// maxBytes is the longest PolicyDocument parameter, white space included (IAM API, CreateRole).
const maxBytes = 131072

func (r *reader) checkText(limit int) error {
	if len(r.doc) > maxBytes {
		return &Error{Problem: fmt.Sprintf("%d bytes long, AWS takes %d", len(r.doc), maxBytes)}
	}
	if len(bytes.TrimSpace(r.doc)) == 0 {
		return &Error{Problem: "empty"}
	}
	if !utf8.Valid(r.doc) {
		return &Error{Problem: "not UTF-8"}
	}
	var size int
	for offset, c := range string(r.doc) {
		switch {
		case c == '\t' || c == '\n' || c == '\r' || c == ' ':
			continue
		case c < ' ' || c > '\u00ff':
			return r.errorAt(offset, fmt.Sprintf("character %U: AWS takes none beyond U+00FF and no control characters", c))
		}
		size++
	}
	if size > limit {
		return &Error{Problem: fmt.Sprintf("%d characters without white space, AWS takes %d", size, limit)}
	}
	return nil
}

// start is where the next token begins.
func (r *reader) start() int {
	offset := int(r.dec.InputOffset())
	for offset < len(r.doc) && strings.IndexByte(" \t\r\n,:", r.doc[offset]) >= 0 {
		offset++
	}
	return offset
}

func (r *reader) value(depth int) (node, error) {
	n := node{offset: r.start()}
	if depth > maxDepth {
		return n, r.errorAt(n.offset, "nested too deeply for a policy")
	}
	token, err := r.dec.Token()
	if err != nil {
		return n, r.errorAt(n.offset, "not JSON: "+err.Error())
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			return r.object(n, depth)
		}
		return r.list(n, depth)
	case string:
		n.kind, n.text = kindString, t
	case json.Number:
		n.kind, n.text = kindNumber, t.String()
	case bool:
		n.kind, n.text = kindBoolean, fmt.Sprint(t)
	default:
		n.kind = kindNull
	}
	return n, nil
}

func (r *reader) list(n node, depth int) (node, error) {
	n.kind = kindList
	for r.dec.More() {
		item, err := r.value(depth + 1)
		if err != nil {
			return n, err
		}
		n.items = append(n.items, item)
	}
	_, err := r.dec.Token()
	return n, err
}

func (r *reader) object(n node, depth int) (node, error) {
	n.kind = kindObject
	seen := map[string]bool{}
	for r.dec.More() {
		offset := r.start()
		token, err := r.dec.Token()
		if err != nil {
			return n, err
		}
		name, _ := token.(string)
		if seen[name] {
			return n, r.errorAt(offset, fmt.Sprintf("%s appears twice in one object", quote(name)))
		}
		seen[name] = true
		value, err := r.value(depth + 1)
		if err != nil {
			return n, err
		}
		n.members = append(n.members, member{name, offset, value})
	}
	_, err := r.dec.Token()
	return n, err
}

// errorAt places a problem by its byte offset.
func (r *reader) errorAt(offset int, problem string) *Error {
	offset = min(max(offset, 0), len(r.doc))
	before := r.doc[:offset]
	line := bytes.Count(before, []byte("\n"))
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
	return &Error{Line: line + 1, Column: column + 1, Problem: problem}
}
