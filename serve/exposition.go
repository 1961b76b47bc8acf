// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bytes"
	"maps"
	"math"
	"runtime"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/stile-project/stile/keep"
)

// exposition is Prometheus' text format, version 0.0.4.
type exposition struct{ text bytes.Buffer }

func (x *exposition) family(name, kind, help string) {
	x.text.WriteString("# HELP " + name + " " + help + "\n# TYPE " + name + " " + kind + "\n")
}

// value writes one sample. labels are names and values by turns.
func (x *exposition) value(name string, v float64, labels ...string) {
	x.text.WriteString(name)
	for i := 0; i+1 < len(labels); i += 2 {
		x.text.WriteByte("{,"[min(i, 1)])
		x.text.WriteString(labels[i] + `="` + labelEscapes.Replace(strings.ToValidUTF8(labels[i+1], "�")) + `"`)
	}
	if len(labels) > 1 {
		x.text.WriteByte('}')
	}
	x.text.WriteByte(' ')
	x.text.WriteString(number(v))
	x.text.WriteByte('\n')
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func number(v float64) string {
	if math.IsInf(v, 1) {
		return "+Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// counters writes a family in the order of its labels, of which the second may have no name.
func (x *exposition) counters(c counts, name, help, first, second string) {
	x.family(name, "counter", help)
	keys := slices.Collect(maps.Keys(c))
	sort.Slice(keys, func(i, j int) bool {
		return keys[i][0] < keys[j][0] || keys[i][0] == keys[j][0] && keys[i][1] < keys[j][1]
	})
	for _, key := range keys {
		labels := []string{first, key[0], second, key[1]}
		if second == "" {
			labels = labels[:2]
		}
		x.value(name, float64(c[key]), labels...)
	}
}

// exposition is everything, as it stands now.
func (s *Server) exposition() []byte {
	x := &exposition{}
	now := s.o.Clock()
	x.family("stile_build_info", "gauge", "The program that runs; always 1.")
	x.value("stile_build_info", 1, "version", s.o.Version, "go", runtime.Version())
	s.metrics.write(x)
	x.family("stile_connections", "gauge", "Connections that are open, by listener.")
	for _, e := range s.endpoints() {
		x.value("stile_connections", float64(e.Connections), "listener", e.Name)
	}
	x.endpoints(s.o.Endpoints())
	x.crossings(byName(s.o.Crossings()), now)
	x.files(s.o.Files(), now)
	x.configuration(s.configuration.Load())
	x.family("process_start_time_seconds", "gauge", "When the server was made, in seconds since 1970.")
	x.value("process_start_time_seconds", float64(s.metrics.started.UnixMilli())/1000)
	x.family("go_goroutines", "gauge", "Goroutines that there are.")
	x.value("go_goroutines", float64(runtime.NumGoroutine()))
	if resident, ok := residentBytes(); ok {
		x.family("process_resident_memory_bytes", "gauge", "Memory that the process has in RAM.")
		x.value("process_resident_memory_bytes", float64(resident))
	}
	return x.text.Bytes()
}

func (m *metrics) write(x *exposition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	x.counters(m.requests, "stile_requests_total", "Requests that came, by listener; answered is every one that an endpoint saw.", "listener", "outcome")
	x.counters(m.credentials, "stile_credentials_total", "Credentials that were asked for, by endpoint; ok is every one that was handed out.", "endpoint", "result")
	x.counters(m.exchanges, "stile_exchanges_total", "Exchanges, by crossing; stored is every credential that another process had exchanged.", "crossing", "result")
	x.counters(m.closed, "stile_connections_refused_total", "Connections that were closed because too many were open, or had not asked anything.", "listener", "")
	x.counters(m.acceptFails, "stile_accept_errors_total", "Connections that the system could not give.", "listener", "")
	x.family("stile_audit_lost_total", "counter", "Lines that the audit could not take.")
	x.value("stile_audit_lost_total", float64(m.auditLost.Load()))

	const name = "stile_exchange_duration_seconds"
	x.family(name, "histogram", "How long exchanges took, with their retries.")
	var total uint64
	for i, count := range m.refresh.buckets {
		total += count
		bound := math.Inf(1)
		if i < len(bounds) {
			bound = bounds[i]
		}
		x.value(name+"_bucket", float64(total), "le", number(bound))
	}
	x.value(name+"_sum", m.refresh.sum)
	x.value(name+"_count", float64(total))
}

// An EndpointStatus is how one endpoint stands, whatever becomes of the credentials that it hands out.
type EndpointStatus struct {
	Listener string // its name
	Kind     string // ecs, imds or gce
	Ready    bool   // those who may ask are let in
}

// endpoints tells whether there is somebody who is let in.
func (x *exposition) endpoints(all []EndpointStatus) {
	if len(all) == 0 {
		return
	}
	x.family("stile_endpoint_ready", "gauge", "Whether the endpoint lets in those who may ask; not one of ecs without its bearer token.")
	for _, e := range all {
		ready := 0.0
		if e.Ready {
			ready = 1
		}
		x.value("stile_endpoint_ready", ready, "listener", e.Listener, "endpoint", e.Kind)
	}
}

// crossings tells of credentials. Of one that there is none yet, there is no age and no end either.
func (x *exposition) crossings(all []keep.Status, now time.Time) {
	gauge := func(name, help string, of func(keep.Status) (float64, bool)) {
		x.family(name, "gauge", help)
		for _, c := range all {
			if v, ok := of(c); ok {
				x.value(name, v, "crossing", c.Name)
			}
		}
	}
	gauge("stile_crossing_ready", "Whether a credential would be handed out now.", func(c keep.Status) (float64, bool) {
		if c.Ready {
			return 1, true
		}
		return 0, true
	})
	gauge("stile_crossing_expires_in_seconds", "How long the credential lives from now.", func(c keep.Status) (float64, bool) {
		return c.Expires.Sub(now).Seconds(), !c.Expires.IsZero()
	})
	gauge("stile_crossing_age_seconds", "How long ago the credential was obtained.", func(c keep.Status) (float64, bool) {
		return now.Sub(c.Obtained).Seconds(), !c.Obtained.IsZero()
	})
	gauge("stile_crossing_failures", "Exchanges that failed since the last that did not.", func(c keep.Status) (float64, bool) {
		return float64(c.Failures), true
	})
}

// byName makes one of those that share a name, as the credentials of one crossing for several audiences do: what stands
// worst, and ends first. They come in the order of their names.
func byName(all []keep.Status) []keep.Status {
	merged := map[string]keep.Status{}
	for _, c := range all {
		other, seen := merged[c.Name]
		if !seen {
			merged[c.Name] = c
			continue
		}
		worst, best := c, other
		if other.Failures > c.Failures || other.Failures == c.Failures && !other.Ready {
			worst, best = other, c
		}
		worst.Ready = worst.Ready && best.Ready
		if worst.Expires.IsZero() || !best.Expires.IsZero() && best.Expires.Before(worst.Expires) {
			worst.Expires, worst.Obtained = best.Expires, best.Obtained
		}
		merged[c.Name] = worst
	}
	sorted := make([]keep.Status, 0, len(merged))
	for _, name := range slices.Sorted(maps.Keys(merged)) {
		sorted = append(sorted, merged[name])
	}
	return sorted
}
