// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// MaxToken is the longest token that is read, in bytes. AWS STS takes 20,000 characters at most, and Google's tokens
// are a tenth of that.
const MaxToken = 20_000

// Unverified reads a token without checking that anyone signed it: good for finding out which issuer to ask, never for
// a decision. Numbers are json.Number, so that a 64-bit id keeps every digit.
//
// It is strict where lenience would let two readers see two tokens: exactly three parts, base64url with no padding, no
// line breaks and no stray bits, JSON objects in valid UTF-8 with no repeated name at any depth, and nothing after them.
// Its errors are [ErrMalformed].
func Unverified(raw string) (header, claims map[string]any, err error) {
	if len(raw) > MaxToken {
		return nil, nil, fmt.Errorf("%w: %d bytes, at most %d are read", ErrMalformed, len(raw), MaxToken)
	}
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil, nil, fmt.Errorf("%w: %d parts between dots, want 3", ErrMalformed, len(parts))
	}
	if header, err = readPart("header", parts[0]); err != nil {
		return nil, nil, err
	}
	if claims, err = readPart("claims", parts[1]); err != nil {
		return nil, nil, err
	}
	if _, err = decodePart("signature", parts[2]); err != nil {
		return nil, nil, err
	}
	return header, claims, nil
}

func readPart(name, part string) (map[string]any, error) {
	text, err := decodePart(name, part)
	if err != nil {
		return nil, err
	}
	object, err := readObject(text)
	if err != nil {
		return nil, fmt.Errorf("%w: its %s: %w", ErrMalformed, name, err)
	}
	return object, nil
}

func decodePart(name, part string) ([]byte, error) {
	// The decoder skips line breaks, which would give one token many spellings.
	if strings.ContainsAny(part, "\r\n") {
		return nil, fmt.Errorf("%w: a line break in its %s", ErrMalformed, name)
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, fmt.Errorf("%w: its %s is not base64url without padding", ErrMalformed, name)
	}
	return text, nil
}
