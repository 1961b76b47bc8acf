// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// connections is how many clients ask at once. Where they ask as fast as they are answered, the time of one answer is
// mostly that of waiting for the others'; so that of an answer is also taken where each asks paced times a second.
const connections, paced = 8, 125

// A question is what clients ask, and where.
type question struct {
	network, address, path string
	headers                []string // "Name: value"
	often                  int      // times a second for each client; 0: as fast as it goes
}

// A loaded is what asking for a while came to.
type loaded struct {
	perSecond           float64
	p50, p99, p999, max float64 // nanoseconds
}

// A generator asks. It is a process of its own.
type generator struct {
	load, wrk, script string // programs, and what tells wrk to tell all; wrk is empty where there is none
}

// newGenerator looks for wrk, which knows TCP alone.
func newGenerator(p programs, c *clouds) (generator, error) {
	g := generator{load: p.load}
	if path, err := exec.LookPath("wrk"); err == nil {
		g.wrk, g.script = path, c.path("wrk.lua")
		return g, c.write("wrk.lua", wrkScript)
	}
	return g, nil
}

const wrkScript = `done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("figures %d %d %f %d %d %d %d\n", summary.requests, e.connect + e.read + e.write + e.status + e.timeout,
    summary.duration / 1e6, latency:percentile(50) * 1000, latency:percentile(99) * 1000, latency:percentile(99.9) * 1000, latency.max * 1000))
end
`

// name is who asks.
func (g generator) name(q question, lasts time.Duration) string {
	if g.uses(q, lasts) {
		return "wrk"
	}
	return "bench/load"
}

// uses reports whether wrk asks: it counts in whole seconds, and knows no pace.
func (g generator) uses(q question, lasts time.Duration) bool {
	return g.wrk != "" && q.often == 0 && q.network == "tcp" && lasts >= time.Second
}

// ask fails if anything but 200 is answered.
func (g generator) ask(ctx context.Context, q question, lasts time.Duration) (loaded, error) {
	argv := append([]string{g.load, q.network, q.address, strconv.Itoa(connections), strconv.Itoa(q.often), lasts.String(), q.path}, q.headers...)
	if g.uses(q, lasts) {
		argv = []string{g.wrk, "-t1", "-c" + strconv.Itoa(connections), "-d" + strconv.Itoa(int(lasts.Seconds())) + "s", "-s", g.script}
		for _, h := range q.headers {
			argv = append(argv, "-H", h)
		}
		argv = append(argv, "http://"+q.address+q.path)
	}
	var errs bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // what runs is ours, or found in PATH
	cmd.Env, cmd.Stderr = []string{"PATH=" + os.Getenv("PATH")}, &errs
	out, err := cmd.Output()
	if err != nil {
		return loaded{}, fmt.Errorf("%s: %w\n%s", argv[0], err, errs.Bytes())
	}
	text := string(out)
	if _, after, found := strings.Cut(text, "figures "); found {
		text = after
	}
	var l loaded
	var requests, failed int
	var seconds float64
	if _, err := fmt.Sscan(text, &requests, &failed, &seconds, &l.p50, &l.p99, &l.p999, &l.max); err != nil {
		return loaded{}, fmt.Errorf("%s said %q: %w", argv[0], out, err)
	}
	if failed > 0 || requests == 0 {
		return loaded{}, fmt.Errorf("%d of %d requests for %s were not answered 200", failed, requests, q.path)
	}
	l.perSecond = float64(requests) / seconds
	return l, nil
}
