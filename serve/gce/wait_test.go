// SPDX-License-Identifier: Apache-2.0

package gce_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile/serve/gce"
)

func etag(w *httptest.ResponseRecorder) string {
	if got := w.Header()["ETag"]; len(got) == 1 { //nolint:staticcheck // as the real server spells it
		return got[0]
	}
	return ""
}

func TestETag(t *testing.T) {
	t.Parallel()
	c := newCloud()
	h := c.handler(t, c.crossing())
	zone, again, other := etag(get(h, root+"instance/zone")), etag(get(h, root+"instance/zone")), etag(get(h, root+"instance/zone?alt=json"))
	if len(zone) != 16 || zone != again || zone == other {
		t.Errorf("got %q, %q and %q", zone, again, other)
	}
}

func TestWaitForChange(t *testing.T) {
	t.Parallel()
	const path = root + "instance/zone?wait_for_change="
	now := etag(get(newCloud().handler(t, newCloud().crossing()), root+"instance/zone"))
	for query, want := range map[string]time.Duration{
		"true":                                  gce.LongestWait,
		"True&timeout_sec=5":                    5 * time.Second,
		"true&timeout_sec=0":                    0,
		"true&timeout_sec=3600":                 gce.LongestWait,
		"true&timeout_sec=99999999999999999999": -1,
		"true&timeout_sec=-1":                   -1,
		"true&timeout_sec=x":                    -1,
		"true&timeout_sec=9&last_etag=" + now:   9 * time.Second,
		"true&timeout_sec=9&last_etag=0":        0,
		"true&timeout_sec=9&last_etag=":         0,
		"false&timeout_sec=9":                   0,
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newCloud()
			h := c.handler(t, c.crossing())
			start := time.Now()
			w := get(h, path+query)
			if want < 0 {
				if w.Code != 400 {
					t.Errorf("%s: got %d", query, w.Code)
				}
				want = 0
			} else if w.Code != 200 || etag(w) != now || w.Body.String() != "projects/123456789012/zones/europe-west1-b" {
				t.Errorf("%s: got %d %v %s", query, w.Code, w.Header(), w.Body)
			}
			if took := time.Since(start); took != want {
				t.Errorf("%s: took %v, want %v", query, took, want)
			}
		})
	}
}

// Folders can be waited for too, and tokens cannot: they are answered at once.
func TestWaitElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		h := c.handler(t, c.crossing())
		start := time.Now()
		if w := get(h, root+"?recursive=true&wait_for_change=true&timeout_sec=7"); w.Code != 200 || time.Since(start) != 7*time.Second {
			t.Errorf("got %d after %v", w.Code, time.Since(start))
		}
		start = time.Now()
		if w := get(h, account+"token?wait_for_change=true"); w.Code != 200 || time.Since(start) != 0 {
			t.Errorf("got %d after %v", w.Code, time.Since(start))
		}
	})
}

// A wait ends with its client, and with the server; and there are not too many of them.
func TestWaitEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		h, err := gce.New(c.crossing(), gce.Options{Clock: c.now})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		codes := make(chan int, 100)
		wait := func(ctx context.Context) {
			wg.Go(func() {
				codes <- ask(h, request(http.MethodGet, root+"?recursive=true&wait_for_change=true").WithContext(ctx)).Code
			})
		}
		for range 32 {
			wait(ctx)
			wait(t.Context())
		}
		synctest.Wait()
		if len(codes) != 0 {
			t.Fatalf("%d did not wait", len(codes))
		}
		if w := get(h, root+"?wait_for_change=true"); w.Code != 503 {
			t.Errorf("one too many got %d", w.Code)
		}
		if w := get(h, root); w.Code != 200 {
			t.Errorf("one that does not wait got %d", w.Code)
		}
		cancel()
		synctest.Wait()
		if len(codes) != 32 {
			t.Errorf("%d ended with their clients, want 32", len(codes))
		}
		wait(t.Context())
		synctest.Wait()
		if len(codes) != 32 {
			t.Error("there was no room again")
		}
		h.Close()
		wg.Wait()
		close(codes)
		for code := range codes {
			if code != 200 {
				t.Errorf("got %d", code)
			}
		}
		if time.Since(start) != 0 {
			t.Errorf("took %v", time.Since(start))
		}
		if w := get(h, root+"?wait_for_change=true"); w.Code != 200 || time.Since(start) != 0 {
			t.Errorf("after Close: %d, %v", w.Code, time.Since(start))
		}
	})
}

// Who waits sees the change when another handler comes in the place of the one that was asked, whether told of an etag or not,
// and goes on waiting when what it waits for is the same there.
func TestWaitSeesTheNextHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		made := func(zone string) *gce.Handler {
			x := c.crossing()
			x.Google.Zone = zone
			h, err := gce.New(x, gce.Options{Clock: c.now})
			if err != nil {
				t.Fatal(err)
			}
			return h
		}
		first, second, third := made("europe-west1-b"), made("europe-west1-c"), made("")
		start := time.Now()
		type end struct {
			w     *httptest.ResponseRecorder
			after time.Duration
		}
		var wg sync.WaitGroup
		wait := func(path string) *end {
			e := new(end)
			wg.Go(func() {
				e.w = get(first, root+path)
				e.after = time.Since(start)
			})
			return e
		}
		const in = "?wait_for_change=true&timeout_sec=30"
		plain, told := wait("instance/zone"+in), wait("instance/zone"+in+"&last_etag="+etag(get(first, root+"instance/zone")))
		same, untold := wait("project/project-id"+in), wait("instance/id?wait_for_change=true")
		gone := wait("instance/attributes/" + in + "&alt=json")
		time.Sleep(10 * time.Second)
		first.Yield(second)
		time.Sleep(10 * time.Second)
		second.Yield(third)
		if w := get(first, root+"instance/zone"); w.Code != 200 { // of a connection that is slow to hear of it
			t.Errorf("the first answers %d", w.Code)
		}
		wg.Wait()
		third.Close()
		for name, test := range map[string]struct {
			got   *end
			body  string
			after time.Duration
		}{
			"without an etag":      {plain, "projects/123456789012/zones/europe-west1-c", 10 * time.Second},
			"with one":             {told, "projects/123456789012/zones/europe-west1-c", 10 * time.Second},
			"of what is the same":  {same, "demo-proj", 30 * time.Second},
			"without a time limit": {untold, get(first, root+"instance/id").Body.String(), gce.LongestWait},
			"of a folder":          {gone, "{}", 30 * time.Second},
		} {
			if test.got.w.Code != 200 || test.got.w.Body.String() != test.body || test.got.after != test.after {
				t.Errorf("%s: %d %s after %v, want %s after %v", name, test.got.w.Code, test.got.w.Body, test.got.after, test.body, test.after)
			}
		}
	})
}
