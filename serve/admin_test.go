// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func standing() []keep.Status {
	return []keep.Status{
		{Name: "warehouse", Ready: true, Kind: stile.KindAccessToken, Principal: "etl@example.com", Obtained: noon.Add(-time.Minute), Expires: noon.Add(time.Hour), NextRefresh: noon.Add(30 * time.Minute)},
		{Name: "images", Failures: 2, FailedAt: noon, Err: &stile.Error{Op: "assume the role", Cloud: "AWS STS", Status: 403, Code: "AccessDenied", Hint: "see its\ntrust policy", Err: stile.ErrRefused}},
		{Name: `odd "name"` + "\n\\\xff", Ready: true, Expires: noon.Add(time.Hour)},
		{Name: "unused"}, {Name: "first", Exchanging: true}, {Name: "old", Expires: noon.Add(-time.Second)},
	}
}

func adminOf(t *testing.T, o Options) (*Server, string) {
	t.Helper()
	o.Clock = func() time.Time { return noon }
	s := New(o)
	if err := s.Listen(t.Context(), []Listener{{Name: "admin", Address: "127.0.0.1:0", Handler: s.Admin()}}); err != nil {
		t.Fatal(err)
	}
	_ = run(t, s)
	return s, addressOf(s, "admin")
}

func TestHealth(t *testing.T) {
	t.Parallel()
	var all []keep.Status
	o := Options{Crossings: func() []keep.Status { return all }}
	_, address := adminOf(t, o)
	if status, _ := ask(t, address, "/healthz"); status != 200 {
		t.Errorf("got %d", status)
	}
	if status, body := ask(t, address, "/readyz"); status != 200 || body != "ready\n" {
		t.Errorf("got %d %q", status, body)
	}
	all = standing()
	const images = "images: failed 2 times: assume the role: AWS STS answered 403 AccessDenied (see its trust policy)\n"
	if status, body := ask(t, address, "/readyz"); status != 503 || body != "first: the first exchange is under way\n"+images+
		"old: its credential has expired, and nobody has asked for another\nunused: nobody has asked for it yet\n" {
		t.Errorf("got %d %q", status, body)
	}
	o.Ready = []string{"warehouse"}
	_, address = adminOf(t, o)
	if status, body := ask(t, address, "/readyz"); status != 200 {
		t.Errorf("got %d %q", status, body)
	}
	o.Ready = []string{"warehouse", "images", "nothing"}
	_, address = adminOf(t, o)
	if status, body := ask(t, address, "/readyz"); status != 503 || body != images+"nothing: there is no such crossing\n" {
		t.Errorf("got %d %q", status, body)
	}
	// One crossing's credentials for several audiences are one crossing.
	o.Ready = nil
	all = []keep.Status{{Name: "a", Ready: true, Expires: noon.Add(time.Hour)}, {Name: "a", Failures: 1, Err: errors.New("no")}, {Name: "a", Ready: true, Expires: noon.Add(time.Minute)}}
	_, address = adminOf(t, o)
	if status, body := ask(t, address, "/readyz"); status != 503 || body != "a: failed once: no\n" {
		t.Errorf("got %d %q", status, body)
	}
	for path, want := range map[string]int{"/": 404, "/status/": 404, "//status": 404, "/healthz/../status": 404} {
		if status, _ := ask(t, address, path); status != want {
			t.Errorf("%s: got %d", path, status)
		}
	}
	if status := raw(t, address, "POST /status HTTP/1.1\r\nHost: localhost\r\n\r\n"); status != 405 {
		t.Errorf("POST: got %d", status)
	}
	if status := raw(t, address, "GET /status HTTP/1.1\r\nHost: evil.example\r\n\r\n"); status != 403 {
		t.Errorf("a foreign name: got %d", status)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	s, address := adminOf(t, Options{Version: "v1.2.3", Crossings: standing})
	status, body := ask(t, address, "/status")
	var got Report
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 {
		t.Fatalf("%d %v: %s", status, err, body)
	}
	if diff := cmp.Diff(CrossingReport{Name: "images", State: "failing", Failures: 2, FailedAt: noon, Error: "assume the role: AWS STS answered 403 AccessDenied", ErrorKind: "refused", Hint: "see its trust policy"}, got.Crossings[1]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(CrossingReport{Name: "warehouse", State: "ready", Ready: true, Kind: "access token", Principal: "etl@example.com",
		Obtained: noon.Add(-time.Minute), Expires: noon.Add(time.Hour), NextRefresh: noon.Add(30 * time.Minute)}, got.Crossings[5]); diff != "" {
		t.Error(diff)
	}
	if got.Version != "v1.2.3" || got.Ready || !got.Started.Equal(noon) || len(got.Crossings) != 6 || len(got.Endpoints) != 1 {
		t.Errorf("got %+v", got)
	}
	if want := (EndpointReport{Name: "admin", Addresses: []string{address}, Connections: 1}); !cmp.Equal(got.Endpoints[0], want) {
		t.Errorf("got %+v", got.Endpoints[0])
	}
	if strings.Contains(body, "0001-01-01") {
		t.Errorf("a time that is none: %s", body)
	}
	if s.Report().Version != "v1.2.3" {
		t.Error("Report tells something else")
	}
}

var sample = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*",?)+)\})? (NaN|[+-]Inf|-?[0-9.]+(?:e[+-][0-9]+)?)$`)

// parse is strict about Prometheus' text format: each family in one piece under its HELP and TYPE, no sample twice.
func parse(text string) (map[string]float64, error) {
	samples, families, family, kind := map[string]float64{}, map[string]bool{}, "", ""
	for line := range strings.Lines(text) {
		line, ended := strings.CutSuffix(line, "\n")
		if !ended {
			return nil, errors.New("the last line has no end")
		}
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			family, _, _ = strings.Cut(rest, " ")
			if families[family] {
				return nil, fmt.Errorf("%s comes twice", family)
			}
			families[family], kind = true, ""
			continue
		}
		if rest, ok := strings.CutPrefix(line, "# TYPE "+family+" "); ok {
			kind = rest
			continue
		}
		m := sample.FindStringSubmatch(line)
		if m == nil || kind == "" {
			return nil, fmt.Errorf("no sample: %q", line)
		}
		name := m[1]
		if kind == "histogram" {
			name = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count")
		}
		if name != family || kind == "counter" && !strings.HasSuffix(name, "_total") {
			return nil, fmt.Errorf("%q stands under %s %s", line, kind, family)
		}
		id, number, _ := strings.Cut(line, "} ")
		if m[2] == "" {
			id, number = m[1], m[3]
		} else {
			id += "}"
		}
		if _, twice := samples[id]; twice {
			return nil, fmt.Errorf("%s comes twice", id)
		}
		v, err := strconv.ParseFloat(number, 64)
		if err != nil {
			return nil, err
		}
		samples[id] = v
	}
	return samples, nil
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	s, address := adminOf(t, Options{Version: "v1.2.3", Crossings: func() []keep.Status { return append(standing(), standing()...) }})
	if err := s.Listen(t.Context(), []Listener{{Name: "admin", Address: "127.0.0.1:0", Handler: s.Admin()}, {Name: "ecs", Address: "127.0.0.1:0", Handler: give}}); err != nil {
		t.Fatal(err)
	}
	ask(t, addressOf(s, "ecs"), "/")
	ask(t, addressOf(s, "ecs"), "/refused")
	raw(t, addressOf(s, "ecs"), "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")
	for _, e := range []keep.Event{
		{Name: "images", Took: 70 * time.Millisecond, Expires: noon}, {Name: "images", Took: time.Hour, Err: stile.ErrRefused}, {Name: "images", Took: 50 * time.Millisecond, Err: stile.ErrTemporary},
		{Name: "images", Stored: true, Took: time.Second, Expires: noon}, {Name: `a"b`, Took: 0, Expires: noon}, {Name: "x", Err: errors.New("?"), Took: 10 * time.Millisecond},
	} {
		s.Observe(e)
	}
	status, body := ask(t, address, "/metrics")
	got, err := parse(body)
	if err != nil || status != 200 {
		t.Fatalf("%d %v:\n%s", status, err, body)
	}
	for id, want := range map[string]float64{
		`stile_requests_total{listener="ecs",outcome="answered"}`: 2, `stile_requests_total{listener="ecs",outcome="host"}`: 1, `stile_requests_total{listener="admin",outcome="answered"}`: 1,
		`stile_credentials_total{endpoint="ecs",result="ok"}`: 1, `stile_credentials_total{endpoint="ecs",result="refused"}`: 1,
		`stile_exchanges_total{crossing="images",result="ok"}`: 1, `stile_exchanges_total{crossing="images",result="refused"}`: 1, `stile_exchanges_total{crossing="images",result="temporary"}`: 1,
		`stile_exchanges_total{crossing="images",result="stored"}`: 1, `stile_exchanges_total{crossing="a\"b",result="ok"}`: 1, `stile_exchanges_total{crossing="x",result="failed"}`: 1,
		`stile_exchange_duration_seconds_bucket{le="0.01"}`: 2, `stile_exchange_duration_seconds_bucket{le="0.05"}`: 3, `stile_exchange_duration_seconds_bucket{le="0.1"}`: 4,
		`stile_exchange_duration_seconds_bucket{le="120"}`: 4, `stile_exchange_duration_seconds_bucket{le="+Inf"}`: 5, `stile_exchange_duration_seconds_count`: 5,
		`stile_crossing_ready{crossing="warehouse"}`: 1, `stile_crossing_ready{crossing="images"}`: 0, `stile_crossing_expires_in_seconds{crossing="warehouse"}`: 3600,
		`stile_crossing_expires_in_seconds{crossing="old"}`: -1, `stile_crossing_age_seconds{crossing="warehouse"}`: 60, `stile_crossing_failures{crossing="images"}`: 2,
		`stile_crossing_ready{crossing="odd \"name\"\n\\�"}`: 1, `stile_audit_lost_total`: 0, `stile_connections{listener="admin"}`: 1,
	} {
		if v, ok := got[id]; !ok || v != want {
			t.Errorf("%s: got %v, want %v", id, v, want)
		}
	}
	if _, ok := got[`stile_crossing_age_seconds{crossing="unused"}`]; ok {
		t.Error("what has no credential has an age")
	}
	if sum := got["stile_exchange_duration_seconds_sum"]; sum < 3600.129 || sum > 3600.131 {
		t.Errorf("the sum is %v", sum)
	}
	if got["go_goroutines"] < 2 || got["process_start_time_seconds"] != float64(noon.Unix()) {
		t.Errorf("got %v", maps.Collect(maps.All(got)))
	}
	if t.Failed() {
		t.Log(body)
	}
}
