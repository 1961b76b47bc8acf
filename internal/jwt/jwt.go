// SPDX-License-Identifier: Apache-2.0

// Package jwt reads what a token says of itself. It verifies nothing: whoever the token is made out to does.
package jwt

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// MaxSize is the longest token that is read, in bytes. Google STS and AWS STS take less than half of it.
const MaxSize = 64 << 10

// Claims are what a token says of itself, unverified: good for naming and for checking one's own mistakes, never for
// deciding what someone may do. A claim that is absent leaves its field zero.
// Source: RFC 7519, section 4.1; OpenID Connect Core 1.0, section 2.
type Claims struct {
	Issuer          string    // iss
	Subject         string    // sub
	Email           string    // email
	AuthorizedParty string    // azp
	Audience        []string  // aud, be it one string or a list of them
	IssuedAt        time.Time // iat
	Expires         time.Time // exp

	// All holds every claim. Numbers are json.Number.
	All map[string]any
}

// IsFor reports whether the token is made out to audience, perhaps among others.
func (c Claims) IsFor(audience string) bool { return slices.Contains(c.Audience, audience) }

// Name is whom the token speaks for: the e-mail, or the subject where there is none.
func (c Claims) Name() string {
	if c.Email != "" {
		return c.Email
	}
	return c.Subject
}

// Unverified reads a signed token in its compact form: three parts of base64url without padding, of which the first two
// are JSON objects that name nothing twice. Its errors say what is wrong and never quote the token.
func Unverified(raw string) (Claims, error) {
	if len(raw) > MaxSize {
		return Claims{}, fmt.Errorf("longer than %d bytes", MaxSize)
	}
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return Claims{}, errors.New("not three parts with dots between them")
	}
	if _, err := part("header", parts[0]); err != nil {
		return Claims{}, err
	}
	all, err := part("claims", parts[1])
	if err != nil {
		return Claims{}, err
	}
	if signature, err := base64.RawURLEncoding.Strict().DecodeString(parts[2]); err != nil || len(signature) == 0 {
		return Claims{}, errors.New("its signature is not base64url")
	}
	return read(all)
}

func part(name, encoded string) (map[string]any, error) {
	if strings.ContainsAny(encoded, "\r\n") { // the decoder would skip them
		return nil, fmt.Errorf("its %s: broken over lines", name)
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("its %s: not base64url", name)
	}
	object, err := readObject(text)
	if err != nil {
		return nil, fmt.Errorf("its %s: %w", name, err)
	}
	return object, nil
}

func read(all map[string]any) (Claims, error) {
	c := Claims{All: all}
	for name, into := range map[string]*string{"iss": &c.Issuer, "sub": &c.Subject, "email": &c.Email, "azp": &c.AuthorizedParty} {
		value, ok := all[name].(string)
		if !ok && all[name] != nil {
			return Claims{}, fmt.Errorf("its %s is not a JSON string", name)
		}
		*into = value
	}
	for name, into := range map[string]*time.Time{"iat": &c.IssuedAt, "exp": &c.Expires} {
		at, err := date(all[name])
		if err != nil {
			return Claims{}, fmt.Errorf("its %s is %w", name, err)
		}
		*into = at
	}
	var err error
	c.Audience, err = audience(all["aud"])
	return c, err
}

// date reads a NumericDate, which may have a fraction.
func date(claim any) (time.Time, error) {
	if claim == nil {
		return time.Time{}, nil
	}
	number, ok := claim.(json.Number)
	if !ok {
		return time.Time{}, errors.New("not a JSON number")
	}
	const year10000 = 253402300800
	seconds, err := number.Float64()
	if err != nil || seconds < 1 || seconds >= year10000 {
		return time.Time{}, errors.New("no time of this era")
	}
	return time.Unix(int64(math.Floor(seconds)), 0), nil
}

func audience(claim any) ([]string, error) {
	switch claim := claim.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{claim}, nil
	case []any:
		list := make([]string, 0, len(claim))
		for _, item := range claim {
			one, ok := item.(string)
			if !ok {
				return nil, errors.New("its aud is a list of something other than JSON strings")
			}
			list = append(list, one)
		}
		return list, nil
	}
	return nil, errors.New("its aud is neither a JSON string nor a list of them")
}
