// SPDX-License-Identifier: Apache-2.0

package togcp

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
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
	f.Add(200, []byte(`{"access_token":"ya29.x","expires_in":3599,"token_type":"Bearer"}`))
	f.Add(200, []byte(`{"accessToken":"ya29.x","expireTime":"2026-11-22T04:04:05Z"}`))
	f.Add(200, []byte(`{"token":"e30.eyJhdWQiOiJhIiwiZXhwIjoxfQ.c2ln"}`))
	f.Add(400, []byte(`{"error":"invalid_grant","error_description":"no"}`))
	f.Add(403, []byte(`{"error":{"code":403,"status":"PERMISSION_DENIED","message":"no"}}`))
	f.Add(200, []byte(`{"access_token":1e999,"expires_in":1e999}`))
	f.Add(500, []byte("\xff\x00"))
	const provider = "projects/1/locations/global/workloadIdentityPools/pool/providers/prov"
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 100 || status > 999 {
			return
		}
		c := &client{http: &http.Client{Transport: says{status, body}}, clock: func() time.Time { return time.Unix(1e9, 0) }}
		account := &AccessToken{Provider: provider, ServiceAccount: "a@b.iam.gserviceaccount.com"}
		id := &IDToken{Provider: provider, ServiceAccount: "a@b.iam.gserviceaccount.com", TokenAudience: "a"}
		token := stile.SubjectToken{Value: stile.NewSecret("subject token"), Type: stile.TokenTypeAWS4Request}
		for _, ask := range []func() (stile.Credential, error){
			func() (stile.Credential, error) {
				return c.federate(t.Context(), trade{provider: provider, token: token})
			},
			func() (stile.Credential, error) { return c.accessToken(t.Context(), token.Value, account) },
			func() (stile.Credential, error) {
				return c.downscope(t.Context(), stile.Credential{Token: token.Value, Expires: time.Unix(2e9, 0)}, Boundary{})
			},
			func() (stile.Credential, error) { return c.idToken(t.Context(), token.Value, id) },
		} {
			cred, err := ask()
			if err == nil {
				if cred.Token.IsZero() || cred.Expires.IsZero() || status < 200 || status > 299 {
					t.Errorf("status %d gave %+v", status, cred)
				}
				continue
			}
			var e *stile.Error
			if !errors.As(err, &e) || !utf8.ValidString(err.Error()) || strings.ContainsAny(err.Error(), "\x00\n\x1b") {
				t.Errorf("not an error of ours, or not fit to print: %q", err)
			}
		}
	})
}

func FuzzParseProvider(f *testing.F) {
	f.Add("projects/123/locations/global/workloadIdentityPools/aws-pool/providers/aws-prov")
	f.Add("https://iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/aws-pool/providers/aws-prov")
	f.Add("//iam.googleapis.com/locations/global/workforcePools/staff-pool/providers/okta")
	f.Add("//iam.googleapis.com/projects/my-project/locations/global/workloadIdentityPools/p/providers/q")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParseProvider(s)
		if err != nil {
			if !errors.Is(err, stile.ErrMisuse) {
				t.Errorf("not misuse: %v", err)
			}
			return
		}
		if again, err := ParseProvider(p.Audience()); err != nil || again != p {
			t.Errorf("%q does not round-trip: %v", p, err)
		}
		if strings.ContainsAny(p.String(), " \r\n?#%") || strings.Contains(p.String(), "..") {
			t.Errorf("%q could be read as something else", p)
		}
	})
}

func FuzzCheckIDToken(f *testing.F) {
	f.Add("e30.eyJhdWQiOiJhIiwiZXhwIjoxfQ.c2ln")
	f.Add("a.b.c")
	f.Add("")
	f.Fuzz(func(t *testing.T, raw string) {
		expires, err := checkIDToken(raw, "a")
		if err == nil && (expires.IsZero() || strings.Count(raw, ".") != 2) {
			t.Errorf("%q was taken, expiring %s", raw, expires)
		}
	})
}

func FuzzParseBoundary(f *testing.F) {
	f.Add(`{"accessBoundary":{"accessBoundaryRules":[{"availableResource":"//storage.googleapis.com/projects/_/buckets/abc","availablePermissions":["inRole:roles/storage.objectViewer"],"availabilityCondition":{"expression":"a && b"}}]}}`)
	f.Add(`{"accessBoundaryRules":[]}`)
	f.Add(`{"accessBoundaryRules":[null]}`)
	f.Fuzz(func(t *testing.T, text string) {
		b, err := ParseBoundary(text)
		if err != nil {
			if !errors.Is(err, stile.ErrMisuse) {
				t.Errorf("not misuse: %v", err)
			}
			return
		}
		again, err := ParseBoundary(b.String())
		if err != nil || again.String() != b.String() || len(b.String()) > maxBoundary {
			t.Errorf("%s does not round-trip: %v", b, err)
		}
	})
}
