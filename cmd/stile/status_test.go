// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/sidecar"
	"github.com/stile-project/stile/serve"
)

func TestStatusOfFailures(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	for want, r := range map[string]serve.CrossingReport{
		"images has failed once, just now: no":                                   {Failures: 1, FailedAt: now},
		"images has failed once, 3s ago: no":                                     {Failures: 1, FailedAt: now.Add(-3 * time.Second)},
		"images has failed 2 times in a row, the last time just now: no":         {Failures: 2, FailedAt: now.Add(-100 * time.Millisecond)},
		"images has failed 1000 times in a row, the last time 1h0m0s ago: no":    {Failures: 1000, FailedAt: now.Add(-time.Hour)},
		"images has failed 3 times in a row, the last time just now: no\n  hint": {Failures: 3, FailedAt: now, Hint: "ask again"},
	} {
		r.Name, r.Error = "images", "no"
		var b strings.Builder
		if err := showStatus(&b, sidecar.Report{Report: serve.Report{Crossings: []serve.CrossingReport{r}}}, now); err != nil || !strings.Contains(b.String(), "\n"+want) {
			t.Errorf("got %q, %v, want %q", b.String(), err, want)
		}
	}
}

func TestKindOfWhatIsMissing(t *testing.T) {
	t.Parallel()
	for kinds, want := range map[string]error{
		"refused": stile.ErrRefused, "no_identity": stile.ErrNoIdentity, "refused no_identity": stile.ErrRefused, "temporary": stile.ErrTemporary,
		"refused temporary": stile.ErrTemporary, "no_identity failed": stile.ErrTemporary, "": stile.ErrTemporary, "misuse": stile.ErrTemporary,
	} {
		missing := map[string]bool{}
		for kind := range strings.FieldsSeq(kinds) {
			missing[kind] = true
		}
		if got := kindOf(missing); !errors.Is(got, want) {
			t.Errorf("%s: got %v, want %v", kinds, got, want)
		}
	}
}

// Files and bearer tokens that are missing are told of, and mended, like anything else; a crossing that lacks no more than
// its file has nothing to add.
func TestStatusOfWhatIsMissing(t *testing.T) {
	t.Parallel()
	report := sidecar.Report{
		Report: serve.Report{Crossings: []serve.CrossingReport{{Name: "images"}, {Name: "warehouse"}}},
		Files:  []sidecar.FileReport{{Crossing: "images", Path: "/f", State: "waiting", Error: "read-only", Hint: "mount it otherwise"}},
		Serves: []sidecar.Served{{Kind: "ecs", Listen: "127.0.0.1:9", Addresses: []string{"127.0.0.1:9"}, Error: "no token", Hint: "write one"}},
	}
	err := notReady(time.Second, report, nil, nil)
	if want := "not ready within 1s: /f: read-only; ecs at 127.0.0.1:9: no token; warehouse: nothing has come yet"; !errors.Is(err, stile.ErrTemporary) || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	if e, ok := errors.AsType[*stile.Error](err); !ok || e.Hint != "mount it otherwise" {
		t.Errorf("got %#v", e)
	}
	var b strings.Builder
	if err := showStatus(&b, report, time.Unix(1_800_000_000, 0)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\n/f: read-only\n  hint: mount it otherwise\n", "\necs at 127.0.0.1:9 lets nobody in: no token\n  hint: write one\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in:\n%s", want, b.String())
		}
	}
}

// Whoever answers in place of serve writes nothing that a terminal would obey, wherever it stands.
func TestStatusOfWhoeverAnswers(t *testing.T) {
	t.Parallel()
	const bad = "a\x1b]52;c;ZXZpbA==\a\u009b2J\r\n\u202eb"
	now := time.Unix(1_800_000_000, 0)
	report := sidecar.Report{
		Report: serve.Report{
			Configuration: &serve.ConfigurationReport{Error: bad, Hint: bad, FailedAt: now},
			Crossings:     []serve.CrossingReport{{Name: bad, State: bad, Principal: bad, Error: bad, Hint: bad}},
		},
		Files:  []sidecar.FileReport{{Crossing: bad, Path: bad, Profile: bad, State: bad, Error: bad, Hint: bad}},
		Serves: []sidecar.Served{{Kind: bad, Listen: bad, Addresses: []string{bad}, Crossings: []string{bad}, Error: bad, Hint: bad}},
	}
	var b strings.Builder
	if err := showStatus(&b, report, now); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsFunc(b.String(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
		t.Errorf("%q", b.String())
	}
	if lines := strings.Count(b.String(), "\n"); lines != 20 {
		t.Errorf("%d lines:\n%s", lines, b.String())
	}
}

// Of very many crossings the status takes longer than the last moment; what /readyz said is told then.
func TestNotReadyWithoutAStatus(t *testing.T) {
	t.Parallel()
	lines := strings.Repeat("images: failed once: no\n", 12)
	err := notReady(time.Second, sidecar.Report{}, []byte(lines), context.DeadlineExceeded)
	if !errors.Is(err, stile.ErrTemporary) || strings.Count(err.Error(), "images: failed once: no") != 10 || !strings.HasSuffix(err.Error(), "; and 2 more") {
		t.Errorf("got %v", err)
	}
	if err := notReady(time.Second, sidecar.Report{}, nil, context.DeadlineExceeded); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with nothing at all: %v", err)
	}
}

// A serve that is not there, one that has too much to do, and what is no serve are three things for whoever asks.
func TestAskingWhoDoesNotAnswer(t *testing.T) {
	t.Parallel()
	hung := httptest.NewServer(http.HandlerFunc(hang))
	t.Cleanup(hung.Close)
	secure := quietTLS(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := closed.Addr().String()
	_ = closed.Close()
	p := &program{env: func(string) string { return "" }}
	for _, test := range []struct {
		name        string
		at          adminPlace
		says, hints string
	}{
		{"gone", adminPlace{address: gone, program: p}, "refused", "is it running? stile serve"},
		{"no socket", adminPlace{address: "unix:" + t.TempDir() + "/none", program: p}, "no such file", "is it running? stile serve"},
		{"busy", adminPlace{address: hung.Listener.Addr().String(), program: p}, "temporary: it is running, but did not answer in time", "--timeout"},
		{"TLS by name", adminPlace{address: secure.Listener.Addr().String(), secure: true, program: p}, "certificate", "speak TLS"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, _, err := test.at.ask(ctx, "/status")
		cancel()
		if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(hint(err), test.hints) || !errors.Is(err, stile.ErrTemporary) {
			t.Errorf("%s: got %v, hint %q", test.name, err, hint(err))
		}
	}
}

// quietTLS logs no refused handshake.
func quietTLS(h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	return s
}

// Who has serve's configuration need not know an authority, nor ask under the certificate's name.
func TestAskingByTheCertificate(t *testing.T) {
	t.Parallel()
	server := quietTLS(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "cert.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("not here")})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	p := &program{env: func(string) string { return "" }}
	s := config.Serve{Admin: server.Listener.Addr().String(), AdminTLS: &config.TLS{Cert: file}}
	if _, err := askStatus(t.Context(), p.adminAt(s)); err != nil {
		t.Error(err)
	}
	s.AdminTLS.Cert = file + ".none"
	if _, err := askStatus(t.Context(), p.adminAt(s)); err == nil {
		t.Error("a certificate of nobody's was taken")
	}
}

// Lines tell when they were written, unless the journal or a terminal does.
func TestShowsTime(t *testing.T) {
	t.Parallel()
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	env := func(stream string) func(string) string {
		return func(name string) string { return map[string]string{"JOURNAL_STREAM": stream}[name] }
	}
	if showsTime(file, env("")) || showsTime(file, env("1:2")) || showsTime(&strings.Builder{}, env(streamOf(info))) {
		t.Error("a file shows no time, whatever stream the journal reads")
	}
	if stream := streamOf(info); stream != "" && !showsTime(file, env(stream)) {
		t.Errorf("the journal reads %s", stream)
	}
}
