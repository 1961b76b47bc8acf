// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/stile-project/stile/internal/shape"
)

// A ForeignPolicy says which hosts a file may name beside the clouds' own, and whether it may name programs. A file from elsewhere may have been written
// by someone who wants the tokens sent to him. The zero policy allows none.
type ForeignPolicy struct {
	// AllowHosts are host names or addresses, each with or without a port; without one, every port is allowed. They
	// must be reached by https, a loopback host by http too. A name here also allows the universe of that name.
	AllowHosts []string

	// AllowStores lets a file name any store, and any key to seal with: the user chose this file. Without it the servers
	// of a store must be in AllowHosts, and what a cloud keeps must be there by its whole URL. A stile.yaml may then have
	// up to 16 MiB, and otherwise 1 MiB.
	AllowStores bool

	// AllowExecutables lets a file name a program that is run for a token.
	AllowExecutables bool
}

const googleUniverse = "googleapis.com"

func (p ForeignPolicy) allows(u *url.URL) bool {
	if u.Scheme != "https" && !isLoopback(u.Hostname()) {
		return false
	}
	return slices.ContainsFunc(p.AllowHosts, func(host string) bool {
		bare := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
		return strings.EqualFold(host, u.Host) || strings.EqualFold(bare, u.Hostname())
	})
}

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && a.IsLoopback()
}

// universe takes Google's own universe domain or an allowed one: whoever names the universe names every host in it.
func (p ForeignPolicy) universe(s string) (string, error) {
	if s == googleUniverse || slices.Contains(p.AllowHosts, s) {
		return s, nil
	}
	if len(s) > 253 || !isDomain(s) {
		return "", errors.New("want a domain such as googleapis.com")
	}
	return "", fmt.Errorf("%s is not %s: allow that host by name if you trust it", s, googleUniverse)
}

func isHostName(s string) bool { return shape.Only(s, 1, 253, "A-Za-z0-9.-") }

func isLabel(s string) bool { return shape.Name(s, 1, 63, "a-z0-9-") }

func isDomain(s string) bool {
	labels := strings.Split(s, ".")
	return len(labels) > 1 && !slices.ContainsFunc(labels, func(l string) bool { return !shape.Only(l, 1, 63, "a-z0-9-") })
}

// webURL reads a URL of https or http without the parts that hide where it leads.
func webURL(s string) (*url.URL, error) {
	if len(s) > textLimit || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || c == '\\' }) {
		return nil, errors.New("want a URL of printable ASCII")
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("want a URL, https://HOST/PATH")
	case u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "", u.Opaque != "":
		return nil, errors.New("want a URL that begins with https:// and a host")
	case u.User != nil:
		return nil, errors.New("the URL holds a user name or password: remove it")
	case u.Fragment != "":
		return nil, errors.New("the URL ends in a fragment: remove it from # on")
	case strings.Contains(u.Hostname(), ":"):
		if _, err := netip.ParseAddr(u.Hostname()); err != nil {
			return nil, errors.New("the host is no address")
		}
	case !isHostName(u.Hostname()):
		return nil, errors.New("the host holds characters that no host name has")
	}
	return u, nil
}

// endpoint gives s if it is on a host that own accepts, by https on the usual port, or on one that the policy allows.
func (p ForeignPolicy) endpoint(s string, own func(host string) bool, whose string) (*url.URL, error) {
	u, err := webURL(s)
	if err != nil {
		return nil, err
	}
	ours := own(strings.ToLower(u.Hostname()))
	switch {
	case p.allows(u):
		return u, nil
	case u.Scheme != "https" && (ours || !isLoopback(u.Hostname())):
		return nil, errors.New("want https: over http anyone on the way reads the token")
	case !ours:
		return nil, fmt.Errorf("the host %s is not %s: allow it by name if you trust it", u.Hostname(), whose)
	case u.Port() != "" && u.Port() != "443":
		return nil, errors.New("want port 443, or none")
	}
	return u, nil
}

// google checks a URL of one of Google's services in a universe.
func (p ForeignPolicy) google(service, universe string) shape.Shape {
	own := func(host string) bool { return isGoogle(host, service, universe) }
	return func(s string) (string, error) {
		u, err := p.endpoint(s, own, "that of Google's "+service)
		if err != nil {
			return "", err
		}
		if u.RawQuery != "" || u.ForceQuery {
			return "", errors.New("the URL has a query: remove it from ? on")
		}
		return s, nil
	}
}

// isGoogle knows the host forms of a Google API: SERVICE, its mtls form, its regional and its private ones. Any other
// name under googleapis.com may serve what a stranger put there, as storage.googleapis.com does.
// Source: AIP-4117 and the URL patterns that Google's libraries have checked.
func isGoogle(host, service, universe string) bool {
	name, ok := strings.CutSuffix(host, "."+universe)
	if !ok {
		return false
	}
	parts := strings.Split(strings.TrimSuffix(name, ".mtls"), ".")
	if slices.ContainsFunc(parts, func(part string) bool { return !isLabel(part) }) {
		return false
	}
	switch len(parts) {
	case 1:
		return parts[0] == service || strings.HasSuffix(parts[0], "-"+service)
	case 2:
		private := strings.HasPrefix(parts[0], service+"-") && parts[1] == "p"
		return parts[0] == service || parts[1] == service || private
	case 3:
		return parts[0] == service && parts[2] == "rep"
	}
	return false
}

// metadata checks a URL of the EC2 instance metadata service, which speaks http only.
// Source: AIP-4117, which pins these two addresses.
func (p ForeignPolicy) metadata(s string) (string, error) {
	u, err := webURL(s)
	if err != nil {
		return "", err
	}
	own := u.Hostname() == "169.254.169.254"
	if a, err := netip.ParseAddr(u.Hostname()); err == nil && a == netip.MustParseAddr("fd00:ec2::254") {
		own = true
	}
	switch {
	case own && u.Scheme == "http" && (u.Port() == "" || u.Port() == "80"), p.allows(u):
		return s, nil
	case own:
		return "", errors.New("want http and port 80: the metadata service speaks nothing else")
	}
	return "", fmt.Errorf("the host %s is not 169.254.169.254 or [fd00:ec2::254], where EC2 keeps its metadata: allow it by name if you trust it", u.Hostname())
}

// heardByNobody are hosts that plain http reaches without leaving the machine: EC2 and its likes, ECS, EKS, Google.
var heardByNobody = []string{"169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::254", "fd00:ec2::23", "metadata.google.internal"}

// tokenURL checks a URL that a token is got from. Nothing but the file's own headers goes there, so any host will do;
// what comes back goes to the cloud and must not be read on the way.
func (p ForeignPolicy) tokenURL(s string) (string, error) {
	u, err := webURL(s)
	if err != nil {
		return "", err
	}
	if u.Scheme != "https" && !isLoopback(u.Hostname()) && !slices.Contains(heardByNobody, u.Hostname()) {
		return "", errors.New("want https: http is for this machine and for metadata services")
	}
	return s, nil
}

// stsEndpoint checks the URL of an AWS STS endpoint.
func (p ForeignPolicy) stsEndpoint(s string) (string, error) {
	u, err := p.endpoint(s, func(host string) bool { return isSTS(host) || isPrivateSTS(host) }, "that of AWS STS")
	if err != nil {
		return "", err
	}
	if u.RawQuery != "" || u.Path != "" && u.Path != "/" {
		return "", errors.New("want only https://HOST, without path and query")
	}
	return s, nil
}

// verificationURL checks the GetCallerIdentity URL that Google replays. It may hold {region}, and no policy allows it
// another host, since Google would not go there.
func verificationURL(s string) (string, error) {
	u, err := ForeignPolicy{}.endpoint(strings.Replace(s, "{region}", "us-east-1", 1), isSTS, "that of AWS STS")
	if err != nil {
		return "", err
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil || len(q) != 2 || q.Get("Action") != "GetCallerIdentity" || q.Get("Version") != "2011-06-15" || u.Path != "" && u.Path != "/" {
		return "", errors.New("want https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15")
	}
	return s, nil
}

// stsDomains are what follows the region.
var stsDomains = []string{"amazonaws.com", "amazonaws.com.cn", "api.aws", "api.amazonwebservices.com.cn", "amazonaws.eu"}

// isSTS knows the global host of STS and the regional ones, with their FIPS and dual-stack forms.
// Source: AWS General Reference, STS endpoints.
func isSTS(host string) bool {
	if host == "sts.amazonaws.com" {
		return true
	}
	region, domain, ok := regionalSTS(host)
	return ok && strings.HasSuffix(domain, ".cn") == (partitionOf(region) == "aws-cn") && (domain == "amazonaws.eu") == (partitionOf(region) == "aws-eusc")
}

func regionalSTS(host string) (region, domain string, ok bool) {
	service, rest, _ := strings.Cut(host, ".")
	region, domain, _ = strings.Cut(rest, ".")
	_, err := shape.Region(region)
	return region, domain, err == nil && (service == "sts" || service == "sts-fips") && slices.Contains(stsDomains, domain)
}

// isPrivateSTS knows the name of a VPC endpoint: vpce-ID.sts.REGION.vpce.amazonaws.com.
func isPrivateSTS(host string) bool {
	parts := strings.SplitN(host, ".", 4)
	if len(parts) != 4 || parts[1] != "sts" || parts[3] != "vpce.amazonaws.com" && parts[3] != "vpce.amazonaws.com.cn" {
		return false
	}
	id, ok := strings.CutPrefix(parts[0], "vpce-")
	_, err := shape.Region(parts[2])
	return ok && err == nil && shape.Only(id, 1, 60, "a-z0-9-")
}
