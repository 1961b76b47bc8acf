// SPDX-License-Identifier: Apache-2.0

//go:build full

package exporter

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/traces"
)

// Open begins sending traces where the file says, or else the environment. It gives nil where neither does, and where
// OTEL_SDK_DISABLED=true or OTEL_TRACES_EXPORTER=none turns it off. It fails with [stile.ErrMisuse] where the file asks
// for what cannot be; what the environment asks for may have been put there for another program, and is left alone with a
// word to the log. It waits for no network.
func Open(file *config.Traces, around Surroundings) (*Traces, error) {
	name, value := around.variable()
	if asked := around.env("OTEL_TRACES_EXPORTER"); file == nil && name == "" && (asked == "" || asked == "none") {
		return nil, nil //nolint:nilnil // none
	}
	off := around.off()
	if off == "" && file == nil {
		off = around.unfit(name, value)
	}
	if off != "" {
		around.Log.Info("no traces are sent: " + off)
		return nil, nil //nolint:nilnil // none
	}
	t, err := open(file, around)
	if err != nil && file != nil {
		return nil, misuse(file, fmt.Errorf("%w: %w", stile.ErrMisuse, err))
	}
	if err != nil {
		around.Log.Warn("no traces are sent", slog.String("error", err.Error()))
	}
	return t, nil
}

// off says who wants no traces, if somebody does.
func (a Surroundings) off() string {
	switch {
	case strings.EqualFold(a.env("OTEL_SDK_DISABLED"), "true"):
		return "OTEL_SDK_DISABLED turns them off"
	case a.env("OTEL_TRACES_EXPORTER") == "none":
		return "OTEL_TRACES_EXPORTER turns them off"
	}
	return ""
}

// unfit says what the environment asks for that is not to be had.
func (a Surroundings) unfit(name, value string) string {
	u, err := url.Parse(value)
	protocol := cmp.Or(a.env("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), a.env("OTEL_EXPORTER_OTLP_PROTOCOL"))
	switch exporter := a.env("OTEL_TRACES_EXPORTER"); {
	case exporter != "" && exporter != "otlp":
		return "OTEL_TRACES_EXPORTER asks for another exporter than otlp"
	case name == "":
		return "OTEL_TRACES_EXPORTER is otlp, and nothing says where to: want OTEL_EXPORTER_OTLP_ENDPOINT=http://HOST:PORT"
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return name + " is no URL: want http://HOST:PORT"
	case protocol == "grpc":
		return "OTEL_EXPORTER_OTLP_PROTOCOL is grpc, and only HTTP is spoken: want http/protobuf, and the port for that, which is 4318 as a rule"
	}
	return ""
}

// Linked tells how this build can send traces.
func Linked() []string { return []string{"otlp"} }

// open sets up the SDK. Its queue is bounded, 2048 spans unless OTEL_BSP_MAX_QUEUE_SIZE says otherwise, and what finds no
// room there is lost: nothing that is told of ever waits for whoever is told. Sampler, headers, certificates, limits and
// timeouts are what the SDK's own variables say.
//
// There is no provider for the whole process, so that the clouds' libraries in this build stay silent. The SDK has but one
// place for its errors and one for its messages, both the process's: this takes them.
func open(file *config.Traces, around Surroundings) (*Traces, error) {
	quiet := &complaints{log: around.Log, told: map[string]telling{}}
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
	// The SDK takes another word for none, and does not say so.
	if packed := cmp.Or(around.env("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION"), around.env("OTEL_EXPORTER_OTLP_COMPRESSION")); packed != "" && packed != "gzip" && packed != "none" {
		quiet.say(passedOver, "OTEL_EXPORTER_OTLP_COMPRESSION is neither gzip nor none")
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
