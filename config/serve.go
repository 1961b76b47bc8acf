// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/stile-project/stile/internal/shape"
)

// A Serve is what stile serve serves, and where.
type Serve struct {
	Admin      string     `json:"admin,omitempty"`       // an address for health, metrics and status, which hands out nothing; empty: none
	AdminTLS   *TLS       `json:"admin_tls,omitempty"`   // what is spoken there; nil: plain HTTP
	Hosts      []string   `json:"hosts,omitempty"`       // names and addresses that requests may be made under, beside those that always are; without a port
	AllowUsers []string   `json:"allow_users,omitempty"` // names or numbers of the users whose programs may ask the endpoints; empty: whoever can connect
	Endpoints  []Endpoint `json:"endpoints,omitempty"`
	Files      []KeptFile `json:"files,omitempty"`
	Traces     *Traces    `json:"traces,omitempty"` // nil: as the environment says
}

// A TLS names a certificate and its key, both PEM. The files may be replaced at any time.
type TLS struct {
	Cert string `json:"cert"` // the certificate, and what leads from it to the authority
	Key  string `json:"key"`
}

// Traces are what stile serve and stile exec tell OpenTelemetry. The lean build has none.
type Traces struct {
	Endpoint string `json:"endpoint"` // of OTLP over HTTP, the URL that /v1/traces is added to

	// Place is where the file names the endpoint, FILE:LINE:COLUMN; empty without a file.
	Place string `json:"-"`
}

// An Endpoint is one place where an SDK finds credentials. Exactly one of ECS, IMDS and GCE is set. Endpoints that share
// an address share a listener.
type Endpoint struct {
	ECS  []string `json:"ecs,omitempty"`  // crossings into AWS, each at a path of its own
	IMDS string   `json:"imds,omitempty"` // one crossing into AWS
	GCE  string   `json:"gce,omitempty"`  // one crossing into Google Cloud

	Listen      string `json:"listen"`                 // 127.0.0.1:PORT, [::1]:PORT, localhost:PORT or unix:/PATH; port 0 is any free one
	AllowRemote bool   `json:"allow_remote,omitempty"` // let Listen be an address that other machines reach
	Mode        string `json:"mode,omitempty"`         // of a Unix socket: 0600 or 0660; empty: 0600
	TLS         *TLS   `json:"tls,omitempty"`          // of ECS and IMDS; nil: plain HTTP

	Root string `json:"root,omitempty"` // of ECS: the crossing that is answered at /v1/credentials itself, the one path of EKS Pod Identity's agent; empty: none

	TokenFile  string `json:"token_file,omitempty"`  // of ECS: holds the bearer token, and is made where absent; empty: a file in the runtime folder
	TokenMode  string `json:"token_mode,omitempty"`  // of that file: 0400, 0440, 0444, 0600, 0640 or 0644; empty: its own, or 0600 if it is made
	TokenGroup string `json:"token_group,omitempty"` // who owns that file: a name or a number; empty: as the system has it

	AllowV1  bool `json:"allow_v1,omitempty"`  // of IMDS: answer without a session token, as version 1 of the protocol does
	HopLimit int  `json:"hop_limit,omitempty"` // of IMDS: how many hops an answer may go, 1 to 64; 0: the system's own

	Project       string `json:"project,omitempty"`        // of GCE: the project's id; empty: that of the service account
	ProjectNumber string `json:"project_number,omitempty"` // of GCE: the project's number; empty: that of the provider
	Zone          string `json:"zone,omitempty"`           // of GCE: europe-west1-b; empty: not known

	// Place is where the file describes the endpoint, FILE:LINE:COLUMN; empty without a file.
	Place string `json:"-"`
}

// Kind is the key that the endpoint stands under: ecs, imds or gce.
func (e Endpoint) Kind() string {
	switch {
	case e.IMDS != "":
		return "imds"
	case e.GCE != "":
		return "gce"
	}
	return "ecs"
}

// Crossings are the names of what the endpoint hands out.
func (e Endpoint) Crossings() []string {
	switch {
	case e.IMDS != "":
		return []string{e.IMDS}
	case e.GCE != "":
		return []string{e.GCE}
	}
	return e.ECS
}

// A KeptFile is a file that holds one crossing's credential, always fresh. Exactly one of AWSProfile and Token is set.
type KeptFile struct {
	Crossing   string          `json:"crossing"`
	AWSProfile *KeptAWSProfile `json:"aws_profile,omitempty"` // a profile of an AWS credentials file
	Token      *KeptToken      `json:"token,omitempty"`       // a file of its own

	// Place is where the file describes it, FILE:LINE:COLUMN.
	Place string `json:"-"`
}

// A KeptAWSProfile is a profile of a file such as ~/.aws/credentials. What else is in the file stays.
type KeptAWSProfile struct {
	Path           string `json:"path"`
	Profile        string `json:"profile,omitempty"`         // empty: default
	Mode           string `json:"mode,omitempty"`            // 0600, 0640 or 0644; empty: 0600, or the file's own
	Group          string `json:"group,omitempty"`           // who owns the file: a name or a number
	InsecureFolder bool   `json:"insecure_folder,omitempty"` // take a folder that everyone may write to
}

// The values of [KeptToken] Form.
const (
	FormToken      = "token"      // the token alone
	FormLine       = "line"       // the token and a line end
	FormJSON       = "json"       // a JSON object; of an AWS session what credential_process prints
	FormExecutable = "executable" // the answer of an executable source, for its output file
)

// A KeptToken is a file that holds an access token, an ID token or a subject token, whichever the crossing gives.
type KeptToken struct {
	Path           string `json:"path"`
	Form           string `json:"form,omitempty"` // empty: FormToken
	Mode           string `json:"mode,omitempty"` // 0600, 0640 or 0644; empty: 0600
	Group          string `json:"group,omitempty"`
	InsecureFolder bool   `json:"insecure_folder,omitempty"`
}

// ParseMode reads a Mode of this package: four octal digits. The empty string is 0.
func ParseMode(s string) fs.FileMode {
	n, err := strconv.ParseUint(s, 8, 9)
	if err != nil {
		return 0
	}
	return fs.FileMode(n)
}

const (
	endpointLimit = 1000
	servedLimit   = 100_000 // names at one endpoint
	usersLimit    = 100
	hostsLimit    = 100
	hopLimitMost  = 64
)

// serve reads the serve block. The crossings have been read by then.
func (r *reader) serve(f *File, n *node) *Serve {
	s := new(Serve)
	r.mapping(n,
		may("admin", r.text(&s.Admin, anAddress)),
		may("admin_tls", func(n *node) { s.AdminTLS = r.tls(n) }),
		may("hosts", r.texts(&s.Hosts, hostsLimit, hostName)),
		may("allow_users", r.users(&s.AllowUsers)),
		may("endpoints", func(n *node) {
			r.each(n, endpointLimit, func(n *node) { s.Endpoints = append(s.Endpoints, r.endpoint(f, n)) })
		}),
		may("files", func(n *node) {
			r.each(n, servedLimit, func(n *node) { s.Files = append(s.Files, r.keptFile(f, n)) })
		}),
		may("traces", func(n *node) { s.Traces = r.traces(n) }),
	)
	if n.kind == mapping && !n.has("endpoints") && !n.has("files") {
		r.problem(n.at, "serve has nothing to serve: add endpoints or files")
	}
	if n.kind == mapping {
		r.adminListens(n, s)
		r.collisions(n, s)
	}
	return s
}

// adminListens reports a certificate that nobody would be shown.
func (r *reader) adminListens(n *node, s *Serve) {
	switch f, ok := n.field("admin_tls"); {
	case !ok:
	case !n.has("admin"):
		r.problem(f.at, "admin_tls is for admin, and there is none: remove it, or add admin: ADDRESS")
	case strings.HasPrefix(s.Admin, "unix:"):
		r.problem(f.at, "admin_tls is not for a Unix socket: remove it")
	}
}

func (r *reader) tls(n *node) *TLS {
	t := new(TLS)
	r.mapping(n, must("cert", r.text(&t.Cert, servedPath)), must("key", r.text(&t.Key, servedPath)))
	return t
}

// user reads the name of a user or a group. A number may stand there without quotes.
func (r *reader) user(dst *string) func(*node) {
	return func(n *node) { r.text(dst, userName)(asName(n)) }
}

// users reads a list of them.
func (r *reader) users(dst *[]string) func(*node) {
	return func(n *node) {
		named := *n
		named.items = nil
		for _, item := range n.items {
			named.items = append(named.items, asName(item))
		}
		r.texts(dst, usersLimit, userName)(&named)
	}
}

// asName takes a plain number for the text of it.
func asName(n *node) *node {
	if n.kind != number || !isID(strings.TrimPrefix(n.text, "-")) || n.text != "0" && n.text[0] == '0' {
		return n
	}
	named := *n
	named.kind = text
	return &named
}

func (r *reader) traces(n *node) *Traces {
	t := new(Traces)
	r.mapping(n, must("endpoint", func(n *node) {
		t.Place = n.at.String()
		r.text(&t.Endpoint, r.allow.tracesEndpoint)(n)
	}))
	return t
}

// tracesEndpoint checks where traces go. They hold no secret, but tell who crosses when and how often: a file that
// nobody chose sends them to this machine alone.
func (p ForeignPolicy) tracesEndpoint(s string) (string, error) {
	u, err := webURL(s)
	scheme, _, hasScheme := strings.Cut(s, "://")
	switch {
	case hasScheme && scheme != "http" && scheme != "https":
		return "", errors.New("want a URL that begins with http:// or https://, of OTLP over HTTP")
	case err != nil:
		return "", err
	case u.RawQuery != "" || u.ForceQuery:
		return "", errors.New("the URL ends in a query: remove it from ? on")
	case strings.HasSuffix(strings.TrimRight(u.Path, "/"), "/v1/traces"):
		return "", errors.New("/v1/traces is added to the URL: remove it")
	case !p.AllowStores && !isLoopback(u.Hostname()) && !p.allows(u):
		return "", fmt.Errorf("traces would be sent to %s, and you did not name this file: name it with --config, or allow that host by name if you trust it", u.Hostname())
	}
	return s, nil
}

// each reads a list of at least one mapping and at most limit.
func (r *reader) each(n *node, limit int, read func(*node)) {
	switch {
	case n.kind != list:
		r.wrongKind(n, list)
		return
	case len(n.items) == 0:
		r.problem(n.at, "%s is an empty list: remove it or fill it", n.key)
	case len(n.items) > limit:
		r.problem(n.at, "%s has %d entries: at most %d", n.key, len(n.items), limit)
		return
	}
	for _, item := range n.items {
		read(item)
	}
}

// of says which endpoint a setting belongs to.
var of = map[string]string{"root": "ecs", "token_file": "ecs", "token_mode": "ecs", "token_group": "ecs", "allow_v1": "imds", "hop_limit": "imds", "project": "gce", "project_number": "gce", "zone": "gce"}

func (r *reader) endpoint(f *File, n *node) Endpoint {
	e := Endpoint{Place: n.at.String()}
	kinds := []string{"ecs", "imds", "gce"}
	whole := r.mapping(n,
		may("ecs", r.served(f, &e.ECS, "into AWS")),
		may("imds", func(n *node) { r.oneServed(f, &e.IMDS, n, "into AWS") }),
		may("gce", func(n *node) { r.oneServed(f, &e.GCE, n, "into Google Cloud") }),
		must("listen", func(n *node) { e.Listen = r.address(n) }),
		may("allow_remote", r.truth(&e.AllowRemote)),
		may("mode", r.text(&e.Mode, oneOf("0600", "0660"))),
		may("tls", func(n *node) { e.TLS = r.tls(n) }),
		may("root", func(n *node) { e.Root, _ = r.textOf(n) }),
		may("token_file", r.text(&e.TokenFile, servedPath)),
		may("token_mode", r.text(&e.TokenMode, fileMode)),
		may("token_group", r.user(&e.TokenGroup)),
		may("allow_v1", r.truth(&e.AllowV1)),
		may("hop_limit", func(n *node) { r.hops(&e.HopLimit, n) }),
		may("project", r.text(&e.Project, shape.Project)),
		may("project_number", r.text(&e.ProjectNumber, projectNumber)),
		may("zone", r.text(&e.Zone, zone)),
	)
	if !whole {
		return e
	}
	r.one(n, "an endpoint", "protocol", kinds, "listen", "allow_remote", "mode", "tls", "root", "token_file", "token_mode", "token_group", "allow_v1", "hop_limit", "project", "project_number", "zone")
	for _, field := range n.fields {
		if kind, ok := of[field.key]; ok && !n.has(kind) {
			r.problem(field.at, "%s is for %s: remove it", field.key, kind)
		}
	}
	if group, ok := n.field("token_group"); ok && ParseMode(e.TokenMode)&0o040 == 0 && (e.TokenMode != "" || !n.has("token_mode")) {
		r.problem(group.at, `token_group: the group may not read the file: write token_mode: "0640" too`)
	}
	if root, ok := n.field("root"); ok && e.Root != "" && n.has("ecs") && !slices.Contains(e.ECS, e.Root) {
		r.problem(root.value.at, "root: this endpoint does not serve that crossing: write one of its ecs list")
	}
	if tls, ok := n.field("tls"); ok && n.has("gce") {
		r.problem(tls.at, "tls is not for gce: Google's libraries ask a metadata server by plain HTTP: remove it")
	}
	r.endpointListens(n, e)
	return e
}

// endpointListens reports what does not go with the address.
func (r *reader) endpointListens(n *node, e Endpoint) {
	if e.Listen == "" {
		return // what is wrong with it has been said
	}
	listen, _ := n.field("listen")
	unix := strings.HasPrefix(e.Listen, "unix:")
	if f, ok := n.field("mode"); ok && !unix {
		r.problem(f.at, "mode is for a Unix socket: remove it")
	}
	for _, key := range []string{"hop_limit", "allow_remote", "tls"} {
		if f, ok := n.field(key); ok && unix {
			r.problem(f.at, "%s is not for a Unix socket: remove it", key)
		}
	}
	if host, _, err := net.SplitHostPort(e.Listen); err == nil && !unix && !e.AllowRemote && !isLoopback(host) {
		r.problem(listen.value.at, "listen: other machines could reach this address, and whoever reaches it gets credentials: write 127.0.0.1, or allow_remote: true if that is meant")
	}
}

func (r *reader) address(n *node) (s string) {
	r.text(&s, anAddress)(n)
	return s
}

func (r *reader) hops(dst *int, n *node) {
	if n.kind != number {
		r.wrongKind(n, number)
		return
	}
	hops, err := strconv.Atoi(n.text)
	if err != nil || hops < 1 || hops > hopLimitMost {
		r.problem(n.at, "hop_limit: want 1 to %d", hopLimitMost)
		return
	}
	*dst = hops
}

// served reads names of crossings that lead the right way.
func (r *reader) served(f *File, dst *[]string, way string) func(*node) {
	return func(n *node) {
		if n.kind == text {
			r.problem(n.at, "%s: want a list, not text: write [NAME]", n.key)
			return
		}
		before := len(r.problems)
		r.texts(dst, servedLimit, anyText)(n)
		if len(r.problems) > before {
			return
		}
		for i, name := range *dst {
			r.leads(f, name, n.items[i].at, way)
		}
	}
}

func (r *reader) oneServed(f *File, dst *string, n *node, way string) {
	if s, ok := r.textOf(n); ok && r.leads(f, s, n.at, way) {
		*dst = s
	}
}

func anyText(s string) (string, error) { return s, nil }

// leads reports a crossing that is not there, or leads elsewhere.
func (r *reader) leads(f *File, name string, at position, way string) bool {
	c, ok := f.Crossings[name]
	if !ok {
		if len(f.names) == 0 {
			return false // what is wrong with them has been said
		}
		if near := nearest(name, f.names[:min(len(f.names), 1000)]); near != "" {
			r.problem(at, "there is no such crossing: did you mean %q?", near)
		} else {
			r.problem(at, "there is no such crossing under crossings")
		}
		return false
	}
	switch {
	case way == "into AWS" && c.To.AWS == nil,
		way == "into Google Cloud" && c.To.GCP == nil,
		way == "to a token" && c.To.AWS != nil:
		r.problem(at, "the crossing %s does not lead %s", name, way)
		return false
	case way == "into Google Cloud" && c.To.GCP.IDToken != nil:
		r.problem(at, "the crossing %s gives ID tokens for one audience: name one without id_token, and clients ask for the audiences they need", name)
		return false
	}
	return true
}

func (r *reader) keptFile(f *File, n *node) KeptFile {
	k := KeptFile{Place: n.at.String()}
	if !r.mapping(n,
		must("crossing", func(n *node) {
			if s, ok := r.textOf(n); ok {
				k.Crossing = s
			}
		}),
		may("aws_profile", func(n *node) {
			p := new(KeptAWSProfile)
			k.AWSProfile = p
			r.mapping(n, must("path", r.text(&p.Path, servedPath)), may("profile", r.text(&p.Profile, keptProfile)), may("mode", r.text(&p.Mode, fileMode)),
				may("group", r.user(&p.Group)), may("insecure_folder", r.truth(&p.InsecureFolder)))
		}),
		may("token", func(n *node) {
			t := new(KeptToken)
			k.Token = t
			r.mapping(n, must("path", r.text(&t.Path, servedPath)), may("form", r.text(&t.Form, oneOf(FormToken, FormLine, FormJSON, FormExecutable))),
				may("mode", r.text(&t.Mode, fileMode)), may("group", r.user(&t.Group)), may("insecure_folder", r.truth(&t.InsecureFolder)))
		}),
	) {
		return k
	}
	r.one(n, "a file", "form", []string{"aws_profile", "token"}, "crossing")
	name, ok := n.field("crossing")
	if !ok || k.Crossing == "" || (k.AWSProfile == nil) == (k.Token == nil) {
		return k
	}
	if k.Token != nil && k.Token.Form != FormJSON && f.Crossings[k.Crossing].To.AWS != nil {
		r.problem(name.value.at, "the crossing %s gives an AWS session, which is no token: write form: json under token, or aws_profile in its place", k.Crossing)
		return k
	}
	way := "to a token"
	if k.AWSProfile != nil || f.Crossings[k.Crossing].To.AWS != nil {
		way = "into AWS"
	}
	if !r.leads(f, k.Crossing, name.value.at, way) {
		return k
	}
	if form, ok := n.field("token"); ok && k.Token != nil && k.Token.Form == FormExecutable && f.Crossings[k.Crossing].To.Token == nil && !givesIDToken(f.Crossings[k.Crossing]) {
		r.problem(form.at, "form executable holds ID tokens, and the crossing gives none")
	}
	return k
}

func givesIDToken(c Crossing) bool { return c.To.GCP != nil && c.To.GCP.IDToken != nil }

// collisions reports endpoints and files that would be in each other's way.
func (r *reader) collisions(n *node, s *Serve) {
	if list, ok := n.field("endpoints"); ok && len(list.value.items) == len(s.Endpoints) {
		r.sharedAddresses(list.value, s)
	}
	list, ok := n.field("files")
	if !ok || len(list.value.items) != len(s.Files) {
		return
	}
	first := map[string]position{}
	for i, k := range s.Files {
		place := ""
		switch {
		case k.AWSProfile != nil:
			place = filepath.Clean(k.AWSProfile.Path) + "\x00" + cmp.Or(k.AWSProfile.Profile, "default")
		case k.Token != nil:
			place = filepath.Clean(k.Token.Path)
		}
		at := list.value.items[i].at
		if other, again := first[place]; again && place != "" {
			r.problem(at, "the same file stands at line %d already: remove one", other.line)
		}
		first[place] = at
	}
}

func (r *reader) sharedAddresses(list *node, s *Serve) {
	type sharer struct {
		endpoint Endpoint
		at       position
	}
	shared, byPort := map[string][]sharer{}, map[string][]sharer{}
	for i, e := range s.Endpoints {
		at := list.items[i].at
		if e.Listen == "" || isFree(e.Listen) {
			continue
		}
		if e.Listen == s.Admin {
			r.problem(at, "admin has this address: give it one of its own")
		} else if overlap(e.Listen, s.Admin) {
			r.problem(at, "admin listens on %s, which takes this address too: give it one of its own", s.Admin)
		}
		for _, other := range byPort[portOf(e.Listen)] {
			if other.endpoint.Listen != e.Listen && overlap(e.Listen, other.endpoint.Listen) {
				r.problem(at, "line %d listens on %s, which takes this address too: write the same listen for both, or another port", other.at.line, other.endpoint.Listen)
				break
			}
		}
		for _, other := range shared[e.Listen] {
			switch {
			case other.endpoint.Kind() == e.Kind() && e.Kind() == "ecs":
				r.problem(at, "line %d serves ecs at this address already: put the names into one list", other.at.line)
			case other.endpoint.Kind() == e.Kind():
				r.problem(at, "line %d serves %s at this address already, and the paths are the same: give this one another", other.at.line, e.Kind())
			case other.endpoint.AllowRemote != e.AllowRemote, other.endpoint.Mode != e.Mode:
				r.problem(at, "line %d shares this address: write the same allow_remote and mode for both", other.at.line)
			case !sameTLS(other.endpoint.TLS, e.TLS):
				r.problem(at, "line %d shares this address: write the same tls for both", other.at.line)
			}
		}
		shared[e.Listen] = append(shared[e.Listen], sharer{e, at})
		byPort[portOf(e.Listen)] = append(byPort[portOf(e.Listen)], sharer{e, at})
	}
}

func sameTLS(a, b *TLS) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }

// portOf is an address's port, or the socket's path.
func portOf(listen string) string {
	if path, ok := strings.CutPrefix(listen, "unix:"); ok {
		return filepath.Clean(path)
	}
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		return ""
	}
	return strings.TrimLeft(port, "0")
}

// overlap reports whether two addresses that are written differently cannot both be had: localhost is 127.0.0.1 and ::1,
// and an address without a host is all of them.
func overlap(a, b string) bool {
	if a == "" || b == "" || isFree(a) || isFree(b) || strings.HasPrefix(a, "unix:") != strings.HasPrefix(b, "unix:") || portOf(a) != portOf(b) {
		return false
	}
	if strings.HasPrefix(a, "unix:") {
		return true
	}
	return slices.ContainsFunc(hostsOf(a), func(one netip.Addr) bool {
		return slices.ContainsFunc(hostsOf(b), func(other netip.Addr) bool {
			return one == other || (one.IsUnspecified() || other.IsUnspecified()) && one.Is4() == other.Is4()
		})
	})
}

// hostsOf are the addresses that a listener takes.
func hostsOf(listen string) []netip.Addr {
	host, _, _ := net.SplitHostPort(listen)
	four, six := netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()
	switch ip, err := netip.ParseAddr(host); {
	case host == "localhost":
		return []netip.Addr{four, six}
	case host == "" || err == nil && ip.Unmap() == netip.IPv6Unspecified():
		return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	case err != nil:
		return nil
	default:
		return []netip.Addr{ip.Unmap()}
	}
}

// isFree reports whether the system chooses the port.
func isFree(listen string) bool {
	_, port, err := net.SplitHostPort(listen)
	return err == nil && port == "0" && !strings.HasPrefix(listen, "unix:")
}

// socketPathMost is what fits into a sockaddr_un with its closing zero. Of systems other than Linux and Windows that is a
// little less, which serve says. Source: unix(7).
const socketPathMost = 107

// anAddress takes HOST:PORT, with an address or localhost for the host, and unix:/PATH.
func anAddress(s string) (string, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if !strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/") || strings.ContainsFunc(path, func(c rune) bool { return c < ' ' }) {
			return "", errors.New("want unix:/PATH, from the root on")
		}
		if len(path) > socketPathMost {
			return "", fmt.Errorf("the path of a Unix socket has at most %d bytes, and this has %d", socketPathMost, len(path))
		}
		return s, nil
	}
	host, port, err := net.SplitHostPort(s)
	if err == nil {
		if _, err = strconv.ParseUint(port, 10, 16); errors.Is(err, strconv.ErrRange) {
			return "", errors.New("the port is a number from 0 to 65535")
		}
	}
	if _, notAddress := netip.ParseAddr(host); err != nil || notAddress != nil && host != "localhost" && host != "" {
		return "", errors.New("want 127.0.0.1:PORT, [::1]:PORT, localhost:PORT or unix:/PATH")
	}
	return s, nil
}

// hostName takes what a Host header may name: a host, or an address.
func hostName(s string) (string, error) {
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		return s, nil
	}
	labels := strings.Split(strings.TrimSuffix(s, "."), ".")
	for _, label := range labels {
		if !shape.Only(label, 1, 63, "A-Za-z0-9_-") {
			return "", errors.New("want a host's name or address, without a port or a *")
		}
	}
	if shape.Only(labels[len(labels)-1], 1, 63, "0-9") || len(s) > 254 {
		return "", errors.New("want a host's name or address")
	}
	return s, nil
}

func userName(s string) (string, error) {
	if !shape.Only(s, 1, 64, "A-Za-z0-9_.$-") {
		return "", errors.New("want a name or a number")
	}
	if _, err := strconv.ParseUint(s, 10, 32); err != nil && isID(strings.TrimPrefix(s, "-")) {
		return "", errors.New("want a name, or a number of at most 32 bits")
	}
	return s, nil
}

// isID reports whether a user or a group is named by number.
func isID(s string) bool { return shape.Only(s, 1, 64, "0-9") }

// servedPath takes the path of a file that serve reads or writes: from the root on, in the home of whoever runs it, or
// relative to the folder that it was started in.
func servedPath(s string) (string, error) {
	if _, err := filePath(s); err != nil {
		return "", err
	}
	if first, _, _ := strings.Cut(s, "/"); strings.HasPrefix(first, "~") && (first != "~" || len(s) < len("~/x")) {
		return "", errors.New(`only "~/" is read as a home, that of the user who runs serve: write the whole path, or ./ before a name that begins with ~`)
	}
	return s, nil
}

func fileMode(s string) (string, error) {
	if modes := []string{"0400", "0440", "0444", "0600", "0640", "0644"}; !slices.Contains(modes, s) {
		return "", fmt.Errorf("want %s", strings.Join(modes, " or "))
	}
	return s, nil
}

func keptProfile(s string) (string, error) {
	if !shape.Only(s, 1, 128, "A-Za-z0-9_/.%@:+-") {
		return "", errors.New("want a profile's name of letters, digits and _/.%@:+-")
	}
	return s, nil
}

func projectNumber(s string) (string, error) {
	if !shape.Only(s, 1, 19, "0-9") || s[0] == '0' {
		return "", errors.New("want the number of a Google Cloud project")
	}
	return s, nil
}

// zone is such as europe-west1-b. Source: Compute Engine, "Regions and zones".
func zone(s string) (string, error) {
	if !shape.Name(s, 4, 40, "a-z0-9-") || strings.Count(s, "-") < 2 {
		return "", errors.New("want a zone such as europe-west1-b")
	}
	return s, nil
}
