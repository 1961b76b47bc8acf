// SPDX-License-Identifier: Apache-2.0

package sigv4

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxAuthorization bounds the header we are willing to read; a real one is under 1 KiB.
const maxAuthorization = 16 << 10

// maxPresign is the longest life of a presigned request: seven days (S3 API, X-Amz-Expires).
const maxPresign = 7 * 24 * time.Hour

// Parse reads the signature of r from its Authorization header or, failing that, its query. It fails with a [*Error] of
// kind [Missing], [Incomplete] or [Unsigned].
func Parse(r *http.Request) (*Signed, error) {
	query := r.URL.Query()
	headers := r.Header.Values("Authorization")
	presigned := query.Has("X-Amz-Algorithm") || query.Has("X-Amz-Signature")
	if presigned && len(headers) > 0 || len(headers) > 1 {
		return nil, incomplete("Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified")
	}
	var s *Signed
	var err error
	switch {
	case presigned:
		s, err = parseQuery(query)
	case len(headers) == 1:
		s, err = parseHeader(r, headers[0])
	default:
		err = &Error{Kind: Missing, Message: missingText}
	}
	if err != nil {
		return nil, err
	}
	return s, s.checkHeaders(r)
}

func parseHeader(r *http.Request, header string) (*Signed, error) {
	stamp := r.Header.Get("X-Amz-Date")
	if stamp == "" {
		stamp = r.Header.Get("Date")
	}
	s, err := ParseAuthorization(header)
	if err != nil {
		return nil, err
	}
	s.Token = r.Header.Get("X-Amz-Security-Token")
	if stamp == "" {
		return nil, incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. (Hashed with SHA-256 and encoded with Base64) Authorization=%s", hashed(header))
	}
	return s, s.setTime(stamp)
}

// ParseAuthorization reads the header alone: no date, no token.
func ParseAuthorization(header string) (*Signed, error) {
	algorithm, rest, _ := strings.Cut(strings.TrimSpace(header), " ")
	if algorithm != Algorithm {
		if strings.HasPrefix(algorithm, "AWS4") {
			return nil, incomplete("Unsupported AWS 'algorithm': '%s'.", printable(algorithm))
		}
		return nil, &Error{Kind: Missing, Message: missingText}
	}
	if len(header) > maxAuthorization {
		return nil, incomplete("Authorization header is too long.")
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		part = strings.TrimSpace(part)
		name, value, ok := strings.Cut(part, "=")
		if !ok || fields[name] != "" {
			return nil, incomplete("'%s' not a valid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): '%s'.", printable(part), hashed(header))
		}
		fields[name] = value
	}
	var missing []string
	for _, name := range []string{"Credential", "Signature", "SignedHeaders"} {
		if fields[name] == "" {
			missing = append(missing, "Authorization header requires '"+name+"' parameter.")
		}
	}
	if len(missing) > 0 {
		return nil, incomplete("%s (Hashed with SHA-256 and encoded with Base64) Authorization=%s", strings.Join(missing, " "), hashed(header))
	}
	return newSigned(fields["Credential"], fields["SignedHeaders"], fields["Signature"])
}

func parseQuery(query url.Values) (*Signed, error) {
	if got := query.Get("X-Amz-Algorithm"); got != Algorithm {
		return nil, incomplete("Unsupported AWS 'algorithm': '%s'.", printable(got))
	}
	for _, name := range []string{"X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"} {
		if query.Get(name) == "" || len(query[name]) != 1 {
			return nil, incomplete("AWS query-string parameters must include '%s'. Re-examine the query-string parameters.", name)
		}
	}
	s, err := newSigned(query.Get("X-Amz-Credential"), query.Get("X-Amz-SignedHeaders"), query.Get("X-Amz-Signature"))
	if err != nil {
		return nil, err
	}
	s.Presigned, s.Token, s.Expires = true, query.Get("X-Amz-Security-Token"), 15*time.Minute
	if text := query.Get("X-Amz-Expires"); text != "" {
		seconds, err := strconv.Atoi(text)
		if err != nil || seconds < 0 || seconds > int(maxPresign/time.Second) {
			return nil, incomplete("X-Amz-Expires must be a number of seconds between 0 and 604800")
		}
		s.Expires = time.Duration(seconds) * time.Second
	}
	return s, s.setTime(query.Get("X-Amz-Date"))
}

func newSigned(credential, headers, signature string) (*Signed, error) {
	// An access key id has no slash, so what stands before the last four is the id.
	parts := strings.Split(credential, "/")
	if len(parts) != 5 {
		return nil, incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '%s'", printable(credential))
	}
	return &Signed{
		AccessKeyID: parts[0], Date: parts[1], Region: parts[2], Service: parts[3], Terminator: parts[4],
		Headers: strings.Split(headers, ";"), Signature: signature,
	}, nil
}

// setTime takes the basic form and, as the Date header has it, the form of HTTP.
func (s *Signed) setTime(stamp string) error {
	t, err := time.Parse(stampLayout, stamp)
	if err != nil {
		if t, err = http.ParseTime(stamp); err != nil {
			return incomplete("Date must be in ISO-8601 'basic format'. Got '%s'. See http://en.wikipedia.org/wiki/ISO_8601", printable(stamp))
		}
	}
	s.Time = t.UTC()
	s.Stamp = s.Time.Format(stampLayout)
	return nil
}

// checkHeaders wants the host signed, and every x-amz- header that was sent but the session token, which some services
// let the client add after signing (case post-sts-header-after of AWS's suite).
func (s *Signed) checkHeaders(r *http.Request) error {
	signed := make([]string, len(s.Headers))
	for i, name := range s.Headers {
		signed[i] = strings.ToLower(name)
	}
	if !slices.Contains(signed, "host") {
		return &Error{Kind: Unsigned, Message: "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.", Headers: []string{"host"}}
	}
	var loose []string
	for name := range r.Header {
		name = strings.ToLower(name)
		if strings.HasPrefix(name, "x-amz-") && name != "x-amz-security-token" && !slices.Contains(signed, name) {
			loose = append(loose, name)
		}
	}
	if len(loose) > 0 {
		slices.Sort(loose)
		return &Error{Kind: Unsigned, Message: mismatchText, Headers: loose}
	}
	return nil
}

// printable keeps what a client sent fit for a message: short, and of visible ASCII only.
func printable(s string) string {
	const limit = 128
	if len(s) > limit {
		s = s[:limit]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
