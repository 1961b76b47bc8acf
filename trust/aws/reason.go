// SPDX-License-Identifier: Apache-2.0

package awstrust

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Bounds of a line that a person reads.
const (
	maxQuoted = 120 // characters of one value
	maxListed = 6   // values in one list
)

// reason is the statement's line in [Decision.Reasons].
func (st *statement) reason(applies bool, why string) string {
	verb := "allows"
	if st.deny {
		verb = "denies"
	}
	switch {
	case applies && why == "":
		return fmt.Sprintf("%s %s this", st.label(), verb)
	case applies:
		return fmt.Sprintf("%s %s this: %s", st.label(), verb, why)
	case st.deny:
		return fmt.Sprintf("%s denies something else: %s", st.label(), why)
	}
	return fmt.Sprintf("%s: %s", st.label(), why)
}

// mismatch says what the statement names in place of what was asked for.
func (s selection) mismatch(what, have, missing string) string {
	if missing != "" {
		return fmt.Sprintf("%s is %s, policy wants %s (%s), and ${%s} has no single value in this request",
			what, quote(have), s.wanted(), s.element, missing)
	}
	return fmt.Sprintf("%s is %s, policy wants %s (%s)", what, quote(have), s.wanted(), s.element)
}

func (s selection) wanted() string {
	texts := patternTexts(s.want)
	if s.not {
		return "anything but " + list(texts, "or")
	}
	return list(texts, "or")
}

// unnamed says whom the policy names in place of the caller.
func (p *principals) unnamed(have Principal) string {
	var names []string
	for _, n := range p.named {
		name := n.kind + " " + shorten(n.text)
		if n.kind == AWS && uniqueID.MatchString(n.text) {
			name += " (the id of something deleted)"
		}
		names = append(names, name)
	}
	return fmt.Sprintf("caller is %s, policy names %s (%s)", have, clip(names, "or"), p.element)
}

// denied says why NotPrincipal does not spare a caller whom it seems to list.
func (p *principals) denied(have Principal) string {
	lacking := p.unlisted(have.ID)
	if !p.covered(have) {
		return fmt.Sprintf("NotPrincipal does not list the caller, %s", have)
	}
	return fmt.Sprintf("NotPrincipal lists the caller, %s, but not its %s, and spares nobody unless it lists both", have, strings.Join(lacking, " and "))
}

// story tells how the clause came out: the key, what it is, what the policy wants.
func (f finding) story(ctx context) string {
	c := f.clause
	if c.null {
		return f.nullStory()
	}
	if f.absent {
		return f.absentStory(ctx)
	}
	line := fmt.Sprintf("%s is %s, policy wants %s (%s)", c.key, list(f.have, "and"), c.wanted(ctx), c.operator)
	if f.ok {
		return line
	}
	if f.missing != "" {
		return line + fmt.Sprintf(", and ${%s} has no single value in this request", f.missing)
	}
	if hint := f.hint(ctx); hint != "" {
		return line + "; " + hint
	}
	return line
}

func (f finding) nullStory() string {
	presence := "in the request"
	if f.absent {
		presence = "not in the request"
	}
	wanted := "present"
	if strings.EqualFold(f.clause.want[0].text, "true") {
		wanted = "absent"
	}
	if f.ok {
		return fmt.Sprintf("%s is %s, as the policy wants (Null)", f.clause.key, presence)
	}
	return fmt.Sprintf("%s is %s, policy wants it %s (Null)", f.clause.key, presence, wanted)
}

func (f finding) absentStory(ctx context) string {
	c := f.clause
	if f.ok {
		return fmt.Sprintf("%s is not in the request, which %s lets pass", c.key, c.operator)
	}
	line := fmt.Sprintf("%s is not in the request, policy wants %s (%s)", c.key, c.wanted(ctx), c.operator)
	var names []string
	for _, e := range ctx.siblings(c.key) {
		names = append(names, e.name)
	}
	if len(names) > 0 {
		line += "; the request has " + clip(names, "and")
	}
	return line
}

// wanted is what the policy asks of the key, variables in their values where they have one.
func (c clause) wanted(ctx context) string {
	var texts []string
	for _, w := range c.want {
		text := w.text
		if g, missing := w.expand(ctx); missing == "" && w.hasVariables() {
			text = g.String()
		}
		texts = append(texts, text)
	}
	phrase := ""
	switch c.set {
	case anyValue:
		phrase = "at least one value to be "
	case allValues:
		phrase = "every value to be "
	}
	return phrase + c.op.phrase + list(texts, "or")
}

// hint is the usual mistake behind a value that is not the one wanted; empty when it is none of those known.
func (f finding) hint(ctx context) string {
	c := f.clause
	if c.op.negated || !strings.HasPrefix(strings.TrimPrefix(c.operator, c.set+":"), "String") {
		return ""
	}
	want, _ := c.expand(ctx)
	for _, g := range want {
		for _, have := range f.have {
			if hint := compareTexts(g, have); hint != "" {
				return hint
			}
		}
	}
	for _, e := range ctx.siblings(c.key) {
		for _, g := range want {
			if slices.Contains(e.values, g.String()) {
				return fmt.Sprintf("%s is that value", e.name)
			}
		}
	}
	return ""
}

func compareTexts(want glyphs, have string) string {
	switch text := want.String(); {
	case strings.EqualFold(text, have):
		return "they differ in letter case"
	case strings.TrimSpace(text) == strings.TrimSpace(have):
		return "they differ in white space"
	case strings.TrimSuffix(text, "/") == strings.TrimSuffix(have, "/"):
		return "they differ in a trailing slash"
	case want.like(have):
		return "only StringLike reads * and ? as wildcards"
	}
	return ""
}

func patternTexts(patterns []pattern) []string {
	var texts []string
	for _, p := range patterns {
		texts = append(texts, p.text)
	}
	return texts
}

// list quotes and joins values.
func list(values []string, word string) string {
	quoted := make([]string, 0, len(values))
	for _, v := range values {
		quoted = append(quoted, quote(v))
	}
	return clip(quoted, word)
}

// clip joins words as a sentence does, and counts those beyond the first few.
func clip(words []string, word string) string {
	if len(words) > maxListed {
		return fmt.Sprintf("%s %s %d more", strings.Join(words[:maxListed], ", "), word, len(words)-maxListed)
	}
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return fmt.Sprintf("%s %s %s", strings.Join(words[:last], ", "), word, words[last])
}

func join(stories []string) string { return strings.Join(stories, "; ") }

func quote(text string) string { return strconv.Quote(shorten(text)) }

// shorten keeps the beginning of a long text.
func shorten(text string) string {
	if runes := []rune(text); len(runes) > maxQuoted {
		return string(runes[:maxQuoted]) + "…"
	}
	return text
}
