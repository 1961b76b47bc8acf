// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stile-project/stile/lab/journal"
)

// A call is one request on its way through a service, with the journal entry it leaves behind.
type call struct {
	*Cloud
	r     *http.Request
	now   time.Time // read once, so that every check of a request sees the same time
	entry journal.Entry
}

// An answer is what goes back.
type answer struct {
	status        int
	header        http.Header
	body          []byte
	code, message string // the error as the journal shows it

	modified time.Time // set on a download: the body is served with ranges and conditions
}

// A refusal is an answer that ends a request early.
type refusal struct{ answer }

func (r *refusal) Error() string { return r.code + ": " + r.message }

// refuse notes the check that failed and gives the refusal to return.
func (q *call) refuse(a answer, format string, args ...any) error {
	q.entry.Fail(format, args...)
	return &refusal{a}
}

// serve turns one operation into a handler that writes one journal entry for each request.
func (c *Cloud) serve(service, operation string, do func(*call) (answer, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := &call{Cloud: c, r: r, now: c.clock(), entry: journal.Entry{Cloud: "Google Cloud", Service: service, Operation: operation}}
		q.entry.Time = q.now
		a, err := do(q)
		if err != nil {
			a = refused(err)
		}
		a = a.ranged(r)
		q.entry.Status, q.entry.Code, q.entry.Message = a.status, a.code, a.message
		c.journal.Add(q.entry) // first, so that whoever has the answer finds the entry
		a.write(w, r)
	})
}

func refused(err error) answer {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.answer
	}
	return apiError(http.StatusInternalServerError, "Internal error encountered.")
}

// ranged cuts a download down to what the request's range and conditions ask for.
func (a answer) ranged(r *http.Request) answer {
	if a.modified.IsZero() {
		return a
	}
	page := &pageWriter{header: a.header, status: http.StatusOK}
	http.ServeContent(page, r, "", a.modified, bytes.NewReader(a.body))
	return answer{status: page.status, header: page.header, body: page.body.Bytes()}
}

// A pageWriter keeps what a handler writes.
type pageWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (p *pageWriter) Header() http.Header         { return p.header }
func (p *pageWriter) WriteHeader(status int)      { p.status = status }
func (p *pageWriter) Write(b []byte) (int, error) { return p.body.Write(b) }

func (a answer) write(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	for name, values := range a.header {
		header[name] = values
	}
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(a.body)
	}
}

// published serves a page that anyone may read, and notes that it was read.
func (c *Cloud) published(page string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entry := journal.Entry{Time: c.clock(), Cloud: "Google Cloud", Service: "Google Accounts", Operation: page, Status: http.StatusOK}
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			entry.OK("anyone may read this page")
		} else {
			entry.Fail("this page can only be read")
			entry.Status = http.StatusMethodNotAllowed
		}
		c.journal.Add(entry)
		h.ServeHTTP(w, r)
	})
}

func jsonAnswer(status int, body any) answer {
	text, err := json.MarshalIndent(body, "", "  ")
	if err != nil {
		return answer{status: http.StatusInternalServerError}
	}
	h := http.Header{}
	h.Set("Content-Type", "application/json; charset=UTF-8")
	return answer{status: status, header: h, body: append(text, '\n')}
}

func htmlAnswer(status int, message string) answer {
	h := http.Header{}
	h.Set("Content-Type", "text/html; charset=UTF-8")
	page := fmt.Sprintf("<!DOCTYPE html>\n<html lang=en>\n<title>Error %d (%s)!!1</title>\n<p><b>%d.</b> <ins>That’s an error.</ins>\n<p>%s\n",
		status, http.StatusText(status), status, message)
	return answer{status: status, header: h, body: []byte(page), code: http.StatusText(status), message: message}
}

// unknownPath is what Google's front end says where no API lives. The path is not repeated: it is the caller's text.
func (q *call) unknownPath() (answer, error) {
	return answer{}, q.refuse(htmlAnswer(http.StatusNotFound, "The requested URL was not found on this server. <ins>That’s all we know.</ins>"),
		"no API answers %s %s here", clip(q.r.Method, 16), clip(q.r.URL.Path, 80))
}

// oauthError is an error as STS and the token endpoint write it.
func oauthError(status int, code, description string) answer {
	a := jsonAnswer(status, map[string]string{"error": code, "error_description": description})
	a.code, a.message = code, description
	return a
}

// errTooLong is what readBody says of a body over its limit.
var errTooLong = errors.New("the body is too long")

// readBody reads at most limit bytes. The cloud's time is not the client's: a slow sender is the server's to cut.
func (q *call) readBody(limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(q.r.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("the body broke off: %w", err)
	}
	if int64(len(body)) > limit {
		return nil, errTooLong
	}
	return body, nil
}

// timeout bounds what the cloud does elsewhere on behalf of one request.
func (q *call) timeout() (context.Context, context.CancelFunc) {
	return context.WithTimeout(q.r.Context(), 10*time.Second)
}

// clip makes text of unknown origin fit for a message: valid, printable, at most n bytes.
func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n]
		for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
		s += "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
}

// spell writes a duration as people do: 1h, not 1h0m0s.
func spell(d time.Duration) string {
	s := d.Round(time.Second).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
