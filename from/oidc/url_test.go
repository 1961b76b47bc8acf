// SPDX-License-Identifier: Apache-2.0

package fromoidc_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stile-project/stile"
	fromoidc "github.com/stile-project/stile/from/oidc"
)

func TestURLGivesItsToken(t *testing.T) {
	t.Parallel()
	good := token(nil)
	const where = "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=x"
	broker := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Method != http.MethodGet || r.URL.String() != where || r.Header.Get("Metadata") != "True" || r.Header.Get("X-Key") != "hunter2" {
			return answer(r, 400, "not what was configured"), nil
		}
		return answer(r, 200, `{"access_token":"`+good+`"}`), nil
	})}
	source := &fromoidc.URL{URL: where, Header: map[string]stile.Secret{"Metadata": stile.NewSecret("True"), "x-key": stile.NewSecret("hunter2")},
		Field: "access_token", Client: broker, Clock: clock}
	got, err := source.SubjectToken(t.Context(), audience)
	isToken(t, got, err, good, "workload", noon.Add(time.Hour))

	plain := &fromoidc.URL{URL: "https://broker.example/", Client: answering(201, good+"\n"), Type: stile.TokenTypeIDToken, Clock: clock}
	got, err = plain.SubjectToken(t.Context(), audience)
	isToken(t, got, err, good, "workload", noon.Add(time.Hour))
	if got.Type != stile.TokenTypeIDToken {
		t.Errorf("type %q", got.Type)
	}
	opaque := &fromoidc.URL{URL: "https://broker.example/", Client: answering(200, "opaque"), InsecureSkipAudience: true}
	got, err = opaque.SubjectToken(t.Context(), audience)
	isToken(t, got, err, "opaque", "", time.Time{})
}

func TestURLOnLoopbackNeedsNoClient(t *testing.T) {
	t.Parallel()
	good := token(nil)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		_, _ = w.Write([]byte(good))
	}))
	t.Cleanup(server.Close)
	got, err := (&fromoidc.URL{URL: server.URL, Clock: clock}).SubjectToken(t.Context(), audience)
	isToken(t, got, err, good, "workload", noon.Add(time.Hour))
}

func TestURLAnswersThatAreNoToken(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		status int
		body   string
		field  string
		kind   error
		words  string
	}{
		"empty":             {200, "", "", stile.ErrTemporary, "the token is empty"},
		"HTML":              {200, "<html>hunter2</html>", "", stile.ErrTemporary, "no JWT"},
		"JSON unannounced":  {200, `{"a":"hunter2"}`, "", stile.ErrTemporary, "which member holds the token"},
		"text, want JSON":   {200, "hunter2", "a", stile.ErrTemporary, "not a JSON object"},
		"JSON without it":   {200, `{"b":"hunter2"}`, "a", stile.ErrTemporary, `without "a"`},
		"another audience":  {200, token(map[string]any{"aud": "x"}), "", stile.ErrMisuse, "ask for that audience in the URL"},
		"expired":           {200, token(map[string]any{"exp": 1}), "", stile.ErrTemporary, "expired"},
		"redirect":          {302, "hunter2", "", stile.ErrRefused, "redirect"},
		"300":               {300, token(nil), "", stile.ErrRefused, "300"},
		"refused with why":  {400, `{"error":"invalid_request","error_description":"Identity not found"}`, "", stile.ErrRefused, "400 invalid_request: Identity not found"},
		"refused and echo":  {403, `{"message":"bad key s3cr3t-value"}`, "", stile.ErrRefused, "bad key [secret]"},
		"refused, error {}": {401, `{"error":{"hunter2":1},"message":"no"}`, "", stile.ErrRefused, "401: no"},
		"refused as text":   {404, "hunter2", "", stile.ErrRefused, "404"},
		"broken":            {500, "hunter2", "", stile.ErrTemporary, "500"},
		"too long":          {200, strings.Repeat("x", 1<<20), "", stile.ErrTemporary, "longer than"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := &fromoidc.URL{URL: "https://broker.example/t?key=query-s3cr3t", Field: c.field, Client: answering(c.status, c.body), Clock: clock,
				Header: map[string]stile.Secret{"X-Key": stile.NewSecret("s3cr3t-value")}}
			_, err := source.SubjectToken(t.Context(), audience)
			isRefusal(t, err, c.kind, c.words, "s3cr3t")
			if !strings.Contains(err.Error(), "broker.example") {
				t.Errorf("the error does not say who answered: %v", err)
			}
		})
	}
}

func TestURLMisused(t *testing.T) {
	t.Parallel()
	never := &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("asked") })}
	for name, c := range map[string]struct{ url, words string }{
		"none":              {"", "there is none"},
		"malformed":         {"https://%zz-hunter2", "malformed"},
		"no scheme":         {"hunter2.example/t", "want https://HOST"},
		"no host":           {"https:///hunter2", "want https://HOST"},
		"plain http":        {"http://hunter2.example/t", "plain http is for loopback"},
		"plain http to ULA": {"http://[fd00::1]/hunter2", "plain http is for loopback"},
		"loopback in name":  {"http://127.0.0.1.hunter2.example/", "plain http is for loopback"},
		"metadata in name":  {"http://169.254.169.254.hunter2.example/", "plain http is for loopback"},
		"file":              {"file:///etc/hunter2", "want https://HOST"},
		"opaque":            {"https:hunter2", "malformed"},
		"password":          {"https://user:hunter2@broker.example/", "user or password"},
		"fragment":          {"https://broker.example/#hunter2", "fragment"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := (&fromoidc.URL{URL: c.url, Client: never}).SubjectToken(t.Context(), audience)
			isRefusal(t, err, stile.ErrMisuse, c.words)
		})
	}
	for name, c := range map[string]struct{ header, value, words string }{
		"empty name":      {"", "hunter2", "letters"},
		"space in name":   {"X Key", "hunter2", "letters"},
		"line end":        {"X-Key", "hunter2\r\nHost: x", "control"},
		"NUL":             {"X-Key", "hunter2\x00", "control"},
		"another host":    {"host", "hunter2.example", "the request sets it itself"},
		"another framing": {"Transfer-Encoding", "chunked", "the request sets it itself"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := &fromoidc.URL{URL: "https://broker.example/", Client: never, Header: map[string]stile.Secret{c.header: stile.NewSecret(c.value)}}
			_, err := source.SubjectToken(t.Context(), audience)
			isRefusal(t, err, stile.ErrMisuse, c.words)
		})
	}
	_, err := (&fromoidc.URL{URL: "https://broker.example/", Client: never}).SubjectToken(t.Context(), "")
	isRefusal(t, err, stile.ErrMisuse, "no audience")
}

func TestURLPlainHTTPWhereNobodyListens(t *testing.T) {
	t.Parallel()
	good := token(nil)
	for _, url := range []string{"http://localhost:8080/t", "http://127.8.8.8/", "http://[::1]:1/", "http://169.254.169.254/", "http://169.254.170.2/",
		"http://169.254.170.23/", "http://[fd00:ec2::254]/", "http://[fd00:ec2::23]/", "http://metadata.google.internal/"} {
		got, err := (&fromoidc.URL{URL: url, Client: answering(200, good), Clock: clock}).SubjectToken(t.Context(), audience)
		isToken(t, got, err, good, "workload", noon.Add(time.Hour))
	}
}

func TestURLGivesUpWithItsCaller(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	silent := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		cancel()
		<-r.Context().Done()
		return nil, r.Context().Err()
	})}
	_, err := (&fromoidc.URL{URL: "https://broker.example/", Client: silent}).SubjectToken(ctx, audience)
	isRefusal(t, err, context.Canceled, "gave up waiting")
}

func TestURLKeys(t *testing.T) {
	t.Parallel()
	header := func(name, value string) map[string]stile.Secret {
		return map[string]stile.Secret{name: stile.NewSecret(value)}
	}
	distinct(t, map[string]*fromoidc.URL{
		"one": {URL: "https://a"}, "other": {URL: "https://b"}, "field": {URL: "https://a", Field: "f"}, "audience": {URL: "https://a", Audience: "a"},
		"type": {URL: "https://a", Type: "t"}, "any audience": {URL: "https://a", InsecureSkipAudience: true},
		"header": {URL: "https://a", Header: header("A", "1")}, "header's value": {URL: "https://a", Header: header("A", "2")}, "header's name": {URL: "https://a", Header: header("B", "1")},
	})
}
