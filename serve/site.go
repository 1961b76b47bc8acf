// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"net/http"
	"net/netip"
	"reflect"
	"runtime"
	"strings"
)

// A site is a checked [Listener].
type site struct {
	Listener
	addr  address
	names map[string]bool // of Hosts
	users map[uint32]bool // nil: everyone
}

// check refuses what can be seen to be wrong before anything is opened.
func check(listeners []Listener) ([]site, error) {
	var sites []site
	names, taken := map[string]bool{}, map[string]string{}
	for _, l := range listeners {
		switch {
		case l.Name == "" || names[l.Name]:
			return nil, misuse("name each listener otherwise", "a listener is called %q, and no two may share a name", l.Name)
		case l.Handler == nil:
			return nil, misuse("give it a handler", "listener %q has nothing to answer with", l.Name)
		}
		names[l.Name] = true
		made, err := newSite(l)
		if err != nil {
			return nil, err
		}
		if other, ok := taken[made.addr.text]; ok && !made.addr.free() {
			return nil, misuse("give each listener an address of its own", "listeners %q and %q are both to listen on %s", other, l.Name, l.Address)
		}
		taken[made.addr.text] = l.Name
		sites = append(sites, made)
	}
	return sites, nil
}

func newSite(l Listener) (site, error) {
	addr, err := parseAddress(l.Address, l.AllowRemote)
	if err != nil {
		return site{}, err
	}
	switch {
	case l.Mode&^0o666 != 0:
		return site{}, misuse("use 0600 or 0660", "listener %q: a socket has permissions to read and write, and no others: not %#o", l.Name, l.Mode)
	case l.Mode != 0 && l.Mode&0o600 != 0o600:
		return site{}, misuse("use 0600 or 0660", "listener %q: mode %#o shuts out its own user", l.Name, l.Mode)
	case l.Mode != 0 && addr.path == "":
		return site{}, misuse("leave the mode out", "listener %q: only a Unix socket has a mode", l.Name)
	case l.TLS != nil && (l.TLS.CertFile == "" || l.TLS.KeyFile == ""):
		return site{}, misuse("name both files", "listener %q: TLS needs a certificate and its key", l.Name)
	case len(l.AllowUsers) > 0 && runtime.GOOS != "linux":
		return site{}, misuse("leave the users out here, or use a Unix socket in a folder of its own", "listener %q: only Linux can tell whose program asks", l.Name)
	case l.HopLimit < 0 || l.HopLimit > 255:
		return site{}, misuse("use 1 to 255", "listener %q: no hop limit: %d", l.Name, l.HopLimit)
	case l.HopLimit != 0 && runtime.GOOS != "linux":
		return site{}, misuse("leave the hop limit out here", "listener %q: hop limits are set on Linux alone", l.Name)
	case l.HopLimit != 0 && addr.path != "":
		return site{}, misuse("leave the hop limit out", "listener %q: nothing hops over a Unix socket", l.Name)
	case l.Connections < 0 || l.Timeout < 0:
		return site{}, misuse("use a positive number", "listener %q: a bound is negative", l.Name)
	}
	made := site{Listener: l, addr: addr, names: map[string]bool{}}
	if made.Connections == 0 {
		made.Connections = DefaultConnections
	}
	if made.Timeout == 0 {
		made.Timeout = DefaultTimeout
	}
	if made.Mode == 0 {
		made.Mode = 0o600
	}
	for _, name := range l.Hosts {
		host, ok := parseHost(name)
		if _, err := netip.ParseAddr(strings.Trim(name, "[]")); !ok || strings.Contains(name, ":") && err != nil {
			return site{}, misuse("write a host's name or address, without a port", "listener %q: no host: %q", l.Name, name)
		}
		if host.ip.IsValid() {
			made.names[host.ip.String()] = true
		} else {
			made.names[host.name] = true
		}
	}
	for _, id := range l.AllowUsers {
		if made.users == nil {
			made.users = map[uint32]bool{}
		}
		made.users[id] = true
	}
	return made, nil
}

// settled is what cannot change while a socket is open.
func (s site) settled() []any {
	var tls TLS
	if s.TLS != nil {
		tls = *s.TLS
	}
	return []any{s.TLS == nil, tls, s.Mode, s.HopLimit, s.Connections, s.Timeout}
}

// match finds which of the open listeners stay: stays[i] tells that next[i] is one, and it is nil otherwise.
func (s *Server) match(wanted []site) (stays []bool, next []*listener, err error) {
	stays, next = make([]bool, len(wanted)), make([]*listener, len(wanted))
	for i, w := range wanted {
		for _, l := range s.running {
			now := l.now.Load()
			if now.addr.text != w.addr.text || w.addr.free() && now.Name != w.Name {
				continue
			}
			if !reflect.DeepEqual(now.settled(), w.settled()) {
				return nil, nil, misuse("start anew to change these", "listener %q: TLS, mode, hop limit, connections and timeout stay as they are while it listens", w.Name)
			}
			stays[i], next[i] = true, l
		}
	}
	return stays, next, nil
}

// handlers are what answers at listeners, as far as two can be told to be one.
func handlers(listeners []*listener) map[any]http.Handler {
	all := map[any]http.Handler{}
	for _, l := range listeners {
		h := l.now.Load().Handler
		if reflect.ValueOf(h).Comparable() {
			all[h] = h
		}
	}
	return all
}

// closeUnused closes the handlers that no listener uses any longer.
func closeUnused(before, now map[any]http.Handler) {
	for id, h := range before {
		if _, used := now[id]; used {
			continue
		}
		switch h := h.(type) {
		case interface{ Close() error }:
			_ = h.Close() // it has nobody to tell
		case interface{ Close() }:
			h.Close()
		}
	}
}
