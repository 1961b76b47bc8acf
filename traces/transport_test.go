// SPDX-License-Identifier: Apache-2.0

package traces_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/stile-project/stile/traces"
)

// answering is a transport that is a function.
type answering func(*http.Request) (*http.Response, error)

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

func says(status int, body io.Reader) answering {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Status: hush, Header: http.Header{"Set-Cookie": {hush}}, Body: io.NopCloser(body)}, nil
	}
}

func fails(err error) answering {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// breaks is a body that ends too soon.
type breaks struct{ err error }

func (b breaks) Read([]byte) (int, error) { return 0, b.err }

// A request is told by its method, its host and its status; a failure by one word. Nothing else of it is told.
func TestTransportTellsLittle(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		method, url string
		base        answering
		want        map[string]any
	}{
		"good": {http.MethodPost, "https://sts.example.com/v1/" + hush + "?token=" + hush, says(200, strings.NewReader(hush)),
			map[string]any{"http.request.method": "POST", "server.address": "sts.example.com", "server.port": int64(443), "http.response.status_code": int64(200)}},
		"a port": {"", "http://me:" + hush + "@127.0.0.1:8080/", says(204, strings.NewReader("")),
			map[string]any{"http.request.method": "GET", "server.address": "127.0.0.1", "server.port": int64(8080), "http.response.status_code": int64(204)}},
		"IPv6": {http.MethodGet, "http://[fd00:ec2::254]/", says(200, strings.NewReader("")),
			map[string]any{"http.request.method": "GET", "server.address": "fd00:ec2::254", "server.port": int64(80), "http.response.status_code": int64(200)}},
		"refused": {http.MethodGet, "https://a/", says(403, strings.NewReader(hush)),
			map[string]any{"http.request.method": "GET", "server.address": "a", "server.port": int64(443), "http.response.status_code": int64(403), "error.type": "403"}},
		"a method": {hush, "https://a/", says(200, strings.NewReader("")),
			map[string]any{"http.request.method": "_OTHER", "server.address": "a", "server.port": int64(443), "http.response.status_code": int64(200)}},
		"no name":         {http.MethodGet, "https://a/", fails(&net.DNSError{Err: hush, Name: hush}), broken("dns")},
		"cancelled":       {http.MethodGet, "https://a/", fails(context.Canceled), broken("cancelled")},
		"late":            {http.MethodGet, "https://a/", fails(&net.OpError{Op: hush, Err: context.DeadlineExceeded}), broken("timeout")},
		"certificate":     {http.MethodGet, "https://a/", fails(errors.New("tls: " + hush)), broken("tls")},
		"unknown CA":      {http.MethodGet, "https://a/", fails(&net.OpError{Err: x509.UnknownAuthorityError{}}), broken("connection")},
		"connection":      {http.MethodGet, "https://a/", fails(errors.New(hush)), broken("connection")},
		"the body breaks": {http.MethodGet, "https://a/", says(200, breaks{errors.New(hush)}), with(broken("connection"), "http.response.status_code", int64(200))},
		"the body hangs":  {http.MethodGet, "https://a/", says(200, breaks{context.DeadlineExceeded}), with(broken("timeout"), "http.response.status_code", int64(200))},
	} {
		provider, ended := recorded()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, test.url, strings.NewReader(hush))
		if err != nil {
			t.Fatal(err)
		}
		req.Method = test.method
		req.Header.Set("Authorization", hush)
		before := req.Header.Clone()
		res, err := traces.Transport(provider, test.base).RoundTrip(req)
		if err == nil {
			_, _ = io.ReadAll(res.Body)
			_ = res.Body.Close()
		}
		spans := ended.Ended()
		if len(spans) != 1 {
			t.Errorf("%s: %d spans", name, len(spans))
			continue
		}
		if diff := cmp.Diff(test.want, shown(spans[0])); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if method := fmt.Sprint(test.want["http.request.method"]); spans[0].Name() != strings.Replace(method, "_OTHER", "HTTP", 1) {
			t.Errorf("%s: the span is named %s", name, spans[0].Name())
		}
		if failed := test.want["error.type"] != nil; failed != (spans[0].Status().Code == codes.Error) {
			t.Errorf("%s: %v", name, spans[0].Status())
		}
		if diff := cmp.Diff(before, req.Header); diff != "" {
			t.Errorf("%s: the request's header was changed:\n%s", name, diff)
		}
		if text := everything(t, spans); strings.Contains(text, hush) {
			t.Errorf("%s: the span holds a secret: %s", name, text)
		}
	}
}

func broken(word string) map[string]any {
	return map[string]any{"http.request.method": "GET", "server.address": "a", "server.port": int64(443), "error.type": word}
}

func with(m map[string]any, key string, value any) map[string]any {
	m[key] = value
	return m
}

// A client whose certificate authority nobody knows is told as such, over a real connection.
func TestTransportTellsOfCertificates(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	server.Config.ErrorLog = nil
	provider, ended := recorded()
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	res, err := (&http.Client{Transport: traces.Transport(provider, base)}).Get(server.URL)
	if err == nil {
		_ = res.Body.Close()
		t.Fatal("it went well")
	}
	if got := shown(ended.Ended()[0])["error.type"]; got != "tls" {
		t.Errorf("told as %v, want tls", got)
	}
}

// The span ends with the body, once, however it is left; and what is not sampled costs no body of its own.
func TestSpansEndWithTheBody(t *testing.T) {
	t.Parallel()
	provider, ended := recorded()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://a/", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := traces.Transport(provider, says(200, strings.NewReader("text"))).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(ended.Ended()); n != 0 {
		t.Errorf("%d spans ended before the body", n)
	}
	if text, err := io.ReadAll(res.Body); string(text) != "text" || err != nil {
		t.Errorf("the body is %q, %v", text, err)
	}
	_ = res.Body.Close()
	_ = res.Body.Close()
	if n := len(ended.Ended()); n != 1 {
		t.Errorf("%d spans, want 1", n)
	}

	silent, ended := recorded(sdktrace.WithSampler(sdktrace.NeverSample()))
	plain := io.NopCloser(strings.NewReader(""))
	res, err = traces.Transport(silent, answering(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: plain}, nil
	})).RoundTrip(req)
	if err != nil || res.Body != plain || len(ended.Ended()) != 0 {
		t.Errorf("unsampled: %v, another body %t, %d spans", err, res.Body != plain, len(ended.Ended()))
	}
}
