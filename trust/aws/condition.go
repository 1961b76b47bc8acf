// SPDX-License-Identifier: Apache-2.0

package awstrust

import (
	"errors"
	"regexp"
	"slices"
	"strings"
)

// A clause is one key under one operator. All clauses of a statement must hold.
type clause struct {
	operator string // as written
	set      string // anyValue, allValues or empty
	ifExists bool
	null     bool
	op       *operator
	key      string
	want     []pattern
}

// conditionKey is a service or provider, a colon and a name; a tag key may follow and hold nearly anything.
var conditionKey = regexp.MustCompile(`^[^:*?\s]+:[^\s].*$`)

func (p *parser) parseCondition(n node, st *statement) error {
	condition, ok := n.member("Condition")
	if !ok {
		return nil
	}
	if condition.kind != kindObject {
		return p.fail(condition, "Condition", "want an object, found %s", condition.kind)
	}
	// The console writes an empty Condition, and it means none.
	for _, m := range condition.members {
		c, err := parseOperator(m.name)
		if err != nil {
			return p.fail(node{offset: m.offset}, "Condition", "%v", err)
		}
		if m.value.kind != kindObject {
			return p.fail(m.value, "Condition "+m.name, "want an object of condition keys, found %s", m.value.kind)
		}
		if len(m.value.members) == 0 {
			return p.fail(m.value, "Condition "+m.name, "no condition key")
		}
		if err := p.parseKeys(m, c, st); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) parseKeys(operator member, c clause, st *statement) error {
	element := "Condition " + operator.name
	seen := map[string]bool{}
	for _, m := range operator.value.members {
		here := node{offset: m.offset}
		if !conditionKey.MatchString(m.name) {
			return p.fail(here, element, "%s: want a condition key with its prefix, such as sts:RoleSessionName", quote(m.name))
		}
		if seen[strings.ToLower(m.name)] {
			return p.fail(here, element, "%s appears twice; letter case does not tell keys apart", quote(m.name))
		}
		seen[strings.ToLower(m.name)] = true
		c.key = m.name
		want, err := p.parseValues(m.value, element+" "+shorten(m.name), c.op)
		if err != nil {
			return err
		}
		c.want = want
		st.clauses = append(st.clauses, c)
	}
	return nil
}

func (p *parser) parseValues(n node, element string, op *operator) ([]pattern, error) {
	items := []node{n}
	if n.kind == kindList {
		items = n.items
	}
	if len(items) == 0 {
		return nil, p.fail(n, element, "the list is empty")
	}
	var want []pattern
	for _, item := range items {
		if item.kind != kindString && item.kind != kindNumber && item.kind != kindBoolean {
			return nil, p.fail(item, element, "want a string, a number or a boolean, found %s", item.kind)
		}
		value, err := p.conditionValue(item.text, op)
		if err != nil {
			return nil, p.fail(item, element, "%v", err)
		}
		want = append(want, value)
	}
	return want, nil
}

func (p *parser) conditionValue(text string, op *operator) (pattern, error) {
	value := literalPattern(text)
	if op.variables {
		var err error
		if value, err = p.pattern(text); err != nil {
			return value, err
		}
	}
	if op.valid == nil || value.hasVariables() {
		return value, nil
	}
	if err := op.valid(text); err != nil {
		return value, errors.New(quote(text) + ": " + err.Error())
	}
	return value, nil
}

// A finding is how one clause came out.
type finding struct {
	clause  clause
	ok      bool
	have    []string
	absent  bool
	missing string // the variable that had no value
}

// check evaluates the clause.
func (c clause) check(ctx context) finding {
	f := finding{clause: c, have: ctx.values(c.key)}
	f.absent = len(f.have) == 0
	if (c.set != "" || c.null) && !slices.ContainsFunc(f.have, func(v string) bool { return v != "" }) {
		f.absent = true
	}
	switch {
	case c.null:
		f.ok = slices.ContainsFunc(c.want, func(w pattern) bool { return strings.EqualFold(w.text, "true") == f.absent })
	case f.absent:
		f.ok = c.ifExists || c.set == allValues || c.set == "" && c.op.negated
	default:
		want, missing := c.expand(ctx)
		f.missing = missing
		f.ok = (missing == "" || !c.op.negated) && c.holds(want, f.have)
	}
	return f
}

// expand gives the values wanted, without those whose variable has no value, and the first such variable.
func (c clause) expand(ctx context) (want []glyphs, missing string) {
	for _, w := range c.want {
		g, unset := w.expand(ctx)
		if unset != "" {
			missing = unset
			continue
		}
		want = append(want, g)
	}
	return want, missing
}

func (c clause) holds(want []glyphs, have []string) bool {
	matches := func(value string) bool {
		return slices.ContainsFunc(want, func(w glyphs) bool { return c.op.match(w, value) })
	}
	differs := func(value string) bool { return !matches(value) }
	accepts := matches
	if c.op.negated {
		accepts = differs
	}
	// Without a set operator a negated operator is the plain one turned round: no value may match.
	if c.set == allValues || c.set == "" && c.op.negated {
		return !slices.ContainsFunc(have, func(value string) bool { return !accepts(value) })
	}
	return slices.ContainsFunc(have, accepts)
}
