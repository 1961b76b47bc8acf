// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"unicode"
	"unicode/utf8"
)

// maxDepth bounds how far JSON nests. Nothing that is read here nests deeper than four.
const maxDepth = 32

// readObject reads text as one JSON object, refusing what two readers could take in two ways: a name that appears
// twice, text that is not UTF-8, anything after the object. Numbers are json.Number. Its errors never quote the text.
func readObject(text []byte) (map[string]any, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("it is not valid UTF-8")
	}
	if !json.Valid(text) { // also settles that nothing follows
		return nil, errors.New("it is not valid JSON")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	value, err := readValue(d, 0)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("it is not a JSON object")
	}
	return object, nil
}

func readValue(d *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("it nests more than %d deep", maxDepth)
	}
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		return readMembers(d, depth)
	case json.Delim('['):
		return readItems(d, depth)
	}
	return token, nil
}

func readMembers(d *json.Decoder, depth int) (any, error) {
	object := map[string]any{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string)
		if _, twice := object[name]; twice {
			return nil, errors.New("a name appears twice in it")
		}
		if object[name], err = readValue(d, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return object, err
}

func readItems(d *json.Decoder, depth int) (any, error) {
	items := []any{}
	for d.More() {
		item, err := readValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	_, err := d.Token()
	return items, err
}

// fields are the members a request may have, each with where its value goes: a *string, *bool or *[]string.
type fields map[string]any

// maxRequest is the longest JSON request that is read.
const maxRequest = 1 << 20

// readFields reads the body as the JSON form of a protocol buffer: names in camelCase or as in the .proto file, null as
// absent, and an unknown name is an error.
func (q *call) readFields(want fields) error {
	body, err := q.readBody(maxRequest)
	if errors.Is(err, errTooLong) {
		return q.refuse(apiError(http.StatusRequestEntityTooLarge, "Request payload size exceeds the limit: 1048576 bytes."), "the body is longer than %d bytes", maxRequest)
	}
	if err == nil && len(bytes.TrimSpace(body)) == 0 {
		return nil // as an empty object
	}
	var object map[string]any
	if err == nil {
		object, err = readObject(body)
	}
	if err != nil {
		return q.refuse(invalidPayload("Parse error"), "the body is not one JSON object: %v", err)
	}
	return q.assign(want, object)
}

func (q *call) assign(want fields, object map[string]any) error {
	for name, value := range object {
		target, ok := want[name]
		if !ok {
			target, ok = want[camelCase(name)]
		}
		if !ok {
			return q.refuse(invalidPayload(fmt.Sprintf("Unknown name %q: Cannot find field.", clip(name, 64))), "the body has a field this method does not know")
		}
		if value != nil && !store(target, value) {
			return q.refuse(apiError(http.StatusBadRequest, fmt.Sprintf("Invalid value at '%s'", clip(name, 64))), "the field %s is of the wrong type", clip(name, 64))
		}
	}
	return nil
}

func store(target, value any) (ok bool) {
	switch t := target.(type) {
	case *string:
		*t, ok = value.(string)
	case *bool:
		*t, ok = value.(bool)
	case *[]string:
		return storeStrings(t, value)
	}
	return ok
}

func storeStrings(target *[]string, value any) bool {
	items, ok := value.([]any)
	for _, item := range items {
		s, isString := item.(string)
		if !isString {
			return false
		}
		*target = append(*target, s)
	}
	return ok
}

func invalidPayload(detail string) answer {
	return apiError(http.StatusBadRequest, "Invalid JSON payload received. "+detail)
}

// camelCase turns include_email into includeEmail.
func camelCase(s string) string {
	var out []rune
	up := false
	for _, r := range s {
		if r == '_' {
			up = true
			continue
		}
		if up {
			r = unicode.ToUpper(r)
		}
		out, up = append(out, r), false
	}
	return string(out)
}
