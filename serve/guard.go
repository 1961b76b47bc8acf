// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
)

// A refusal is why no handler saw a request.
type refusal struct {
	status int
	reason string // in audit and metrics
	text   string // for whoever asked
}

// What is refused. 403 is what the clouds' own endpoints say to what came through a proxy; none of the SDKs asks again.
var (
	badForm    = &refusal{http.StatusBadRequest, "form", "this is no proxy: ask for a path"}
	badHost    = &refusal{http.StatusForbidden, "host", "no endpoint is known under this Host; allow a name of your own with hosts, under serve in stile.yaml"}
	proxied    = &refusal{http.StatusForbidden, "proxy", "credentials are not handed out through a proxy; set NO_PROXY for this address"}
	browser    = &refusal{http.StatusForbidden, "browser", "credentials are not handed out to web pages"}
	withBody   = &refusal{http.StatusRequestEntityTooLarge, "body", "nothing here takes a body"}
	wrongUser  = &refusal{http.StatusForbidden, "user", "the user whose program asks is not among those allowed here"}
	noSuchUser = &refusal{http.StatusForbidden, "user", "it cannot be told whose program asks, and only some users may"}
)

// foreign are headers that only something between program and endpoint adds, or a browser does, whatever a page's script
// does. Keys are as net/http writes them. Sec-Fetch-Mode alone is none of them: Node's fetch sends it too.
var foreign = map[string]*refusal{
	"Forwarded": proxied, "Via": proxied, "X-Real-Ip": proxied, "X-Client-Ip": proxied, "True-Client-Ip": proxied, "Cf-Connecting-Ip": proxied,
	"X-Envoy-External-Address": proxied, "X-Original-Forwarded-For": proxied, "X-Cluster-Client-Ip": proxied,
	"Origin": browser, "Sec-Fetch-Site": browser, "Sec-Fetch-Dest": browser, "Sec-Fetch-User": browser,
}

const forwarded = "X-Forwarded-"

// refuse says why the request must not be answered, or nil.
func (s *site) refuse(r *http.Request, c *conn) *refusal {
	// Whatever is asked of a proxy has another form: http://HOST/PATH, HOST:PORT, *.
	if !strings.HasPrefix(r.RequestURI, "/") || r.Method == http.MethodConnect {
		return badForm
	}
	if c.by != s || c.host != r.Host { // mostly a connection's requests are all under one
		if !s.answersTo(r.Host, c.local) {
			return badHost
		}
		c.by, c.host = s, r.Host
	}
	for name := range r.Header {
		if len(name) >= len(forwarded) && strings.EqualFold(name[:len(forwarded)], forwarded) { // in any spelling: net/http leaves odd names as they are
			return proxied
		}
		if why := foreign[name]; why != nil {
			return why
		}
	}
	if r.ContentLength != 0 {
		return withBody
	}
	if s.users == nil {
		return nil
	}
	who := c.peer()
	switch {
	case !who.known:
		return noSuchUser
	case !s.users[who.uid]:
		return wrongUser
	}
	return nil
}

var closeIt = []string{"close"} // shared: a header's slice is replaced and never written into

var errNoConn = errors.New("a request came over no connection of this listener")

// ServeHTTP guards the handler that the listener has now.
func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := l.now.Load()
	c, ok := r.Context().Value(connKey{}).(*conn)
	if !ok {
		panic(errNoConn)
	}
	if why := s.refuse(r, c); why != nil {
		l.server.metrics.request(s.Name, why.reason)
		l.server.audit.refused(c, s.Name, why)
		maps.Copy(w.Header(), s.Refusals)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Connection", "close")
		// Before it closes, net/http reads what is left of a body, for as long as that takes.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(settle)) // none: a test's own
		w.WriteHeader(why.status)
		_, _ = io.WriteString(w, "stile: "+why.text+"\n") // if it hung up, it does not want to know
		return
	}
	l.server.metrics.request(s.Name, "answered")
	if l.count.Load() > kept {
		w.Header()["Connection"] = closeIt
	}
	ctx := allow(r.Context(), s.Timeout)
	defer ctx.end()
	defer l.caught(s.Name)
	s.Handler.ServeHTTP(w, r.WithContext(ctx))
}

// caught logs where a handler broke, without what it broke over: that may be anything. net/http cuts the connection.
func (l *listener) caught(name string) {
	what := recover()
	if what == nil {
		return
	}
	if err, ok := what.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
		l.server.metrics.request(name, "panic")
		l.server.log.Error("a handler broke: please report this", slog.String("listener", name), slog.String("type", fmt.Sprintf("%T", what)), slog.String("stack", string(debug.Stack())))
	}
	panic(http.ErrAbortHandler)
}
