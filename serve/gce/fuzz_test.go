// SPDX-License-Identifier: Apache-2.0

package gce_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stile-project/stile"
)

// Whatever is asked: no panic, always the flavor header, a token only for a whole question to the one path that has it,
// and none at all while there is none.
func FuzzHandler(f *testing.F) {
	for _, path := range []string{"/", "/computeMetadata/v1", root, root + "instance", account, account + "token", account + "identity", root + "instance%2Fid",
		root + "../v1/", "//", account + "%74oken", root + "instance/service-accounts/" + email + "/token", root + "universe/universe-domain/"} {
		for _, query := range []string{"", "recursive=true", "alt=json", "recursive=true&alt=text", "audience=a", "audience=%00", "scopes=a,b", "scopes=https://a",
			"wait_for_change=true&timeout_sec=0", "wait_for_change=true&last_etag=0", ";", "%"} {
			f.Add("GET", path, query, "Google", "", true)
		}
	}
	f.Add("POST", account+"token", "", "Google", "", true)
	f.Add("GET", account+"token", "", "google", "", true)
	f.Add("GET", account+"token", "", "Google", "10.0.0.1", true)
	f.Add("GET", account+"token", "", "Google", "", false)
	f.Fuzz(func(t *testing.T, method, path, query, flavor, forwarded string, good bool) {
		c := newCloud()
		if !good {
			c.err = errors.New("secret")
			if len(path)%2 == 0 {
				c.err = &stile.Error{Op: "cross", Err: stile.ErrRefused}
			}
		}
		h := c.handler(t, c.crossing())
		raw := path
		plain, err := url.PathUnescape(path)
		if err != nil {
			plain = path
		}
		if q, err := url.ParseQuery(query); err == nil && strings.EqualFold(q.Get("wait_for_change"), "true") && q.Get("timeout_sec") != "0" {
			t.Skip("it would wait")
		}
		r := &http.Request{Method: method, URL: &url.URL{Path: plain, RawPath: raw, RawQuery: query}, Header: http.Header{}, Host: "metadata.google.internal"}
		if flavor != "" {
			r.Header.Set("Metadata-Flavor", flavor)
		}
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		w := ask(h, r.WithContext(t.Context()))
		if got := w.Header()["Metadata-Flavor"]; len(got) != 1 || got[0] != "Google" {
			t.Fatalf("Metadata-Flavor is %q", got)
		}
		body := w.Body.String()
		given := strings.Contains(body, "secret")
		if given && (!good || w.Code != 200 || forwarded != "" || flavor != "Google" || (method != "GET" && method != "HEAD")) {
			t.Fatalf("%s %s?%s gave %d %s", method, path, query, w.Code, body)
		}
		asksToken, asksIdentity := strings.HasSuffix(plain, "/token"), strings.HasSuffix(plain, "/identity")
		if given && !asksToken && !asksIdentity {
			t.Fatalf("%s has a secret: %s", path, body)
		}
		if w.Code == 200 && !given && (asksToken || asksIdentity) {
			t.Fatalf("%s?%s: 200 without a token: %s", path, query, body)
		}
		if w.Header().Get("Content-Type") == "application/json" && !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%s?%s: not JSON: %s", path, query, body)
		}
		switch w.Code {
		case 200, 301, 400, 403, 404, 405, 503:
		default:
			t.Fatalf("%s?%s: status %d", path, query, w.Code)
		}
		if to := w.Header().Get("Location"); (w.Code == 301) != strings.HasPrefix(to, "/computeMetadata/") {
			t.Fatalf("%s: %d to %q", path, w.Code, to)
		}
	})
}
