// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/stile-project/stile/lab/stage"
)

// The budgets of stile serve.
const (
	shareBudget = 0.8 // of what net/http answers that does nothing else
	p99Budget   = time.Millisecond
	sizeBudget  = 16 << 20
	idleBudget  = 15 << 20
	manyBudget  = 64 << 20
)

// A sitting is one run of the serve bench.
type sitting struct {
	at     *place
	p      programs
	c      *clouds
	asks   generator
	rounds int
	lasts  time.Duration // of one round of one contender
	many   int           // crossings, where there are many
	r      report
}

// serveBench asks the endpoints of stile serve, against others that answer the same bytes.
func serveBench(ctx context.Context, at *place) (report, error) {
	s := &sitting{at: at, rounds: 5, lasts: time.Second, many: 10_000}
	if at.short {
		s.rounds, s.lasts, s.many = 1, 100*time.Millisecond, 100
	}
	var err error
	if s.p, err = build(ctx, at.root, at.scratch); err != nil {
		return report{}, err
	}
	if s.c, err = raise(at.scratch); err != nil {
		return report{}, err
	}
	defer s.c.close()
	if err := s.c.alsoAWS(); err != nil {
		return report{}, err
	}
	if s.asks, err = newGenerator(s.p, s.c); err != nil {
		return report{}, err
	}
	for _, step := range []func(context.Context) error{s.answers, s.starts, s.crowded} {
		if err := step(ctx); err != nil {
			return report{}, err
		}
	}
	info, err := os.Stat(s.p.stile)
	if err != nil {
		return report{}, err
	}
	s.r.rows = append(s.r.rows, row{what: "size of the program, stripped", ours: size(float64(info.Size())), budget: "under " + size(sizeBudget), met: judge(info.Size() < sizeBudget)})
	s.r.notes = append(s.r.notes, fmt.Sprintf("Whoever asks is a process of its own, as is whoever answers, and both share this machine's processors: %d connections ask, "+
		"each as soon as it is answered, for %s a round. Times of an answer are those with %d a second from each, and those at the most that is answered, where each waits for the others. TCP is loopback; %s asks there as fast as it goes, and bench/load all else. "+
		"The bare handler (bench/bare) has a loop of net/http, the bytes and their length, and checks, counts and writes down nothing. Without an audit unless said otherwise; by default there is one.",
		connections, s.lasts, paced, s.asks.name(question{network: "tcp"}, s.lasts)))
	return s.r, nil
}

// A contender answers on a spot.
type contender struct {
	name     string
	question question
	got      []loaded // as fast as it goes
	paced    []loaded
}

// of is one figure of every round.
func of(rounds []loaded, figure func(loaded) float64) (values []float64) {
	for _, l := range rounds {
		values = append(values, figure(l))
	}
	return values
}

func perSecond(l loaded) float64 { return l.perSecond }
func p99(l loaded) float64       { return l.p99 }

// latencies writes the medians.
func latencies(rounds []loaded) string {
	p50, p999 := func(l loaded) float64 { return l.p50 }, func(l loaded) float64 { return l.p999 }
	return strings.Join([]string{span(median(of(rounds, p50))), span(median(of(rounds, p99))), span(median(of(rounds, p999)))}, " / ")
}

// A match is held on one spot and one network. The first contender is ours.
type match struct {
	name       string
	contenders []*contender
}

const bareName, nginxName, oursServed = "net/http, the same bytes", "nginx, the same bytes in a file", "stile serve"

// answers holds all matches, in turns.
func (s *sitting) answers(ctx context.Context) error {
	served, err := s.c.serve(ctx, s.p, s.c.path("a"), twoCrossings(s.c.path("a")), "--audit-log", "none")
	if err != nil {
		return err
	}
	audited, err := s.c.serve(ctx, s.p, s.c.path("b"), twoCrossings(s.c.path("b")), "--audit-log", s.c.path("audit"))
	if err != nil {
		return errors.Join(err, served.end())
	}
	matches, end, err := s.matches(ctx, served, audited)
	for n := -1; err == nil && n < s.rounds; n++ { // the first is for all to warm up
		err = s.round(ctx, matches, n)
	}
	took := residentIn(served.cmd.Process.Pid)
	if err := errors.Join(err, end(), served.end(), audited.end()); err != nil {
		return err
	}
	s.tell(matches)
	if memoryIsTold {
		s.r.rows = append(s.r.rows, row{what: "2 crossings, under that load: most memory resident", ours: size(took.most)})
	}
	return nil
}

// round has each contender of each match answer for a while. Each is first now and then.
func (s *sitting) round(ctx context.Context, matches []*match, n int) error {
	for _, m := range matches {
		for i := range m.contenders {
			one := m.contenders[(i+max(0, n))%len(m.contenders)]
			lasts := s.lasts
			if n < 0 {
				lasts = min(lasts, 200*time.Millisecond)
			}
			got, err := s.asks.ask(ctx, one.question, lasts)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", m.name, one.name, err)
			}
			if n < 0 {
				continue
			}
			one.got = append(one.got, got)
			if one.name != oursServed && one.name != bareName {
				continue
			}
			slowly := one.question
			slowly.often = paced
			if got, err = s.asks.ask(ctx, slowly, s.lasts); err != nil {
				return fmt.Errorf("%s, %s: %w", m.name, one.name, err)
			}
			one.paced = append(one.paced, got)
		}
	}
	return nil
}

// matches makes them, with whoever else answers. What ends these must be called even if it fails.
func (s *sitting) matches(ctx context.Context, served, audited *serving) (matches []*match, end func() error, err error) {
	var ends []func() error
	end = func() error {
		var all []error
		for _, one := range ends {
			all = append(all, one())
		}
		return errors.Join(all...)
	}
	spots, err := served.spots(ctx)
	if err != nil {
		return nil, end, err
	}
	withAudit, err := audited.spots(ctx)
	if err != nil {
		return nil, end, err
	}
	bodies, err := s.bodies(ctx, spots)
	if err != nil {
		return nil, end, err
	}
	nginx, stop, err := s.c.startNginx(ctx)
	ends = append(ends, stop)
	if err != nil {
		return nil, end, err
	}
	if nginx == "" {
		s.r.notes = append(s.r.notes, "There is no nginx on this machine, so it is absent.")
	}
	for i, spot := range spots {
		address, stop, err := s.bare(ctx, bodies[i])
		ends = append(ends, stop)
		if err != nil {
			return nil, end, err
		}
		tcp := &match{spot.name + " over TCP", []*contender{{name: oursServed, question: spot.on("tcp")}, {name: bareName, question: spot.at("tcp", address["tcp"])}}}
		if nginx != "" {
			tcp.contenders = append(tcp.contenders, &contender{name: nginxName, question: question{"tcp", nginx, "/" + bodies[i].name, nil, 0}})
		}
		if spot.kind == "ecs" {
			tcp.contenders = append(tcp.contenders, &contender{name: "stile serve, with an audit into a file", question: withAudit[i].on("tcp")})
		}
		matches = append(matches, tcp, &match{spot.name + " over a Unix socket",
			[]*contender{{name: oursServed, question: spot.on("unix")}, {name: bareName, question: spot.at("unix", address["unix"])}}})
	}
	return matches, end, nil
}

// A body is an answer of stile serve's, in a file.
type body struct{ name, contentType, path string }

func (s *sitting) bodies(ctx context.Context, spots []spot) (all []body, err error) {
	folder := s.c.path("bodies")
	if err := os.Mkdir(folder, 0o755); err != nil { //nolint:gosec // nginx's worker may be another user
		return nil, err
	}
	for _, spot := range spots {
		header, text, err := fetch(ctx, http.DefaultClient, http.MethodGet, "http://"+spot.address["tcp"]+spot.path, spot.on("tcp").headers)
		if err != nil {
			return nil, err
		}
		b := body{spot.kind, header.Get("Content-Type"), filepath.Join(folder, spot.kind)}
		if err := os.WriteFile(b.path, text, 0o644); err != nil { //nolint:gosec // as above
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

// tell makes rows and panels of the matches.
func (s *sitting) tell(matches []*match) {
	rate := panel{title: "answers a second", unit: digits}
	slow := panel{title: fmt.Sprintf("p99 of one answer, %s a second", grouped(connections*paced)), unit: span, budget: nanoseconds(p99Budget)}
	for _, m := range matches {
		us := m.contenders[0]
		first, second := group{label: m.name}, group{label: m.name}
		for i, one := range m.contenders {
			mine := strings.HasPrefix(one.name, oursServed)
			first.bars = append(first.bars, bar{one.name, median(of(one.got, perSecond)), mine})
			if len(one.paced) > 0 {
				second.bars = append(second.bars, bar{one.name, median(of(one.paced, p99)), mine})
			}
			if i == 0 {
				continue
			}
			ratios := pairwise(of(us.got, perSecond), of(one.got, perSecond))
			line := row{what: m.name + ": answers a second", ours: rounded(us), against: one.name, theirs: rounded(one), ratio: times(ratios)}
			if one.name == bareName {
				line.budget, line.met = "at least "+digits(shareBudget), judge(median(ratios) >= shareBudget)
			}
			s.r.rows = append(s.r.rows, line)
		}
		bare := m.contenders[1]
		s.r.rows = append(s.r.rows,
			row{what: m.name + ": p50 / p99 / p99.9", ours: latencies(us.paced), against: bare.name, theirs: latencies(bare.paced),
				budget: "p99 under " + p99Budget.String(), met: judge(median(of(us.paced, p99)) < nanoseconds(p99Budget))},
			row{what: m.name + ": the same at the most that is answered", ours: latencies(us.got), against: bare.name, theirs: latencies(bare.got)})
		rate.groups, slow.groups = append(rate.groups, first), append(slow.groups, second)
	}
	s.r.panels = append(s.r.panels, rate, slow)
}

func rounded(c *contender) string { return grouped(int(median(of(c.got, perSecond)))) }

// starts measures from start to ready, with nothing kept, and what an idle one takes.
func (s *sitting) starts(ctx context.Context) error {
	var took, idle, file []float64
	rest := 2 * time.Second
	if s.at.short {
		rest = 50 * time.Millisecond
	}
	for n := range 2*s.rounds - 1 {
		folder := s.c.path("start" + strconv.Itoa(n))
		one, err := s.c.serve(ctx, s.p, folder, twoCrossings(folder), "--audit-log", "none")
		if err != nil {
			return err
		}
		took = append(took, nanoseconds(one.readyIn))
		err = pause(ctx, rest)
		now := residentIn(one.cmd.Process.Pid)
		idle, file = append(idle, now.all), append(file, now.file)
		if err := errors.Join(err, one.end()); err != nil {
			return err
		}
	}
	s.r.rows = append(s.r.rows, row{what: "2 crossings: from start to ready", ours: span(median(took))})
	if memoryIsTold {
		s.r.rows = append(s.r.rows, row{what: "2 crossings, idle: memory resident", ours: ofWhichFile(median(idle), median(file)), budget: "under " + size(idleBudget), met: judge(median(idle) < idleBudget)})
	}
	s.r.notes = append(s.r.notes, "From start to ready is with the exchanges for both crossings, into the lab on loopback: five round trips to clouds, and TLS with each. "+
		"Memory is all that the kernel says is resident (VmRSS). The part that is the program's file (RssFile) is the page cache's, "+
		"shared by all who run it, and given up when memory is short.")
	return nil
}

func ofWhichFile(all, file float64) string {
	return size(all) + ", of which the program's file " + size(file)
}

// crowded has one process hold very many crossings' credentials.
func (s *sitting) crowded(ctx context.Context) error {
	folder := s.c.path("many")
	var text, list strings.Builder
	for i := range s.many {
		name := "c" + strconv.Itoa(i)
		fmt.Fprintf(&text, "  %s:\n    from: { gcp: { audience: %s } }\n    to: { aws: { role: %s, region: %s, session_name: %s } }\n", name, stage.ImagesAudience, stage.FromGCP, stage.Region, name)
		list.WriteString(name + ", ")
	}
	configuration := "version: 1\ncrossings:\n" + text.String() + "serve:\n  admin: unix:" + folder + "/admin.sock\n  endpoints:\n    - { ecs: [" +
		strings.TrimSuffix(list.String(), ", ") + "], listen: \"127.0.0.1:0\", token_file: " + folder + "/token }\n"
	before := s.c.count()
	one, err := s.c.serve(ctx, s.p, folder, configuration, "--audit-log", "none")
	if err != nil {
		return err
	}
	came := s.c.count() - before
	rest := 10 * time.Second
	if s.at.short {
		rest = 50 * time.Millisecond
	}
	err = pause(ctx, rest)
	now := residentIn(one.cmd.Process.Pid)
	if err := errors.Join(err, one.end()); err != nil {
		return err
	}
	if came != s.many {
		return fmt.Errorf("%s for %d crossings", exchanges(came), s.many)
	}
	what := grouped(s.many) + " crossings, all with credentials: "
	s.r.rows = append(s.r.rows, row{what: what + "from start to ready", ours: span(nanoseconds(one.readyIn))})
	if memoryIsTold {
		s.r.rows = append(s.r.rows, row{what: what + "memory resident", ours: ofWhichFile(now.all, now.file), budget: "under " + size(manyBudget), met: judge(now.all < manyBudget)},
			row{what: what + "most memory resident, while they came", ours: size(now.most)})
	}
	s.r.notes = append(s.r.notes, fmt.Sprintf("%s crossings are as many sessions of AWS, of some 1,000 characters each, and as many exchanges; the lab on the same processors takes most of the time until they are ready. "+
		"Memory is looked at %s after that.", grouped(s.many), rest))
	return nil
}
