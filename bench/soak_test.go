// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stile-project/stile/lab/stage"
)

var began = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func soaked(ends time.Time) *soak {
	return &soak{storm: &storm{byToken: map[string]grant{"aws-1": {true, began, ends}, "google-1": {false, began, ends}}}}
}

// What is not to be handed out is told of.
func TestLiving(t *testing.T) {
	t.Parallel()
	s, ends := soaked(began.Add(time.Minute)), began.Add(time.Minute)
	aws := `{"Token":"aws-1","Expiration":"` + ends.Format(time.RFC3339) + `"}`
	for name, c := range map[string]struct {
		kind, body string
		asked      time.Time
		want       string // of the error; empty: none
	}{
		"lives":                {"ecs", aws, began.Add(59 * time.Second), ""},
		"lives, Google":        {"gce", `{"access_token":"google-1","expires_in":30}`, began.Add(30 * time.Second), ""},
		"ended":                {"imds", aws, ends, "before it was asked for"},
		"nobody's":             {"ecs", `{"Token":"aws-2"}`, began, "nobody gave"},
		"none":                 {"gce", `{}`, began, "nobody gave"},
		"the other crossing's": {"ecs", `{"Token":"google-1"}`, began, "the other"},
		"another end":          {"ecs", strings.Replace(aws, ":00Z", ":01Z", 1), began, "and not at"},
		"longer than it is":    {"gce", `{"access_token":"google-1","expires_in":31}`, began.Add(30 * time.Second), "and not for"},
		"no JSON":              {"ecs", "aws-1", began, "no JSON"},
	} {
		err := s.living(spot{kind: c.kind}, c.asked, []byte(c.body))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// A failure counts where there was a credential for sure, and only there.
func TestJudge(t *testing.T) {
	t.Parallel()
	broken := errors.New("503")
	for name, c := range map[string]struct {
		asked, answered time.Duration
		kind            string
		failed, none    int
	}{
		"in its life":              {5 * time.Second, 6 * time.Second, "ecs", 1, 0},
		"the other's, in its life": {5 * time.Second, 6 * time.Second, "gce", 1, 0},
		"as it came":               {time.Second, 2 * time.Second, "ecs", 0, 1},
		"as it ended":              {58 * time.Second, 59 * time.Second, "ecs", 0, 1},
		"after its end":            {time.Hour, time.Hour, "gce", 0, 1},
	} {
		s := soaked(began.Add(time.Minute))
		s.judge(spot{kind: c.kind}, began.Add(c.asked), began.Add(c.answered), nil, broken)
		if s.calm != s.none {
			t.Errorf("%s: %d of %d failed while no outage was on, and none was", name, s.calm, s.none)
		}
		if s.answers != 1 || s.failed != c.failed || s.none != c.none || s.dead != 0 {
			t.Errorf("%s: got %d failed and %d with none, want %d and %d", name, s.failed, s.none, c.failed, c.none)
		}
	}
	s := soaked(began.Add(time.Minute))
	s.judge(spot{kind: "ecs"}, began.Add(2*time.Minute), began.Add(2*time.Minute), []byte(`{"Token":"aws-1"}`), nil)
	if s.dead != 1 || s.failed != 0 || len(s.said) != 1 {
		t.Errorf("got %d dead and %d failed, want the dead one alone", s.dead, s.failed)
	}
	if s.report().rows[0].met != missed {
		t.Error("a dead answer is no reason to say that anything was missed")
	}
}

// What grows is said to have.
func TestSoakSeesGrowth(t *testing.T) {
	t.Parallel()
	for _, more := range []int{0, 100} {
		s := soaked(began)
		s.start, s.middle, s.at = state{1 << 20, 200, 200}, state{1 << 20, 200, 200}, state{1 << 20, 200 + more, 200}
		for _, line := range s.report().rows {
			if strings.HasPrefix(line.what, "goroutines") && (line.met == met) != (more == 0) {
				t.Errorf("%d goroutines more: %s", more, line.met)
			}
		}
	}
}

// The storm has credentials end soon, and knows which it let through.
func TestStorm(t *testing.T) {
	t.Parallel()
	c, err := raise(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	s, err := gather(c, time.Minute, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	crossing, err := c.crossing()
	if err != nil {
		t.Fatal(err)
	}
	got, err := crossing.Credential(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(got.Expires); left <= 50*time.Second || left > time.Minute {
		t.Errorf("it lives for %s, want a minute", left)
	}
	g, ok := s.of(got.Session.SessionToken.Reveal())
	if !ok || !g.intoAWS || !g.ends.Equal(got.Expires) {
		t.Errorf("got %v and %t, want what was given out", g, ok)
	}
	s.turn(true)
	res, err := c.scene.World.Network(nil).RoundTrip(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://sts."+stage.Region+".amazonaws.com/", nil))
	if err == nil {
		defer func() { _ = res.Body.Close() }()
		if res.StatusCode < 429 {
			t.Errorf("in an outage it answers %d", res.StatusCode)
		}
	}
}

// Chance strikes as often as it should, and the same again from the same seed.
func TestStrike(t *testing.T) {
	t.Parallel()
	run := func() string {
		s := &storm{share: soakShare, random: rand.New(rand.NewPCG(1, 0))}
		for range 10_000 {
			s.strike()
		}
		return fmt.Sprint(s.asked, s.struck, s.out)
	}
	var asked, struck, out int
	if _, err := fmt.Sscan(run(), &asked, &struck, &out); err != nil || asked != 10_000 || struck < 2800 || struck > 3200 || out != 0 {
		t.Errorf("of %d %d were struck, and %d in outages (%v)", asked, struck, out, err)
	}
	if first, second := run(), run(); first != second {
		t.Errorf("the same seed gave %s, and then %s", first, second)
	}
}
