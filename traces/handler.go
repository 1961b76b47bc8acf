// SPDX-License-Identifier: Apache-2.0

package traces

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/stile-project/stile/serve/offer"
)

// Handler gives each request that next answers a span of kind server, named for the method and the listener.
//
// The request's traceparent, if it has one, makes the span part of the caller's trace. Any program that may ask may
// write there what it likes: the numbers of a trace, and whether it is sampled, which samplers based on the parent
// believe. So a caller can have its own requests left out of the traces, or all put in; it can change nothing else, and
// an audit leaves nothing out. Tracestate and baggage, which are free text, are not read.
//
// Attributes: stile.listener, http.request.method, http.response.status_code. Where a credential was asked for, also what
// package offer notes of that: stile.endpoint, stile.crossing and stile.outcome, which is the audit's word; of what was
// handed out stile.expires, of a failure error.type, stile.cloud.name, stile.cloud.status and stile.cloud.code.
func Handler(provider trace.TracerProvider, listener string, next http.Handler) http.Handler {
	return &handler{provider.Tracer(scope), listener, next}
}

type handler struct {
	tracer   trace.Tracer
	listener string
	next     http.Handler
}

// ServeHTTP has next answer.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := known(r.Method)
	ctx, span := h.tracer.Start(parent(r), spanMethod(method)+" "+h.listener, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("stile.listener", h.listener), attribute.String("http.request.method", method)))
	defer span.End() // however next ends
	failed := false
	if span.IsRecording() {
		ctx = offer.WithNote(ctx, func(handed offer.Handed) {
			note(span, handed)
			failed = handed.Err != nil
			offer.Note(r, handed)
		})
	}
	answer := &answer{ResponseWriter: w, status: http.StatusOK}
	h.next.ServeHTTP(answer, r.WithContext(ctx))
	span.SetAttributes(attribute.Int("http.response.status_code", answer.status))
	if answer.status >= http.StatusInternalServerError && !failed {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(attribute.String("error.type", strconv.Itoa(answer.status)))
	}
}

// parent is the request's context, in the trace that its traceparent names.
func parent(r *http.Request) context.Context {
	ctx := r.Context()
	remote := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), propagation.HeaderCarrier(r.Header)))
	if !remote.IsValid() {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, remote.WithTraceState(trace.TraceState{}))
}

func note(span trace.Span, h offer.Handed) {
	span.SetAttributes(attribute.String("stile.endpoint", h.Endpoint), attribute.String("stile.crossing", h.Crossing), attribute.String("stile.outcome", offer.Outcome(h.Err)))
	if h.Err != nil {
		fail(span, h.Err)
		return
	}
	span.SetAttributes(attribute.String("stile.expires", h.Expires.UTC().Format(time.RFC3339)))
}

// answer notes the status.
type answer struct {
	http.ResponseWriter
	status  int
	written bool
}

// WriteHeader notes the status that counts: the first that is no interim one.
func (a *answer) WriteHeader(status int) {
	if !a.written && status >= http.StatusOK {
		a.status, a.written = status, true
	}
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap lets [http.ResponseController] find what else the writer can do.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
