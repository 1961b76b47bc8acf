// SPDX-License-Identifier: Apache-2.0

//go:build full

package exporter

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
)

// complaints tells the log what the SDK could not do, each thing once a minute at most.
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
)

// Handle notes an error of the SDK.
func (c *complaints) Handle(err error) { c.say(plain(err)) }

func (c *complaints) say(why string) {
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
	c.log.LogAttrs(context.Background(), slog.LevelWarn, "traces are lost", attrs...)
	c.told[key] = telling{at: now}
}

// plain says why traces could not be sent, in our words: what the exporter says repeats the far side's answer, which may
// repeat the key that it was shown.
func plain(err error) string {
	text := err.Error()
	var asked *url.Error
	switch {
	case !strings.HasPrefix(text, "traces export: "): // the SDK's own, of a setting
		return text[:min(len(text), 200)]
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
	case strings.Contains(err.Err.Error(), "certificate"), strings.Contains(err.Err.Error(), "tls: "):
		return "its certificate is not trusted, or it speaks no TLS"
	}
	return "what answers there speaks no HTTP, or breaks off"
}

// sink takes the SDK's messages. It passes on no values that come with them: one of them is the text of a header that
// cannot be read, and headers are where keys are.
type sink struct{ to *complaints }

// Init has nothing to prepare.
func (sink) Init(logr.RuntimeInfo) {}

// Enabled takes warnings, and leaves out what is for the SDK's own authors.
func (sink) Enabled(level int) bool { return level <= 1 }

// Info takes a warning.
func (s sink) Info(_ int, text string, _ ...any) { s.to.say("OpenTelemetry: " + text) }

// Error takes an error: what could not be read in a variable.
func (s sink) Error(_ error, text string, _ ...any) {
	s.to.say("OpenTelemetry, of the variables OTEL_…: cannot " + text)
}

// WithValues leaves them out.
func (s sink) WithValues(...any) logr.LogSink { return s }

// WithName leaves it out.
func (s sink) WithName(string) logr.LogSink { return s }
