// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stile-project/stile/lab/journal"
	"github.com/stile-project/stile/lab/oidc"
)

// What every test world holds.
const (
	testProject  = "demo-proj"
	testNumber   = "123456789012"
	testPool     = "projects/123456789012/locations/global/workloadIdentityPools/aws-pool"
	testProvider = "//iam.googleapis.com/" + testPool + "/providers/aws-prov"
	oidcProvider = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/oidc-pool/providers/oidc-prov"
	testIssuer   = "https://issuer.example"
	testAccount  = "111122223333"
	testARN      = "arn:aws:sts::111122223333:assumed-role/etl-role/i-0abc"
	testRole     = "arn:aws:sts::111122223333:assumed-role/etl-role"
	roleMember   = "principalSet://iam.googleapis.com/" + testPool + "/attribute.aws_role/" + testRole
	readerEmail  = "etl-reader@demo-proj.iam.gserviceaccount.com"
	awsHost      = "sts.eu-west-1.amazonaws.com"
)

type world struct {
	*Cloud
	t       *testing.T
	clock   *testClock
	journal *journal.Journal
	aws     *fakeAWS
	issuer  *oidc.Issuer
	reader  ServiceAccount
}

type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	clock := &testClock{now: time.Date(2026, 11, 22, 3, 4, 5, 0, time.UTC)}
	w := &world{t: t, clock: clock, journal: &journal.Journal{}, aws: &fakeAWS{clock: clock, account: testAccount, arn: testARN}}
	w.issuer = oidc.NewIssuer(testIssuer, clock.Now)
	w.Cloud = New(Config{Clock: clock.Now, Net: network{w}, Journal: w.journal})
	w.must(w.AddProject(testProject, testNumber))
	w.must(w.AddPool(testProject, "aws-pool"))
	w.must(w.AddPool(testProject, "oidc-pool"))
	w.must(w.AddProvider(Provider{Project: testProject, Pool: "aws-pool", ID: "aws-prov", AWSAccount: testAccount}))
	w.must(w.AddProvider(Provider{Project: testProject, Pool: "oidc-pool", ID: "oidc-prov", Issuer: testIssuer, Mapping: map[string]string{"google.subject": "assertion.sub"}}))
	reader, err := w.AddServiceAccount(testProject, "etl-reader")
	w.must(err)
	w.reader = reader
	w.must(w.AddBucket(testProject, "demo-bucket"))
	w.must(w.PutObject("demo-bucket", "reports/2026.csv", []byte("a,b\n1,2\n")))
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// network is the world outside Google: AWS STS and one OIDC issuer.
type network struct{ w *world }

func (n network) RoundTrip(r *http.Request) (*http.Response, error) {
	switch {
	case strings.HasSuffix(r.URL.Host, "amazonaws.com"):
		return n.w.aws.RoundTrip(r)
	case r.URL.Host == "issuer.example":
		rec := httptest.NewRecorder()
		n.w.issuer.Handler().ServeHTTP(rec, r)
		return rec.Result(), nil
	}
	return nil, errors.New("no such host")
}

// fakeAWS stands in for AWS STS. Its signature is no SigV4, but covers what SigV4 covers: the host, the date and every
// header the caller lists.
type fakeAWS struct {
	clock        *testClock
	account, arn string
	status       int    // when set, answered with no more ado
	body         string // with status
	calls        int
}

func (f *fakeAWS) RoundTrip(r *http.Request) (*http.Response, error) {
	f.calls++
	if f.status != 0 {
		return xmlResponse(f.status, f.body), nil
	}
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	names, signature, _ := strings.Cut(rest, ", Signature=")
	if signature != fakeSignature(r.Host, names, func(name string) string { return r.Header.Get(name) }) {
		return awsError("SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided."), nil
	}
	date, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	switch age := f.clock.Now().Sub(date); {
	case err != nil:
		return awsError("IncompleteSignature", "Date must be in ISO-8601 basic format"), nil //nolint:nilerr // AWS answers
	case age > 5*time.Minute:
		return awsError("SignatureDoesNotMatch", "Signature expired: too old"), nil
	case age < -5*time.Minute:
		return awsError("SignatureDoesNotMatch", "Signature not yet current: too new"), nil
	}
	return xmlResponse(http.StatusOK, fmt.Sprintf(`<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>%s</Arn><UserId>AROAEXAMPLE:i-0abc</UserId><Account>%s</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`, f.arn, f.account)), nil
}

func fakeSignature(host, names string, value func(string) string) string {
	h := sha256.New()
	_, _ = io.WriteString(h, "secret "+host+" ")
	for name := range strings.SplitSeq(names, ";") {
		if name != "host" {
			_, _ = io.WriteString(h, name+":"+value(name)+"\n")
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func xmlResponse(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"text/xml"}}, Body: io.NopCloser(strings.NewReader(body))}
}

func awsError(code, message string) *http.Response {
	return xmlResponse(http.StatusForbidden, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>`+code+`</Code><Message>`+message+`</Message></Error></ErrorResponse>`)
}

// A tokenRecipe says how to make an AWS subject token. Its zero value makes what Go's library makes.
type tokenRecipe struct {
	unsignedTarget bool
	target         string
	age            time.Duration
	change         func(object map[string]any)                  // after signing
	headers        func(list []map[string]any) []map[string]any // after signing
	encode         func(string) string
}

func (w *world) subjectToken(r tokenRecipe) string {
	w.t.Helper()
	if r.target == "" {
		r.target = testProvider
	}
	values := map[string]string{
		"x-amz-date":           w.clock.Now().Add(-r.age).Format("20060102T150405Z"),
		"x-amz-security-token": "session+token/with=signs",
		targetHeader:           r.target,
	}
	names := "host;x-amz-date;x-amz-security-token"
	if !r.unsignedTarget {
		names += ";" + targetHeader
	}
	signature := fakeSignature(awsHost, names, func(name string) string { return values[name] })
	list := []map[string]any{
		{"key": "Authorization", "value": "AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE/20261122/eu-west-1/sts/aws4_request, SignedHeaders=" + names + ", Signature=" + signature},
		{"key": "Host", "value": awsHost},
		{"key": "X-Amz-Date", "value": values["x-amz-date"]},
		{"key": "X-Amz-Security-Token", "value": values["x-amz-security-token"]},
		{"key": "X-Goog-Cloud-Target-Resource", "value": r.target},
	}
	if r.headers != nil {
		list = r.headers(list)
	}
	object := map[string]any{"url": "https://" + awsHost + "?Action=GetCallerIdentity&Version=2011-06-15", "method": "POST", "headers": list}
	if r.change != nil {
		r.change(object)
	}
	text, err := json.Marshal(object)
	w.must(err)
	if r.encode == nil {
		r.encode = url.QueryEscape
	}
	return r.encode(string(text))
}

func exchangeForm(subjectToken string) url.Values {
	return url.Values{
		"grant_type":           {grantExchange},
		"audience":             {testProvider},
		"requested_token_type": {typeAccessToken},
		"scope":                {scopePlatform},
		"subject_token":        {subjectToken},
		"subject_token_type":   {typeAWSRequest},
	}
}

// A reply is an answer as a client sees it.
type reply struct {
	status int
	header http.Header
	body   string
}

// field reads a member of a JSON body; dots go inward.
func (r reply) field(t *testing.T, path string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		t.Fatalf("the answer is not JSON: %v\n%s", err, r.body)
	}
	for name := range strings.SplitSeq(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[name]
		case []any:
			if v = nil; name == "0" && len(at) > 0 {
				v = at[0]
			}
		default:
			return nil
		}
	}
	return v
}

func (w *world) send(r *http.Request) reply {
	w.t.Helper()
	h, ok := w.Handler(r.Host)
	if !ok {
		w.t.Fatalf("nobody answers for %s", r.Host)
	}
	return serve(h, r)
}

func serve(h http.Handler, r *http.Request) reply {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return reply{rec.Code, rec.Header(), rec.Body.String()}
}

func (w *world) postForm(address string, form url.Values) reply {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return w.send(r)
}

func (w *world) exchangeWith(form url.Values) reply {
	w.t.Helper()
	return w.postForm("https://sts.googleapis.com/v1/token", form)
}

// request sends a request with a bearer token; an empty token sends none.
func (w *world) request(method, address, token, body string) reply {
	w.t.Helper()
	r := httptest.NewRequest(method, address, bytes.NewReader([]byte(body)))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return w.send(r)
}

// federated exchanges a good AWS token for a federated one.
func (w *world) federated(scopes ...string) string {
	w.t.Helper()
	form := exchangeForm(w.subjectToken(tokenRecipe{}))
	if len(scopes) > 0 {
		form.Set("scope", join(scopes))
	}
	return w.want(w.exchangeWith(form), http.StatusOK).field(w.t, "access_token").(string)
}

func (w *world) want(r reply, status int) reply {
	w.t.Helper()
	if r.status != status {
		w.t.Fatalf("got status %d, want %d:\n%s", r.status, status, r.body)
	}
	return r
}

// wantOAuth checks an error of STS or the token endpoint; the description may be given by a part of it.
func (w *world) wantOAuth(r reply, status int, code, description string) {
	w.t.Helper()
	w.want(r, status)
	if got := r.field(w.t, "error"); got != code {
		w.t.Errorf("got error %v, want %s:\n%s", got, code, r.body)
	}
	if got, _ := r.field(w.t, "error_description").(string); !strings.Contains(got, description) {
		w.t.Errorf("got error_description\n%s\nwant\n%s", got, description)
	}
}

func (w *world) wantAPI(r reply, status int, code, message string) {
	w.t.Helper()
	w.want(r, status)
	if got := r.field(w.t, "error.status"); got != code {
		w.t.Errorf("got status %v, want %s", got, code)
	}
	if got, _ := r.field(w.t, "error.message").(string); !strings.Contains(got, message) {
		w.t.Errorf("got message %q, want %q", got, message)
	}
}

// lastFailure is the last check that failed, as the journal tells it.
func (w *world) lastFailure() string {
	last := ""
	for _, e := range w.journal.Take() {
		for _, c := range e.Checks {
			if !c.OK {
				last = c.Text
			}
		}
	}
	return last
}
