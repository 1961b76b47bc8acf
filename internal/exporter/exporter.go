// SPDX-License-Identifier: Apache-2.0

// Package exporter sends traces where a stile.yaml or the environment says. The build decides whether it can: the lean one
// links no OpenTelemetry, and with the tag "full" traces go out by OTLP over HTTP:
//
//	sent, err := exporter.Open(where, exporter.Surroundings{…})
//	defer sent.Close(time.Second)
//	memory := keep.NewMemory(sent.Options()...)
//	client = sent.Client(client)
package exporter

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/keep"
)

// Surroundings are what sending takes from the process.
type Surroundings struct {
	// Lookup reads the environment. What the OpenTelemetry SDK reads there it reads itself. Required.
	Lookup func(string) (string, bool)
	// Log hears what is passed over. Required.
	Log *slog.Logger
	// Version is the program's, which goes with every trace.
	Version string
}

// Traces has what is to be told from told. Nil is none, and all its methods do nothing then.
type Traces struct {
	keep      keep.Option
	transport func(http.RoundTripper) http.RoundTripper
	handler   func(listener string, next http.Handler) http.Handler
	close     func(time.Duration)
}

// Open begins sending traces where the file says, or else the environment: OTEL_EXPORTER_OTLP_ENDPOINT, or
// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT. It gives nil where neither does, and where OTEL_SDK_DISABLED=true or
// OTEL_TRACES_EXPORTER=none turns it off. It fails with [stile.ErrMisuse] where the file asks for what cannot be; what
// the environment asks for may have been put there for another program, and is left alone with a word to the log. It
// waits for no network.
func Open(file *config.Traces, around Surroundings) (*Traces, error) {
	env := func(name string) string {
		value, _ := around.Lookup(name)
		return strings.TrimSpace(value)
	}
	if file != nil && !linked {
		return nil, &stile.Error{Op: "send traces", Err: fmt.Errorf("%s%w: OpenTelemetry is not in this build; the full build has it: go build -tags full ./cmd/stile", place(file), stile.ErrMisuse)}
	}
	variable := "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	if env(variable) == "" {
		variable = "OTEL_EXPORTER_OTLP_ENDPOINT"
	}
	off := ""
	switch wanted := env("OTEL_TRACES_EXPORTER"); {
	case file == nil && env(variable) == "":
		return nil, nil
	case strings.EqualFold(env("OTEL_SDK_DISABLED"), "true"):
		off = "OTEL_SDK_DISABLED turns them off"
	case wanted == "none":
		off = "OTEL_TRACES_EXPORTER turns them off"
	case file != nil:
	case !linked:
		off = "OpenTelemetry is not in this build, so " + variable + " is left alone"
	case wanted != "" && wanted != "otlp":
		off = "OTEL_TRACES_EXPORTER asks for another exporter than otlp"
	case !isWebURL(env(variable)):
		off = variable + " is no URL: want http://HOST:PORT"
	}
	if protocol := env("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") + env("OTEL_EXPORTER_OTLP_PROTOCOL"); off == "" && file == nil && protocol == "grpc" {
		off = "OTEL_EXPORTER_OTLP_PROTOCOL is grpc, and only HTTP is spoken: want http/protobuf, and the port for it, which is mostly 4318"
	}
	if off != "" {
		around.Log.Info("no traces are sent: " + off)
		return nil, nil
	}
	t, err := open(file, around)
	switch {
	case err == nil:
		return t, nil
	case file == nil:
		around.Log.Warn("no traces are sent", slog.String("error", err.Error()))
		return nil, nil
	}
	return nil, &stile.Error{Op: "send traces", Err: fmt.Errorf("%s%w: %w", place(file), stile.ErrMisuse, err)}
}

func place(file *config.Traces) string {
	if file.Place == "" {
		return ""
	}
	return file.Place + ": "
}

func isWebURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// Linked tells how this build can send traces.
func Linked() []string {
	if linked {
		return []string{"otlp"}
	}
	return []string{}
}

// Options have a [keep.Memory] tell of its exchanges.
func (t *Traces) Options() []keep.Option {
	if t == nil {
		return nil
	}
	return []keep.Option{t.keep}
}

// Client is c, and its requests are told of.
func (t *Traces) Client(c *http.Client) *http.Client {
	if t == nil {
		return c
	}
	traced := *c
	traced.Transport = t.transport(c.Transport)
	return &traced
}

// Handler is next, and the requests that a listener has for it are told of.
func (t *Traces) Handler(listener string, next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return t.handler(listener, next)
}

// Close sends what is not sent yet, for as long as patience lasts.
func (t *Traces) Close(patience time.Duration) {
	if t != nil {
		t.close(patience)
	}
}
