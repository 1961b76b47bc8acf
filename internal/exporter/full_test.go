// SPDX-License-Identifier: Apache-2.0

//go:build full

package exporter_test

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/exporter"
	"github.com/stile-project/stile/internal/exporter/exportertest"
)

// A logbook is read while it is written.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// sending sends to a URL, and told is what the log has.
func sending(t *testing.T, url string) (*exporter.Traces, *logbook) {
	t.Helper()
	told := &logbook{}
	sent, err := exporter.Open(&config.Traces{Endpoint: url}, exporter.Surroundings{Version: "v1.2.3", Lookup: os.LookupEnv, Log: slog.New(slog.NewTextHandler(told, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return sent, told
}

// requests has n requests answered at an endpoint.
func requests(t *testing.T, sent *exporter.Traces, n int) {
	t.Helper()
	h := sent.Handler("ecs", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	for range n {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
		if w.Body.String() != "ok" {
			t.Fatalf("answered %q", w.Body)
		}
	}
}

// What is told arrives under the program's name, or the name that the environment gives it.
func TestTracesArrive(t *testing.T) {
	for name, want := range map[string]string{"": "service.name=stile", "payments": "service.name=payments"} {
		t.Setenv("OTEL_SERVICE_NAME", name)
		t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=etl-0")
		c := exportertest.New()
		sent, told := sending(t, c.URL+"/otlp/")
		requests(t, sent, 2)
		sent.Close(10 * time.Second)
		c.Close()
		lines := strings.Join(c.Lines(), "\n")
		for _, want := range []string{"GET ecs < -, trace 2", "http.response.status_code=200", want, "service.version=v1.2.3", "k8s.pod.name=etl-0"} {
			if !strings.Contains(lines, want) {
				t.Errorf("no %s in\n%s", want, lines)
			}
		}
		if _, err := c.Raw(); err != nil || told.String() != "" {
			t.Errorf("%v; told %q", err, told)
		}
	}
}

// Whoever takes traces can hang, refuse, break off or answer nonsense, as long as it likes: nothing that is told of waits
// for it, the end waits as long as it is told to, and the log hears of it once, without a word of the answer. What waited
// all the same would wait for an hour.
func TestNothingWaitsForTheCollector(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key="+hush)
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000")
	t.Setenv("OTEL_BSP_EXPORT_TIMEOUT", "3600000")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "64")
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
	echo := func(w http.ResponseWriter, r *http.Request, status int) {
		w.Header().Set("Content-Type", "application/x-protobuf")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "\xff\x00%s", r.Header.Get("Api-Key"))
	}
	// What is cut short at the end of one is told of during the next, so those come last.
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		want   string
	}{
		{"refuses", func(w http.ResponseWriter, r *http.Request) { echo(w, r, 401) }, "the collector answered 401"},
		{"babbles", func(w http.ResponseWriter, r *http.Request) { echo(w, r, 200) }, "answer cannot be read"},
		{"breaks off", func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, "SMTP "+hush+"\r\n")
				_ = conn.Close()
			}
		}, "speaks no HTTP"},
		{"sends elsewhere", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://127.0.0.1:1/"+hush)
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, "cannot reach the collector: dial tcp 127.0.0.1:1"},
		{"is too busy", func(w http.ResponseWriter, r *http.Request) { echo(w, r, 503) }, "the last traces were not sent"},
		{"hangs", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // or the server does not see that the other end is gone
			<-r.Context().Done()
		}, "the last traces were not sent"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(test.answer)
			defer server.Close()
			sent, told := sending(t, server.URL)
			requests(t, sent, 1000)
			patience := 300 * time.Millisecond
			if test.want != "the last traces were not sent" {
				patience = time.Hour
				for deadline := time.Now().Add(20 * time.Second); !strings.Contains(told.String(), test.want); time.Sleep(10 * time.Millisecond) {
					if time.Now().After(deadline) {
						break
					}
				}
			}
			sent.Close(patience)
			server.CloseClientConnections()
			text := told.String()
			if !strings.Contains(text, test.want) || strings.Count(text, test.want) != 1 || strings.Count(text, "\n") > 6 || strings.Contains(text, hush) {
				t.Errorf("told, want %q once:\n%s", test.want, text)
			}
		})
	}
	t.Run("is not there", func(t *testing.T) {
		sent, told := sending(t, "http://127.0.0.1:1")
		requests(t, sent, 100)
		sent.Close(300 * time.Millisecond)
		if strings.Contains(told.String(), hush) {
			t.Errorf("told: %s", told)
		}
	})
}

// A variable that cannot be read is told of without its value, which may be a key.
func TestVariablesAreNotRepeated(t *testing.T) {
	for _, headers := range []string{hush, "api-key=%zz" + hush, "api key=" + hush} {
		t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", headers)
		c := exportertest.New()
		sent, told := sending(t, c.URL)
		requests(t, sent, 1)
		sent.Close(10 * time.Second)
		c.Close()
		if text := told.String(); !strings.Contains(text, "OTEL_") || strings.Contains(text, hush) {
			t.Errorf("%s is told of as %q", headers, text)
		}
		if len(c.Lines()) != 1 {
			t.Error("the trace did not arrive")
		}
	}
}

// A setting that is not heeded is told of once and without its value, as that and not as a loss: the traces arrive.
func TestSettingsArePassedOver(t *testing.T) {
	for variable, want := range map[string]string{
		"OTEL_RESOURCE_ATTRIBUTES=a=b," + hush:       "cannot read all of OTEL_RESOURCE_ATTRIBUTES",
		"OTEL_RESOURCE_ATTRIBUTES=a=%zz" + hush:      "cannot read all of OTEL_RESOURCE_ATTRIBUTES",
		"OTEL_TRACES_SAMPLER=" + hush:                "cannot use OTEL_TRACES_SAMPLER with its OTEL_TRACES_SAMPLER_ARG",
		"OTEL_TRACES_SAMPLER_ARG=" + hush:            "cannot use OTEL_TRACES_SAMPLER with its OTEL_TRACES_SAMPLER_ARG",
		"OTEL_TRACES_SAMPLER_ARG=2":                  "cannot use OTEL_TRACES_SAMPLER with its OTEL_TRACES_SAMPLER_ARG",
		"OTEL_EXPORTER_OTLP_PROTOCOL=grpc":           "grpc is not a valid protocol",
		"OTEL_EXPORTER_OTLP_COMPRESSION=" + hush:     "OTEL_EXPORTER_OTLP_COMPRESSION is neither gzip nor none",
		"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION=zstd": "OTEL_EXPORTER_OTLP_COMPRESSION is neither gzip nor none",
		"OTEL_EXPORTER_OTLP_TIMEOUT=" + hush:         "cannot parse duration",
		"OTEL_EXPORTER_OTLP_CERTIFICATE=/no/" + hush: "cannot read tls ca cert file",
		"OTEL_BSP_MAX_QUEUE_SIZE=" + hush:            "OTEL_BSP_MAX_QUEUE_SIZE is no number",
		"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=" + hush:    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT is no number",
		"OTEL_EXPORTER_OTLP_COMPRESSION=gzip":        "",
		"OTEL_EXPORTER_OTLP_COMPRESSION=none":        "",
	} {
		t.Run(variable, func(t *testing.T) {
			name, value, _ := strings.Cut(variable, "=")
			if name == "OTEL_TRACES_SAMPLER_ARG" {
				t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
			}
			t.Setenv(name, value)
			c := exportertest.New()
			defer c.Close()
			sent, told := sending(t, c.URL)
			requests(t, sent, 1)
			sent.Close(10 * time.Second)
			text, lines := told.String(), 1
			if want == "" {
				lines = 0
			}
			if strings.Count(text, "a setting of traces is passed over") != lines || strings.Count(text, "\n") != lines || !strings.Contains(text, want) || strings.Contains(text, hush) {
				t.Errorf("told, want %d of %q:\n%s", lines, want, text)
			}
			if len(c.Lines()) != 1 {
				t.Error("the trace did not arrive")
			}
		})
	}
}

// Why there is no TLS is told by what is wrong: whom we do not trust, who does not trust us, who speaks none.
func TestWhyThereIsNoTLS(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	wary := refusing(t, &tls.Config{Certificates: secure.TLS.Certificates, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13})
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ url, authority, want string }{
		"we do not trust it": {secure.URL, "", "its certificate is not trusted"},
		"it does not trust":  {wary, authority, "may want another client certificate: tls: certificate required"},
		"it speaks none":     {"https" + strings.TrimPrefix(plain.URL, "http"), "", "it speaks no TLS: want http://"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", test.authority)
			sent, told := sending(t, test.url)
			requests(t, sent, 1)
			sent.Close(10 * time.Second)
			if text := told.String(); !strings.Contains(text, "traces are lost") || !strings.Contains(text, test.want) {
				t.Errorf("told, want %q: %s", test.want, text)
			}
		})
	}
}

// refusing listens and breaks off every handshake, and closes no connection before the other side does, so that what it
// said arrives.
func refusing(t *testing.T, config *tls.Config) (url string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { _ = listener.Close(); all.Wait() })
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				if tls.Server(conn, config).Handshake() == nil {
					t.Error("the handshake went well")
				}
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
			})
		}
	})
	return "https://" + listener.Addr().String()
}
