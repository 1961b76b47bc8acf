// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"slices"

	"github.com/stile-project/stile/serve"
)

// A lack keeps a crossing from being ready though it may have a credential: those who should find that do not.
type lack struct {
	crossing string
	why      string
}

// lacks are all that there are now: files that hold no credential, and endpoints without their bearer token.
func (s *Sidecar) lacks() []lack {
	var all []lack
	for _, f := range s.fileReports() {
		if !f.Ready {
			all = append(all, lack{f.Crossing, f.why()})
		}
	}
	broken := s.tokens.unreadable()
	if len(broken) == 0 {
		return all
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.listeners {
		for _, e := range l.endpoints {
			err := broken[e.tokenFile]
			if err == nil {
				continue
			}
			for _, name := range e.config.Crossings() {
				all = append(all, lack{name, "nobody is let in at " + e.config.Listen + ": " + withHint(err.Error(), hintOf(err))})
			}
		}
	}
	return all
}

// lacking are the crossings with a lack.
func (s *Sidecar) lacking() map[string]bool {
	all := map[string]bool{}
	for _, l := range s.lacks() {
		all[l.crossing] = true
	}
	return all
}

// unready is a line for each lack, as the admin's /readyz tells them.
func (s *Sidecar) unready() []string {
	var lines []string
	for _, l := range s.lacks() {
		lines = append(lines, l.crossing+": "+l.why)
	}
	slices.Sort(lines)
	return lines
}

func withHint(why, hint string) string {
	if hint == "" {
		return why
	}
	return why + " (" + hint + ")"
}

// fileStatuses tells metrics how files stand.
func (s *Sidecar) fileStatuses() []serve.FileStatus {
	var all []serve.FileStatus
	for _, f := range s.fileReports() {
		all = append(all, serve.FileStatus{Crossing: f.Crossing, Path: f.Path, Profile: f.Profile, Ready: f.Ready, Expires: f.Expires, Failures: f.Failures})
	}
	return all
}

// endpointStatuses tells metrics how endpoints stand.
func (s *Sidecar) endpointStatuses() []serve.EndpointStatus {
	var all []serve.EndpointStatus
	for _, e := range s.serves() {
		all = append(all, serve.EndpointStatus{Listener: e.Listener, Kind: e.Kind, Ready: e.Error == ""})
	}
	return all
}

func (s *Sidecar) fileReports() []FileReport {
	s.mu.Lock()
	f := s.files
	s.mu.Unlock()
	return f.reports()
}
