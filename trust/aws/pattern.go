// SPDX-License-Identifier: Apache-2.0

package awstrust

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// A pattern is a string of a policy that may hold wildcards and variables.
type pattern struct {
	text  string // as written
	parts []part
}

// A part is a literal, or a variable when key is set. Only the text that the policy's author wrote can hold wildcards.
type part struct {
	literal    string
	wildcards  bool
	key        string
	fallback   string
	hasDefault bool
}

// literalPattern takes text without variables, as version 2008-10-17 does throughout.
func literalPattern(text string) pattern {
	return pattern{text: text, parts: []part{{literal: text, wildcards: true}}}
}

// parsePattern finds the variables in text: ${key}, ${key, 'default'}, and ${*}, ${?}, ${$} for the characters themselves.
func parsePattern(text string) (pattern, error) {
	p := pattern{text: text}
	rest := text
	for {
		before, after, found := strings.Cut(rest, "${")
		if before != "" {
			p.parts = append(p.parts, part{literal: before, wildcards: true})
		}
		if !found {
			return p, nil
		}
		inside, tail, closed := strings.Cut(after, "}")
		if !closed {
			return p, fmt.Errorf("%s: a variable opens with ${ and is never closed; a literal dollar sign is ${$}", quote(text))
		}
		v, err := parseVariable(inside)
		if err != nil {
			return p, fmt.Errorf("%s: %w", quote(text), err)
		}
		p.parts = append(p.parts, v)
		rest = tail
	}
}

func parseVariable(inside string) (part, error) {
	if inside == "*" || inside == "?" || inside == "$" {
		return part{literal: inside}, nil
	}
	key, fallback, hasDefault := strings.Cut(inside, ",")
	if key == "" || strings.ContainsAny(key, " {'$") {
		return part{}, errors.New("not a variable: want ${KEY} or ${KEY, 'default'}")
	}
	if !hasDefault {
		return part{key: key}, nil
	}
	fallback = strings.TrimLeft(fallback, " ")
	if len(fallback) < 2 || fallback[0] != '\'' || fallback[len(fallback)-1] != '\'' {
		return part{}, errors.New("the default of a variable wants single quotes: ${KEY, 'default'}")
	}
	return part{key: key, fallback: fallback[1 : len(fallback)-1], hasDefault: true}, nil
}

func (p pattern) hasVariables() bool {
	return slices.ContainsFunc(p.parts, func(part part) bool { return part.key != "" })
}

// A glyph is one character of a pattern whose variables have their values.
type glyph struct {
	r    rune
	wild bool // '*' or '?' as a wildcard
}

type glyphs []glyph

// expand puts in the values of the variables. It returns the key of the first variable that has none.
func (p pattern) expand(ctx context) (g glyphs, missing string) {
	for _, part := range p.parts {
		text := part.literal
		if part.key != "" {
			value, ok := ctx.single(part.key)
			switch {
			case ok:
				text = value
			case part.hasDefault:
				text = part.fallback
			default:
				return nil, part.key
			}
		}
		for _, r := range text {
			g = append(g, glyph{r, part.wildcards && (r == '*' || r == '?')})
		}
	}
	return g, ""
}

// String is the text of g, wildcards as the characters they are written with.
func (g glyphs) String() string {
	var b strings.Builder
	for _, c := range g {
		b.WriteRune(c.r)
	}
	return b.String()
}

// like reports whether text matches, * standing for any run of characters and ? for any one.
func (g glyphs) like(text string) bool { return g.glob([]rune(text), false) }

func (g glyphs) likeFold(text string) bool { return g.glob([]rune(text), true) }

// glob backtracks to the last star only, which is enough and keeps the time within len(g) * len(text).
func (g glyphs) glob(text []rune, fold bool) bool {
	var i, j int
	star, mark := -1, 0
	for j < len(text) {
		switch {
		case i < len(g) && g[i].wild && g[i].r == '*':
			star, mark = i, j
			i++
		case i < len(g) && g[i].takes(text[j], fold):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(g) && g[i].wild && g[i].r == '*' {
		i++
	}
	return i == len(g)
}

func (c glyph) takes(r rune, fold bool) bool {
	if c.wild || c.r == r {
		return true
	}
	return fold && unicode.ToLower(c.r) == unicode.ToLower(r)
}

// likeARN matches each of the six parts of an ARN by itself, so that no wildcard reaches over a colon but in the last part.
func (g glyphs) likeARN(text string) bool {
	have := strings.SplitN(text, ":", 6)
	want := g.splitARN()
	if len(have) != 6 || len(want) != 6 || have[0] != "arn" {
		return false
	}
	for i := range want {
		if !want[i].like(have[i]) {
			return false
		}
	}
	return true
}

func (g glyphs) splitARN() []glyphs {
	var parts []glyphs
	for len(parts) < 5 {
		colon := slices.Index(g, glyph{r: ':'})
		if colon < 0 {
			break
		}
		parts = append(parts, g[:colon])
		g = g[colon+1:]
	}
	return append(parts, g)
}
