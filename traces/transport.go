// SPDX-License-Identifier: Apache-2.0

package traces

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Transport gives each request that base makes a span of kind client, which ends with the answer's body. A retry is a
// request, and a span, of its own. A nil base is [http.DefaultTransport].
//
// The trace goes no further: no header such as traceparent is added. The far side is another's host; what it is shown is
// decided by the exchange's protocol and in part covered by a signature, and it has no business knowing which of the
// caller's requests belong together.
//
// Attributes: http.request.method, server.address, server.port; http.response.status_code of an answer; error.type: a
// status from 400 on, or cancelled, timeout, dns, tls or connection. There is no url.full and no path: tokens, accounts
// and secret addresses are parts of URLs.
func Transport(provider trace.TracerProvider, base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{provider.Tracer(scope), base}
}

type transport struct {
	tracer trace.Tracer
	base   http.RoundTripper
}

// RoundTrip makes the request.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	method := known(req.Method)
	ctx, span := t.tracer.Start(req.Context(), spanMethod(method), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("http.request.method", method), attribute.String("server.address", req.URL.Hostname()), attribute.Int("server.port", port(req))))
	res, err := t.base.RoundTrip(req.WithContext(ctx))
	if err != nil {
		broken(span, err)
		span.End()
		return res, err
	}
	span.SetAttributes(attribute.Int("http.response.status_code", res.StatusCode))
	if res.StatusCode >= http.StatusBadRequest {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(attribute.String("error.type", strconv.Itoa(res.StatusCode)))
	}
	if !span.IsRecording() || res.Body == nil || res.StatusCode == http.StatusSwitchingProtocols {
		span.End()
		return res, nil
	}
	res.Body = &body{ReadCloser: res.Body, span: span}
	return res, nil
}

// other is what a method is told as that not everybody knows: it may be anything.
const other = "_OTHER"

// spanMethod is the method in the name of a span, where the conventions have another word for others.
func spanMethod(method string) string {
	if method == other {
		return "HTTP"
	}
	return method
}

// known is the method, if it is one that everybody knows.
func known(method string) string {
	switch method {
	case "":
		return http.MethodGet
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodTrace, http.MethodConnect:
		return method
	}
	return other
}

func port(req *http.Request) int {
	if n, err := strconv.ParseUint(req.URL.Port(), 10, 16); err == nil {
		return int(n)
	}
	if req.URL.Scheme == "http" {
		return 80
	}
	return 443
}

// broken says in one word why there is no answer, or no end of it.
func broken(span trace.Span, err error) {
	var dns *net.DNSError
	var late net.Error
	word := "connection"
	switch {
	case errors.Is(err, context.Canceled):
		word = "cancelled"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &late) && late.Timeout():
		word = "timeout"
	case errors.As(err, &dns):
		word = "dns"
	case isTLS(err):
		word = "tls"
	}
	span.SetStatus(codes.Error, word)
	span.SetAttributes(attribute.String("error.type", word))
}

// isTLS goes by what package tls begins its errors with, where they have no type.
func isTLS(err error) bool {
	var certificate *tls.CertificateVerificationError
	var alert tls.AlertError
	var header tls.RecordHeaderError
	text := err.Error()
	return errors.As(err, &certificate) || errors.As(err, &alert) || errors.As(err, &header) || strings.HasPrefix(text, "tls: ") || strings.HasPrefix(text, "remote error: tls: ")
}

// body ends the span when the answer has been read, or is read no further.
type body struct {
	io.ReadCloser
	span trace.Span
	once sync.Once
}

// Read notes the end, and what came instead of one.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.end(err)
	}
	return n, err
}

// Close ends the span, if the end of the answer has not.
func (b *body) Close() error {
	b.end(nil)
	return b.ReadCloser.Close()
}

func (b *body) end(err error) {
	b.once.Do(func() {
		if err != nil && !errors.Is(err, io.EOF) {
			broken(b.span, err)
		}
		b.span.End()
	})
}
