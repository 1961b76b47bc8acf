// SPDX-License-Identifier: Apache-2.0

// Package shapetest holds a check that is written by hand to the regular expression that it stands for.
package shapetest

import (
	"bytes"
	"math/rand/v2"
	"regexp"
	"regexp/syntax"
	"testing"
)

// Agree fails the test where check and the pattern judge a text differently. The texts are the examples, what the
// pattern itself describes with every count at its limits, and both of these with a few bytes changed. They are the same
// ones each time. A pattern must begin with ^ and end with $, or hold (?m) and see to its lines itself.
func Agree(t *testing.T, pattern string, check func(string) bool, examples ...string) {
	t.Helper()
	p := regexp.MustCompile(pattern)
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		t.Fatal(err)
	}
	g := generator{rand.New(rand.NewPCG(1, 2))} //nolint:gosec // the same texts each time are the point
	taken, texts := 0, append([]string{""}, examples...)
	const rounds = 3000
	for range rounds {
		var text bytes.Buffer
		g.write(&text, tree)
		texts = append(texts, text.String())
	}
	for _, text := range texts {
		for range 4 {
			want := p.MatchString(text)
			if want {
				taken++
			}
			if got := check(text); got != want {
				t.Errorf("%q: the check says %t, the pattern %t: %s", text, got, want, pattern)
				return
			}
			text = g.change(text)
		}
	}
	if taken < rounds/4 || taken > 4*len(texts)*9/10 {
		t.Errorf("the pattern takes %d of %d texts, which tries one answer too seldom: %s", taken, 4*len(texts), pattern)
	}
}

type generator struct{ *rand.Rand }

// write adds a text that the tree describes, or nearly: a count is now and then one too many.
func (g generator) write(out *bytes.Buffer, tree *syntax.Regexp) {
	switch tree.Op { //nolint:exhaustive // what stands for no character writes none
	case syntax.OpLiteral:
		for _, c := range tree.Rune {
			out.WriteRune(c)
		}
	case syntax.OpCharClass:
		i := 2 * g.IntN(len(tree.Rune)/2)
		low, high := tree.Rune[i], min(tree.Rune[i+1], 0x10ffff)
		out.WriteRune(low + g.Int32N(high-low+1))
	case syntax.OpAnyCharNotNL:
		out.WriteRune('.')
	case syntax.OpAlternate:
		g.write(out, tree.Sub[g.IntN(len(tree.Sub))])
	case syntax.OpConcat, syntax.OpCapture:
		for _, sub := range tree.Sub {
			g.write(out, sub)
		}
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		for range g.count(tree) {
			g.write(out, tree.Sub[0])
		}
	}
}

func (g generator) count(tree *syntax.Regexp) int {
	least, most := tree.Min, tree.Max
	switch tree.Op { //nolint:exhaustive // the other one says it itself
	case syntax.OpStar:
		least, most = 0, 3
	case syntax.OpPlus:
		least, most = 1, 3
	case syntax.OpQuest:
		least, most = 0, 1
	}
	switch g.IntN(20) {
	case 0:
		return most + 1
	case 1:
		return max(least-1, 0)
	case 2, 3, 4, 5:
		return most
	case 6, 7, 8, 9:
		return least
	}
	return least + g.IntN(min(most-least, 4)+1)
}

// change replaces, removes, adds or doubles a byte or a few.
func (g generator) change(s string) string {
	const odd = "a\x00zAZ09 -_.:/@=+,\n\r\t[]%~\x7f\x80\xff*?{|`^"
	i := g.IntN(len(s) + 1)
	j := min(i+1+g.IntN(3), len(s))
	b := string(odd[g.IntN(len(odd))])
	switch g.IntN(6) {
	case 0:
		return s[:i] + b + s[j:]
	case 1:
		return s[:i] + s[j:]
	case 2:
		return s[:i] + b + s[i:]
	case 3:
		return s[:j] + s[i:]
	case 4:
		return s + b
	}
	return b + s
}
