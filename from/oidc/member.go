// SPDX-License-Identifier: Apache-2.0

package fromoidc

import (
	"encoding/json"
	"errors"
	"fmt"
)

// member finds the token in what was read: all of it, or one member of a JSON object. Its errors quote nothing but the
// member's name.
// Source: AIP-4117, format.subject_token_field_name.
func member(content []byte, field string) (string, error) {
	if field == "" {
		return string(content), nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(content, &object); err != nil || object == nil {
		return "", fmt.Errorf("not a JSON object, of which %.100q would be the token", field)
	}
	value, ok := object[field]
	if !ok {
		return "", fmt.Errorf("a JSON object without %.100q", field)
	}
	var token string
	if err := json.Unmarshal(value, &token); err != nil || string(value) == "null" {
		return "", fmt.Errorf("a JSON object whose %.100q is not a JSON string", field)
	}
	if token == "" {
		return "", errors.New("a JSON object whose token is empty")
	}
	return token, nil
}
