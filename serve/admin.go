// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/serve/offer"
)

// A Report is what /status tells, in JSON. It holds no secret. Fields are added, and never renamed.
type Report struct {
	Version   string           `json:"version,omitempty"`
	Started   time.Time        `json:"started"`
	Ready     bool             `json:"ready"` // what /readyz says
	Endpoints []EndpointReport `json:"endpoints"`
	Crossings []CrossingReport `json:"crossings"`

	// Configuration is how reading it went last; nil: the program does not read it again.
	Configuration *ConfigurationReport `json:"configuration,omitempty"`
}

// An EndpointReport is one listener.
type EndpointReport struct {
	Name        string   `json:"name"`
	Addresses   []string `json:"addresses"` // 127.0.0.1:9911, unix:/PATH
	TLS         bool     `json:"tls,omitempty"`
	Connections int      `json:"connections"`
}

// A CrossingReport is one crossing's credential. Times are left out where there is nothing to tell.
type CrossingReport struct {
	Name        string    `json:"name"`
	State       string    `json:"state"` // ready, failing, exchanging or unused
	Ready       bool      `json:"ready"` // a credential would be handed out now; one that fails may still be
	Kind        string    `json:"kind,omitempty"`
	Principal   string    `json:"principal,omitempty"`
	Obtained    time.Time `json:"obtained,omitzero"`
	Expires     time.Time `json:"expires,omitzero"`
	NextRefresh time.Time `json:"next_refresh,omitzero"`
	Failures    int       `json:"failures,omitempty"`
	Error       string    `json:"error,omitempty"`      // the last failure, in words
	ErrorKind   string    `json:"error_kind,omitempty"` // and in a word: refused, no_identity, temporary, misuse, cancelled or failed
	Hint        string    `json:"hint,omitempty"`
	FailedAt    time.Time `json:"failed_at,omitzero"`
}

// Admin answers GET of /healthz, /readyz, /metrics and /status. It hands out nothing; still it belongs on a listener of
// its own, for it names whom the crossings speak for.
//
//   - /healthz: 200 as long as the server answers at all.
//   - /readyz: 200 if every crossing is ready, or each of those in Options.Ready, and Options.Unready has nothing to add; else
//     503, and a line for each that is not.
//   - /metrics: Prometheus' text format.
//   - /status: a [Report].
func (s *Server) Admin() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			plainly(w, http.StatusMethodNotAllowed, "this is only read\n")
			return
		}
		switch r.URL.Path {
		case "/healthz":
			plainly(w, http.StatusOK, "ok\n")
		case "/readyz":
			if lines := s.unready(); len(lines) > 0 {
				plainly(w, http.StatusServiceUnavailable, strings.Join(lines, "\n")+"\n")
				return
			}
			plainly(w, http.StatusOK, "ready\n")
		case "/metrics":
			w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
			_, _ = w.Write(s.exposition()) // if it hung up, it does not want to know
		case "/status":
			s.showStatus(w)
		default:
			plainly(w, http.StatusNotFound, "want /healthz, /readyz, /metrics or /status\n")
		}
	})
}

func plainly(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // if it hung up, it does not want to know
}

func (s *Server) showStatus(w http.ResponseWriter) {
	text, err := json.MarshalIndent(s.Report(), "", "  ")
	if err != nil {
		plainly(w, http.StatusInternalServerError, "the status cannot be written: "+err.Error()+"\n")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(text, '\n')) // if it hung up, it does not want to know
}

// Report is what /status tells.
func (s *Server) Report() Report {
	r := Report{Version: s.o.Version, Started: s.metrics.started, Ready: len(s.unready()) == 0, Endpoints: s.endpoints(), Crossings: []CrossingReport{}, Configuration: s.configuration.Load()}
	for _, c := range s.o.Crossings() {
		r.Crossings = append(r.Crossings, report(c))
	}
	sort.SliceStable(r.Crossings, func(i, j int) bool { return r.Crossings[i].Name < r.Crossings[j].Name })
	return r
}

func (s *Server) endpoints() []EndpointReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []EndpointReport{}
	for _, l := range s.running {
		now := l.now.Load()
		e := EndpointReport{Name: now.Name, TLS: now.TLS != nil, Connections: len(l.held())}
		for _, socket := range l.sockets {
			if now.addr.path != "" {
				e.Addresses = append(e.Addresses, now.addr.text)
			} else {
				e.Addresses = append(e.Addresses, socket.Addr().String())
			}
		}
		all = append(all, e)
	}
	return all
}

func report(c keep.Status) CrossingReport {
	r := CrossingReport{Name: c.Name, State: state(c), Ready: c.Ready, Principal: c.Principal, Obtained: c.Obtained, Expires: c.Expires,
		NextRefresh: c.NextRefresh, Failures: c.Failures, FailedAt: c.FailedAt}
	if c.Kind != 0 {
		r.Kind = c.Kind.String()
	}
	if c.Err != nil {
		r.Error, r.ErrorKind = inOneLine(c.Err.Error()), offer.Outcome(c.Err)
		if e, ok := errors.AsType[*stile.Error](c.Err); ok {
			r.Hint = inOneLine(e.Hint)
		}
	}
	return r
}

func state(c keep.Status) string {
	switch {
	case c.Failures > 0:
		return "failing"
	case c.Ready:
		return "ready"
	case c.Exchanging:
		return "exchanging"
	}
	return "unused"
}

// unready is one line for each crossing that must be ready and is not, and for all else that Options.Unready tells.
func (s *Server) unready() []string {
	var lines []string
	named := map[string]bool{}
	for _, c := range byName(s.o.Crossings()) {
		named[c.Name] = true
		if c.Ready || len(s.o.Ready) > 0 && !slices.Contains(s.o.Ready, c.Name) {
			continue
		}
		lines = append(lines, c.Name+": "+reason(c))
	}
	for _, name := range s.o.Ready {
		if !named[name] {
			lines = append(lines, name+": there is no such crossing")
		}
	}
	for _, line := range s.o.Unready() {
		lines = append(lines, inOneLine(line))
	}
	return lines
}

func reason(c keep.Status) string {
	switch {
	case c.Err != nil:
		why := inOneLine(c.Err.Error())
		if e, ok := errors.AsType[*stile.Error](c.Err); ok && e.Hint != "" {
			why += " (" + inOneLine(e.Hint) + ")"
		}
		return "failed " + times(c.Failures) + ": " + why
	case c.Exchanging:
		return "the first exchange is under way"
	case !c.Expires.IsZero():
		return "its credential has expired, and nobody has asked for another"
	}
	return "nobody has asked for it yet"
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return strconv.Itoa(n) + " times"
}

func inOneLine(s string) string {
	return clip(strings.Join(strings.Fields(s), " "), 2048)
}
