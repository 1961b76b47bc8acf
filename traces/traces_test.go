// SPDX-License-Identifier: Apache-2.0

package traces_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/stile-project/stile"
	fromgcp "github.com/stile-project/stile/from/gcp"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/lab"
	"github.com/stile-project/stile/lab/stage"
	"github.com/stile-project/stile/serve/offer"
	toaws "github.com/stile-project/stile/to/aws"
	"github.com/stile-project/stile/traces"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorded is a provider that remembers what has ended.
func recorded(options ...sdktrace.TracerProviderOption) (*sdktrace.TracerProvider, *tracetest.SpanRecorder) {
	all := tracetest.NewSpanRecorder()
	return sdktrace.NewTracerProvider(append(options, sdktrace.WithSpanProcessor(all))...), all
}

// shown are a span's attributes.
func shown(s sdktrace.ReadOnlySpan) map[string]any {
	all := map[string]any{}
	for _, a := range s.Attributes() {
		all[string(a.Key)] = a.Value.AsInterface()
	}
	return all
}

// everything is all that an exporter could get of the spans, as text.
func everything(t *testing.T, spans []sdktrace.ReadOnlySpan) string {
	t.Helper()
	stubs := tracetest.SpanStubsFromReadOnlySpans(spans)
	var b strings.Builder
	for _, s := range stubs {
		attrs, err := json.Marshal(s.Attributes)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%+v %s %+v %s\n", s, attrs, s.Events, s.SpanContext.TraceState().String())
	}
	return b.String()
}

// tapped is a transport that notes what passes.
type tapped struct {
	http.RoundTripper
	mu     sync.Mutex
	bodies []string
	traced bool // a request tells of its trace
}

func (p *tapped) RoundTrip(r *http.Request) (*http.Response, error) {
	asked := ""
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		asked, r.Body = string(body), io.NopCloser(strings.NewReader(string(body)))
	}
	res, err := p.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answered, err := io.ReadAll(res.Body)
	res.Body = io.NopCloser(strings.NewReader(string(answered)))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bodies = append(p.bodies, asked, string(answered))
	p.traced = p.traced || r.Header.Get("Traceparent") != "" || r.Header.Get("Baggage") != ""
	return res, err
}

// One exchange in the lab is one trace: a span for the exchange, and below it one for each request. None of them holds
// anything of what was sent or came, and no cloud hears of the trace.
func TestOneExchangeIsOneTrace(t *testing.T) {
	t.Parallel()
	scene, err := stage.Set(lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	provider, ended := recorded()
	wire := &tapped{RoundTripper: scene.World.Network(scene.VM)}
	client := &http.Client{Transport: traces.Transport(provider, wire)}
	memory := keep.NewMemory(traces.Exchanges(provider))
	defer memory.Close()
	keeper := memory.Keep(stile.Cross(&fromgcp.Metadata{Client: client}, &toaws.Role{ARN: stage.FromGCP, Region: stage.Region, WebAudience: stage.ImagesAudience, Client: client}), keep.Terms{Name: "images"})
	cred, err := keeper.Credential(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	memory.Close()

	spans := ended.Ended()
	last := spans[len(spans)-1]
	want := map[string]any{"stile.crossing": "images", "stile.result": "exchanged", "stile.kind": cred.Kind.String(), "stile.expires": cred.Expires.UTC().Format(time.RFC3339)}
	if diff := cmp.Diff(want, shown(last)); diff != "" || last.Name() != "exchange" || last.Parent().IsValid() || last.Status().Code != codes.Unset {
		t.Errorf("the exchange: %s, parent %v, %v (-want +got):\n%s", last.Name(), last.Parent(), last.Status(), diff)
	}
	asked := map[string]int{}
	for _, s := range spans[:len(spans)-1] {
		got := shown(s)
		asked[fmt.Sprint(s.Name(), " ", got["server.address"], " ", got["server.port"], " ", got["http.response.status_code"])]++
		if s.Parent().SpanID() != last.SpanContext().SpanID() || s.SpanKind() != trace.SpanKindClient {
			t.Errorf("%v is of kind %s and below %s, want it below the exchange", got, s.SpanKind(), s.Parent().SpanID())
		}
	}
	for _, want := range []string{"GET 169.254.169.254 80 200", "POST sts." + stage.Region + ".amazonaws.com 443 200"} {
		if asked[want] != 1 {
			t.Errorf("asked %d times: %s; all: %v", asked[want], want, asked)
		}
	}
	if wire.traced {
		t.Error("a cloud was told of the trace")
	}
	text := everything(t, spans)
	for _, secret := range secrets(cred, wire.bodies) {
		if strings.Contains(text, secret) {
			t.Errorf("a span holds …%.12s…", secret)
		}
	}
	for _, private := range []string{stage.FromGCP, stage.ImagesAudience, "computeMetadata", "AssumeRoleWithWebIdentity"} {
		if strings.Contains(text, private) {
			t.Errorf("a span holds %s", private)
		}
	}
}

// secrets are the credential, and every longer word that passed.
func secrets(cred stile.Credential, bodies []string) []string {
	all := []string{cred.Session.SecretAccessKey.Reveal(), cred.Session.SessionToken.Reveal(), cred.Session.AccessKeyID}
	for _, body := range bodies {
		for _, word := range strings.FieldsFunc(body, func(r rune) bool { return strings.ContainsRune("\"&=<>, {}\n", r) }) {
			if len(word) >= 24 {
				all = append(all, word)
			}
		}
	}
	return all
}

const hush = "hush-hush-secret"

// failing are errors of every kind, each with a secret wherever there is room for one.
func failing() map[string]error {
	kind := func(kind error) error {
		return &stile.Error{Op: hush, Cloud: "Google STS", Status: 403, Code: strings.Repeat("x", 60) + hush, Message: hush, Hint: hush,
			Sent: []slog.Attr{slog.String(hush, hush)}, Err: fmt.Errorf("%w: %s", kind, hush)}
	}
	return map[string]error{
		"misuse": kind(stile.ErrMisuse), "no_identity": kind(stile.ErrNoIdentity), "refused": kind(stile.ErrRefused), "temporary": kind(stile.ErrTemporary),
		"cancelled": fmt.Errorf("%s: %w", hush, context.Canceled), "failed": errors.New(hush),
	}
}

// Every failure is told by one word, that of the audit, at the exchange and at the endpoint, and with nothing that could
// be a secret.
func TestFailuresAreWords(t *testing.T) {
	t.Parallel()
	for word, failure := range failing() {
		t.Run(word, func(t *testing.T) {
			t.Parallel()
			provider, ended := recorded()
			memory := keep.NewMemory(traces.Exchanges(provider), keep.WithPropagation(0), keep.WithTimeout(time.Minute, nil))
			k := memory.Keep(stile.Cross(nobody{failure}, nothing{}), keep.Terms{Name: "images"})
			ctx, end := context.WithCancel(t.Context())
			time.AfterFunc(50*time.Millisecond, end) // of what is tried again
			if _, err := k.Credential(ctx); err == nil {
				t.Fatal("it went well")
			}
			memory.Close()
			h := traces.Handler(provider, "ecs", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				offer.Note(r, offer.Handed{Endpoint: "ecs", Crossing: "images", What: hush, Err: failure})
				w.WriteHeader(http.StatusBadGateway)
			}))
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/"+hush+"?"+hush, nil))

			spans := ended.Ended()
			for i, key := range []string{"stile.result", "stile.outcome"} {
				got := shown(spans[i])
				if got[key] != word || got["error.type"] != word || spans[i].Status().Code != codes.Error || spans[i].Status().Description != word {
					t.Errorf("%s: got %v, %v", key, got, spans[i].Status())
				}
				var typed *stile.Error
				if errors.As(failure, &typed) && (got["stile.cloud.name"] != "Google STS" || got["stile.cloud.status"] != int64(403)) {
					t.Errorf("who refused is not told: %v", got)
				}
			}
			if text := everything(t, spans); strings.Contains(text, hush) || len(spans) != 2 {
				t.Errorf("%d spans hold the secret: %s", len(spans), text)
			}
		})
	}
}

type nobody struct{ err error }

func (n nobody) SubjectToken(context.Context, string) (stile.SubjectToken, error) {
	return stile.SubjectToken{}, n.err
}

type nothing struct{}

func (nothing) Audience() string { return "a" }

func (nothing) Exchange(context.Context, stile.SubjectToken) (stile.Credential, error) {
	return stile.Credential{}, errors.New("not reached")
}

// The cloud's own code is told where it looks like one.
func TestCodesAreTold(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]any{
		"invalid_target": "invalid_target", "IDPRejectedClaim": "IDPRejectedClaim", "AccessDenied": "AccessDenied",
		"": nil, "it was " + hush: nil, "eyJhbGciOiJSUzI1NiJ9." + strings.Repeat("x", 60): nil, "a\nb": nil, "wJalrXUtnFEMI/K7MDENG": nil,
	} {
		provider, ended := recorded()
		h := traces.Handler(provider, "ecs", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			offer.Note(r, offer.Handed{Err: &stile.Error{Cloud: "AWS STS", Status: 400, Code: code, Err: stile.ErrRefused}})
		}))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
		if got := shown(ended.Ended()[0])["stile.cloud.code"]; got != want {
			t.Errorf("the code %q is told as %v, want %v", code, got, want)
		}
	}
}

// An exchange that a request began links to it, and is no part of its trace: others wait for it too.
func TestExchangesLinkToWhoBeganThem(t *testing.T) {
	t.Parallel()
	provider, ended := recorded()
	memory := keep.NewMemory(traces.Exchanges(provider), keep.WithPropagation(0))
	k := memory.Keep(stile.Cross(nobody{stile.ErrRefused}, nothing{}), keep.Terms{})
	ctx, request := provider.Tracer("test").Start(t.Context(), "request")
	_, _ = k.Credential(ctx)
	memory.Close()
	s := ended.Ended()[0]
	if s.SpanContext().TraceID() == request.SpanContext().TraceID() || s.Parent().IsValid() {
		t.Error("the exchange is part of the request's trace")
	}
	if len(s.Links()) != 1 || s.Links()[0].SpanContext.SpanID() != request.SpanContext().SpanID() {
		t.Errorf("links: %v", s.Links())
	}
}

// shelf has one record.
type shelf struct{ keep.Record }

func (shelf) Key(context.Context, stile.Crossing) (stile.Key, error) { return stile.NewKey("one"), nil }
func (s shelf) Load(context.Context, stile.Key) (keep.Record, error) { return s.Record, nil }
func (shelf) Save(context.Context, stile.Key, keep.Record) error     { return nil }
func (shelf) Lease(context.Context, stile.Key) (keep.Lease, error)   { return nil, nil }

// What another process had exchanged is told as that.
func TestStoredIsToldApart(t *testing.T) {
	t.Parallel()
	provider, ended := recorded()
	now := time.Now()
	store := shelf{keep.Record{Obtained: now, Credential: stile.Credential{Kind: stile.KindIDToken, Token: stile.NewSecret(hush), Expires: now.Add(time.Hour)}}}
	memory := keep.NewMemory(traces.Exchanges(provider), keep.WithStore(store, 0))
	_, err := memory.Keep(stile.Cross(nobody{errors.New("not reached")}, nothing{}), keep.Terms{Name: "images"}).Credential(t.Context())
	memory.Close()
	want := map[string]any{"stile.crossing": "images", "stile.result": "stored", "stile.kind": stile.KindIDToken.String(), "stile.expires": now.Add(time.Hour).UTC().Format(time.RFC3339)}
	if diff := cmp.Diff(want, shown(ended.Ended()[0])); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}
