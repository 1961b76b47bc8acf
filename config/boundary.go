// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/stile-project/stile/internal/shape"
)

// A Boundary is a Credential Access Boundary as Google documents it: the most that an access token can do in Cloud
// Storage, whatever its owner may.
// Source: IAM, "Downscope with Credential Access Boundaries"; Google STS v1 discovery, AccessBoundary.
type Boundary struct {
	Rules []BoundaryRule `json:"accessBoundaryRules"` // 1 to 10; what the token can do is their union
}

// A BoundaryRule makes roles available on one bucket.
type BoundaryRule struct {
	Resource    string             `json:"availableResource"`    // //storage.googleapis.com/projects/_/buckets/BUCKET
	Permissions []string           `json:"availablePermissions"` // roles: inRole:roles/NAME
	Condition   *BoundaryCondition `json:"availabilityCondition,omitempty"`
}

// A BoundaryCondition narrows a rule.
type BoundaryCondition struct {
	Expression  string `json:"expression"` // CEL
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
}

// String is the boundary as JSON on one line.
func (b *Boundary) String() string {
	var text bytes.Buffer
	out := json.NewEncoder(&text)
	out.SetEscapeHTML(false) // a condition's && would grow to twelve characters, and there is a limit
	if err := out.Encode(b); err != nil {
		return "" // strings always encode
	}
	return strings.TrimSpace(text.String())
}

const (
	boundaryRules = 10
	boundaryLimit = 2048 // characters of the whole
)

// boundary reads a mapping, or JSON in a text, with or without the outer accessBoundary. It takes no unknown key even
// where the file's reader would: what a typing mistake leaves out would be open.
func (r *reader) boundary(n *node) *Boundary {
	if n.kind == text {
		return r.boundaryText(n)
	}
	inner := n
	if f, ok := n.field("accessBoundary"); ok && n.kind == mapping {
		r.mapping(n, must("accessBoundary", func(*node) {}))
		inner = f.value
	}
	b := new(Boundary)
	before := len(r.problems)
	r.mapping(inner, must("accessBoundaryRules", func(n *node) { b.Rules = r.boundaryRules(n) }))
	if len(r.problems) == before && len(b.String()) > boundaryLimit {
		r.problem(n.at, "boundary is too long: at most %d characters", boundaryLimit)
	}
	return b
}

func (r *reader) boundaryText(n *node) *Boundary {
	s, ok := r.textOf(n)
	if !ok {
		return nil
	}
	inner := newReader(r.allow)
	var b *Boundary
	if root := inner.json("", []byte(s)); root != nil {
		root.key = n.key
		if root.kind != mapping {
			inner.wrongKind(root, mapping)
		} else {
			b = inner.boundary(root)
		}
	}
	for _, p := range inner.problems {
		r.problem(n.at, "%s: in line %d of its JSON: %s", n.key, p.Line, p.Text)
	}
	return b
}

func (r *reader) boundaryRules(n *node) (rules []BoundaryRule) {
	switch {
	case n.kind != list:
		r.wrongKind(n, list)
		return nil
	case len(n.items) == 0 || len(n.items) > boundaryRules:
		r.problem(n.at, "%s has %d rules: want 1 to %d", n.key, len(n.items), boundaryRules)
		return nil
	}
	for _, item := range n.items {
		rule := BoundaryRule{}
		r.mapping(item,
			must("availableResource", r.text(&rule.Resource, boundedBucket)),
			must("availablePermissions", r.texts(&rule.Permissions, listLimit, boundedRole)),
			may("availabilityCondition", func(n *node) { rule.Condition = r.boundaryCondition(n) }),
		)
		rules = append(rules, rule)
	}
	return rules
}

func (r *reader) boundaryCondition(n *node) *BoundaryCondition {
	c := new(BoundaryCondition)
	r.mapping(n,
		must("expression", r.text(&c.Expression, someText)),
		may("title", r.text(&c.Title, someText)),
		may("description", r.text(&c.Description, someText)),
	)
	return c
}

func boundedBucket(s string) (string, error) {
	if !shape.IsBoundedBucket(s) {
		return "", errors.New("want //storage.googleapis.com/projects/_/buckets/BUCKET: boundaries exist for Cloud Storage only")
	}
	return s, nil
}

func boundedRole(s string) (string, error) {
	if !shape.IsBoundedRole(s) {
		return "", errors.New("want a role, such as inRole:roles/storage.objectViewer")
	}
	return s, nil
}

func someText(s string) (string, error) {
	if strings.TrimSpace(s) == "" {
		return "", errors.New("want text, and here is none")
	}
	return s, nil
}
