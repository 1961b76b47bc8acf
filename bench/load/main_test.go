// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Every answer is counted, and those that are not 200 are told apart.
func TestAsk(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/path" || r.Header.Get("Name") != "value" {
			t.Errorf("asked for %s, with %v", r.URL.Path, r.Header)
		}
		if asked.Add(1)%2 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, "an answer\n\r\n\r\n")
	}))
	defer server.Close()
	for _, often := range []int{0, 200} {
		asked.Store(0)
		var a asker
		request := "GET /path HTTP/1.1\r\nHost: localhost\r\nName: value\r\n\r\n"
		if err := a.ask("tcp", strings.TrimPrefix(server.URL, "http://"), []byte(request), often, time.Now().Add(100*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n := int(asked.Load())
		if n == 0 || len(a.took) != n || a.failed != n/2 {
			t.Errorf("%d requests, %d answers, %d failed", n, len(a.took), a.failed)
		}
		if often > 0 && n > 21 {
			t.Errorf("%d requests in a tenth of a second, want some 20", n)
		}
	}
}
