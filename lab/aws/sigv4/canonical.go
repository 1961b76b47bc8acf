// SPDX-License-Identifier: Apache-2.0

package sigv4

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A PathRule says how a service writes the path of a canonical request.
type PathRule int

const (
	// Normalized resolves dots and double slashes, then encodes the path as sent once more. All services but S3.
	Normalized PathRule = iota
	// Verbatim keeps the path, encoded once: an S3 key may hold dots and double slashes.
	Verbatim
)

// Canonical is the canonical request of r over the listed headers. The host is r.Host, as received.
func Canonical(r *http.Request, headers []string, payload string, rule PathRule) (string, error) {
	query, err := canonicalQuery(r.URL.RawQuery)
	if err != nil {
		return "", err
	}
	names := make([]string, len(headers))
	for i, name := range headers {
		names[i] = strings.ToLower(name)
	}
	// The sorted list is what is signed: a client that lists its headers in another order gets a mismatch.
	slices.Sort(names)
	var b strings.Builder
	for _, line := range []string{r.Method, canonicalPath(r.URL, rule), query} {
		b.WriteString(line + "\n")
	}
	for _, name := range names {
		b.WriteString(name + ":" + headerValue(r, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(names, ";") + "\n" + payload)
	return b.String(), nil
}

func canonicalPath(u *url.URL, rule PathRule) string {
	if rule == Verbatim {
		if u.Path == "" {
			return "/"
		}
		return encode(u.Path, true)
	}
	path := u.EscapedPath()
	if path == "" {
		return "/"
	}
	return encode(normalize(path), true)
}

// normalize is remove_dot_segments of RFC 3986, and drops empty segments; a final slash stays.
func normalize(path string) string {
	var kept []string
	segments := strings.Split(path, "/")
	for _, segment := range segments {
		switch segment {
		case "", ".":
		case "..":
			kept = kept[:max(0, len(kept)-1)]
		default:
			kept = append(kept, segment)
		}
	}
	last := segments[len(segments)-1]
	clean := "/" + strings.Join(kept, "/")
	if len(kept) > 0 && (last == "" || last == "." || last == "..") {
		clean += "/"
	}
	return clean
}

// canonicalQuery sorts by encoded name, then value, and leaves out the signature itself.
func canonicalQuery(raw string) (string, error) {
	type pair struct{ name, value string }
	var pairs []pair
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(name)
		if err == nil {
			value, err = url.QueryUnescape(value)
		}
		if err != nil {
			return "", incomplete("The query string holds a bad percent-encoding.")
		}
		if name != "X-Amz-Signature" {
			pairs = append(pairs, pair{encode(name, false), encode(value, false)})
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	parts := make([]string, len(pairs))
	for i, p := range pairs {
		parts[i] = p.name + "=" + p.value
	}
	return strings.Join(parts, "&"), nil
}

func headerValue(r *http.Request, name string) string {
	switch {
	case name == "host":
		if r.Host != "" {
			return r.Host
		}
		return r.URL.Host
	case name == "content-length" && r.Header.Get(name) == "":
		return strconv.FormatInt(max(0, r.ContentLength), 10) // net/http keeps it out of the headers it hands to a RoundTripper
	}
	values := r.Header.Values(name)
	trimmed := make([]string, len(values))
	for i, v := range values {
		trimmed[i] = strings.Join(strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' }), " ")
	}
	return strings.Join(trimmed, ",")
}

// encode is AWS's UriEncode: everything but the unreserved characters of RFC 3986, in upper-case hexadecimal.
func encode(s string, keepSlash bool) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~", c) >= 0, c == '/' && keepSlash:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}
