// SPDX-License-Identifier: Apache-2.0

package fromaws_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/auth/credentials/externalaccount"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"

	"github.com/stile-project/stile"
	fromaws "github.com/stile-project/stile/from/aws"
)

const provider = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/aws-pool/providers/aws-prov"

// The worked example: computed once, and checked against botocore's signer.
var example = aws.Credentials{
	AccessKeyID:     "ASIAQEXAMPLEKEY00001",
	SecretAccessKey: "ExAmPlEsEcReTkEy0123456789abcdefABCDEF99",
	SessionToken:    "FwoGZXIvYXdzEXAMPLETOKEN//////////8BaDB+example==",
}

type fixed aws.Credentials

func (f fixed) Retrieve(context.Context) (aws.Credentials, error) { return aws.Credentials(f), nil }

func at(s string) func() time.Time {
	t, err := time.Parse("20060102T150405Z", s)
	if err != nil {
		panic(err)
	}
	return func() time.Time { return t }
}

type request struct {
	URL     string
	Method  string
	Headers []struct{ Key, Value string }
}

func decode(t *testing.T, token string) request {
	t.Helper()
	plain, err := url.QueryUnescape(token)
	if err != nil {
		t.Fatal(err)
	}
	var r request
	if err := json.Unmarshal([]byte(plain), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r request) header(key string) string {
	for _, h := range r.Headers {
		if strings.EqualFold(h.Key, key) {
			return h.Value
		}
	}
	return ""
}

func TestSubjectTokenIsTheWorkedExample(t *testing.T) {
	t.Parallel()
	caller := &fromaws.Caller{Credentials: fixed(example), Region: fromaws.FixedRegion("eu-west-1"), Clock: at("20261122T030405Z")}
	token, err := caller.SubjectToken(t.Context(), provider)
	if err != nil {
		t.Fatal(err)
	}
	got := decode(t, token.Value.Reveal())
	want := request{URL: "https://sts.eu-west-1.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15", Method: "POST",
		Headers: []struct{ Key, Value string }{
			{"Authorization", "AWS4-HMAC-SHA256 Credential=ASIAQEXAMPLEKEY00001/20261122/eu-west-1/sts/aws4_request, SignedHeaders=host;x-amz-date;x-amz-security-token;x-goog-cloud-target-resource, Signature=97ec934120e9fe8e8f4e3a372d15f3a60b8b57efa719f34791f6ead31c40adf9"},
			{"Host", "sts.eu-west-1.amazonaws.com"},
			{"X-Amz-Date", "20261122T030405Z"},
			{"X-Amz-Security-Token", example.SessionToken},
			{"X-Goog-Cloud-Target-Resource", provider},
		}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the token differs from the worked example (-want +got):\n%s", diff)
	}
	if token.Type != stile.TokenTypeAWS4Request {
		t.Errorf("type %q", token.Type)
	}
}

func TestSubjectTokenHosts(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		region string
		fips   bool
		want   string
	}{
		"commercial":    {"us-east-2", false, "sts.us-east-2.amazonaws.com"},
		"first region":  {"us-east-1", false, "sts.us-east-1.amazonaws.com"},
		"FIPS":          {"us-east-1", true, "sts-fips.us-east-1.amazonaws.com"},
		"China":         {"cn-north-1", false, "sts.cn-north-1.amazonaws.com.cn"},
		"GovCloud":      {"us-gov-west-1", false, "sts.us-gov-west-1.amazonaws.com"},
		"GovCloud FIPS": {"us-gov-west-1", true, "sts.us-gov-west-1.amazonaws.com"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			caller := &fromaws.Caller{Credentials: fixed(example), Region: fromaws.FixedRegion(c.region), FIPS: c.fips}
			token, err := caller.SubjectToken(t.Context(), provider)
			if err != nil {
				t.Fatal(err)
			}
			got := decode(t, token.Value.Reveal())
			if got.header("host") != c.want || !strings.HasPrefix(got.URL, "https://"+c.want+"?") {
				t.Errorf("host %q, url %q, want %q", got.header("host"), got.URL, c.want)
			}
			if scope := "/" + c.region + "/sts/aws4_request"; !strings.Contains(got.header("authorization"), scope) {
				t.Errorf("authorization %q has no scope %q", got.header("authorization"), scope)
			}
		})
	}
}

// asSupplier hands the example's credentials to Google's own signer.
type asSupplier struct{ region string }

func (s asSupplier) AwsRegion(context.Context, *externalaccount.RequestOptions) (string, error) {
	return s.region, nil
}

func (s asSupplier) AwsSecurityCredentials(context.Context, *externalaccount.RequestOptions) (*externalaccount.AwsSecurityCredentials, error) {
	return &externalaccount.AwsSecurityCredentials{AccessKeyID: example.AccessKeyID,
		SecretAccessKey: example.SecretAccessKey, SessionToken: example.SessionToken}, nil
}

// TestSubjectTokenEqualsGoogles lets Google's Go library build the token it would send, at a loopback STS, and builds
// ours for the same second.
func TestSubjectTokenEqualsGoogles(t *testing.T) {
	t.Parallel()
	arrived := make(chan url.Values, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		arrived <- r.PostForm
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"t","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":3600}`)
	}))
	t.Cleanup(server.Close)
	creds, err := externalaccount.NewCredentials(&externalaccount.Options{
		Audience: provider, SubjectTokenType: string(stile.TokenTypeAWS4Request), TokenURL: server.URL,
		Scopes:                         []string{"https://www.googleapis.com/auth/cloud-platform"},
		AwsSecurityCredentialsProvider: asSupplier{"us-east-2"}, Client: server.Client(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := creds.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	theirs := (<-arrived).Get("subject_token")
	caller := &fromaws.Caller{Credentials: fixed(example), Region: fromaws.FixedRegion("us-east-2"), Clock: at(decode(t, theirs).header("x-amz-date"))}
	ours, err := caller.SubjectToken(t.Context(), provider)
	if err != nil {
		t.Fatal(err)
	}
	// The order inside SignedHeaders and the spacing of Authorization may differ; the parts may not.
	parts := func(r request) request {
		for i, h := range r.Headers {
			if h.Key == "Authorization" {
				r.Headers[i].Value = strings.ReplaceAll(h.Value, ", ", ",")
			}
		}
		return r
	}
	want, got := parts(decode(t, theirs)), parts(decode(t, ours.Value.Reveal()))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tokens differ (-Google's +ours):\n%s", diff)
	}
}

func TestSubjectTokenRefusesBadSettings(t *testing.T) {
	t.Parallel()
	failing := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("no EC2 IMDS role found")
	})
	empty := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, nil })
	region := fromaws.FixedRegion("eu-west-1")
	cases := map[string]struct {
		caller   *fromaws.Caller
		audience string
		kind     error
		words    string
	}{
		"zero Caller":       {&fromaws.Caller{}, provider, stile.ErrMisuse, "no Credentials"},
		"no audience":       {&fromaws.Caller{Credentials: fixed(example), Region: region}, "", stile.ErrMisuse, "no audience"},
		"empty region":      {&fromaws.Caller{Credentials: fixed(example), Region: fromaws.FixedRegion("")}, provider, stile.ErrMisuse, `""`},
		"host in region":    {&fromaws.Caller{Credentials: fixed(example), Region: fromaws.FixedRegion("evil.example/?")}, provider, stile.ErrMisuse, "want a region"},
		"no credentials":    {&fromaws.Caller{Credentials: failing, Region: region}, provider, stile.ErrNoIdentity, "no EC2 IMDS role"},
		"empty credentials": {&fromaws.Caller{Credentials: empty, Region: region}, provider, stile.ErrNoIdentity, "empty"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := c.caller.SubjectToken(t.Context(), c.audience)
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got %v, want kind %v and the words %q", err, c.kind, c.words)
			}
		})
	}
}
