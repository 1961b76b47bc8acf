// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/stile-project/stile/lab/aws/sigv4"
)

const (
	whoAmI   = "Action=GetCallerIdentity&Version=2011-06-15"
	irish    = "sts.eu-west-1.amazonaws.com"
	irishReg = "eu-west-1"
)

func TestGetCallerIdentityBySDK(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	user, err := w.cloud.AddUser(home, "alice", "")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		keys    Keys
		options sts.Options
		arn, id string
	}{
		"a role's session": {w.session(etlARN), sts.Options{Region: irishReg},
			"arn:aws:sts::111122223333:assumed-role/etl/i-0abc123def4567890", ":i-0abc123def4567890"},
		"a user": {user, sts.Options{Region: "us-west-2"}, "arn:aws:iam::111122223333:user/alice", "AIDA"},
		"a FIPS host": {user, sts.Options{Region: "us-east-1", EndpointOptions: sts.EndpointResolverOptions{UseFIPSEndpoint: aws.FIPSEndpointStateEnabled}},
			"arn:aws:iam::111122223333:user/alice", "AIDA"},
		"the global host": {user, sts.Options{Region: "us-east-1", BaseEndpoint: aws.String("https://sts.amazonaws.com")},
			"arn:aws:iam::111122223333:user/alice", "AIDA"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.options.HTTPClient, c.options.Credentials, c.options.RetryMaxAttempts = w.client(), static(c.keys), 1
			got, err := sts.New(c.options).GetCallerIdentity(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if aws.ToString(got.Arn) != c.arn || aws.ToString(got.Account) != home || !strings.Contains(aws.ToString(got.UserId), c.id) {
				t.Errorf("got %s %s %s", aws.ToString(got.Arn), aws.ToString(got.Account), aws.ToString(got.UserId))
			}
		})
	}
}

func TestGetCallerIdentityInOtherPartitions(t *testing.T) {
	t.Parallel()
	for partition, region := range map[string]string{"aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"} {
		t.Run(partition, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if err := w.cloud.SetPartition(stranger, partition); err != nil {
				t.Fatal(err)
			}
			keys, err := w.cloud.AddUser(stranger, "bao", "")
			if err != nil {
				t.Fatal(err)
			}
			client := sts.New(sts.Options{Region: region, HTTPClient: w.client(), Credentials: static(keys), RetryMaxAttempts: 1})
			got, err := client.GetCallerIdentity(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if want := "arn:" + partition + ":iam::" + stranger + ":user/bao"; aws.ToString(got.Arn) != want {
				t.Errorf("got %s, want %s", aws.ToString(got.Arn), want)
			}
			w.wantRefusal(w.do(w.signed(keys, irishReg, irish, whoAmI, 0)), 403, "InvalidClientTokenId", "The security token included in the request is invalid")
		})
	}
}

// The request that Google has AWS verify: a POST with everything in the query and nothing in the body. GET does as well.
func TestGetCallerIdentityInTheQuery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	keys := w.session(etlARN)
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			r, err := http.NewRequest(method, "https://"+irish+"?"+whoAmI, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Goog-Cloud-Target-Resource", "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/a")
			if err := v4.NewSigner().SignHTTP(t.Context(), sdkKeys(keys), r, sigv4.HashHex(nil), "sts", irishReg, w.now()); err != nil {
				t.Fatal(err)
			}
			if got := w.do(r); got.Status != 200 || !strings.Contains(got.Body, "assumed-role/etl/i-0abc123def4567890") {
				t.Errorf("got %d\n%s", got.Status, got.Body)
			}
			r.Header.Set("X-Goog-Cloud-Target-Resource", "//iam.googleapis.com/projects/2/locations/global/workloadIdentityPools/p/providers/a")
			w.wantRefusal(w.do(r), 403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")
		})
	}
}

func TestGetCallerIdentityRefusals(t *testing.T) {
	t.Parallel()
	type made struct {
		w    *world
		keys Keys
	}
	for name, c := range map[string]struct {
		request       func(made) *http.Request
		status        int
		code, message string
	}{
		"no signature": {func(m made) *http.Request { return post(m.w.t, irish, whoAmI) },
			403, "MissingAuthenticationToken", "Request is missing Authentication Token"},
		"changed signature": {func(m made) *http.Request {
			r := m.w.signed(m.keys, irishReg, irish, whoAmI, 0)
			auth := r.Header.Get("Authorization")
			r.Header.Set("Authorization", auth[:len(auth)-1]+string("01"[(auth[len(auth)-1]&1)^1]))
			return r
		}, 403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided."},
		"changed host": {func(m made) *http.Request {
			r := m.w.signed(m.keys, irishReg, irish, whoAmI, 0)
			r.Host = "sts.eu-west-1.amazonaws.com:8443"
			return r
		}, 403, "SignatureDoesNotMatch", "The request signature we calculated does not match"},
		"replayed in another region": {func(m made) *http.Request {
			r := m.w.signed(m.keys, irishReg, irish, whoAmI, 0)
			r.URL.Host, r.Host = "sts.us-east-1.amazonaws.com", "sts.us-east-1.amazonaws.com"
			return r
		}, 403, "SignatureDoesNotMatch", "Credential should be scoped to a valid Region, not 'eu-west-1'."},
		"a regional scope at the global host": {func(m made) *http.Request { return m.w.signed(m.keys, irishReg, "sts.amazonaws.com", whoAmI, 0) },
			403, "SignatureDoesNotMatch", "Credential should be scoped to a valid Region, not 'eu-west-1'."},
		"scoped to another service": {func(m made) *http.Request {
			r := post(m.w.t, irish, whoAmI)
			if err := v4.NewSigner().SignHTTP(m.w.t.Context(), sdkKeys(m.keys), r, sigv4.HashHex([]byte(whoAmI)), "s3", irishReg, m.w.now()); err != nil {
				m.w.t.Fatal(err)
			}
			return r
		}, 403, "SignatureDoesNotMatch", "Credential should be scoped to correct service: 'sts'."},
		"changed body": {func(m made) *http.Request {
			r := m.w.signed(m.keys, irishReg, irish, whoAmI, 0)
			r.Body = io.NopCloser(strings.NewReader(whoAmI + "&x=1"))
			return r
		}, 403, "SignatureDoesNotMatch", "The request signature we calculated does not match"},
		"stale": {func(m made) *http.Request { return m.w.signed(m.keys, irishReg, irish, whoAmI, -6*time.Minute) },
			403, "SignatureDoesNotMatch", " - 5 min.)"},
		"future": {func(m made) *http.Request { return m.w.signed(m.keys, irishReg, irish, whoAmI, 6*time.Minute) },
			403, "SignatureDoesNotMatch", "Signature not yet current: "},
		"unknown key": {func(m made) *http.Request {
			m.keys.AccessKeyID = "ASIAQEXAMPLEKEY00001"
			return m.w.signed(m.keys, irishReg, irish, whoAmI, 0)
		}, 403, "InvalidClientTokenId", "The security token included in the request is invalid"},
		"wrong secret": {func(m made) *http.Request {
			m.keys.SecretAccessKey += "x"
			return m.w.signed(m.keys, irishReg, irish, whoAmI, 0)
		}, 403, "SignatureDoesNotMatch", "The request signature we calculated does not match"},
		"no session token": {func(m made) *http.Request {
			m.keys.SessionToken = ""
			return m.w.signed(m.keys, irishReg, irish, whoAmI, 0)
		}, 403, "InvalidClientTokenId", "The security token included in the request is invalid"},
		"another's session token": {func(m made) *http.Request {
			m.keys.SessionToken = m.w.session(etlARN).SessionToken
			return m.w.signed(m.keys, irishReg, irish, whoAmI, 0)
		}, 403, "InvalidClientTokenId", "The security token included in the request is invalid"},
		"expired session": {func(m made) *http.Request {
			m.w.pass(time.Hour + time.Second)
			return m.w.signed(m.keys, irishReg, irish, whoAmI, 0)
		}, 403, "ExpiredToken", "The security token included in the request is expired"},
		"garbage for a signature": {func(m made) *http.Request {
			r := post(m.w.t, irish, whoAmI)
			r.Header.Set("Authorization", "AWS4-HMAC-SHA256 \xff\x00garbage")
			return r
		}, 400, "IncompleteSignature", "not a valid key=value pair (missing equal-sign) in Authorization header"},
		"a region that is not active": {func(m made) *http.Request {
			m.w.cloud.DisableRegion(home, "ap-east-1")
			return m.w.signed(m.keys, "ap-east-1", "sts.ap-east-1.amazonaws.com", whoAmI, 0)
		}, 403, "RegionDisabledException", "STS is not activated in this region for account:111122223333."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a := w.do(c.request(made{w, w.session(etlARN)}))
			w.wantRefusal(a, c.status, c.code, c.message)
			if w.reason() == "" {
				t.Error("the journal does not say which check failed")
			}
		})
	}
}

func TestSTSRefusesBadRequests(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method, query, body string
		status              int
		code, message       string
	}{
		"no action":             {"POST", "", "", 400, "MissingAction", ""},
		"unknown action":        {"POST", "", "Action=GetFederationToken&Version=2011-06-15", 400, "InvalidAction", "Could not find operation GetFederationToken for version 2011-06-15"},
		"no version":            {"POST", "", "Action=GetCallerIdentity", 400, "InvalidAction", "Could not find operation GetCallerIdentity for version NO_VERSION_SPECIFIED"},
		"another version":       {"POST", "", "Action=GetCallerIdentity&Version=2012-01-01", 400, "InvalidAction", "for version 2012-01-01"},
		"PUT":                   {"PUT", "", whoAmI, 405, "MethodNotAllowed", ""},
		"not UTF-8":             {"POST", "", "Action=%ff%fe", 404, "MalformedQueryString", "syntax error"},
		"a bad escape":          {"POST", "", "Action=%zz", 404, "MalformedQueryString", "syntax error"},
		"cut in an escape":      {"POST", "", "Action=GetCallerIdentity&Version=2011-06-15%2", 404, "MalformedQueryString", "syntax error"},
		"a parameter twice":     {"POST", "", "Action=GetCallerIdentity&Action=AssumeRole", 404, "MalformedQueryString", "more than once"},
		"query and form differ": {"POST", "Action=GetCallerIdentity", "Action=AssumeRole", 404, "MalformedQueryString", "more than once"},
		"10 MB":                 {"POST", "", strings.Repeat("A", 10<<20), 413, "RequestEntityTooLarge", ""},
		"10 MB of pairs":        {"POST", "", strings.Repeat("a=b&", 10<<18), 413, "RequestEntityTooLarge", ""},
		"nothing but noise":     {"POST", "", "\x00\x01\x02\xff", 404, "MalformedQueryString", "syntax error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := post(t, irish, c.body)
			r.Method, r.URL.RawQuery = c.method, c.query
			w.wantRefusal(w.do(r), c.status, c.code, c.message)
		})
	}
}

func TestSTSRefusesATruncatedBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := post(t, irish, "")
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader("Action=Get"), failing{}))
	w.wantRefusal(w.do(r), 400, "RequestTimeout", "")
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

// FuzzReadForm holds that what is read reads the same when written again, and that no name is read twice.
func FuzzReadForm(f *testing.F) {
	f.Add("Action=GetCallerIdentity&Version=2011-06-15")
	f.Add("Tags.member.1.Key=a&Tags.member.1.Value=b%20c&x")
	f.Add("a=1&a=2")
	f.Add("%zz=\xff")
	f.Fuzz(func(t *testing.T, text string) {
		got := form{}
		if err := got.add(text); err != nil {
			if f := asFault(err); f.Status != 404 || f.Code != "MalformedQueryString" {
				t.Fatalf("refused with %d %s", f.Status, f.Code)
			}
			return
		}
		values := url.Values{}
		for name, value := range got {
			values.Set(name, value)
		}
		again := form{}
		if err := again.add(values.Encode()); err != nil {
			t.Fatalf("written again, it is refused: %v", err)
		}
		if len(again) != len(got) {
			t.Fatalf("%d parameters, then %d", len(got), len(again))
		}
		for name, value := range got {
			if again[name] != value {
				t.Fatalf("%q: %q, then %q", name, value, again[name])
			}
		}
	})
}
