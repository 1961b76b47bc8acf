// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"errors"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/serve/offer"
)

// A ConfigurationReport is how reading the configuration went, where the program reads it again while it serves.
type ConfigurationReport struct {
	Current   bool      `json:"current"`              // what was read last is what is served
	TakenOver time.Time `json:"taken_over,omitzero"`  // when what is served was read
	Error     string    `json:"error,omitempty"`      // why what was read last is not served
	ErrorKind string    `json:"error_kind,omitempty"` // as of a [CrossingReport]
	Hint      string    `json:"hint,omitempty"`
	FailedAt  time.Time `json:"failed_at,omitzero"`
}

// ConfigurationRead notes how reading the configuration and going over to it went, for /status and /metrics: err is nil if
// it is served now. A server that is never told tells nothing of it.
func (s *Server) ConfigurationRead(err error) {
	now := s.o.Clock()
	next := ConfigurationReport{Current: true, TakenOver: now}
	if err != nil {
		next = ConfigurationReport{Error: inOneLine(err.Error()), ErrorKind: offer.Outcome(err), FailedAt: now}
		if e, ok := errors.AsType[*stile.Error](err); ok {
			next.Hint = inOneLine(e.Hint)
		}
		if before := s.configuration.Load(); before != nil {
			next.TakenOver = before.TakenOver
		}
	}
	s.configuration.Store(&next)
}

// configuration tells of it under the names that Prometheus has for its own.
func (x *exposition) configuration(c *ConfigurationReport) {
	if c == nil {
		return
	}
	current, taken := 0.0, 0.0
	if c.Current {
		current = 1
	}
	if !c.TakenOver.IsZero() {
		taken = float64(c.TakenOver.UnixMilli()) / 1000
	}
	x.family("stile_config_last_reload_successful", "gauge", "Whether the configuration that was read last is the one that is served.")
	x.value("stile_config_last_reload_successful", current)
	x.family("stile_config_last_reload_success_timestamp_seconds", "gauge", "When the configuration that is served was read, in seconds since 1970.")
	x.value("stile_config_last_reload_success_timestamp_seconds", taken)
}
