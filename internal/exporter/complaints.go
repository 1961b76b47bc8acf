// SPDX-License-Identifier: Apache-2.0

//go:build full

package exporter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel/sdk/resource"
)

// complaints tells the log what the SDK could not do, each thing once a minute at most: send what there was, or heed a
// variable, and then it sends all the same.
type complaints struct {
	log *slog.Logger

	mu   sync.Mutex
	told map[string]telling
}

// A telling is when something was said last, and how often it could have been since.
type telling struct {
	at    time.Time
	since int
}

const (
	seldom = time.Minute
	things = 32 // that are told apart; all others are one

	lost       = "traces are lost"
	passedOver = "a setting of traces is passed over"
)

// Handle notes an error of the SDK.
func (c *complaints) Handle(err error) {
	if strings.HasPrefix(err.Error(), "traces export: ") {
		c.say(lost, plain(err))
		return
	}
	c.say(passedOver, unread(err))
}

func (c *complaints) say(what, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := why
	if _, known := c.told[key]; !known && len(c.told) >= things {
		key = ""
	}
	last, now := c.told[key], time.Now()
	if now.Sub(last.at) < seldom {
		last.since++
		c.told[key] = last
		return
	}
	attrs := []slog.Attr{slog.String("error", why)}
	if last.since > 0 {
		attrs = append(attrs, slog.Int("and_since_the_last_time", last.since))
	}
	c.log.LogAttrs(context.Background(), slog.LevelWarn, what, attrs...)
	c.told[key] = telling{at: now}
}

// unread says which variable the SDK could not read, without its value: a key may have been put into the wrong one.
func unread(err error) string {
	text := err.Error()
	var escape url.EscapeError
	switch {
	case errors.Is(err, resource.ErrPartialResource), errors.As(err, &escape):
		return "cannot read all of OTEL_RESOURCE_ATTRIBUTES: want NAME=VALUE,NAME=VALUE, with % and two digits for what is not ASCII"
	case strings.Contains(text, "sampler"), strings.Contains(text, "trace ID ratio"):
		return "cannot use OTEL_TRACES_SAMPLER with its OTEL_TRACES_SAMPLER_ARG, and sends every trace"
	}
	return "OpenTelemetry: " + text[:min(len(text), 200)]
}

// plain says why traces could not be sent, in our words: what the exporter says repeats the far side's answer, which may
// repeat the key that it was shown.
func plain(err error) string {
	text := err.Error()
	var asked *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "no answer in time"
	case errors.As(err, &asked):
		return "cannot reach the collector: " + unreached(asked)
	case strings.Contains(text, "failed to send to "):
		if before, _, ok := strings.Cut(text, " (body: "); ok {
			for _, word := range strings.Fields(before) {
				if len(word) == 3 && strings.Trim(word, "0123456789") == "" {
					return "the collector answered " + word
				}
			}
		}
	case strings.Contains(text, "retry-able"):
		return "the collector is too busy"
	case strings.Contains(text, "partial success"):
		return "the collector took only a part"
	}
	return "the collector's answer cannot be read"
}

// unreached is what the system says; of an answer that is no HTTP nothing is repeated.
func unreached(err *url.Error) string {
	var op *net.OpError
	var dns *net.DNSError
	switch {
	case err.Timeout():
		return "no answer in time"
	case errors.As(err, &dns):
		return "its name does not resolve"
	case errors.As(err, &op) && op.Err != nil && op.Op == "dial":
		return op.Error()
	case op != nil && op.Err != nil && op.Op == "remote error": // one of TLS's alerts, which are words of package tls
		return "it breaks off the handshake, and may want another client certificate: " + op.Err.Error()
	case strings.Contains(err.Err.Error(), "server gave HTTP response to HTTPS client"):
		return "it speaks no TLS: want http://"
	case strings.Contains(err.Err.Error(), "certificate"), strings.Contains(err.Err.Error(), "tls: "):
		return "its certificate is not trusted, or it speaks no TLS"
	}
	return "what answers there speaks no HTTP, or breaks off; the port for HTTP is 4318 as a rule"
}

// sink takes the SDK's messages. It passes on no values that come with them: one of them is the text of a header that
// cannot be read, and headers are where keys are.
type sink struct{ to *complaints }

// Init has nothing to prepare.
func (sink) Init(logr.RuntimeInfo) {}

// Enabled leaves out what the SDK's own authors look for a mistake by.
func (sink) Enabled(level int) bool { return level <= 4 }

// Info takes a warning, and of the news which variable holds no number.
func (s sink) Info(level int, text string, about ...any) {
	switch {
	case strings.HasPrefix(text, "Got invalid value") && len(about) > 0:
		s.to.say(passedOver, fmt.Sprintf("%v is no number", about[0]))
	case level > 1:
	case strings.Contains(text, "dropping"):
		s.to.say(lost, "OpenTelemetry: "+text)
	default:
		s.to.say(passedOver, "OpenTelemetry: "+text)
	}
}

// Error takes an error: what could not be read in a variable.
func (s sink) Error(_ error, text string, _ ...any) {
	s.to.say(passedOver, "OpenTelemetry, of the variables OTEL_…: cannot "+text)
}

// WithValues leaves them out.
func (s sink) WithValues(...any) logr.LogSink { return s }

// WithName leaves it out.
func (s sink) WithName(string) logr.LogSink { return s }
