// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"sort"

	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/serve"
)

// A Report is what /status tells, in JSON: that of the server, and what it is for. It holds no secret. Fields are added,
// and never renamed.
type Report struct {
	serve.Report
	Serves []Served     `json:"serves"`
	Files  []FileReport `json:"files"`
}

// Served is one endpoint.
type Served struct {
	Kind      string   `json:"kind"` // ecs, imds or gce
	Listener  string   `json:"listener"`
	Listen    string   `json:"listen"`    // as the plan says it
	Addresses []string `json:"addresses"` // as it came to be
	Crossings []string `json:"crossings"`
	TokenFile string   `json:"token_file,omitempty"` // of ecs
	Error     string   `json:"error,omitempty"`      // why nobody is let in
	Hint      string   `json:"hint,omitempty"`
}

// Report tells how everything stands.
func (s *Sidecar) Report() Report {
	return Report{Report: s.server.Report(), Serves: s.serves(), Files: s.fileReports()}
}

func (s *Sidecar) serves() []Served {
	addresses, broken := s.server.Addresses(), s.tokens.unreadable()
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []Served{}
	for name, l := range s.listeners {
		for _, e := range l.endpoints {
			one := Served{Kind: e.config.Kind(), Listener: name, Listen: e.config.Listen, Crossings: e.config.Crossings(), TokenFile: e.tokenFile}
			if err := broken[e.tokenFile]; err != nil {
				one.Error, one.Hint = err.Error(), hintOf(err)
			}
			for _, at := range addresses[name] {
				if tcp, ok := at.(*net.TCPAddr); ok {
					one.Addresses = append(one.Addresses, tcp.String())
				} else {
					one.Addresses = append(one.Addresses, e.config.Listen)
				}
			}
			all = append(all, one)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Listener+" "+all[i].Kind < all[j].Listener+" "+all[j].Kind })
	return all
}

// Address finds where an endpoint of a report is: the one that is described so.
func (r Report) Address(e config.Endpoint) (Served, bool) {
	for _, one := range r.Serves {
		if one.Kind == e.Kind() && one.Listen == e.Listen && slices.Equal(one.Crossings, e.Crossings()) {
			return one, true
		}
	}
	return Served{}, false
}

// admin is the server's own, with a status that tells more.
type admin Sidecar

func (a *admin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := (*Sidecar)(a)
	if r.URL.Path != "/status" || r.Method != http.MethodGet {
		s.server.Admin().ServeHTTP(w, r)
		return
	}
	text, err := json.MarshalIndent(s.Report(), "", "  ")
	if err != nil {
		http.Error(w, "the status cannot be written: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(text, '\n')) // if it hung up, it does not want to know
}
