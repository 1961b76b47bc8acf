// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	flavorHeader = "Metadata-Flavor"
	flavor       = "Google"
	metadataRoot = "/computeMetadata/v1"
)

func (c *Cloud) metadataHandler(s *metadataServer) http.Handler {
	answerer := c.serve("metadata server", "get", func(q *call) (answer, error) { return s.serve(q) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Every answer carries these, errors and redirects too: Node turns away one without the first.
		h := w.Header()
		h.Set(flavorHeader, flavor)
		h.Set("Server", "Metadata Server for VM")
		h.Set("X-Xss-Protection", "0")
		h.Set("X-Frame-Options", "SAMEORIGIN")
		answerer.ServeHTTP(w, r)
	})
}

// serve guards the server as the real one does, then looks the path up.
func (s *metadataServer) serve(q *call) (answer, error) {
	q.entry.Operation = "get " + clip(q.r.URL.Path, 120)
	if len(q.r.Header.Values("X-Forwarded-For")) > 0 {
		return answer{}, q.refuse(htmlAnswer(http.StatusForbidden, "Request contains an X-Forwarded-For header."), "the request came through a proxy: it has an X-Forwarded-For header")
	}
	if q.r.Method != http.MethodGet && q.r.Method != http.MethodHead {
		return answer{}, q.refuse(htmlAnswer(http.StatusMethodNotAllowed, "The request method is not allowed."), "the metadata server is only read")
	}
	if page, ok := rootPages[q.r.URL.Path]; ok {
		q.entry.OK("clients ask this page whether there is a metadata server at all")
		return textAnswer(page), nil
	}
	path, ok := strings.CutPrefix(q.r.URL.Path, metadataRoot)
	if !ok || (path != "" && path[0] != '/') {
		return answer{}, q.noSuchEntry()
	}
	if got := q.r.Header.Values(flavorHeader); len(got) != 1 || got[0] != flavor {
		return answer{}, q.refuse(htmlAnswer(http.StatusForbidden, `Missing required header "Metadata-Flavor": "Google"`), "the request lacks the header Metadata-Flavor: Google")
	}
	q.entry.OK("the header Metadata-Flavor: Google shows that no web page sent this")
	return s.find(q, path)
}

// rootPages need no header. Source: google-auth's ping, and what a machine's own shell shows.
var rootPages = map[string]string{
	"":                  "computeMetadata/\n",
	"/":                 "computeMetadata/\n",
	"/computeMetadata/": "v1/\n",
}

func (q *call) noSuchEntry() error {
	return q.refuse(htmlAnswer(http.StatusNotFound, "The requested URL was not found on this server."), "there is no such entry")
}

// find walks from the root to the entry that path names.
func (s *metadataServer) find(q *call, path string) (answer, error) {
	var entry any = s.tree()
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for _, part := range parts {
		dir, ok := entry.(directory)
		if part == "" {
			break
		}
		if entry = dir[part]; !ok || entry == nil {
			return answer{}, q.noSuchEntry()
		}
	}
	slash := strings.HasSuffix(path, "/")
	switch e := entry.(type) {
	case directory:
		if !slash {
			return s.redirect(q)
		}
		return q.render(e, namesIn(parts[len(parts)-1]))
	case dynamic:
		if slash {
			return answer{}, q.noSuchEntry()
		}
		return e(q)
	}
	if slash {
		return answer{}, q.noSuchEntry()
	}
	return q.render(entry, camelName)
}

// redirect sends a directory's name without a slash to the one with.
func (s *metadataServer) redirect(q *call) (answer, error) {
	to := url.URL{Path: q.r.URL.Path + "/", RawQuery: q.r.URL.RawQuery}
	a := htmlAnswer(http.StatusMovedPermanently, "The document has moved.").with("Location", to.String())
	a.code, a.message = "", ""
	q.entry.OK("a directory's name ends in a slash: the client is sent there")
	return a, nil
}

// render writes an entry as text or, where the query asks for it, as JSON.
func (q *call) render(entry any, rename func(string) string) (answer, error) {
	query := q.r.URL.Query()
	recursive := strings.EqualFold(query.Get("recursive"), "true")
	alt := query.Get("alt")
	_, isDirectory := entry.(directory)
	if isDirectory && alt == "json" && !recursive {
		recursive = true
	}
	var a answer
	switch {
	case isDirectory && recursive && alt != "text", !isDirectory && alt == "json":
		a = compactJSON(jsonOf(entry, rename))
	case isDirectory && recursive:
		a = textAnswer(strings.Join(textLines("", entry), "\n") + "\n")
	default:
		a = textAnswer(textOf(entry))
	}
	a = tagged(a)
	q.entry.OK("the entry is there, and any program on the machine may read it")
	return q.awaitChange(a), nil
}

// tagged adds the ETag, spelled as the real server spells it: Go would write Etag.
func tagged(a answer) answer {
	sum := sha256.Sum256(a.body)
	a.header["ETag"] = []string{hex.EncodeToString(sum[:8])}
	return a
}

// longestWait bounds wait_for_change: nothing here ever changes, and a client must not hang on that for ever.
const longestWait = time.Minute

// awaitChange holds an answer back while the client wants to hear of changes only, until its timeout_sec.
func (q *call) awaitChange(a answer) answer {
	query := q.r.URL.Query()
	last := query.Get("last_etag")
	if !strings.EqualFold(query.Get("wait_for_change"), "true") || (last != "" && last != a.header["ETag"][0]) {
		return a
	}
	wait := longestWait
	if seconds, err := strconv.Atoi(query.Get("timeout_sec")); err == nil && seconds >= 0 && seconds < int(longestWait/time.Second) {
		wait = time.Duration(seconds) * time.Second
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-q.r.Context().Done():
	}
	return a
}

func textAnswer(text string) answer {
	return answer{status: http.StatusOK, header: http.Header{"Content-Type": {"application/text"}}, body: []byte(text)}
}

func compactJSON(v any) answer {
	text, err := json.Marshal(v)
	if err != nil {
		return answer{status: http.StatusInternalServerError, header: http.Header{}}
	}
	return answer{status: http.StatusOK, header: http.Header{"Content-Type": {"application/json"}}, body: text}
}
