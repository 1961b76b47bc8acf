// SPDX-License-Identifier: Apache-2.0

package gce

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// LongestWait is how long a request with wait_for_change is held back at most. Nothing here changes but by [Handler.Yield], so
// each ends in its own timeout_sec or after this; a server's write timeout has to be longer.
const LongestWait = time.Minute

// mostWaiters is how many requests may wait for a change at once.
const mostWaiters = 64

// show answers with an entry as text, or as JSON where the query asks for it. name is the entry's own.
func (h *Handler) show(w http.ResponseWriter, r *http.Request, at any, name string) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		page(w, http.StatusBadRequest, "The query is malformed.")
		return
	}
	f, isFolder := at.(folder)
	recursive, alt := strings.EqualFold(query.Get("recursive"), "true"), query.Get("alt")
	kind := typeText
	var body string
	switch {
	case isFolder && recursive && alt == "text":
		body = lines("", at)
	case isFolder && (recursive || alt == "json"), alt == "json":
		kind, body = typeJSON, asJSON(at, name)
	case isFolder:
		body = f.listing()
	default:
		body = asText(at)
	}
	sum := sha256.Sum256([]byte(body))
	etag := hex.EncodeToString(sum[:8])
	if strings.EqualFold(query.Get("wait_for_change"), "true") && (!query.Has("last_etag") || query.Get("last_etag") == etag) {
		if !h.wait(w, r, query, etag) {
			return
		}
	}
	header := w.Header()
	header["ETag"] = []string{etag} // spelled as the real server does
	header["Content-Type"] = kind
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	_, _ = io.WriteString(w, body) // a client that left misses nothing
}

// wait holds a request back until its timeout, or the client or the server ends. It reports whether to answer the request
// now; if not, it was answered. etag is that of what the client waits to see changed.
func (h *Handler) wait(w http.ResponseWriter, r *http.Request, query url.Values, etag string) bool {
	limit := LongestWait
	if s := query.Get("timeout_sec"); s != "" {
		seconds, err := strconv.ParseUint(s, 10, 31)
		if err != nil {
			page(w, http.StatusBadRequest, "timeout_sec is not a number of seconds.")
			return false
		}
		limit = min(limit, time.Duration(seconds)*time.Second)
	}
	defer h.waiters.Add(-1)
	if h.waiters.Add(1) > mostWaiters {
		page(w, http.StatusServiceUnavailable, "Too many requests wait for a change.")
		return false
	}
	start := time.Now()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	case <-h.done:
		if next := h.next.Load(); next != nil {
			next.goOn(w, r, query, etag, limit-time.Since(start))
			return false
		}
	}
	return true
}

// goOn has a request wait here that another handler was asked: it is answered at once if what it waits for is another here.
func (h *Handler) goOn(w http.ResponseWriter, r *http.Request, query url.Values, etag string, left time.Duration) {
	query.Set("last_etag", etag)
	query.Set("timeout_sec", strconv.FormatInt(max(0, int64(left/time.Second)), 10))
	asked := *r.URL
	asked.RawQuery = query.Encode()
	again := r.WithContext(r.Context())
	again.URL = &asked
	h.ServeHTTP(w, again)
}

// listing names a folder's entries, one to a line, with a slash behind those that are folders.
func (f folder) listing() string {
	var b strings.Builder
	for _, e := range f {
		b.WriteString(e.name)
		if _, sub := e.is.(folder); sub {
			b.WriteByte('/')
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func asText(at any) string {
	switch v := at.(type) {
	case string:
		return v
	case number:
		return string(v)
	case list:
		return strings.Join(v, "\n") + "\n"
	}
	return ""
}

// lines is a recursive listing as text: on each line a path from here, a space and a value.
func lines(path string, at any) string {
	f, ok := at.(folder)
	if !ok {
		if _, made := at.(live); made {
			return ""
		}
		return path + " " + strings.ReplaceAll(strings.TrimSpace(asText(at)), "\n", " ") + "\n"
	}
	if path != "" {
		path += "/"
	}
	var b strings.Builder
	for _, e := range f {
		b.WriteString(lines(path+e.name, e.is))
	}
	return b.String()
}

// asJSON writes an entry without what is made for each request, so no token is ever in it. name is the entry's own.
func asJSON(at any, name string) string {
	b, err := json.Marshal(plain(at, name))
	if err != nil { // there is nothing in the tree that does not marshal
		return "null"
	}
	return string(b)
}

// plain turns entries into what json.Marshal writes. Names become camelCase, but those of accounts, which are e-mail
// addresses.
func plain(at any, name string) any {
	switch v := at.(type) {
	case number:
		return json.Number(v)
	case folder:
		object := map[string]any{}
		for _, e := range v {
			if _, made := e.is.(live); made {
				continue
			}
			key := e.name
			if name != "service-accounts" {
				key = camel(key)
			}
			object[key] = plain(e.is, e.name)
		}
		return object
	}
	return at
}

// camel turns numeric-project-id into numericProjectId.
func camel(name string) string {
	parts := strings.Split(name, "-")
	for i, part := range parts {
		if i > 0 && part != "" {
			parts[i] = strings.ToUpper(part[:1]) + part[1:]
		}
	}
	return strings.Join(parts, "")
}
