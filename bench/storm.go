// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync"
	"time"

	"github.com/stile-project/stile/lab"
	"github.com/stile-project/stile/lab/stage"
)

// A storm stands before the hosts where credentials are exchanged: it lets requests fail, and has what comes of the
// others end soon. The clouds themselves stay as strict as they are; AWS gives nothing for less than 15 minutes.
type storm struct {
	life  time.Duration
	share float64 // of requests that fail

	mu                 sync.Mutex
	random             *rand.Rand
	down               bool
	asked, struck, out int // requests; those that failed by chance, and in an outage
	outages            int
	byToken            map[string]grant
}

// A grant is one credential.
type grant struct {
	intoAWS  bool
	at, ends time.Time
}

// The answers that give a credential. A token of Google's STS is no more than half of a crossing.
var (
	sessionToken = regexp.MustCompile(`<SessionToken>([^<]*)</SessionToken>`)
	sessionEnds  = regexp.MustCompile(`<Expiration>[^<]*</Expiration>`)
	googleToken  = regexp.MustCompile(`"accessToken": ?"([^"]*)"`)
	googleEnds   = regexp.MustCompile(`"expireTime": ?"[^"]*"`)
)

// gather puts the storm before the hosts.
func gather(c *clouds, life time.Duration, share float64, seed uint64) (*storm, error) {
	s := &storm{life: life, share: share, random: rand.New(rand.NewPCG(seed, 0)), byToken: map[string]grant{}} //nolint:gosec // chance that can be had again
	for _, host := range []string{"sts." + stage.Region + ".amazonaws.com", "sts.googleapis.com", "iamcredentials.googleapis.com"} {
		real, ok := c.scene.World.AWS.Handler(host)
		if !ok {
			real, ok = c.scene.World.Google.Handler(host)
		}
		if !ok {
			return nil, fmt.Errorf("the lab has no host %s", host)
		}
		c.scene.World.Faults.Add(lab.Fault{Host: host, Replace: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, real) })})
	}
	return s, nil
}

// strike decides what becomes of a request: an answer of this status, or none at all, or the cloud's own (0).
func (s *storm) strike() (status int, cut bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	switch {
	case s.down:
		s.out++
	case s.random.Float64() < s.share:
		s.struck++
	default:
		return 0, false
	}
	switch s.random.IntN(4) {
	case 0:
		return http.StatusInternalServerError, false
	case 1:
		return http.StatusTooManyRequests, false
	case 2:
		return http.StatusServiceUnavailable, false
	}
	return 0, true
}

func (s *storm) serve(w http.ResponseWriter, r *http.Request, real http.Handler) {
	status, cut := s.strike()
	switch {
	case cut:
		panic(http.ErrAbortHandler)
	case status != 0:
		http.Error(w, "the storm", status)
		return
	}
	answer := httptest.NewRecorder()
	real.ServeHTTP(answer, r)
	text := answer.Body.Bytes()
	ends := time.Now().Add(s.life).UTC().Truncate(time.Second)
	told := ends.Format(time.RFC3339)
	if m := sessionToken.FindSubmatch(text); m != nil {
		s.grant(string(m[1]), grant{true, time.Now(), ends})
		text = sessionEnds.ReplaceAll(text, []byte("<Expiration>"+told+"</Expiration>"))
	} else if m := googleToken.FindSubmatch(text); m != nil {
		s.grant(string(m[1]), grant{false, time.Now(), ends})
		text = googleEnds.ReplaceAll(text, []byte(`"expireTime": "`+told+`"`))
	}
	header := w.Header()
	for name, values := range answer.Header() {
		header[name] = values
	}
	header.Del("Content-Length")
	w.WriteHeader(answer.Code)
	_, _ = w.Write(text) // whoever left asks again
}

func (s *storm) grant(token string, g grant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byToken[token] = g
}

// of is the grant of a token.
func (s *storm) of(token string) (grant, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.byToken[token]
	return g, ok
}

// could reports whether there was a credential for whoever asked then and had an answer then: one that had come before,
// and was to live on. What comes or ends within a second of that may be either.
func (s *storm) could(intoAWS bool, asked, answered time.Time) bool {
	const doubt = time.Second
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.byToken {
		if g.intoAWS == intoAWS && g.at.Before(asked.Add(-doubt)) && g.ends.After(answered.Add(doubt)) {
			return true
		}
	}
	return false
}

// turn begins an outage, or ends it.
func (s *storm) turn(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down = down; down {
		s.outages++
	}
}

// isDown reports whether an outage is on.
func (s *storm) isDown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}

// until is how long it is until the next outage: from a half to one and a half times so long.
func (s *storm) until(about time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Duration((0.5 + s.random.Float64()) * float64(about))
}
