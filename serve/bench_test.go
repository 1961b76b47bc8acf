// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stile-project/stile/serve/offer"
)

// requests sends b.N requests over one connection.
func requests(b *testing.B, address string) {
	b.Helper()
	c := dial(b, address)
	answers := bufio.NewReader(c)
	for b.Loop() {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: 127.0.0.1:1234\r\nAuthorization: x\r\nUser-Agent: aws-sdk\r\n\r\n"); err != nil {
			b.Fatal(err)
		}
		answer, err := http.ReadResponse(answers, nil)
		if err != nil || answer.StatusCode != 200 {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
	}
}

// BenchmarkRequest compares one request's whole way with a bare server's.
func BenchmarkRequest(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		bare := &http.Server{Handler: give}
		go func() { _ = bare.Serve(l) }()
		defer func() { _ = bare.Close() }()
		requests(b, l.Addr().String())
	})
	for name, o := range map[string]func(b *testing.B) Options{
		"guarded": func(*testing.B) Options { return Options{} },
		"audited": func(b *testing.B) Options {
			f, err := os.Create(filepath.Join(b.TempDir(), "audit"))
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = f.Close() })
			return Options{Audit: JSON(f)}
		},
	} {
		b.Run(name, func(b *testing.B) {
			s := start(b, o(b), Listener{Name: "a", Address: "127.0.0.1:0", Handler: give})
			requests(b, addressOf(s, "a"))
		})
	}
}

// BenchmarkPeer is what a connection costs whose user is asked for.
func BenchmarkPeer(b *testing.B) {
	s := start(b, Options{}, Listener{Name: "tcp", Address: "127.0.0.1:0", Handler: give}, Listener{Name: "unix", Address: "unix:" + b.TempDir() + "/s", Handler: give})
	for i, name := range []string{"tcp", "unix"} {
		b.Run(name, func(b *testing.B) {
			_ = dial(b, addressOf(s, name))
			until(b, "it is accepted", func() bool { return len(s.running[i].held()) > 0 })
			c := s.running[i].held()[0].Conn
			for b.Loop() {
				if !lookUp(c).known && runtime.GOOS == "linux" {
					b.Fatal("not known")
				}
			}
		})
	}
}

// BenchmarkIdleConnections tells what clients take that open 9,500 connections, and keep them, having asked once or never;
// memory of the clients' own counted. (20,000 descriptors are for both ends.)
func BenchmarkIdleConnections(b *testing.B) {
	const many = 9500
	for name, text := range map[string]string{"silent": "", "used": "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s := start(b, Options{Idle: 5 * time.Second}, Listener{Name: "a", Address: "127.0.0.1:0", Handler: says("hello")})
				debug.FreeOSMemory()
				before, _ := residentBytes()
				clients := make([]net.Conn, many)
				buf := make([]byte, 4096)
				most := 0
				for i := range clients {
					clients[i] = dial(b, addressOf(s, "a"))
					if _, err := io.WriteString(clients[i], text); err != nil {
						b.Fatal(err)
					}
					if text != "" {
						if _, err := clients[i].Read(buf); err != nil {
							b.Fatal(err)
						}
					}
					most = max(most, int(s.running[0].count.Load()))
				}
				after, _ := residentBytes()
				b.ReportMetric(float64(most), "open-at-most")
				b.ReportMetric(float64(after-before)/(1<<20), "MiB")
				until(b, "they are let go", func() bool { return s.running[0].count.Load() == 0 })
				debug.FreeOSMemory()
				debug.FreeOSMemory() // what pools hold outlives the first
				last, _ := residentBytes()
				b.ReportMetric(float64(last-before)/(1<<20), "MiB-left")
				for _, c := range clients {
					_ = c.Close()
				}
			}
		})
	}
}

// BenchmarkGuard is what the guard itself costs, with no socket.
func BenchmarkGuard(b *testing.B) {
	l := &listener{server: New(Options{})}
	l.now.Store(&site{Listener: Listener{Name: "a", Timeout: time.Minute, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}})
	r, err := http.NewRequest(http.MethodGet, "/", http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	r.RequestURI, r.Host, r.Header = "/", "127.0.0.1:1234", http.Header{"Authorization": {"x"}, "User-Agent": {"y"}}
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), connKey{}, &conn{l: l}))
	defer cancel()
	r = r.WithContext(ctx)
	b.ReportAllocs()
	for b.Loop() {
		l.ServeHTTP(nil, r)
	}
}

// BenchmarkAudit is what one line costs, its writing as JSON to a file included.
func BenchmarkAudit(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "audit"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() })
	a := newAudit(JSON(f), time.Now, newMetrics(time.Now()), slog.New(slog.DiscardHandler))
	c := &conn{l: &listener{}, who: peer{known: true}}
	c.asked.Do(func() {})
	c.l.now.Store(&site{Listener: Listener{Name: "a"}})
	b.ReportAllocs()
	for b.Loop() {
		a.handed(c, offer.Handed{Endpoint: "ecs", Crossing: "images", What: "AWS session", Expires: time.Now()})
	}
	_ = a.close()
}
