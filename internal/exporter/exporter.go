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

// variables name where traces go; the first wins. Where none is set there is nothing to send to.
var variables = []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"}

// variable is the one that counts.
func (a Surroundings) variable() (name, value string) {
	for _, name := range variables {
		if value := a.env(name); value != "" {
			return name, value
		}
	}
	return "", ""
}

func (a Surroundings) env(name string) string {
	value, _ := a.Lookup(name)
	return strings.TrimSpace(value)
}

// misuse says what is wrong with the file.
func misuse(file *config.Traces, why error) error {
	if file.Place != "" {
		why = fmt.Errorf("%s: %w", file.Place, why)
	}
	return &stile.Error{Op: "send traces", Err: why}
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
