// SPDX-License-Identifier: Apache-2.0

package issuers

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stile-project/stile/lab/journal"
	"github.com/stile-project/stile/lab/oidc"
)

// A setup is a directory with a clock that a test moves.
type setup struct {
	*Directory
	t       *testing.T
	journal *journal.Journal

	mu sync.Mutex
	at time.Time
}

func start(t *testing.T) *setup {
	t.Helper()
	s := &setup{t: t, journal: &journal.Journal{}, at: time.Unix(1795316645, 0)}
	s.Directory = New(Config{Clock: s.time, Journal: s.journal})
	return s
}

func (s *setup) time() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at
}

func (s *setup) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = s.at.Add(d)
}

// RoundTrip hands a request to whoever has its host name.
func (s *setup) RoundTrip(r *http.Request) (*http.Response, error) {
	h, ok := s.Handler(r.URL.Hostname(), nil)
	if !ok {
		h = http.HandlerFunc(http.NotFound)
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

func (s *setup) do(method, where, bearer, body string, header ...string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, where, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := s.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// claims checks a token as a cloud does, by discovery, and gives what it says.
func (s *setup) claims(issuer, raw string) map[string]any {
	s.t.Helper()
	claims, err := oidc.Verifier{Net: s}.Verify(s.t.Context(), issuer, raw)
	if err != nil {
		s.t.Fatal(err)
	}
	return claims
}

func number(n int64) json.Number {
	text, _ := json.Marshal(n)
	return json.Number(text)
}

// reason is why the newest request was refused, as the journal has it.
func (s *setup) reason() string {
	s.t.Helper()
	entries := s.journal.Take()
	if len(entries) == 0 {
		s.t.Fatal("nothing in the journal")
	}
	last := entries[len(entries)-1]
	for _, c := range last.Checks {
		if !c.OK {
			return c.Text
		}
	}
	return ""
}
