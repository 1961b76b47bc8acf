// SPDX-License-Identifier: Apache-2.0

// Package gce serves Google access tokens and ID tokens as the metadata server of Compute Engine does, so that Google's
// libraries and gcloud find them where they look on a machine of Google's. [New] makes the handler of one crossing.
//
// What the machine says of itself is what the crossing knows; what it does not know is not there (404). Beyond that:
//
//   - instance/id, name and hostname are made of the crossing's name: the same at each start, and on each machine.
//   - instance/region is the zone's name less its last part, by Google's own rule of naming, and else not there.
//   - Without a service account (direct access) the account is called PROJECT.svc.id.goog, as on GKE for a workload that
//     is linked to none, with the project's number where its id is not known, or default where neither is; its tokens are
//     federated ones, and it has no identity. Clients cannot do without some name: Python stops where there is none, and
//     gcloud takes none that is default.
//   - An ID token is the same for format=standard and format=full. The claims about a machine, google.compute_engine, are
//     Google's to sign, and here is no machine of Google's.
//   - Tokens bound to a certificate (transport, binding-enforcement) are refused: an unbound one in their place would
//     be less than was asked for.
//
// Google's Go library takes every ID token for good for an hour from when it was fetched, as Compute Engine signs a new
// one each time. So suppliers of ID tokens should not give one with much less to live.
// Source: Compute Engine, "VM metadata"; the Go modules cloud.google.com/go/compute/metadata and cloud.google.com/go/auth.
package gce

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/serve/offer"
)

const endpoint = "gce"

// Options are what a [Handler] may be told. The zero Options are ready for use.
type Options struct {
	// Clock tells how long a token still has. Nil: time.Now.
	Clock func() time.Time
}

// A Handler is the metadata server for one crossing. It refuses what came through a proxy or lacks the Metadata-Flavor
// header, compares the path byte by byte without cleaning it, and reads no body; which hosts and peers may ask is for
// whoever serves it to say. Put it behind no http.ServeMux, which answers some paths itself.
type Handler struct {
	name   string
	google offer.Google
	clock  func() time.Time
	tree   func() any // the folder of all, made once

	ownScopes []string // in order
	asking    sync.Mutex
	own       atomic.Pointer[supply] // for the crossing's own scopes
	scopes    shelf                  // other access tokens, by their scopes
	idents    shelf                  // ID tokens, by their audience
	last      atomic.Pointer[question]

	waiters atomic.Int64
	done    chan struct{}
	closed  sync.Once
	next    atomic.Pointer[Handler] // who answers in its place
}

// New makes a handler. It fails with [stile.ErrMisuse] for a crossing that does not lead into Google Cloud.
func New(c offer.Crossing, o Options) (*Handler, error) {
	if c.Google == nil || c.Google.AccessToken == nil {
		return nil, &stile.Error{Op: "serve the GCE metadata server", Hint: "offer a crossing into Google Cloud here",
			Err: fmt.Errorf("%w: crossing %q gives no access token of Google's", stile.ErrMisuse, c.Name)}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	h := &Handler{name: c.Name, google: *c.Google, clock: o.Clock, done: make(chan struct{})}
	if len(h.google.Scopes) == 0 {
		h.google.Scopes = []string{cloudPlatform}
	}
	h.ownScopes = inOrder(slices.Clone(h.google.Scopes))
	h.tree = sync.OnceValue(func() any { return h.plant() })
	return h, nil
}

// Yield closes h, and has those who wait for a change wait for one at next, which is served in its place: what is there
// otherwise is what they wait for. Nil: there is none, and the wait ends.
func (h *Handler) Yield(next *Handler) {
	if next != h {
		h.next.Store(next)
	}
	h.Close()
}

// Close ends waiting for changes, and closes the suppliers that were made for other scopes and for audiences. The
// crossing's own goes on, so that requests under way, and clients that know nothing of an end, are still answered.
func (h *Handler) Close() {
	h.closed.Do(func() {
		close(h.done)
		h.scopes.close()
		h.idents.close()
	})
}

// Headers of every answer, shared by all of them: a header's slice is replaced and never written into.
var (
	flavor     = []string{"Google"}
	server     = []string{"Metadata Server for VM"}
	noFilter   = []string{"0"}
	sameOrigin = []string{"SAMEORIGIN"}
	typeText   = []string{"application/text"}
	typeJSON   = []string{"application/json"}
)

// ServeHTTP answers as the metadata server does. Every answer, a refusal or a redirect too, carries Metadata-Flavor: Node
// turns away one without.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header["Metadata-Flavor"] = flavor
	header["Server"] = server
	header["X-Xss-Protection"] = noFilter
	header["X-Frame-Options"] = sameOrigin
	if _, proxied := r.Header["X-Forwarded-For"]; proxied {
		page(w, http.StatusForbidden, "Request contains an X-Forwarded-For header.")
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		page(w, http.StatusMethodNotAllowed, "The metadata server is only read.")
		return
	}
	path := r.URL.EscapedPath()
	switch path {
	case "", "/": // a probe, which Go sends without the header
		text(w, "computeMetadata/\n")
		return
	case "/computeMetadata":
		redirect(w, path+"/", r.URL.RawQuery)
		return
	case "/computeMetadata/":
		text(w, "v1/\n")
		return
	}
	rest, ok := strings.CutPrefix(path, root)
	if !ok || rest != "" && rest[0] != '/' {
		noSuchEntry(w)
		return
	}
	if got := r.Header["Metadata-Flavor"]; len(got) != 1 || got[0] != flavor[0] {
		page(w, http.StatusForbidden, `Missing required header "Metadata-Flavor": "Google"`)
		return
	}
	h.find(w, r, rest)
}
