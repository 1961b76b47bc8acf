// SPDX-License-Identifier: Apache-2.0

//go:build full

package exporter

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/traces"
)

const linked = true

// open sets up the SDK. Its queue is bounded, 2048 spans unless OTEL_BSP_MAX_QUEUE_SIZE says otherwise, and what finds no
// room there is lost: nothing that is told of ever waits for whoever is told. Sampler, headers, certificates, limits and
// timeouts are what the SDK's own variables say.
//
// There is no provider for the whole process, so that the clouds' libraries in this build stay silent. The SDK has but one
// place for its errors and one for its messages, both the process's: this takes them.
func open(file *config.Traces, around Surroundings) (*Traces, error) {
	quiet := &complaints{log: around.Log}
	otel.SetErrorHandler(quiet)
	otel.SetLogger(logr.New(sink{quiet}))
	var options []otlptracehttp.Option
	if file != nil {
		options = append(options, otlptracehttp.WithEndpointURL(strings.TrimRight(file.Endpoint, "/")+"/v1/traces"))
	}
	ctx := context.Background() // no network is asked
	out, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return nil, err
	}
	// The later ones win: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES.
	about, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "stile"), attribute.String("service.version", around.Version)), resource.WithFromEnv())
	if err != nil {
		quiet.Handle(err) // of what it could not read
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(out), sdktrace.WithResource(about))
	return &Traces{
		keep:      traces.Exchanges(provider),
		transport: func(base http.RoundTripper) http.RoundTripper { return traces.Transport(provider, base) },
		handler: func(listener string, next http.Handler) http.Handler {
			return traces.Handler(provider, listener, next)
		},
		close: func(patience time.Duration) {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			if provider.Shutdown(ctx) != nil {
				around.Log.Warn("the last traces were not sent", slog.Duration("waited", patience))
				_ = out.Shutdown(ctx) // ends a request that hangs
			}
		},
	}, nil
}
