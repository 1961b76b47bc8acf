// SPDX-License-Identifier: Apache-2.0

package traces_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/stile-project/stile/serve/offer"
	"github.com/stile-project/stile/traces"
)

const (
	caller    = "4bf92f3577b34da6a3ce929d0e0e4736"
	callers   = "00f067aa0ba902b7"
	sampled   = "00-" + caller + "-" + callers + "-01"
	unsampled = "00-" + caller + "-" + callers + "-00"
)

// ask has h answer one request, with headers in pairs.
func ask(t *testing.T, h http.Handler, headers ...string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/credentials/"+hush+"?"+hush, strings.NewReader(hush))
	r.Header.Set("Authorization", hush)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	h.ServeHTTP(httptest.NewRecorder(), r)
}

// A request that was given a credential is told with what was noted of it, and whoever noted before still hears.
func TestHandlerTellsWhatWasNoted(t *testing.T) {
	t.Parallel()
	provider, ended := recorded()
	end := time.Date(2030, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	handed := offer.Handed{Endpoint: "gce", Crossing: "warehouse", What: "ID token for " + hush, Expires: end}
	h := traces.Handler(provider, "gce/warehouse", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		offer.Note(r, handed)
		w.Header().Set("X-Hush", hush)
		_, _ = io.WriteString(w, hush)
	}))
	var heard []offer.Handed
	r := httptest.NewRequestWithContext(offer.WithNote(t.Context(), func(n offer.Handed) { heard = append(heard, n) }), http.MethodGet, "/"+hush, nil)
	h.ServeHTTP(httptest.NewRecorder(), r)
	s := ended.Ended()[0]
	want := map[string]any{"stile.listener": "gce/warehouse", "http.request.method": "GET", "http.response.status_code": int64(200),
		"stile.endpoint": "gce", "stile.crossing": "warehouse", "stile.outcome": "ok", "stile.expires": "2030-01-02T02:04:05Z"}
	if diff := cmp.Diff(want, shown(s)); diff != "" || s.Name() != "GET gce/warehouse" || s.SpanKind() != trace.SpanKindServer || s.Parent().IsValid() {
		t.Errorf("%s, %s, parent %v (-want +got):\n%s", s.Name(), s.SpanKind(), s.Parent(), diff)
	}
	if len(heard) != 1 || heard[0] != handed {
		t.Errorf("noted before: %v", heard)
	}
	if text := everything(t, ended.Ended()); strings.Contains(text, hush) {
		t.Errorf("the span holds a secret: %s", text)
	}
}

// Of what a caller says of its own trace only the numbers count.
func TestHandlerBelievesNumbersAlone(t *testing.T) {
	t.Parallel()
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for name, test := range map[string]struct {
		headers []string
		parent  bool
		spans   int
	}{
		"none":           {nil, false, 1},
		"sampled":        {[]string{"Traceparent", sampled, "Tracestate", "a=" + hush, "Baggage", "b=" + hush}, true, 1},
		"left out":       {[]string{"Traceparent", unsampled}, true, 0},
		"garbage":        {[]string{"Traceparent", hush}, false, 1},
		"zero":           {[]string{"Traceparent", "00-00000000000000000000000000000000-0000000000000000-01"}, false, 1},
		"long":           {[]string{"Traceparent", sampled + strings.Repeat("-"+hush, 1000)}, false, 1},
		"state alone":    {[]string{"Tracestate", "a=" + hush}, false, 1},
		"another format": {[]string{"X-B3-Traceid", caller, "X-Amzn-Trace-Id", "Root=" + hush}, false, 1},
	} {
		provider, ended := recorded()
		ask(t, traces.Handler(provider, "ecs", nothing), test.headers...)
		spans := ended.Ended()
		if len(spans) != test.spans {
			t.Errorf("%s: %d spans, want %d", name, len(spans), test.spans)
			continue
		}
		if test.spans == 0 {
			continue
		}
		if got := spans[0].Parent(); got.IsValid() != test.parent || test.parent && (got.SpanID().String() != callers || spans[0].SpanContext().TraceID().String() != caller || !got.IsRemote()) {
			t.Errorf("%s: the parent is %v", name, got)
		}
		if text := everything(t, spans); strings.Contains(text, hush) {
			t.Errorf("%s: the span holds what the caller wrote: %s", name, text)
		}
	}
}

// Statuses are told, and 500 and above are failures; an interim one is no status. A handler that breaks ends its span.
func TestHandlerTellsStatuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer func(http.ResponseWriter)
		status any
		failed bool
	}{
		"silence":      {func(http.ResponseWriter) {}, int64(200), false},
		"not found":    {func(w http.ResponseWriter) { w.WriteHeader(404) }, int64(404), false},
		"broken":       {func(w http.ResponseWriter) { w.WriteHeader(503) }, int64(503), true},
		"after hints":  {func(w http.ResponseWriter) { w.WriteHeader(103); w.WriteHeader(404) }, int64(404), false},
		"twice":        {func(w http.ResponseWriter) { w.WriteHeader(401); w.WriteHeader(500) }, int64(401), false},
		"it goes away": {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, nil, false},
	} {
		provider, ended := recorded()
		h := traces.Handler(provider, "imds", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { test.answer(w) }))
		func() {
			defer func() { _ = recover() }()
			ask(t, h)
		}()
		spans := ended.Ended()
		if len(spans) != 1 || shown(spans[0])["http.response.status_code"] != test.status || (spans[0].Status().Code == codes.Error) != test.failed {
			t.Errorf("%s: %d spans, %v, %v", name, len(spans), shown(spans[0]), spans[0].Status())
		}
	}
}

// A method that not everybody knows is in no span, as it may be anything.
func TestHandlerTellsNoStrangeMethod(t *testing.T) {
	t.Parallel()
	provider, ended := recorded()
	h := traces.Handler(provider, "imds", http.NotFoundHandler())
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), strings.ToUpper(hush), "/", nil))
	s := ended.Ended()[0]
	if s.Name() != "HTTP imds" || shown(s)["http.request.method"] != "_OTHER" {
		t.Errorf("%s, %v", s.Name(), shown(s))
	}
}

// What the writer can do beyond writing can still be done.
func TestHandlerLetsFlush(t *testing.T) {
	t.Parallel()
	for _, sampler := range []sdktrace.Sampler{sdktrace.AlwaysSample(), sdktrace.NeverSample()} {
		provider, _ := recorded(sdktrace.WithSampler(sampler))
		ask(t, traces.Handler(provider, "gce", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
		})))
	}
}
