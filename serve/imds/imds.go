// SPDX-License-Identifier: Apache-2.0

// Package imds serves one crossing's AWS session as the instance metadata service of EC2 does, version 2, to every AWS
// SDK that finds
//
//	AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:PORT/
//
// with the slash, without which old versions of the AWS command line build a wrong URL. There is what SDKs ask for: the
// credentials, the role's name, the region, the account. What is not known is not there, and the rest of an instance
// neither: no id, no addresses, no user data, no signatures.
//
// One answer is not the real one's. Where EC2 has no credentials for a role it answers 200, with a Code other than
// Success. Here that is 403 for a refusal that lasts, 500 for what is no AWS session, and 503 for what may pass, with a
// body of the same shape. A client that reads the fields and not the Code would take the real one's answer for empty
// credentials, while every SDK stops at the status. Go asks again after 500 and more, and not after 403; botocore and
// JavaScript ask again as often as they were told to, which is not at all if nobody told them. 401 and 404 would mean
// something else: that the token has expired, and that the instance has no role.
//
// Sources: EC2 User Guide, "Use the Instance Metadata Service to access instance metadata"; aws-sdk-go-v2,
// feature/ec2/imds and credentials/ec2rolecreds; botocore, utils.InstanceMetadataFetcher.
package imds

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/serve/ecs/session"
	"github.com/stile-project/stile/serve/offer"
)

// Floor is the least remaining life that the crossing's keeper should be kept with. With less than 15 minutes left,
// botocore asks again on every call of a program; from some 12 to 20, at random, it takes it that the service is failing,
// says so, and counts on the session for as long again. What has less, because the session is short or nothing newer can
// be had, is handed out for as long as it is valid.
const Floor = 20 * time.Minute

// Options are what may be set.
type Options struct {
	// AllowV1 answers requests that carry no token, as HttpTokens "optional" does. Then any web page or proxy that can
	// be talked into a GET can fetch the credentials. A token that is no good is refused all the same.
	AllowV1 bool

	Clock func() time.Time // nil: time.Now
}

// A Handler is the metadata service. It must be reached with paths as they were sent.
type Handler struct {
	name    string
	allowV1 bool
	clock   func() time.Time
	mint    *mint
	items   map[string]item
	list    []byte // of the versions
}

// New makes a handler for one crossing. It fails with [stile.ErrMisuse] for one that does not lead into AWS.
func New(c offer.Crossing, o Options) (*Handler, error) {
	if c.AWS == nil || c.AWS.Session == nil {
		return nil, &stile.Error{Op: "serve instance metadata", Hint: "offer a crossing into AWS here",
			Err: fmt.Errorf("%w: crossing %q gives no AWS session", stile.ErrMisuse, c.Name)}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	h := &Handler{name: c.Name, allowV1: o.AllowV1, clock: o.Clock, mint: newMint(), list: []byte(strings.Join(versions, "\n"))}
	h.items = h.tree(c.AWS)
	return h, nil
}

const (
	tokenPath   = "/latest/api/token"
	ttlHeader   = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	tokenHeader = "X-Aws-Ec2-Metadata-Token"
)

var (
	serverName = []string{"EC2ws"}
	plainText  = []string{"text/plain"}
	hypertext  = []string{"text/html"}
)

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header()["Server"] = serverName
	path := r.URL.EscapedPath()
	switch {
	case path == tokenPath:
		h.serveToken(w, r)
	case r.Method == http.MethodPut:
		// EC2 answers so, with nothing in the body. A PUT that is answered 404 would say that there is only version 1.
		w.Header()["Content-Type"] = plainText
		w.WriteHeader(http.StatusForbidden)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		page(w, http.StatusMethodNotAllowed)
	case !h.admits(r):
		if strings.Contains(path, "/iam/security-credentials/") {
			offer.Note(r, offer.Handed{Endpoint: endpoint, Crossing: h.name, What: session.What, Err: errUnauthorized})
		}
		page(w, http.StatusUnauthorized)
	default:
		h.serveItem(w, r, path)
	}
}

// serveToken answers PUT with a session token. 403 and 405 make SDKs go on without one, and 400 makes them stop.
func (h *Handler) serveToken(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPut:
	case http.MethodOptions:
		w.Header()["Content-Type"] = plainText
		w.Header().Set("Allow", "OPTIONS, PUT")
		return
	default:
		w.Header().Set("Allow", "OPTIONS, PUT")
		page(w, http.StatusMethodNotAllowed)
		return
	}
	if _, forwarded := r.Header["X-Forwarded-For"]; forwarded {
		page(w, http.StatusForbidden)
		return
	}
	given := r.Header[ttlHeader]
	if len(given) != 1 {
		page(w, http.StatusBadRequest)
		return
	}
	ttl, ok := parseTTL(given[0])
	if !ok {
		page(w, http.StatusBadRequest)
		return
	}
	token := h.mint.token(h.clock(), time.Duration(ttl)*time.Second)
	w.Header().Set(ttlHeader, strconv.Itoa(ttl)) // Go's SDK cannot do without
	text(w, []byte(token))
}

const endpoint = "imds"

var errUnauthorized = &stile.Error{Op: "hand out instance metadata", Hint: "the client must speak version 2 of the protocol",
	Err: fmt.Errorf("%w: the request carries no token, or not a living one of this endpoint", stile.ErrRefused)}

// admits reports whether the request carries a living token, or none where that is allowed.
func (h *Handler) admits(r *http.Request) bool {
	given, sent := r.Header[tokenHeader]
	if !sent {
		return h.allowV1
	}
	return len(given) == 1 && h.mint.check(given[0], h.clock()) == nil
}

// serveItem answers a path of the tree, which reads the same with and without a slash at its end.
func (h *Handler) serveItem(w http.ResponseWriter, r *http.Request, path string) {
	if path == "/" {
		text(w, h.list)
		return
	}
	it, ok := h.find(r, path)
	switch {
	case !ok:
		page(w, http.StatusNotFound)
	case it.held == nil:
		text(w, it.text)
	default:
		h.serveSession(w, r, it)
	}
}

func (h *Handler) find(r *http.Request, path string) (item, bool) {
	if strings.Contains(path, "%") {
		// The name of a role has characters that some clients encode. A slash is not among them.
		if strings.Contains(path, "%2F") || strings.Contains(path, "%2f") {
			return item{}, false
		}
		path = r.URL.Path
	}
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return item{}, false
	}
	version, rest, _ := strings.Cut(rest, "/")
	if !slices.Contains(versions, version) {
		return item{}, false
	}
	if strings.HasPrefix(rest, "/") {
		return item{}, false
	}
	it, ok := h.items[strings.TrimSuffix(rest, "/")]
	return it, ok
}

// serveSession answers with what is made of the session, or with why there is none.
func (h *Handler) serveSession(w http.ResponseWriter, r *http.Request, it item) {
	answer, err := it.held.Answer(r.Context())
	if it.secret && r.Method == http.MethodGet {
		note := offer.Handed{Endpoint: endpoint, Crossing: h.name, What: session.What, Err: err}
		if err == nil {
			note.Expires = answer.Expires
		}
		offer.Note(r, note)
	}
	if err != nil {
		refusal := session.RefusalOf(err)
		refusal.SetRetryAfter(w.Header())
		w.Header()["Content-Type"] = plainText
		w.WriteHeader(refusal.Status)
		_, _ = w.Write(document("Code", refusal.Code, "LastUpdated", h.clock().UTC().Format(session.Stamp), "Message", refusal.Message))
		return
	}
	header := w.Header()
	header["Content-Type"], header["Content-Length"] = plainText, answer.Length
	_, _ = w.Write(answer.Body)
}

func text(w http.ResponseWriter, body []byte) {
	w.Header()["Content-Type"] = plainText
	_, _ = w.Write(body)
}

// page is what EC2 answers with in place of metadata.
func page(w http.ResponseWriter, status int) {
	title := strconv.Itoa(status) + " - " + http.StatusText(status)
	w.Header()["Content-Type"] = hypertext
	w.WriteHeader(status)
	_, _ = w.Write([]byte(`<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
	"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title>` + title + `</title>
 </head>
 <body>
  <h1>` + title + `</h1>
 </body>
</html>
`))
}
