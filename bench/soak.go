// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A soak is one long run of stile serve, with short-lived credentials and clouds that fail.
type soak struct {
	lasts, life       time.Duration
	outage, between   time.Duration
	rest              time.Duration // with no clients, before and after
	clients           int
	served            *serving
	storm             *storm
	spots             []spot
	before, after     state
	start, middle, at state // under load, medians of a third each

	mu           sync.Mutex
	answers      int
	failed, dead int // while there was a credential
	none         int // failed, and there was none
	calm         int // of these, while no outage was on
	longest      float64
	said         []string // of what must not be, the first few
}

// A state is what the process takes.
type state struct {
	memory                  float64
	goroutines, descriptors int
}

const soakSeed, soakShare = 20, 0.3

// soakBench is no part of a usual run.
func soakBench(ctx context.Context, at *place) (report, error) {
	s := &soak{lasts: at.lasts, life: time.Minute, outage: 20 * time.Second, between: time.Minute, rest: 5 * time.Second, clients: 50}
	if at.short {
		s.lasts, s.life, s.outage, s.between, s.rest = min(at.lasts, 5*time.Second), 6*time.Second, 500*time.Millisecond, time.Second, 50*time.Millisecond
	}
	p, err := build(ctx, at.root, at.scratch)
	if err != nil {
		return report{}, err
	}
	c, err := raise(at.scratch)
	if err != nil {
		return report{}, err
	}
	defer c.close()
	if err := c.alsoAWS(); err != nil {
		return report{}, err
	}
	if s.storm, err = gather(c, s.life, soakShare, soakSeed); err != nil {
		return report{}, err
	}
	// With an audit, as it is by default: what grows may be there.
	if s.served, err = c.serve(ctx, p, c.path("s"), twoCrossings(c.path("s")), "--audit-log", "/dev/null"); err != nil {
		return report{}, err
	}
	err = s.run(ctx)
	if err := errors.Join(err, s.served.end()); err != nil {
		return report{}, err
	}
	if at.short && s.failed+s.dead > 0 {
		return report{}, fmt.Errorf("%d answers failed and %d were dead while there was a credential: %s", s.failed, s.dead, strings.Join(s.said, "; "))
	}
	return s.report(), nil
}

func (s *soak) run(ctx context.Context) (err error) {
	if s.spots, err = s.served.spots(ctx); err != nil {
		return err
	}
	if err := pause(ctx, s.rest); err != nil {
		return err
	}
	if s.before, err = s.look(ctx); err != nil {
		return err
	}
	under, end := context.WithTimeout(ctx, s.lasts)
	defer end()
	var all sync.WaitGroup
	for n := range s.clients {
		all.Go(func() { s.client(under, rand.New(rand.NewPCG(soakSeed, uint64(n)+1))) }) //nolint:gosec // chance that can be had again
	}
	all.Go(func() { s.weather(under) })
	seen, err := s.watch(under)
	all.Wait()
	if err := errors.Join(err, context.Cause(ctx)); err != nil {
		return err
	}
	third := max(1, len(seen)/3)
	s.start, s.middle, s.at = typical(seen[:min(third, len(seen))]), typical(seen[min(third, len(seen)):max(third, len(seen)-third)]), typical(seen[max(0, len(seen)-third):])
	if err := pause(ctx, s.rest); err != nil {
		return err
	}
	s.after, err = s.look(ctx)
	return err
}

// weather has the clouds out of order now and then.
func (s *soak) weather(ctx context.Context) {
	for {
		if pause(ctx, s.storm.until(s.between)) != nil {
			return
		}
		s.storm.turn(true)
		err := pause(ctx, s.outage)
		s.storm.turn(false)
		if err != nil {
			return
		}
	}
}

func (s *soak) look(ctx context.Context) (now state, err error) {
	now.memory = residentIn(s.served.cmd.Process.Pid).all
	now.descriptors = s.served.descriptors()
	now.goroutines, err = s.served.goroutines(ctx)
	return now, err
}

// watch looks again and again, until the clients end.
func (s *soak) watch(ctx context.Context) (seen []state, err error) {
	for pause(ctx, max(s.lasts/300, 200*time.Millisecond)) == nil {
		now, err := s.look(ctx)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return nil, err
		}
		seen = append(seen, now)
	}
	if len(seen) < 3 {
		return nil, errors.New("it was too short to see anything")
	}
	return seen, nil
}

// typical is the median of each figure.
func typical(seen []state) state {
	of := func(figure func(state) float64) float64 {
		var all []float64
		for _, one := range seen {
			all = append(all, figure(one))
		}
		if len(all) == 0 {
			return 0
		}
		return median(all)
	}
	return state{of(func(s state) float64 { return s.memory }), int(of(func(s state) float64 { return float64(s.goroutines) })), int(of(func(s state) float64 { return float64(s.descriptors) }))}
}

// client asks every endpoint, over both networks, and begins anew with other connections now and then.
func (s *soak) client(ctx context.Context, random *rand.Rand) {
	type way struct {
		spot   spot
		url    string
		header string
		client *http.Client
	}
	var ways []way
	for _, spot := range s.spots {
		for network, address := range spot.address {
			host := address
			if network == "unix" {
				host = "localhost"
			}
			dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, address)
			}
			ways = append(ways, way{spot, "http://" + host + spot.path, spot.header[network], &http.Client{Transport: &http.Transport{DialContext: dial}}})
		}
	}
	slices.SortFunc(ways, func(a, b way) int { return strings.Compare(a.spot.name+a.url, b.spot.name+b.url) })
	defer func() {
		for _, w := range ways {
			w.client.CloseIdleConnections()
		}
	}()
	for {
		w := ways[random.IntN(len(ways))]
		asked := time.Now()
		_, body, err := fetch(ctx, w.client, http.MethodGet, w.url, []string{w.header})
		answered := time.Now()
		if ctx.Err() != nil {
			return // it was the end that cut it short
		}
		s.judge(w.spot, asked, answered, body, err)
		if random.IntN(100) == 0 {
			w.client.CloseIdleConnections()
		}
		if pause(ctx, time.Duration(10+random.IntN(20))*time.Millisecond) != nil {
			return
		}
	}
}

// judge counts one answer.
func (s *soak) judge(on spot, asked, answered time.Time, body []byte, err error) {
	dead := err == nil
	if err == nil {
		err = s.living(on, asked, body)
		dead = err != nil
	}
	wrong := dead || err != nil && s.storm.could(on.kind != "gce", asked, answered)
	out := s.storm.isDown()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers++
	s.longest = max(s.longest, nanoseconds(answered.Sub(asked)))
	switch {
	case dead:
		s.dead++
	case wrong:
		s.failed++
	case err != nil:
		s.none++
		if !out {
			s.calm++
		}
	}
	if wrong && len(s.said) < 5 {
		s.said = append(s.said, on.name+": "+err.Error())
	}
}

// living fails for what is no credential that was given out, or is one that had ended before it was asked for, or says
// of its end what is not so.
func (s *soak) living(on spot, asked time.Time, body []byte) error {
	var answer struct {
		Token       string
		Expiration  time.Time
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("it is no JSON: %w", err)
	}
	token := answer.Token + answer.AccessToken
	g, ok := s.storm.of(token)
	switch {
	case !ok:
		return errors.New("nobody gave this credential out")
	case !g.ends.After(asked):
		return fmt.Errorf("it ended %s before it was asked for", asked.Sub(g.ends))
	case g.intoAWS != (on.kind != "gce"):
		return errors.New("it is the other crossing's")
	case g.intoAWS && !answer.Expiration.Equal(g.ends):
		return fmt.Errorf("it ends at %s, and not at %s", g.ends, answer.Expiration)
	case !g.intoAWS && time.Duration(answer.ExpiresIn)*time.Second > g.ends.Sub(asked):
		return fmt.Errorf("it lives for %s, and not for %d seconds", g.ends.Sub(asked), answer.ExpiresIn)
	}
	return nil
}

func (s *soak) report() report {
	granted := len(s.storm.byToken)
	r := report{rows: []row{
		{what: "answers, of which failed or dead while there was a credential", ours: fmt.Sprintf("%s, %d failed, %d dead", grouped(s.answers), s.failed, s.dead), budget: "0 and 0", met: judge(s.failed+s.dead == 0)},
		{what: "answers that failed when there was no credential, of which while no outage was on", ours: fmt.Sprintf("%s, %s", grouped(s.none), grouped(s.calm))},
		{what: "longest answer", ours: span(s.longest)},
		{what: "credentials exchanged", ours: grouped(granted)},
		{what: "requests for these, of which failed by chance and in outages", ours: fmt.Sprintf("%s, %s and %s, %d outages", grouped(s.storm.asked), grouped(s.storm.struck), grouped(s.storm.out), s.storm.outages)},
	}}
	grows := func(what string, text func(state) string, of func(state) float64, slack float64) {
		ours := fmt.Sprintf("%s, %s, %s; at rest %s before, %s after", text(s.start), text(s.middle), text(s.at), text(s.before), text(s.after))
		r.rows = append(r.rows, row{what: what + ": start, middle, end", ours: ours, budget: "no growth", met: judge(of(s.at) <= of(s.middle)*1.05+slack)})
	}
	if memoryIsTold {
		grows("memory resident", func(s state) string { return size(s.memory) }, func(s state) float64 { return s.memory }, 1<<20)
		grows("descriptors", func(s state) string { return fmt.Sprint(s.descriptors) }, func(s state) float64 { return float64(s.descriptors) }, 5)
	}
	grows("goroutines", func(s state) string { return fmt.Sprint(s.goroutines) }, func(s state) float64 { return float64(s.goroutines) }, 5)
	for _, text := range s.said {
		r.notes = append(r.notes, "What must not be: `"+text+"`")
	}
	r.notes = append(r.notes, fmt.Sprintf("%d clients ask all endpoints for %s, over TCP and Unix sockets, and check each answer against what was given out. Credentials live for %s. Of the requests for them %d %% fail by chance "+
		"(500, 429, 503, or the connection is cut), and all in outages of %s, about %s apart; the seed is %d. An answer counts as failed where a credential had been given out a second before "+
		"it was asked for, and lived on for a second after. Start, middle and end are the medians of a third each, with all clients' connections; no growth is no more than a twentieth from the middle to the end.",
		s.clients, s.lasts, s.life, int(soakShare*100), s.outage, s.between, soakSeed))
	return r
}
