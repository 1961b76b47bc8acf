// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The metadata server's entries: a directory, a text (string), a number, a list of texts, or a page made on each
// request, which a recursive listing leaves out.
type (
	directory map[string]any
	number    json.Number
	dynamic   func(*call) (answer, error)
)

// MarshalJSON writes the digits as they are.
func (n number) MarshalJSON() ([]byte, error) {
	if n == "" {
		return []byte("0"), nil
	}
	return []byte(n), nil
}

// tree is everything below /computeMetadata/v1/. Source: protocol notes on Compute Engine metadata.
func (s *metadataServer) tree() directory {
	project := directory{"numeric-project-id": number(s.number), "project-id": s.machine.Project}
	all := directory{"instance": s.instance(), "project": project}
	if !s.bare {
		project["attributes"] = directory{}
		all["universe"] = directory{"universe-domain": universe}
	}
	return all
}

func (s *metadataServer) vmInstance() directory {
	m := s.machine
	attributes := directory{}
	for name, value := range m.Attributes {
		attributes[name] = value
	}
	return directory{
		"attributes":   attributes,
		"cpu-platform": "AMD Milan",
		"hostname":     m.Name + "." + m.Zone + ".c." + m.Project + ".internal",
		"id":           number(s.id),
		"machine-type": s.within("machineTypes", "e2-small"),
		"name":         m.Name,
		"network-interfaces": directory{"0": directory{
			"ip":      "10.132.0.2",
			"network": s.within("networks", "default"),
		}},
		"region":           s.within("regions", region(m.Zone)),
		"service-accounts": s.serviceAccounts(),
		"tags":             []string{},
		"zone":             s.within("zones", m.Zone),
	}
}

// attachedAccount is the account that the machine was given.
func (s *metadataServer) attachedAccount() directory {
	sa, ok := s.account()
	if !ok {
		return directory{}
	}
	return s.accountPage(sa.Email,
		func(q *call) (answer, error) { return s.serveToken(q, sa) },
		func(q *call) (answer, error) { return s.serveIdentity(q, sa) })
}

// accountPage lists an account twice: by its e-mail and as default.
func (s *metadataServer) accountPage(email string, token, identity dynamic) directory {
	page := directory{"aliases": []string{"default"}, "email": email, "identity": identity, "scopes": s.machine.Scopes, "token": token}
	return directory{"default": page, email: page}
}

func (s *metadataServer) serveToken(q *call, sa ServiceAccount) (answer, error) {
	q.entry.Caller = sa.Email
	scopes := s.granted(q.r.URL.Query().Get("scopes"))
	for _, scope := range scopes {
		if !knownScope(scope) {
			return answer{}, q.refuse(htmlAnswer(http.StatusBadRequest, "Invalid scope."), "%q is no scope of Google's", clip(scope, 80))
		}
	}
	t, kept := s.token(sa, scopes, q.now)
	life := int(t.expires.Sub(q.now) / time.Second)
	if kept {
		q.entry.OK("the token given out before is good for another %d s, so it is given out again", life)
	} else {
		q.entry.OK("the machine is %s: a token with the scopes %s is made for it, good for %d s", sa.Email, listed(scopes), life)
	}
	return compactJSON(map[string]any{"access_token": t.text, "expires_in": life, "token_type": "Bearer"}), nil
}

func (s *metadataServer) serveIdentity(q *call, sa ServiceAccount) (answer, error) {
	q.entry.Caller = sa.Email
	query := q.r.URL.Query()
	audience := query.Get("audience")
	if audience == "" {
		return answer{}, q.refuse(htmlAnswer(http.StatusBadRequest, "non-empty audience parameter required"), "no audience is asked for")
	}
	format := query.Get("format")
	if format != "" && format != "standard" && format != "full" {
		return answer{}, q.refuse(htmlAnswer(http.StatusBadRequest, "invalid format parameter"), "the format %q is neither standard nor full", clip(format, 32))
	}
	text, err := s.identity(q, sa, audience)
	if err != nil {
		return answer{}, err
	}
	q.entry.OK("an ID token of %s is signed for the audience %s, good for an hour", sa.Email, clip(audience, 200))
	return textAnswer(text), nil
}

// names are a directory's entries as a listing shows them.
func (d directory) names() []string {
	names := make([]string, 0, len(d))
	for name, entry := range d {
		if _, sub := entry.(directory); sub {
			name += "/"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func textOf(entry any) string {
	switch e := entry.(type) {
	case directory:
		if len(e) == 0 {
			return ""
		}
		return strings.Join(e.names(), "\n") + "\n"
	case []string:
		if len(e) == 0 {
			return ""
		}
		return strings.Join(e, "\n") + "\n"
	case number:
		return string(e)
	case string:
		return e
	}
	return ""
}

// textLines is a recursive listing as text: one path and value a line.
func textLines(prefix string, entry any) []string {
	d, ok := entry.(directory)
	if !ok {
		return []string{prefix + " " + strings.ReplaceAll(strings.TrimSpace(textOf(entry)), "\n", " ")}
	}
	var lines []string
	for _, name := range sortedKeys(d) {
		if _, page := d[name].(dynamic); page {
			continue
		}
		lines = append(lines, textLines(strings.TrimPrefix(prefix+"/"+name, "/"), d[name])...)
	}
	return lines
}

// jsonOf turns an entry into what JSON shows: no pages that are made on request, and names in camelCase, except where
// they are the user's or an e-mail address.
func jsonOf(entry any, rename func(string) string) any {
	d, ok := entry.(directory)
	if !ok {
		return entry
	}
	if item, ok := d["0"]; ok && len(d) == 1 { // numbered entries are a list in JSON
		return []any{jsonOf(item, camelName)}
	}
	object := map[string]any{}
	for name, e := range d {
		if _, page := e.(dynamic); page {
			continue
		}
		object[rename(name)] = jsonOf(e, namesIn(name))
	}
	return object
}

// namesIn says how JSON spells the names in a directory.
func namesIn(directory string) func(string) string {
	if directory == "attributes" || directory == "service-accounts" {
		return func(name string) string { return name }
	}
	return camelName
}

// camelName turns numeric-project-id into numericProjectId.
func camelName(name string) string { return camelCase(strings.ReplaceAll(name, "-", "_")) }
