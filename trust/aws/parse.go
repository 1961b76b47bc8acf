// SPDX-License-Identifier: Apache-2.0

package awstrust

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The longest documents, in characters without white space (IAM User Guide, "IAM and AWS STS quotas").
const (
	maxTrust    = 4096  // the quota an account can be given; it starts with 2048
	maxIdentity = 10240 // all inline policies of a role; a managed policy has 6144, a session policy 2048
)

// ParseTrust reads a role's trust policy: who may assume the role. Every statement has Principal or NotPrincipal, no
// Resource, and actions of STS only. What IAM would refuse is an [*Error], and so are values that IAM might take but
// that can never match.
func ParseTrust(doc []byte) (*Policy, error) {
	return parse(doc, maxTrust, true)
}

// ParseIdentity reads a permission policy or a session policy: what its holder may do. Every statement has Resource or
// NotResource, and no Principal. Errors are as for [ParseTrust]. The tighter limits of managed and session policies are
// the caller's to check.
func ParseIdentity(doc []byte) (*Policy, error) {
	return parse(doc, maxIdentity, false)
}

// A parser reads the statements of one document.
type parser struct {
	*reader
	trust     bool
	variables bool // version 2012-10-17
	statement string
	sids      map[string]bool
}

func parse(doc []byte, limit int, trust bool) (*Policy, error) {
	root, r, err := readDocument(doc, limit)
	if err != nil {
		return nil, err
	}
	p := &parser{reader: r, trust: trust, sids: map[string]bool{}}
	if err := p.header(root); err != nil {
		return nil, err
	}
	nodes, err := p.statements(root)
	if err != nil {
		return nil, err
	}
	policy := &Policy{}
	for i, n := range nodes {
		st, err := p.parseStatement(i+1, n)
		if err != nil {
			return nil, err
		}
		policy.statements = append(policy.statements, st)
	}
	return policy, nil
}

// fail names the statement at hand, the element and the place.
func (p *parser) fail(n node, element, format string, args ...any) *Error {
	e := p.errorAt(n.offset, fmt.Sprintf(format, args...))
	e.Statement, e.Element = p.statement, element
	return e
}

// header checks everything outside of the statements.
func (p *parser) header(root node) error {
	if root.kind != kindObject {
		return p.fail(root, "", "want an object, found %s", root.kind)
	}
	known := []string{"Version", "Id", "Statement"}
	if err := p.knownMembers(root, "", known); err != nil {
		return err
	}
	if version, ok := root.member("Version"); ok {
		if version.text != "2012-10-17" && version.text != "2008-10-17" || version.kind != kindString {
			return p.fail(version, "Version", `want "2012-10-17" or "2008-10-17"`)
		}
		p.variables = version.text == "2012-10-17"
	}
	if id, ok := root.member("Id"); ok {
		if !p.trust {
			return p.fail(id, "Id", "only a resource's policy may have one")
		}
		if id.kind != kindString || id.text == "" {
			return p.fail(id, "Id", "want a string that is not empty")
		}
	}
	return nil
}

func (p *parser) statements(root node) ([]node, error) {
	n, ok := root.member("Statement")
	if !ok {
		return nil, p.fail(root, "Statement", "missing")
	}
	switch {
	case n.kind == kindObject:
		return []node{n}, nil
	case n.kind != kindList:
		return nil, p.fail(n, "Statement", "want an object or a list of objects, found %s", n.kind)
	case len(n.items) == 0:
		return nil, p.fail(n, "Statement", "the list is empty")
	}
	return n.items, nil
}

func (n node) member(name string) (node, bool) {
	for _, m := range n.members {
		if m.name == name {
			return m.value, true
		}
	}
	return node{}, false
}

func (p *parser) knownMembers(n node, element string, known []string) error {
	for _, m := range n.members {
		if slices.Contains(known, m.name) {
			continue
		}
		problem := fmt.Sprintf("unknown element %s", quote(m.name))
		if near := nearest(m.name, known); near != "" {
			problem += ", did you mean " + near + "?"
		}
		return p.fail(node{offset: m.offset}, element, "%s", problem)
	}
	return nil
}

func (p *parser) parseStatement(number int, n node) (statement, error) {
	st := statement{number: number}
	p.statement = st.label()
	if n.kind != kindObject {
		return st, p.fail(n, "", "want an object, found %s", n.kind)
	}
	if err := p.parseSid(n, &st); err != nil {
		return st, err
	}
	p.statement = st.label()
	err := p.knownMembers(n, "", []string{"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"})
	if err != nil {
		return st, err
	}
	steps := []func(node, *statement) error{p.parseEffect, p.parseWho, p.parseActions, p.parseResources, p.parseCondition}
	for _, step := range steps {
		if err := step(n, &st); err != nil {
			return st, err
		}
	}
	return st, nil
}

// identitySid is what IAM takes in the policies it keeps for users and roles. Trust policies are freer, and the console
// writes an empty one.
var identitySid = regexp.MustCompile(`^[0-9A-Za-z]*$`)

func (p *parser) parseSid(n node, st *statement) error {
	sid, ok := n.member("Sid")
	switch {
	case !ok:
		return nil
	case sid.kind != kindString:
		return p.fail(sid, "Sid", "want a string, found %s", sid.kind)
	case !p.trust && !identitySid.MatchString(sid.text):
		return p.fail(sid, "Sid", "%s: want letters and digits only", quote(sid.text))
	case sid.text != "" && p.sids[sid.text]:
		return p.fail(sid, "Sid", "%s is the Sid of an earlier statement; they must be unique in a policy", quote(sid.text))
	}
	p.sids[sid.text] = true
	st.sid = sid.text
	return nil
}

func (p *parser) parseEffect(n node, st *statement) error {
	effect, ok := n.member("Effect")
	switch {
	case !ok:
		return p.fail(n, "Effect", "missing")
	case effect.kind != kindString || effect.text != "Allow" && effect.text != "Deny":
		return p.fail(effect, "Effect", `want "Allow" or "Deny"`)
	}
	st.deny = effect.text == "Deny"
	return nil
}

// either finds the one of two elements that a statement must have; ok is false when the statement has neither.
func (p *parser) either(n node, plain, negated string) (value node, element string, ok bool, err error) {
	value, ok = n.member(plain)
	other, both := n.member(negated)
	switch {
	case ok && both:
		return value, "", false, p.fail(other, negated, "a statement has either %s or %s, not both", plain, negated)
	case both:
		return other, negated, true, nil
	}
	return value, plain, ok, nil
}

func (p *parser) parseWho(n node, st *statement) error {
	value, element, ok, err := p.either(n, "Principal", "NotPrincipal")
	switch {
	case err != nil:
		return err
	case ok && !p.trust:
		return p.fail(value, element, "a permission or session policy has none: its principal is whoever it is attached to")
	case !ok && p.trust:
		return p.fail(n, "Principal", "missing: a trust policy says who may assume the role")
	case !ok:
		return nil
	}
	if st.principals, err = p.parsePrincipals(value, element); err != nil {
		return err
	}
	st.principals.deny = st.deny
	return nil
}

func (p *parser) parseActions(n node, st *statement) error {
	value, element, ok, err := p.either(n, "Action", "NotAction")
	if err != nil {
		return err
	}
	if !ok {
		return p.fail(n, "Action", "missing")
	}
	st.actions = selection{element: element, not: element == "NotAction"}
	return p.eachString(value, element, func(n node) error {
		if err := p.checkAction(n.text, element); err != nil {
			return p.fail(n, element, "%s: %v", quote(n.text), err)
		}
		st.actions.want = append(st.actions.want, literalPattern(n.text))
		return nil
	})
}

var actionText = regexp.MustCompile(`^(?:\*|[A-Za-z0-9-]+):[A-Za-z0-9*?_-]+$`)

func (p *parser) checkAction(action, element string) error {
	service, _, _ := strings.Cut(action, ":")
	switch {
	case action != "*" && !actionText.MatchString(action):
		return errors.New("want SERVICE:ACTION, such as sts:AssumeRoleWithWebIdentity")
	case p.trust && element == "Action" && !strings.EqualFold(service, "sts"):
		return errors.New("a trust policy may name actions of sts only")
	}
	return nil
}

func (p *parser) parseResources(n node, st *statement) error {
	value, element, ok, err := p.either(n, "Resource", "NotResource")
	switch {
	case err != nil:
		return err
	case ok && p.trust:
		return p.fail(value, element, "a trust policy has none: its resource is the role it is attached to")
	case !ok && p.trust:
		return nil
	case !ok:
		return p.fail(n, "Resource", "missing")
	}
	st.resources = &selection{element: element, not: element == "NotResource"}
	return p.eachString(value, element, func(n node) error {
		want, err := p.pattern(n.text)
		if err != nil {
			return p.fail(n, element, "%v", err)
		}
		if !want.looksLikeARN() {
			return p.fail(n, element, `%s: want an ARN or "*"`, quote(n.text))
		}
		st.resources.want = append(st.resources.want, want)
		return nil
	})
}

// looksLikeARN reports whether p is "*" or has an ARN's prefix and its five colons.
func (p pattern) looksLikeARN() bool {
	colons := 0
	for _, part := range p.parts {
		colons += strings.Count(part.literal, ":")
	}
	return p.text == "*" || strings.HasPrefix(p.text, "arn:") && colons >= 5
}

// pattern reads a string that may hold variables, in the versions that know them.
func (p *parser) pattern(text string) (pattern, error) {
	if !p.variables {
		return literalPattern(text), nil
	}
	return parsePattern(text)
}

// eachString calls each for a string or for every string of a list. Neither the list nor a string may be empty.
func (p *parser) eachString(n node, element string, each func(node) error) error {
	items := []node{n}
	if n.kind == kindList {
		items = n.items
	}
	if len(items) == 0 {
		return p.fail(n, element, "the list is empty")
	}
	for _, item := range items {
		if item.kind != kindString {
			return p.fail(item, element, "want a string, found %s", item.kind)
		}
		if item.text == "" {
			return p.fail(item, element, "the string is empty")
		}
		if err := each(item); err != nil {
			return err
		}
	}
	return nil
}

// label is how messages name the statement.
func (st statement) label() string {
	if st.sid == "" {
		return fmt.Sprintf("statement %d", st.number)
	}
	return fmt.Sprintf("statement %d (%s)", st.number, shorten(st.sid))
}
