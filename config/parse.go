// SPDX-License-Identifier: Apache-2.0

package config

import (
	"slices"
	"strings"
	"time"

	"github.com/stile-project/stile/internal/shape"
)

func isCrossingName(s string) bool {
	return shape.Only(s, 1, 64, "A-Za-z0-9._-") && shape.Begins(s, "A-Za-z0-9")
}

// Limits of the clouds. Sources: AWS STS API, DurationSeconds, PolicyArns and Tags; IAM User Guide, role chaining; IAM
// Credentials API, lifetime; AIP-4117, timeout_millis; Kubernetes API, TokenRequest.
const (
	sessionLeast   = 15 * time.Minute
	sessionMost    = 12 * time.Hour
	lifetimeLeast  = time.Minute // below, a token is gone before it is used
	lifetimeMost   = 12 * time.Hour
	policyARNLimit = 10
	tagLimit       = 50
	chainedMost    = time.Hour
	rolesLimit     = 5   // a longer way through one's own accounts is a mistake
	listLimit      = 100 // scopes, delegates, words of a command, headers
	timeoutLeast   = 5 * time.Second
	timeoutMost    = 2 * time.Minute
	requestedLeast = 10 * time.Minute
	requestedMost  = 24 * time.Hour
)

// Parse reads a stile.yaml of version 1, strictly: a key it does not know is an error, which names the nearest one it
// does. The name stands in messages and becomes each crossing's Origin. The error is [Problems].
func Parse(name string, data []byte) (*File, error) {
	return ParseAllowing(name, data, ForeignPolicy{})
}

// ParseAllowing is [Parse] for a file that may name the hosts that allow lists.
func ParseAllowing(name string, data []byte, allow ForeignPolicy) (*File, error) {
	name = shownName(name)
	r := newReader(allow)
	switch kind := Sniff(data); kind {
	case KindUnknown, KindStile, KindOtherJSON:
	default:
		r.problem(position{file: name}, "this is %v, not a stile.yaml", kind)
		return nil, r.err()
	}
	root := r.yaml(name, data)
	if root == nil || len(r.problems) > 0 {
		return nil, r.err()
	}
	f := r.file(name, root)
	if err := r.err(); err != nil {
		return nil, err
	}
	return f, nil
}

func (r *reader) file(name string, root *node) *File {
	f := &File{Version: 1, Crossings: make(map[string]Crossing), name: name}
	if v, ok := root.field("version"); ok && v.value.kind == number && v.value.text != "1" {
		r.problem(v.value.at, "this version of the file is not known here: write version: 1, or use a newer stile")
		return nil // the rest would be measured by the wrong rules
	}
	r.mapping(root,
		must("version", r.version),
		must("crossings", func(n *node) { r.crossings(f, n) }),
		may("store", func(n *node) { f.Store = r.store(n) }),
		may("serve", func(*node) {}),
	)
	if v, ok := root.field("serve"); ok { // after the crossings, wherever it stands
		f.Serve = r.serve(f, v.value)
	}
	return f
}

func (r *reader) version(n *node) {
	if n.kind != number { // another number has been refused before
		r.problem(n.at, "version: want the number 1")
	}
}

func (r *reader) crossings(f *File, n *node) {
	if n.kind != mapping {
		r.wrongKind(n, mapping)
		return
	}
	if len(n.fields) == 0 {
		r.problem(n.at, "crossings is empty: add one, with a name, from and to")
	}
	first := make(map[string]position, len(n.fields))
	for _, c := range n.fields {
		if at, again := first[c.key]; again {
			r.duplicate(c, at)
			continue
		}
		first[c.key] = c.at
		if !isCrossingName(c.key) {
			r.problem(c.at, "the name of a crossing: want at most 64 letters, digits and ._- beginning with a letter or digit")
			continue
		}
		f.names = append(f.names, c.key)
		f.Crossings[c.key] = r.crossing(c.key, f.name, c.value)
	}
}

func (r *reader) crossing(name, origin string, n *node) Crossing {
	c := Crossing{Name: name, Origin: origin}
	if !r.mapping(n,
		must("from", func(n *node) { c.From = r.from(n) }),
		must("to", func(n *node) { c.To = r.to(n) }),
	) {
		return c
	}
	from, _ := n.field("from")
	to, _ := n.field("to")
	if from.value == nil || to.value == nil || len(from.value.fields) != 1 || len(to.value.fields) != 1 {
		return c
	}
	r.pairing(c, from.value.fields[0], to.value.fields[0])
	return c
}

// pairing reports a source and a target that do not go together.
func (r *reader) pairing(c Crossing, from, to field) {
	if from.key == to.key && (from.key == "aws" || from.key == "gcp") {
		r.problem(to.at, "from and to are both %s: a crossing leads into the other cloud, change one", from.key)
		return
	}
	if aws := c.From.AWS; aws != nil && aws.Proof != ProofJWT {
		switch {
		case c.To.Token != nil:
			r.problem(from.value.at, "a token target needs a token, and AWS gives a signed request: write proof: jwt under aws")
		case c.To.GCP != nil && isWorkforce(c.To.GCP.Provider):
			r.problem(from.value.at, "a workforce pool takes no signed request of AWS: write proof: jwt under aws, or name a workload identity pool provider")
		}
	}
	if f, ok := from.value.field("audience"); ok && c.To.Token != nil {
		r.problem(f.at, "the token target says whom the token is made out to: remove audience here")
	}
	if f, ok := from.value.field("token_type"); ok && c.To.GCP == nil {
		r.problem(f.at, "token_type is for Google Cloud to know: remove it")
	}
}

// one reports a mapping that holds several of the keys, or none and nothing else that may be one of them mistyped.
func (r *reader) one(n *node, whole, what string, keys []string, others ...string) {
	if n.kind != mapping {
		return
	}
	var found []string
	mistyped := false
	for _, f := range n.fields {
		switch {
		case slices.Contains(found, f.key), slices.Contains(others, f.key):
		case !slices.Contains(keys, f.key):
			mistyped = true
		case len(found) > 0:
			r.problem(f.at, "%s has one %s: keep %s or %s", whole, what, found[0], f.key)
			return
		default:
			found = append(found, f.key)
		}
	}
	if len(found) == 0 && !mistyped {
		r.problem(n.at, "%s names no %s: write %s in it", n.key, what, alternatives(keys))
	}
}

// alternatives reads "aws:, gcp: or oidc:".
func alternatives(keys []string) string {
	var b strings.Builder
	for i, k := range keys {
		switch {
		case i > 0 && i == len(keys)-1:
			b.WriteString(" or ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(k + ":")
	}
	return b.String()
}
