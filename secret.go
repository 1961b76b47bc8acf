// SPDX-License-Identifier: Apache-2.0

package stile

import (
	"fmt"
	"io"
	"log/slog"
)

// A Secret is a value that nothing prints: not fmt with any verb, not JSON, not text, not slog. [Secret.Reveal] is the
// one way out.
type Secret struct{ p *string } // a pointer, so that reflection over an unexported field shows an address

const redacted = "[secret]"

// NewSecret wraps s. The empty string gives the zero Secret.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{&s}
}

// Reveal returns the value itself.
func (s Secret) Reveal() string {
	if s.p == nil {
		return ""
	}
	return *s.p
}

// IsZero reports whether there is no value.
func (s Secret) IsZero() bool { return s.p == nil }

// Format writes a fixed word for every verb and flag.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText gives a fixed word, and so does JSON.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue gives a fixed word.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
