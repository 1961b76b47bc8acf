// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"net/netip"
	"strconv"
	"strings"
)

// A host is what a Host header names, without its port: an address, or else a name in lower case.
type host struct {
	name string
	ip   netip.Addr
}

// parseHost reads a Host header: NAME, ADDRESS or [ADDRESS], each with or without a port. An IPv6 address must have its
// brackets if a port follows.
func parseHost(text string) (host, bool) {
	name := text
	if strings.HasPrefix(text, "[") {
		end := strings.IndexByte(text, ']')
		if end < 0 || !portOrNothing(text[end+1:]) {
			return host{}, false
		}
		ip, err := netip.ParseAddr(text[1:end])
		return host{ip: ip.Unmap()}, err == nil && ip.Is6() && ip.Zone() == ""
	}
	if colon := strings.IndexByte(text, ':'); colon >= 0 && colon == strings.LastIndexByte(text, ':') {
		if !portOrNothing(text[colon:]) {
			return host{}, false
		}
		name = text[:colon]
	}
	if ip, err := netip.ParseAddr(name); err == nil {
		return host{ip: ip.Unmap()}, ip.Zone() == ""
	}
	name = strings.ToLower(name)
	if plain, ok := strings.CutSuffix(name, "."); ok {
		if _, err := netip.ParseAddr(plain); err == nil { // an address with a dot after it is neither
			return host{}, false
		}
		name = plain
	}
	if name == "" || strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") || strings.ContainsFunc(name, oddInName) {
		return host{}, false
	}
	return host{name: name}, true
}

func oddInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_'
}

// portOrNothing: some clients send a colon with nothing after it, which RFC 3986 allows.
func portOrNothing(text string) bool {
	if text == "" || text == ":" {
		return true
	}
	if text[0] != ':' || len(text) > 6 {
		return false
	}
	if strings.Trim(text[1:], "0123456789") != "" {
		return false
	}
	_, err := strconv.ParseUint(text[1:], 10, 16)
	return err == nil
}

// clouds are the names and addresses that programs know the clouds' own endpoints by: Compute Engine's metadata server,
// the ECS agent, EKS Pod Identity, and EC2's metadata service. No web page comes from any of them.
var clouds = map[string]bool{
	"metadata.google.internal": true, "metadata": true, "metadata.goog": true,
	"169.254.169.254": true, "fd20:ce::254": true,
	"169.254.170.2":  true,
	"169.254.170.23": true, "fd00:ec2::23": true,
	"fd00:ec2::254": true,
}

// answersTo reports whether a request under this Host header was meant for this listener: by the address that it came in
// at, a loopback address or localhost, what the clouds call theirs, or a name it was told. Everything else is what a name
// looks like that somebody let point here, to have a browser read the answer as its own (DNS rebinding).
func (s *site) answersTo(text string, local netip.Addr) bool {
	h, ok := parseHost(text)
	switch {
	case !ok:
		return false
	case h.ip.IsValid():
		return h.ip.IsLoopback() || h.ip == local || s.names[h.ip.String()] || clouds[h.ip.String()]
	}
	return h.name == "localhost" || s.names[h.name] || clouds[h.name]
}
