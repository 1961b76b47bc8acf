// SPDX-License-Identifier: Apache-2.0

package jwt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// maxDepth is how deep objects and lists may stand in each other. Issuers' own claims go three deep.
const maxDepth = 20

var errNotJSON = errors.New("not a JSON object")

// readObject reads one JSON object. A name that comes twice is refused: two readers could each believe another one.
func readObject(text []byte) (map[string]any, error) {
	if !utf8.Valid(text) {
		return nil, errNotJSON
	}
	in := json.NewDecoder(bytes.NewReader(text))
	in.UseNumber()
	if opening, err := in.Token(); err != nil || opening != json.Delim('{') {
		return nil, errNotJSON
	}
	object, err := readMembers(in, 1)
	if err != nil {
		return nil, err
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return nil, errNotJSON
	}
	return object, nil
}

func readMembers(in *json.Decoder, depth int) (map[string]any, error) {
	object := map[string]any{}
	for in.More() {
		token, err := in.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil, errNotJSON
		}
		if _, twice := object[name]; twice {
			return nil, errors.New("a JSON object with one name twice")
		}
		if object[name], err = readValue(in, depth); err != nil {
			return nil, err
		}
	}
	return object, closing(in)
}

func readItems(in *json.Decoder, depth int) ([]any, error) {
	list := []any{}
	for in.More() {
		item, err := readValue(in, depth)
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	return list, closing(in)
}

func readValue(in *json.Decoder, depth int) (any, error) {
	token, err := in.Token()
	if err != nil {
		return nil, errNotJSON
	}
	switch {
	case token != json.Delim('{') && token != json.Delim('['):
		return token, nil
	case depth == maxDepth:
		return nil, fmt.Errorf("JSON more than %d levels deep", maxDepth)
	case token == json.Delim('{'):
		return readMembers(in, depth+1)
	}
	return readItems(in, depth+1)
}

func closing(in *json.Decoder) error {
	if _, err := in.Token(); err != nil {
		return errNotJSON
	}
	return nil
}
