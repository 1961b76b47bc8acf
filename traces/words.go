// SPDX-License-Identifier: Apache-2.0

package traces

import (
	"errors"
	"strings"

	"go.opentelemetry.io/otel/attribute"

	"github.com/stile-project/stile"
)

// cloudsWords are who answered, with which status and code.
func cloudsWords(err error) []attribute.KeyValue {
	e, ok := errors.AsType[*stile.Error](err)
	if !ok || e.Status == 0 {
		return nil
	}
	attrs := []attribute.KeyValue{attribute.Int("stile.cloud.status", e.Status)}
	if isName(e.Cloud, " ") {
		attrs = append(attrs, attribute.String("stile.cloud.name", e.Cloud))
	}
	if isName(e.Code, "") {
		attrs = append(attrs, attribute.String("stile.cloud.code", e.Code))
	}
	return attrs
}

// isName reports what may be a name or a code: short, and of few letters. A code is whatever the far side says it is, and
// a host that is none of the clouds' could say anything; tokens are longer than this.
func isName(s, more string) bool {
	const longest = 64
	return s != "" && len(s) <= longest && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-:"+more, r)
	})
}
