// SPDX-License-Identifier: Apache-2.0

package toaws

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stile-project/stile"
)

// says answers every request with the same bytes.
type says struct {
	status int
	body   []byte
}

func (s says) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: s.status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(s.body))}, nil
}

func FuzzAnswers(f *testing.F) {
	f.Add(200, []byte(`<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><AssumedRoleUser><Arn>arn:aws:sts::111122223333:assumed-role/a/b</Arn></AssumedRoleUser><Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2026-11-22T04:04:05Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`))
	f.Add(200, []byte(`<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2026-11-22T04:04:05Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`))
	f.Add(400, []byte(`<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>no</Message></Error></ErrorResponse>`))
	f.Add(200, []byte(`<a><b></a>`))
	f.Add(403, []byte("\xff"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 100 || status > 999 {
			return
		}
		if cred, err := readSession("AssumeRole", body); err == nil && (cred.Session.AccessKeyID == "" || cred.Expires.IsZero()) {
			t.Errorf("%q was read as %+v", body, cred)
		}
		role := &Role{ARN: "arn:aws:iam::111122223333:role/a", Region: "eu-west-1", Client: &http.Client{Transport: says{status, body}}}
		cred, err := role.Exchange(t.Context(), stile.SubjectToken{Value: stile.NewSecret("a web identity")})
		if err == nil {
			if cred.Session.AccessKeyID == "" || cred.Session.SecretAccessKey.IsZero() || cred.Session.SessionToken.IsZero() || cred.Expires.IsZero() || status > 299 {
				t.Errorf("status %d gave %+v", status, cred)
			}
			return
		}
		var e *stile.Error
		if !errors.As(err, &e) || !utf8.ValidString(err.Error()) || strings.ContainsAny(err.Error(), "\x00\n\x1b") {
			t.Errorf("not an error of ours, or not fit to print: %q", err)
		}
	})
}

func FuzzRoleARN(f *testing.F) {
	f.Add("arn:aws:iam::111122223333:role/team/from-gcp")
	f.Add("arn:aws-cn:iam::111122223333:role/a")
	f.Add("arn:aws:iam::1:role/a")
	f.Fuzz(func(t *testing.T, arn string) {
		if err := (&Role{ARN: arn, Region: "eu-west-1"}).check(); err != nil {
			if !errors.Is(err, stile.ErrMisuse) {
				t.Errorf("not misuse: %v", err)
			}
			return
		}
		if account := accountOf(arn); len(account) != 12 || !strings.Contains(arn, ":"+account+":role/") || strings.ContainsAny(arn, " \r\n") {
			t.Errorf("%q was taken as a role of %q", arn, account)
		}
	})
}

func FuzzSessionName(f *testing.F) {
	f.Add("app@demo-proj.iam.gserviceaccount.com")
	f.Add("\xff/")
	f.Fuzz(func(t *testing.T, subject string) {
		if name := SessionName(subject); len(name) < 2 || len(name) > 64 || (&Role{ARN: "arn:aws:iam::111122223333:role/a", Region: "eu-west-1", SessionName: name}).check() != nil {
			t.Errorf("SessionName(%q) = %q, which STS refuses", subject, name)
		}
	})
}
