// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxForm bounds an STS request. The largest honest one holds a 20,000 character token and a policy.
const maxForm = 256 << 10

// A form holds the parameters of an STS request, each named once.
type form map[string]string

func malformedQuery(format string, args ...any) *fault {
	return refuse(404, "MalformedQueryString", format, args...)
}

// readForm reads parameters from the query and, of a POST, from the form body; STS takes both. The body is returned
// as it came, because the signature covers it.
func readForm(r *http.Request) (form, []byte, error) {
	body, err := readBody(r, maxForm)
	if err != nil {
		return nil, nil, err
	}
	f := form{}
	if err := f.add(r.URL.RawQuery); err != nil {
		return nil, nil, err
	}
	switch r.Method {
	case http.MethodGet:
		return f, body, nil
	case http.MethodPost:
	default:
		return nil, nil, refuse(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
	}
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media == "application/x-www-form-urlencoded" {
		if err := f.add(string(body)); err != nil {
			return nil, nil, err
		}
	}
	return f, body, nil
}

func readBody(r *http.Request, limit int64) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return nil, refuse(400, "RequestTimeout", "Your socket connection to the server was not read from or written to within the timeout period.")
	}
	if int64(len(body)) > limit {
		return nil, refuse(413, "RequestEntityTooLarge", "Request size exceeds the maximum of %d bytes", limit)
	}
	return body, nil
}

// add reads name=value pairs. A name that comes twice is refused: two readers could take two values.
func (f form) add(pairs string) error {
	for pair := range strings.SplitSeq(pairs, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err == nil {
			value, err = url.QueryUnescape(value)
		}
		if err != nil || !utf8.ValidString(name) || !utf8.ValidString(value) {
			return malformedQuery("The query string contains a syntax error.")
		}
		if _, twice := f[name]; twice {
			return malformedQuery("The parameter %.64q is given more than once.", name)
		}
		f[name] = value
	}
	return nil
}

// list reads NAME.member.1, NAME.member.2 and so on; with a field, NAME.member.1.FIELD. It stops at the first gap.
func (f form) list(name, field string) []string {
	if field != "" {
		field = "." + field
	}
	var out []string
	for i := 1; ; i++ {
		value, ok := f[name+".member."+strconv.Itoa(i)+field]
		if !ok {
			return out
		}
		out = append(out, value)
	}
}
