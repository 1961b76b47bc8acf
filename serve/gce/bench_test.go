// SPDX-License-Identifier: Apache-2.0

package gce_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/serve/gce"
)

// bench makes a handler whose tokens are as long as Google's, and a bare one that writes the same bytes.
func bench(b *testing.B) map[string]http.Handler {
	b.Helper()
	c := newCloud()
	c.now = time.Now
	x := c.crossing()
	f := c.supplier(stile.KindAccessToken, strings.Repeat("x", 1000))
	x.Google.AccessToken = func([]string) (stile.Supplier, error) { return f, nil }
	h, err := gce.New(x, gce.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(h.Close)
	want := get(h, account+"token")
	body := want.Body.Bytes()
	header := want.Header()
	return map[string]http.Handler{
		"gce": h,
		"bare": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			to := w.Header()
			for name, values := range header {
				to[name] = values
			}
			_, _ = w.Write(body)
		}),
	}
}

func BenchmarkToken(b *testing.B) {
	for name, h := range bench(b) {
		b.Run(name+"/handler", func(b *testing.B) {
			r := request(http.MethodGet, account+"token?scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloud-platform")
			w := &discard{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
		b.Run(name+"/connection", func(b *testing.B) {
			s := httptest.NewServer(h)
			defer s.Close()
			transport := &http.Transport{MaxIdleConnsPerHost: 16}
			defer transport.CloseIdleConnections()
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, s.URL+account+"token?scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloud-platform", nil)
					if err != nil {
						b.Error(err)
						return
					}
					r.Header.Set("Metadata-Flavor", "Google")
					w, err := transport.RoundTrip(r)
					if err != nil {
						b.Error(err)
						return
					}
					got, err := io.ReadAll(w.Body)
					w.Body.Close()
					if err != nil || !bytes.HasPrefix(got, []byte(`{"access_token":"secret.`)) {
						b.Errorf("got %d %.40q, %v", w.StatusCode, got, err)
						return
					}
				}
			})
		})
	}
}

type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}
