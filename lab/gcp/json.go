// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"unicode"

	"github.com/stile-project/stile/lab/strictjson"
)

// maxDepth bounds how far JSON nests. Nothing that is read here nests deeper than four.
const maxDepth = 32

func readObject(text []byte) (map[string]any, error) { return strictjson.Object(text, maxDepth) }

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
