// SPDX-License-Identifier: Apache-2.0

// Package strictjson reads JSON that two readers could not take in two ways. Both clouds refuse such text before they
// act on it.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"
)

// Object reads text as one JSON object in which no name appears twice, and which nothing follows: two readers that pick
// different ones of two "aud" claims would judge two different tokens. Objects and lists nest at most depth deep, and
// numbers are [json.Number]. Its errors never quote the text.
func Object(text []byte, depth int) (map[string]any, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("not valid UTF-8")
	}
	if !json.Valid(text) { // the decoder below hands out tokens before it has seen whether the whole is well formed
		return nil, errors.New("not valid JSON")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	value, err := readValue(d, depth)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("not a JSON object")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something follows the JSON object")
	}
	return object, nil
}

func readValue(d *json.Decoder, depth int) (any, error) {
	if depth < 0 {
		return nil, errors.New("nested too deep")
	}
	token, err := d.Token()
	if err != nil {
		return nil, errors.New("not valid JSON")
	}
	switch token {
	case json.Delim('{'):
		return readMembers(d, depth)
	case json.Delim('['):
		return readItems(d, depth)
	}
	return token, nil
}

func readMembers(d *json.Decoder, depth int) (map[string]any, error) {
	object := map[string]any{}
	for d.More() {
		token, err := d.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil, errors.New("not valid JSON")
		}
		if _, twice := object[name]; twice {
			return nil, errors.New("a name appears twice")
		}
		if object[name], err = readValue(d, depth-1); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return object, err
}

func readItems(d *json.Decoder, depth int) ([]any, error) {
	items := []any{}
	for d.More() {
		item, err := readValue(d, depth-1)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	_, err := d.Token()
	return items, err
}
