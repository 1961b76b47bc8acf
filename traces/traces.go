// SPDX-License-Identifier: Apache-2.0

// Package traces tells OpenTelemetry what Stile does: a span for each exchange, each request to a cloud, and each
// request at an endpoint.
//
//	memory := keep.NewMemory(traces.Exchanges(provider))
//	client := &http.Client{Transport: traces.Transport(provider, nil)} // for sources and targets
//	handler = traces.Handler(provider, "ecs", handler)                 // around an endpoint
//
// A span has names that the configuration gave, hosts, methods, numbers, and single words. It never has what was asked or
// answered: no path, query, header or body, and no text of an error, for any of these may be a secret or a stranger's own
// words. Principals, audiences and scopes are in no span either.
//
// Names of attributes are those of OpenTelemetry's semantic conventions for HTTP (stable since 1.23), and else begin with
// "stile.".
package traces

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/serve/offer"
)

const scope = "github.com/stile-project/stile/traces"

// Exchanges has every exchange of a [keep.Memory] be a span of its own trace, named exchange: all who wait share it, so
// it is no part of what any one of them does. It links to the request that it was begun for, if one was. The requests to
// clouds are its children.
//
// Attributes: stile.crossing, the name of the [keep.Terms]; stile.result, which is exchanged, stored (another process
// had exchanged), or what a failure is called in the audit; of a credential stile.kind and stile.expires; of a failure
// those of [Handler].
func Exchanges(provider trace.TracerProvider) keep.Option {
	tracer := provider.Tracer(scope)
	return keep.WithTracing(func(ctx context.Context, name string) (context.Context, func(keep.Event)) {
		options := []trace.SpanStartOption{trace.WithNewRoot(), trace.WithAttributes(attribute.String("stile.crossing", name))}
		if link := trace.LinkFromContext(ctx); link.SpanContext.IsValid() {
			options = append(options, trace.WithLinks(link))
		}
		ctx, span := tracer.Start(ctx, "exchange", options...)
		return ctx, func(e keep.Event) { endExchange(span, e) }
	})
}

func endExchange(span trace.Span, e keep.Event) {
	defer span.End()
	if e.Err != nil {
		span.SetAttributes(attribute.String("stile.result", offer.Outcome(e.Err)))
		fail(span, e.Err)
		return
	}
	result := "exchanged"
	if e.Stored {
		result = "stored"
	}
	span.SetAttributes(attribute.String("stile.result", result), attribute.String("stile.kind", e.Kind.String()),
		attribute.String("stile.expires", e.Expires.UTC().Format(time.RFC3339)))
}

// fail says by words alone what went wrong.
func fail(span trace.Span, err error) {
	word := offer.Outcome(err)
	span.SetStatus(codes.Error, word)
	span.SetAttributes(attribute.String("error.type", word))
	span.SetAttributes(cloudsWords(err)...)
}
