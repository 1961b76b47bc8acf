// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"fmt"
	"maps"
	"net/http"
	"os/user"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/serve"
	"github.com/stile-project/stile/serve/ecs"
	"github.com/stile-project/stile/serve/gce"
	"github.com/stile-project/stile/serve/imds"
	"github.com/stile-project/stile/serve/offer"
)

// A listener is one address with all endpoints there.
type listener struct {
	serve.Listener
	endpoints []*endpoint
}

// An endpoint is one of them, and what answers.
type endpoint struct {
	config    config.Endpoint
	held      []*held
	tokenFile string // of ecs: which is read
	handler   http.Handler
}

const adminName = "admin"

// listenersOf makes the listeners of a plan. Endpoints that stand already go on with their handlers, which know who was
// given what.
func (s *Sidecar) listenersOf(p config.Serve, next map[string]*held) (map[string]*listener, error) {
	users, err := usersOf(p.AllowUsers)
	if err != nil {
		return nil, err
	}
	at := map[string]*listener{} // by address
	var order []*listener
	for _, e := range p.Endpoints {
		made, err := s.endpoint(e, next)
		if err != nil {
			return nil, placed(e.Place, err)
		}
		l := at[e.Listen]
		if l == nil || isFree(e.Listen) {
			l = &listener{Listener: serve.Listener{Address: e.Listen, AllowRemote: e.AllowRemote, Mode: config.ParseMode(e.Mode), Hosts: p.Hosts, AllowUsers: users}}
			if l.TLS, err = s.o.certificate(e.TLS); err != nil {
				return nil, placed(e.Place, err)
			}
			at[e.Listen] = l
			order = append(order, l)
		}
		for _, other := range l.endpoints {
			if other.config.Kind() == e.Kind() {
				return nil, placed(e.Place, misuse("listen", "give each an address of its own", "two endpoints of %s are to listen on %s, and their paths are the same", e.Kind(), e.Listen))
			}
		}
		l.HopLimit = max(l.HopLimit, e.HopLimit)
		if e.Kind() == "gce" { // Google's libraries show no word of an answer without it
			l.Refusals = http.Header{"Metadata-Flavor": {"Google"}}
		}
		l.endpoints = append(l.endpoints, made)
	}
	if p.Admin != "" {
		certificate, err := s.o.certificate(p.AdminTLS)
		if err != nil {
			return nil, err
		}
		order = append(order, &listener{Listener: serve.Listener{Name: adminName, Address: p.Admin, TLS: certificate, Handler: s.Admin(), Hosts: p.Hosts, AllowRemote: true}})
	}
	all := s.named(order)
	for name, l := range all {
		if name == adminName {
			continue
		}
		l.Handler = s.handlerOf(l)
		if s.o.Handler != nil {
			l.Handler = s.o.Handler(name, l.Handler)
		}
	}
	return all, nil
}

func served(all map[string]*listener) []serve.Listener {
	var listeners []serve.Listener
	for _, l := range all {
		listeners = append(listeners, l.Listener)
	}
	sort.Slice(listeners, func(i, j int) bool { return listeners[i].Name < listeners[j].Name })
	return listeners
}

func isFree(address string) bool {
	return strings.HasSuffix(address, ":0") && !strings.HasPrefix(address, "unix:")
}

// named gives each listener the name that audit and metrics call it by. What stands goes on under its own, wherever the plan
// has it by now: the server finds a listener at a free port by nothing else, and so would move it to another's port.
func (s *Sidecar) named(order []*listener) map[string]*listener {
	s.mu.Lock()
	before := s.listeners
	s.mu.Unlock()
	all, gone := map[string]*listener{}, slices.Sorted(maps.Keys(before))
	for _, goesOn := range []func(was, is *listener) bool{sameEndpoints, sameDescription} {
		for _, l := range order {
			if l.Name != "" {
				continue
			}
			at := slices.IndexFunc(gone, func(name string) bool { return before[name].Address == l.Address && goesOn(before[name], l) })
			if at >= 0 {
				l.Name = gone[at]
				all[l.Name] = l
				gone = slices.Delete(gone, at, at+1)
			}
		}
	}
	for _, l := range order {
		if l.Name == "" {
			l.Name = nameOf(l, func(name string) bool { return all[name] != nil || before[name] != nil && !mayFollow(before[name], l) })
		}
		all[l.Name] = l
	}
	return all
}

func sameEndpoints(was, is *listener) bool { return slices.Equal(was.endpoints, is.endpoints) }

// sameDescription finds a listener of which something is described otherwise. At a free port that is one with the same
// crossings.
func sameDescription(was, is *listener) bool {
	return base(was) == base(is) && (!isFree(is.Address) || slices.EqualFunc(was.endpoints, is.endpoints, func(a, b *endpoint) bool {
		return slices.Equal(a.config.Crossings(), b.config.Crossings())
	}))
}

// mayFollow reports whether a listener may have the name, and the free port, of another that is no more: such as one whose
// list of crossings has changed. What cannot change while a listener is open must be the same.
func mayFollow(was, is *listener) bool {
	return was.Address != is.Address || !isFree(is.Address) || reflect.DeepEqual(was.TLS, is.TLS) && was.HopLimit == is.HopLimit
}

// base is what a listener is called where there is no other like it.
func base(l *listener) string {
	var parts []string
	for _, e := range l.endpoints {
		part := e.config.Kind()
		if part != "ecs" {
			part += "/" + e.config.Crossings()[0]
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "+")
}

// nameOf is a name for a listener that is new.
func nameOf(l *listener, taken func(string) bool) string {
	name := base(l)
	for n := 2; taken(name); n++ {
		name = base(l) + "#" + strconv.Itoa(n)
	}
	return name
}

// handlerOf gives a listener's one endpoint, or what shares the requests out among several.
func (s *Sidecar) handlerOf(l *listener) http.Handler {
	if len(l.endpoints) == 1 {
		return only{l.endpoints[0].handler}
	}
	m := &several{}
	for _, e := range l.endpoints {
		switch e.config.Kind() {
		case "imds":
			m.imds = e.handler
		case "gce":
			m.gce = e.handler
		default:
			m.ecs = e.handler
		}
	}
	return m
}

// several shares requests out by their paths, as they were sent. What is nobody's goes to whoever can say that best.
type several struct{ ecs, imds, gce http.Handler }

func (m *several) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	order := []http.Handler{m.imds, m.gce, m.ecs}
	switch {
	case strings.HasPrefix(path, "/v1/"):
		order = []http.Handler{m.ecs, m.imds, m.gce}
	case path == "/" || strings.HasPrefix(path, "/computeMetadata"): // the first is Google's way to find the server
		order = []http.Handler{m.gce, m.imds, m.ecs}
	}
	for _, h := range order {
		if h != nil {
			h.ServeHTTP(w, r)
			return
		}
	}
}

// only hides that a handler can be closed: it may go on at another listener.
type only struct{ http.Handler }

// closeHandlers closes what answers at endpoints that are no more. Who waits at a metadata server for a change waits on at the
// one in its place.
func closeHandlers(before, now map[string]*listener) {
	kept := map[*endpoint]bool{}
	for _, l := range now {
		for _, e := range l.endpoints {
			kept[e] = true
		}
	}
	for _, l := range before {
		for _, e := range l.endpoints {
			if kept[e] {
				continue
			}
			if h, ok := e.handler.(*gce.Handler); ok {
				h.Yield(inPlaceOf(l, now))
			} else if c, ok := e.handler.(interface{ Close() }); ok {
				c.Close()
			}
		}
	}
}

// inPlaceOf is the metadata server where another was; nil: there is none.
func inPlaceOf(was *listener, now map[string]*listener) *gce.Handler {
	for name, l := range now {
		if l.Address != was.Address || isFree(l.Address) && name != was.Name {
			continue
		}
		for _, e := range l.endpoints {
			if h, ok := e.handler.(*gce.Handler); ok {
				return h
			}
		}
	}
	return nil
}

func (s *Sidecar) endpoint(e config.Endpoint, next map[string]*held) (*endpoint, error) {
	made := &endpoint{config: e}
	for _, name := range e.Crossings() {
		made.held = append(made.held, next[name])
	}
	var err error
	if e.Kind() == "ecs" && s.o.Token.IsZero() {
		if made.tokenFile, err = s.tokenFile(e); err != nil {
			return nil, err
		}
	}
	if old := s.standing(made); old != nil {
		return old, nil
	}
	made.handler, err = s.handler(made)
	return made, err
}

// standing is the endpoint of now that is the same.
func (s *Sidecar) standing(e *endpoint) *endpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.listeners {
		for _, old := range l.endpoints {
			was, is := old.config, e.config
			was.Place, is.Place = "", ""
			if reflect.DeepEqual(was, is) && slices.Equal(old.held, e.held) && old.tokenFile == e.tokenFile {
				return old
			}
		}
	}
	return nil
}

func (s *Sidecar) handler(e *endpoint) (http.Handler, error) {
	var offers []offer.Crossing
	for _, h := range e.held {
		offers = append(offers, s.offered(h, e.config))
	}
	switch e.config.Kind() {
	case "imds":
		return imds.New(offers[0], imds.Options{AllowV1: e.config.AllowV1})
	case "gce":
		return gce.New(offers[0], gce.Options{})
	}
	return ecs.New(offers, ecs.Options{Token: s.o.Token, TokenFile: e.tokenFile, Root: e.config.Root})
}

// certificate is where a listener's certificate is; nil: it speaks plain HTTP.
func (o Options) certificate(t *config.TLS) (*serve.TLS, error) {
	if t == nil {
		return nil, nil
	}
	cert, err := o.absolute(t.Cert)
	if err != nil {
		return nil, err
	}
	key, err := o.absolute(t.Key)
	return &serve.TLS{CertFile: cert, KeyFile: key}, err
}

// usersOf finds the ids of users that are named.
func usersOf(names []string) ([]uint32, error) {
	var ids []uint32
	for _, name := range names {
		id, err := strconv.ParseUint(name, 10, 32)
		if err != nil {
			found, err := user.Lookup(name)
			if err != nil {
				return nil, misuse("find the users that may ask", "name a user of this machine, or its number", "no user %.64q: %v", name, err)
			}
			if id, err = strconv.ParseUint(found.Uid, 10, 32); err != nil {
				return nil, misuse("find the users that may ask", "leave allow_users out on this system", "the user %.64q has no number", name)
			}
		}
		ids = append(ids, uint32(id))
	}
	return ids, nil
}

// placed says where the endpoint is described.
func placed(place string, err error) error {
	if place == "" {
		return err
	}
	return fmt.Errorf("%s: %w", place, err)
}
