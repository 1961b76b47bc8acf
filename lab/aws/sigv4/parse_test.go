// SPDX-License-Identifier: Apache-2.0

package sigv4

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	const good = Algorithm + " Credential=AKID/20261122/eu-west-1/sts/aws4_request, SignedHeaders=host;x-amz-date, Signature=00"
	for name, c := range map[string]struct {
		header, date string
		kind         Kind
		message      string
	}{
		"no header":              {"", "20261122T030405Z", Missing, "Request is missing Authentication Token"},
		"a bearer token":         {"Bearer abc", "20261122T030405Z", Missing, "Request is missing Authentication Token"},
		"another algorithm":      {"AWS4-HMAC-SHA512 Credential=a", "20261122T030405Z", Incomplete, "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA512'."},
		"no equal sign":          {Algorithm + " Credential", "20261122T030405Z", Incomplete, "'Credential' not a valid key=value pair (missing equal-sign) in Authorization header"},
		"a field twice":          {good + ", Signature=01", "20261122T030405Z", Incomplete, "not a valid key=value pair"},
		"no signature":           {strings.TrimSuffix(good, ", Signature=00"), "20261122T030405Z", Incomplete, "Authorization header requires 'Signature' parameter."},
		"a credential of four":   {strings.Replace(good, "/sts", "", 1), "20261122T030405Z", Incomplete, "Credential must have exactly 5 slash-delimited elements"},
		"no date":                {good, "", Incomplete, "requires existence of either a 'X-Amz-Date' or a 'Date' header"},
		"an extended date":       {good, "2026-11-22T03:04:05Z", Incomplete, "Date must be in ISO-8601 'basic format'. Got '2026-11-22T03:04:05Z'"},
		"the host not signed":    {strings.Replace(good, "host;", "", 1), "20261122T030405Z", Unsigned, "'Host' or ':authority' must be a 'SignedHeader'"},
		"the date not signed":    {strings.Replace(good, ";x-amz-date", "", 1), "20261122T030405Z", Unsigned, "The request signature we calculated does not match"},
		"16 KiB of header":       {good + ", X=" + strings.Repeat("x", 16<<10), "20261122T030405Z", Incomplete, "too long"},
		"control bytes and 8bit": {Algorithm + " \x01\xff", "20261122T030405Z", Incomplete, "'??' not a valid key=value pair"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, "https://sts.eu-west-1.amazonaws.com/", nil)
			if c.header != "" {
				r.Header.Set("Authorization", c.header)
			}
			if c.date != "" {
				r.Header.Set("X-Amz-Date", c.date)
			}
			_, err := Parse(r)
			if kindOf(err) != c.kind || !strings.Contains(err.Error(), c.message) {
				t.Errorf("got kind %d %v, want kind %d %q", kindOf(err), err, c.kind, c.message)
			}
		})
	}
}

func TestParseRefusesTwoMechanisms(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "https://sts.amazonaws.com/?X-Amz-Signature=00", nil)
	r.Header.Set("Authorization", Algorithm+" Credential=a")
	if _, err := Parse(r); kindOf(err) != Incomplete {
		t.Errorf("got %v, want incomplete", err)
	}
}

func TestCheckScopeAndTime(t *testing.T) {
	t.Parallel()
	signed := Signed{Date: "20261122", Region: "eu-west-1", Service: "sts", Terminator: "aws4_request", Stamp: "20261122T030405Z", Time: exampleTime}
	at := func(d time.Duration) func(Signed) error {
		return func(s Signed) error { return s.CheckTime(exampleTime.Add(d), 5*time.Minute) }
	}
	for name, c := range map[string]struct {
		check func(Signed) error
		want  string
	}{
		"good scope":         {func(s Signed) error { return s.CheckScope("eu-west-1", "sts") }, ""},
		"another region":     {func(s Signed) error { return s.CheckScope("us-east-1", "sts") }, "Credential should be scoped to a valid Region, not 'eu-west-1'."},
		"another service":    {func(s Signed) error { return s.CheckScope("eu-west-1", "s3") }, "Credential should be scoped to correct service: 's3'."},
		"another day":        {func(s Signed) error { s.Date = "20261121"; return s.CheckScope("eu-west-1", "sts") }, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20261121' != '20261122', from '20261122T030405Z'."},
		"another terminator": {func(s Signed) error { s.Terminator = "aws5"; return s.CheckScope("eu-west-1", "sts") }, "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5'."},
		"now":                {at(0), ""},
		"five minutes old":   {at(5 * time.Minute), ""},
		"a second older":     {at(5*time.Minute + time.Second), "Signature expired: 20261122T030405Z is now earlier than 20261122T030406Z (20261122T030906Z - 5 min.)"},
		"five minutes ahead": {at(-5 * time.Minute), ""},
		"a second further":   {at(-5*time.Minute - time.Second), "Signature not yet current: 20261122T030405Z is still later than 20261122T030404Z (20261122T025904Z + 5 min.)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ""
			if err := c.check(signed); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// FuzzParseAuthorization holds that whatever parses can be written down again and parses the same, and that whatever
// does not fails with an Error of this package that repeats no more than a fragment.
func FuzzParseAuthorization(f *testing.F) {
	f.Add(Algorithm + " Credential=AKID/20261122/eu-west-1/sts/aws4_request, SignedHeaders=host;x-amz-date, Signature=00")
	f.Add(Algorithm + " Credential=a/b/c/d/e,SignedHeaders=host,Signature==")
	f.Add("AWS4-HMAC-SHA256")
	f.Add("Bearer \xff")
	f.Fuzz(func(t *testing.T, header string) {
		s, err := ParseAuthorization(header)
		if err != nil {
			e, ok := errors.AsType[*Error](err)
			if !ok || len(e.Message) > 1024 {
				t.Fatalf("%T of %d bytes", err, len(err.Error()))
			}
			return
		}
		again, err := ParseAuthorization(Algorithm + " Credential=" + s.AccessKeyID + "/" + s.Scope() +
			", SignedHeaders=" + strings.Join(s.Headers, ";") + ", Signature=" + s.Signature)
		if err != nil {
			t.Fatalf("written again, it fails: %v", err)
		}
		if again.Scope() != s.Scope() || again.Signature != s.Signature || again.AccessKeyID != s.AccessKeyID {
			t.Fatalf("got %+v, want %+v", again, s)
		}
	})
}
