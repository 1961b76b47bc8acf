// SPDX-License-Identifier: Apache-2.0

package gce

import (
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
)

const root = "/computeMetadata/v1"

// What the tree holds: folders, plain texts, numbers (digits, which JSON shows without quotes), lists, and pages that are
// made for each request, which no recursive listing shows.
type (
	folder []entry // by name
	number string
	list   []string
	live   func(http.ResponseWriter, *http.Request)
	entry  struct {
		name string
		is   any
	}
)

// plant makes the tree below root. Nothing in it changes later.
func (h *Handler) plant() folder {
	g := &h.google
	project := folder{{"attributes", folder{}}}
	if isNumber(g.ProjectNumber) {
		project = append(project, entry{"numeric-project-id", number(g.ProjectNumber)})
	}
	if g.Project != "" {
		project = append(project, entry{"project-id", g.Project})
	}
	universe := g.Universe
	if universe == "" {
		universe = "googleapis.com"
	}
	return folder{
		{"instance", h.instance()},
		{"project", project},
		{"universe", folder{{"universe-domain", universe}}},
	}
}

func (h *Handler) instance() folder {
	g := &h.google
	name := hostLabel(h.name)
	f := folder{
		{"attributes", folder{}},
		{"hostname", hostname(name, g.Zone, g.Project)},
		{"id", instanceID(h.name)},
		{"name", name},
	}
	project := g.ProjectNumber
	if project == "" {
		project = g.Project
	}
	if region := regionOf(g.Zone); region != "" && project != "" {
		f = append(f, entry{"region", "projects/" + project + "/regions/" + region})
	}
	f = append(f, entry{"service-accounts", h.accounts()})
	if g.Zone != "" && project != "" {
		f = append(f, entry{"zone", "projects/" + project + "/zones/" + g.Zone})
	}
	return f
}

// accounts lists the one account twice: by its name and as default.
func (h *Handler) accounts() folder {
	name := h.account()
	account := folder{{"aliases", list{"default"}}, {"email", name}}
	if h.google.IDToken != nil {
		account = append(account, entry{"identity", live(h.identity)})
	}
	account = append(account, entry{"scopes", list(h.google.Scopes)}, entry{"token", live(h.token)})
	f := folder{{"default", account}}
	if name != "default" {
		f = append(f, entry{name, account})
	}
	sort.Slice(f, func(i, j int) bool { return f[i].name < f[j].name })
	return f
}

// account is the e-mail of the service account, or what stands for it where there is none.
func (h *Handler) account() string {
	switch g := &h.google; {
	case g.Email != "":
		return g.Email
	case g.Project != "":
		return g.Project + ".svc.id.goog"
	case isNumber(g.ProjectNumber): // gcloud takes no account whose name is default
		return g.ProjectNumber + ".svc.id.goog"
	}
	return "default"
}

func (f folder) entry(name string) (any, bool) {
	for i := range f {
		if f[i].name == name {
			return f[i].is, true
		}
	}
	return nil, false
}

// find walks to the entry that an escaped path below root names, and answers with it. Each name is unescaped by itself, so
// that an escaped slash parts nothing; an empty name or a dot is no entry's name.
func (h *Handler) find(w http.ResponseWriter, r *http.Request, path string) {
	at := h.tree()
	name, rest := "", path
	for rest != "" && rest != "/" {
		f, _ := at.(folder)
		name, rest = nextName(rest)
		var ok bool
		if at, ok = f.entry(name); !ok {
			h.missing(w, r, f, name)
			return
		}
	}
	_, isFolder := at.(folder)
	serve, isLive := at.(live)
	switch {
	case isFolder && rest == "":
		redirect(w, root+path+"/", r.URL.RawQuery)
	case !isFolder && rest != "":
		noSuchEntry(w)
	case isLive:
		serve(w, r)
	default:
		h.show(w, r, at, name)
	}
}

// nextName takes the first name off a path that begins with a slash; a name that is badly escaped is empty.
func nextName(path string) (name, rest string) {
	name, rest = path[1:], ""
	if i := strings.IndexByte(name, '/'); i >= 0 {
		name, rest = name[:i], name[i:]
	}
	if strings.IndexByte(name, '%') < 0 {
		return name, rest
	}
	if plain, err := url.PathUnescape(name); err == nil {
		return plain, rest
	}
	return "", rest
}

// missing tells of an entry that is not in f, and more of the one that clients miss where there are no ID tokens.
func (h *Handler) missing(w http.ResponseWriter, r *http.Request, f folder, name string) {
	if _, account := f.entry("token"); account && name == "identity" {
		hint, why := "let the crossing name a service account", "the crossing has no service account, and Google signs ID tokens for nobody else"
		if h.google.Email != "" {
			hint, why = "serve a crossing to the same service account without a boundary", "the crossing has a boundary, which bounds no ID token: whoever held one would be the service account wherever one is asked for"
		}
		h.refuse(w, r, "ID token", http.StatusNotFound, misuse("ask for an ID token", hint, why))
		return
	}
	noSuchEntry(w)
}

// isNumber holds of what JSON takes for a whole number as it stands.
func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil && s[0] != '0'
}

// regionOf cuts the region out of a Google Cloud zone's name: a zone is named for its region, a dash and a few letters or
// digits, and a region's name ends in a digit. Source: Compute Engine, "Regions and zones".
func regionOf(zone string) string {
	i := strings.LastIndexByte(zone, '-')
	if i < 1 || i == len(zone)-1 || zone[i-1] < '0' || zone[i-1] > '9' || !strings.Contains(zone[:i], "-") {
		return ""
	}
	return zone[:i]
}

// instanceID is 19 digits made of the crossing's name, and fits a signed 64-bit number, as a real one does.
func instanceID(name string) number {
	sum := sha256.Sum256([]byte("stile instance " + name))
	return number(strconv.FormatUint(1e18+binary.BigEndian.Uint64(sum[:])%8e18, 10))
}

// hostLabel makes an instance's name of a crossing's: lower-case letters, digits and dashes, at most 63, beginning with a
// letter and not ending in a dash.
func hostLabel(name string) string {
	label := []byte(strings.ToLower(name))
	for i, c := range label {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			label[i] = '-'
		}
	}
	trimmed := strings.Trim(string(label), "-")
	if trimmed == "" || trimmed[0] < 'a' {
		trimmed = strings.Trim("stile-"+trimmed, "-")
	}
	return strings.TrimRight(trimmed[:min(len(trimmed), 63)], "-")
}

// hostname is the zonal name where zone and project are known, else as much of it as is.
func hostname(name, zone, project string) string {
	switch {
	case project == "":
		return name
	case zone == "":
		return name + ".c." + project + ".internal"
	}
	return name + "." + zone + ".c." + project + ".internal"
}
