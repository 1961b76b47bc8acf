// SPDX-License-Identifier: Apache-2.0

package awstrust

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An operator is one of the condition operators, without ForAnyValue, ForAllValues and IfExists.
type operator struct {
	phrase    string // what the policy wants, before the values: "less than"
	negated   bool
	variables bool                                // whether values may hold variables
	valid     func(text string) error             // what a value must look like; nil for any
	match     func(want glyphs, have string) bool // of the plain operator, also for the negated one
}

// nullOperator asks for a key's presence and has rules of its own.
const nullOperator = "Null"

// operators are those of the IAM User Guide, "IAM JSON policy elements: Condition operators".
var operators = func() operatorTable {
	t := operatorTable{
		nullOperator:   {valid: validBool},
		"Bool":         {variables: true, valid: validBool, match: matchFold},
		"BinaryEquals": {valid: validBinary, match: matchBinary},
		"IpAddress":    {phrase: "an address in ", valid: validIP, match: matchIP},
		"NotIpAddress": {phrase: "an address outside ", negated: true, valid: validIP, match: matchIP},
	}
	t.pair("StringEquals", "StringNotEquals", operator{variables: true, match: matchEqual})
	t.pair("StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", operator{variables: true, match: matchFold})
	t.pair("StringLike", "StringNotLike", operator{variables: true, match: glyphs.like})
	t.pair("ArnEquals", "ArnNotEquals", operator{variables: true, match: glyphs.likeARN})
	t.pair("ArnLike", "ArnNotLike", operator{variables: true, match: glyphs.likeARN})
	t.ordered("Numeric", validNumber, compareNumbers)
	t.ordered("Date", validDate, compareDates)
	return t
}()

type operatorTable map[string]*operator

// pair adds an operator and its negation.
func (t operatorTable) pair(plain, negated string, op operator) {
	opposite := op
	opposite.negated, opposite.phrase = true, "anything but "
	t[plain], t[negated] = &op, &opposite
}

// ordered adds the six operators of values that have an order. compare says false when a value cannot be read.
func (t operatorTable) ordered(kind string, valid func(string) error, compare func(have, want string) (order int, ok bool)) {
	comparison := func(phrase string, accept func(order int) bool) operator {
		match := func(want glyphs, have string) bool {
			order, ok := compare(have, want.String())
			return ok && accept(order)
		}
		return operator{phrase: phrase, valid: valid, match: match}
	}
	less := comparison("less than ", func(order int) bool { return order < 0 })
	atMost := comparison("at most ", func(order int) bool { return order <= 0 })
	more := comparison("more than ", func(order int) bool { return order > 0 })
	atLeast := comparison("at least ", func(order int) bool { return order >= 0 })
	t[kind+"LessThan"], t[kind+"LessThanEquals"] = &less, &atMost
	t[kind+"GreaterThan"], t[kind+"GreaterThanEquals"] = &more, &atLeast
	t.pair(kind+"Equals", kind+"NotEquals", comparison("", func(order int) bool { return order == 0 }))
}

// The set qualifiers.
const (
	anyValue  = "ForAnyValue"
	allValues = "ForAllValues"
)

// parseOperator takes a name such as ForAnyValue:StringLikeIfExists apart.
func parseOperator(name string) (clause, error) {
	c := clause{operator: name}
	base := name
	if set, rest, found := strings.Cut(name, ":"); found {
		if set != anyValue && set != allValues {
			return c, fmt.Errorf("unknown set operator %s, want ForAnyValue or ForAllValues", quote(set))
		}
		c.set, base = set, rest
	}
	if trimmed, found := strings.CutSuffix(base, "IfExists"); found {
		c.ifExists, base = true, trimmed
	}
	c.op = operators[base]
	c.null = base == nullOperator
	switch {
	case c.op == nil:
		problem := fmt.Sprintf("unknown condition operator %s", quote(name))
		if near := nearest(base, slices.Sorted(maps.Keys(operators))); near != "" {
			problem += ", did you mean " + near + "?"
		}
		return c, errors.New(problem)
	case c.null && (c.ifExists || c.set != ""):
		return c, fmt.Errorf("%s: Null takes neither IfExists nor a set operator", quote(name))
	}
	return c, nil
}

func matchEqual(want glyphs, have string) bool { return want.String() == have }

func matchFold(want glyphs, have string) bool { return strings.EqualFold(want.String(), have) }

func validBool(text string) error {
	if !strings.EqualFold(text, "true") && !strings.EqualFold(text, "false") {
		return errors.New(`want "true" or "false"`)
	}
	return nil
}

func validBinary(text string) error {
	if _, err := base64.StdEncoding.DecodeString(text); err != nil {
		return errors.New("want base64")
	}
	return nil
}

func matchBinary(want glyphs, have string) bool {
	w, errWant := base64.StdEncoding.DecodeString(want.String())
	h, errHave := base64.StdEncoding.DecodeString(have)
	return errWant == nil && errHave == nil && string(w) == string(h)
}

func validIP(text string) error {
	if _, ok := parseRange(text); !ok {
		return errors.New("want an address or a range such as 203.0.113.0/24")
	}
	return nil
}

// parseRange takes a lone address for the range that holds just it.
func parseRange(text string) (netip.Prefix, bool) {
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return prefix, true
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(addr, addr.BitLen()), true
}

func matchIP(want glyphs, have string) bool {
	prefix, ok := parseRange(want.String())
	addr, err := netip.ParseAddr(have)
	return ok && err == nil && prefix.Contains(addr.Unmap())
}

// decimal keeps out what big.Rat would take as well: fractions, other bases, exponents without end.
var decimal = regexp.MustCompile(`^[+-]?[0-9]+(?:\.[0-9]+)?$`)

func validNumber(text string) error {
	if !decimal.MatchString(text) || len(text) > 64 {
		return errors.New("want an integer or a decimal number")
	}
	return nil
}

// compareNumbers is exact: identifiers of 21 digits do not fit a float.
func compareNumbers(have, want string) (int, bool) {
	if validNumber(have) != nil || validNumber(want) != nil {
		return 0, false
	}
	h, okHave := new(big.Rat).SetString(have)
	w, okWant := new(big.Rat).SetString(want)
	if !okHave || !okWant {
		return 0, false
	}
	return h.Cmp(w), true
}

// dateLayouts are the W3C's forms of ISO 8601; fractions of a second are read with the first.
var dateLayouts = []string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04Z07:00", "2006-01-02", "2006-01", "2006"}

var epoch = regexp.MustCompile(`^[0-9]{5,12}$`)

func validDate(text string) error {
	if _, ok := parseDate(text); !ok {
		return errors.New("want a date such as 2026-11-22T04:00:00Z, or seconds since 1970")
	}
	return nil
}

// parseDate takes four digits for a year and more of them for seconds since 1970.
func parseDate(text string) (time.Time, bool) {
	if epoch.MatchString(text) {
		if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
			return time.Unix(seconds, 0), true
		}
	}
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

func compareDates(have, want string) (int, bool) {
	h, okHave := parseDate(have)
	w, okWant := parseDate(want)
	return h.Compare(w), okHave && okWant
}
