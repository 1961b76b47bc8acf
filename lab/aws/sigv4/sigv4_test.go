// SPDX-License-Identifier: Apache-2.0

package sigv4

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	exampleID     = "ASIAQEXAMPLEKEY00001"
	exampleSecret = "ExAmPlEsEcReTkEy0123456789abcdefABCDEF99"
	exampleToken  = "FwoGZXIvYXdzEXAMPLETOKEN//////////8BaDB+example=="
	exampleTarget = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/aws-pool/providers/aws-prov"
)

var (
	emptyHash   = HashHex(nil)
	exampleTime = time.Date(2026, 11, 22, 3, 4, 5, 0, time.UTC)
)

// callerIdentity is the request Google has AWS verify, signed over the listed headers.
func callerIdentity(t *testing.T, headers, signature string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, "https://sts.eu-west-1.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Date", "20261122T030405Z")
	r.Header.Set("X-Amz-Security-Token", exampleToken)
	r.Header.Set("X-Goog-Cloud-Target-Resource", exampleTarget)
	r.Header.Set("Authorization", Algorithm+" Credential="+exampleID+"/20261122/eu-west-1/sts/aws4_request, SignedHeaders="+headers+", Signature="+signature)
	return r
}

func TestWorkedExample(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ headers, signature string }{
		"target resource signed, as Go and Java do": {
			"host;x-amz-date;x-amz-security-token;x-goog-cloud-target-resource",
			"97ec934120e9fe8e8f4e3a372d15f3a60b8b57efa719f34791f6ead31c40adf9"},
		"target resource unsigned, as Python and Node do": {
			"host;x-amz-date;x-amz-security-token",
			"fba1b6612f1d1120c98bc64b39ef94d0e5f69b9691fb6be21af8c10eb24e24de"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := callerIdentity(t, c.headers, c.signature)
			s, err := Parse(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Verify(r, exampleSecret, emptyHash, Normalized); err != nil {
				t.Error(err)
			}
			if s.AccessKeyID != exampleID || s.Token != exampleToken || !s.Time.Equal(exampleTime) || s.Region != "eu-west-1" || s.Service != "sts" {
				t.Errorf("parsed %s %s %s/%s", s.AccessKeyID, s.Time, s.Region, s.Service)
			}
		})
	}
}

func TestVerifyAgreesWithTheSDK(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method, url, service string
		rule                 PathRule
	}{
		"bare host":              {"POST", "https://sts.amazonaws.com", "sts", Normalized},
		"query":                  {"GET", "https://sts.amazonaws.com/?Version=2011-06-15&Action=GetCallerIdentity&x=a%20b%2Fc~d", "sts", Normalized},
		"repeated query names":   {"GET", "https://sts.amazonaws.com/?b=2&a=2&a=1&c", "sts", Normalized},
		"percent in the path":    {"GET", "https://x.amazonaws.com/a%20b/c%2Fd/e", "execute-api", Normalized},
		"an S3 key with spaces":  {"GET", "https://b.s3.eu-west-1.amazonaws.com/a%20b/c.txt", "s3", Verbatim},
		"an S3 key with accents": {"PUT", "https://b.s3.eu-west-1.amazonaws.com/caf%C3%A9/%E2%98%83", "s3", Verbatim},
		"a port":                 {"GET", "https://sts.eu-west-1.amazonaws.com:8443/?Action=GetCallerIdentity", "sts", Normalized},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := http.NewRequest(c.method, c.url, strings.NewReader(""))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Spaces", "  a   b ")
			keys := aws.Credentials{AccessKeyID: exampleID, SecretAccessKey: exampleSecret, SessionToken: exampleToken}
			signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = c.rule == Verbatim })
			if err := signer.SignHTTP(t.Context(), keys, r, emptyHash, c.service, "eu-west-1", exampleTime); err != nil {
				t.Fatal(err)
			}
			s, err := Parse(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Verify(r, exampleSecret, emptyHash, c.rule); err != nil {
				t.Error(err)
			}
			if err := s.Verify(r, exampleSecret, HashHex([]byte("x")), c.rule); err == nil {
				t.Error("another body verifies")
			}
		})
	}
}

func TestVerifyPresigned(t *testing.T) {
	t.Parallel()
	r, err := http.NewRequest(http.MethodGet, "https://b.s3.eu-west-1.amazonaws.com/k?X-Amz-Expires=60", nil)
	if err != nil {
		t.Fatal(err)
	}
	keys := aws.Credentials{AccessKeyID: exampleID, SecretAccessKey: exampleSecret, SessionToken: exampleToken}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	url, _, err := signer.PresignHTTP(t.Context(), keys, r, UnsignedPayload, "s3", "eu-west-1", exampleTime)
	if err != nil {
		t.Fatal(err)
	}
	if r, err = http.NewRequest(http.MethodGet, url, nil); err != nil {
		t.Fatal(err)
	}
	s, err := Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(r, exampleSecret, UnsignedPayload, Verbatim); err != nil {
		t.Error(err)
	}
	if !s.Presigned || s.Token != exampleToken {
		t.Errorf("presigned %v, token read: %v", s.Presigned, s.Token == exampleToken)
	}
	if err := s.CheckTime(exampleTime.Add(59*time.Second), 15*time.Minute); err != nil {
		t.Errorf("within its minute: %v", err)
	}
	if err := s.CheckTime(exampleTime.Add(61*time.Second), 15*time.Minute); kindOf(err) != Stale {
		t.Errorf("after its minute: %v, want stale", err)
	}
}

func TestVerifyRefusesAChangedRequest(t *testing.T) {
	t.Parallel()
	const headers, signature = "host;x-amz-date;x-amz-security-token;x-goog-cloud-target-resource", "97ec934120e9fe8e8f4e3a372d15f3a60b8b57efa719f34791f6ead31c40adf9"
	for name, change := range map[string]func(*http.Request){
		"method":          func(r *http.Request) { r.Method = http.MethodGet },
		"host":            func(r *http.Request) { r.Host = "sts.us-east-1.amazonaws.com" },
		"path":            func(r *http.Request) { r.URL.Path = "/x" },
		"query":           func(r *http.Request) { r.URL.RawQuery += "&x=1" },
		"target resource": func(r *http.Request) { r.Header.Set("X-Goog-Cloud-Target-Resource", exampleTarget+"2") },
		"second value":    func(r *http.Request) { r.Header.Add("X-Goog-Cloud-Target-Resource", exampleTarget) },
		"session token":   func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "other") },
		"date":            func(r *http.Request) { r.Header.Set("X-Amz-Date", "20261122T030406Z") },
		"signature": func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "adf9", "adf8", 1))
		},
		"upper-case signature": func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "adf9", "ADF9", 1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := callerIdentity(t, headers, signature)
			change(r)
			s, err := Parse(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Verify(r, exampleSecret, emptyHash, Normalized); kindOf(err) != Mismatch {
				t.Errorf("got %v, want a mismatch", err)
			}
		})
	}
}

func kindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return 0
}
