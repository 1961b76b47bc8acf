// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/stile-project/stile/lab/aws/sigv4"
	"github.com/stile-project/stile/lab/journal"
	"github.com/stile-project/stile/lab/oidc"
)

const (
	home     = "111122223333"
	stranger = "444455556666"
	etlARN   = "arn:aws:iam::111122223333:role/team/etl"
	target   = "arn:aws:iam::111122223333:role/from-gcp"

	everything = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	trustsEC2  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
)

// A world is a cloud with issuers of tokens around it, reached in process. Its clock is the real one and an offset,
// because the SDK's clients know no other.
type world struct {
	t       *testing.T
	cloud   *Cloud
	journal *journal.Journal
	google  *oidc.Issuer
	github  *oidc.Issuer

	mu    sync.Mutex
	skew  time.Duration
	extra map[string]http.Handler // hosts beside the cloud's
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, journal: &journal.Journal{}, extra: map[string]http.Handler{}}
	w.cloud = New(Config{Clock: w.now, Net: w, Journal: w.journal})
	w.google = oidc.NewIssuer("https://accounts.google.com", w.now)
	w.github = oidc.NewIssuer("https://token.actions.githubusercontent.com", w.now)
	w.extra["accounts.google.com"] = w.google.Handler()
	w.extra["token.actions.githubusercontent.com"] = w.github.Handler()
	w.role(Role{Account: home, Name: "etl", Path: "/team/", Trust: trustsEC2, Permissions: everything})
	return w
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.skew)
}

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.skew += d
}

func (w *world) role(r Role) {
	w.t.Helper()
	if err := w.cloud.AddRole(r); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) session(roleARN string) Keys {
	w.t.Helper()
	keys, err := w.cloud.Session(roleARN, "i-0abc123def4567890", time.Hour)
	if err != nil {
		w.t.Fatal(err)
	}
	return keys
}

// RoundTrip hands a request to whoever has its host name.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	if in.Host == "" {
		in.Host = in.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	in.RemoteAddr = "10.0.0.1:4321"
	handler, ok := w.extra[in.URL.Hostname()]
	if !ok {
		if handler, ok = w.cloud.Handler(in.URL.Hostname()); !ok {
			return nil, fmt.Errorf("no such host: %s", in.URL.Hostname())
		}
	}
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, in)
	resp := rec.Result()
	resp.Request = r
	return resp, nil
}

func (w *world) client() *http.Client { return &http.Client{Transport: w} }

func static(k Keys) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return sdkKeys(k), nil
	})
}

func sdkKeys(k Keys) aws.Credentials {
	return aws.Credentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken}
}

// signed is a POST of a form to STS, signed by the SDK's signer as of the world's clock and an offset.
func (w *world) signed(k Keys, region, host, body string, offset time.Duration) *http.Request {
	w.t.Helper()
	r := post(w.t, host, body)
	err := v4.NewSigner().SignHTTP(w.t.Context(), sdkKeys(k), r, sigv4.HashHex([]byte(body)), "sts", region, w.now().Add(offset))
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func post(t *testing.T, host, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, "https://"+host+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	return r
}

// An answer is what came back, and what an STS error says when it is one.
type answer struct {
	Status        int
	Code, Message string
	Body          string
	Header        http.Header
}

func (w *world) do(r *http.Request) answer {
	w.t.Helper()
	resp, err := w.RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	a := answer{Status: resp.StatusCode, Body: string(body), Header: resp.Header}
	if resp.StatusCode != http.StatusOK {
		var doc struct {
			XMLName xml.Name
			Error   struct{ Type, Code, Message string }
			ID      string `xml:"RequestId"`
		}
		if err := xml.Unmarshal(body, &doc); err != nil {
			w.t.Fatalf("the error is not XML: %v\n%s", err, body)
		}
		if doc.XMLName.Space != stsNamespace || doc.Error.Type != "Sender" || len(doc.ID) != 36 || resp.Header.Get("Content-Type") != "text/xml" {
			w.t.Errorf("not the shape of an STS error (%s):\n%s", resp.Header.Get("Content-Type"), body)
		}
		a.Code, a.Message = doc.Error.Code, doc.Error.Message
	}
	return a
}

func (w *world) wantRefusal(a answer, status int, code, message string) {
	w.t.Helper()
	if a.Status != status || a.Code != code || !strings.Contains(a.Message, message) {
		w.t.Errorf("got  %d %s: %s\nwant %d %s: … %s …", a.Status, a.Code, a.Message, status, code, message)
	}
}

// reason is the failed check of the newest journal entry.
func (w *world) reason() string {
	w.t.Helper()
	entries := w.journal.Take()
	if len(entries) == 0 {
		w.t.Fatal("nothing in the journal")
	}
	for _, check := range entries[len(entries)-1].Checks {
		if !check.OK {
			return check.Text
		}
	}
	return ""
}

// fields makes a form body of names and values.
func fields(pairs ...string) string {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v.Encode()
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
