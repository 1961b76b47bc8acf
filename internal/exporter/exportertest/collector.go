// SPDX-License-Identifier: Apache-2.0

// Package exportertest takes traces as an OpenTelemetry collector does, by OTLP over HTTP, and tells what came.
package exportertest

import (
	"cmp"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A Collector has taken some traces.
type Collector struct {
	URL    string // what /v1/traces is added to
	server *httptest.Server

	mu    sync.Mutex
	all   []*otlp.ResourceSpans
	raw   []byte
	wrong error
}

// New begins to listen. Whoever made it closes it.
func New() *Collector {
	c := &Collector{}
	c.server = httptest.NewServer(c)
	c.URL = c.server.URL
	return c
}

// Close ends listening.
func (c *Collector) Close() { c.server.Close() }

// ServeHTTP takes one batch.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	spans, raw, err := read(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all, c.raw = append(c.all, spans...), append(c.raw, raw...)
	if err != nil {
		c.wrong = err
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf") // and an empty body: all was taken
}

func read(r *http.Request) ([]*otlp.ResourceSpans, []byte, error) {
	if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/v1/traces") || r.Header.Get("Content-Type") != "application/x-protobuf" {
		return nil, nil, fmt.Errorf("asked %s %s with %q", r.Method, r.URL.Path, r.Header.Get("Content-Type"))
	}
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(r.Body); err != nil {
			return nil, nil, err
		}
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		return nil, raw, err
	}
	var batch collector.ExportTraceServiceRequest
	err = proto.Unmarshal(raw, &batch)
	return batch.GetResourceSpans(), raw, err
}

// Raw is every byte of every batch, and what was wrong with one of them.
func (c *Collector) Raw() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.raw), c.wrong
}

// Lines tells each span on a line, in the order in which they began: its name, its parent's (- where it has none, and
// remote for one that is not here), the trace's number, and then its attributes and those of its resource.
func (c *Collector) Lines() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	type found struct {
		*otlp.Span
		about []*common.KeyValue
	}
	var spans []found
	names := map[string]string{"": "-"}
	for _, of := range c.all {
		for _, scope := range of.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				spans = append(spans, found{s, of.GetResource().GetAttributes()})
				names[string(s.GetSpanId())] = s.GetName()
			}
		}
	}
	slices.SortStableFunc(spans, func(a, b found) int { return cmp.Compare(a.GetStartTimeUnixNano(), b.GetStartTimeUnixNano()) })
	traces := map[string]int{}
	var lines []string
	for _, s := range spans {
		parent, here := names[string(s.GetParentSpanId())]
		if !here {
			parent = "remote " + hex.EncodeToString(s.GetParentSpanId())
		}
		trace := string(s.GetTraceId())
		if traces[trace] == 0 {
			traces[trace] = len(traces) + 1
		}
		line := fmt.Sprintf("%s < %s, trace %d, links %d, status %q", s.GetName(), parent, traces[trace], len(s.GetLinks()), s.GetStatus().GetMessage())
		for _, of := range [][]*common.KeyValue{s.GetAttributes(), s.about} {
			for _, a := range of {
				line += fmt.Sprintf(", %s=%s", a.GetKey(), value(a.GetValue()))
			}
		}
		lines = append(lines, line)
	}
	return lines
}

func value(v *common.AnyValue) string {
	if n, ok := v.GetValue().(*common.AnyValue_IntValue); ok {
		return fmt.Sprint(n.IntValue)
	}
	return v.GetStringValue()
}
