// SPDX-License-Identifier: Apache-2.0

package gce

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/serve/offer"
)

func text(w http.ResponseWriter, body string) {
	w.Header()["Content-Type"] = typeText
	_, _ = io.WriteString(w, body) // a client that left misses nothing
}

// page is an error as a page of HTML; why is a text of this package's and needs no escaping.
func page(w http.ResponseWriter, status int, why string) {
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<!DOCTYPE html>\n<html lang=en>\n<title>%d %s</title>\n<p>%s\n", status, http.StatusText(status), why)
}

func noSuchEntry(w http.ResponseWriter) {
	page(w, http.StatusNotFound, "The requested URL was not found on this server.")
}

// redirect sends a folder's name without a slash to the one with. The place carries no host: the client knows it.
func redirect(w http.ResponseWriter, path, query string) {
	if query != "" {
		path += "?" + query
	}
	w.Header().Set("Location", path)
	page(w, http.StatusMovedPermanently, "The document has moved.")
}

func misuse(op, hint, why string) error {
	return &stile.Error{Op: op, Hint: hint, Err: fmt.Errorf("%w: %s", stile.ErrMisuse, why)}
}

// refuse answers that what was asked for is not handed out, and notes it. The text is for people: of a [*stile.Error] it
// tells all, as that never holds a secret; of any other error only that there was one.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, what string, status int, err error) {
	offer.Note(r, offer.Handed{Endpoint: endpoint, Crossing: h.name, What: what, Err: err})
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff") // it repeats a cloud's words
	body := "no " + what + " could be had"
	if e, ok := errors.AsType[*stile.Error](err); ok {
		body = e.Error()
		if status == http.StatusBadRequest { // what is wrong with the question is told plainly
			body = strings.TrimPrefix(body, e.Op+": "+stile.ErrMisuse.Error()+": ")
		}
		if e.Hint != "" {
			body += "\nhint: " + e.Hint
		}
		if e.RetryAfter > 0 && status == http.StatusServiceUnavailable {
			header.Set("Retry-After", strconv.FormatInt(int64((e.RetryAfter+time.Second-1)/time.Second), 10))
		}
	} else if errors.Is(err, context.DeadlineExceeded) {
		body = "timed out waiting for a new " + what
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body+"\n") //nolint:gosec // plain text, and nosniff
}

// statusOf is what makes clients do the right thing. At 503 all of them try again; at 403 none does, and Go and Python
// show the text, while of a 404 they only say that there is no service account. That the workload has no identity may
// pass: its metadata server, its token file or its SPIFFE socket can come later than it.
func statusOf(err error) int {
	if errors.Is(err, stile.ErrRefused) || errors.Is(err, stile.ErrMisuse) {
		return http.StatusForbidden
	}
	return http.StatusServiceUnavailable
}
