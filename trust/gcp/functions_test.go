// SPDX-License-Identifier: Apache-2.0

package gcptrust

import (
	"strings"
	"testing"
)

func TestExtract(t *testing.T) {
	t.Parallel()
	const object = "projects/_/buckets/acme/objects/orders/order_date=2019-11-03/aef87"
	for name, test := range map[string]struct{ s, template, want string }{
		"between":               {object, "/order_date={date}/", "2019-11-03"},
		"from the start":        {object, "{start}/objects", "projects/_/buckets/acme"},
		"to the end":            {object, "orders/{end}", "order_date=2019-11-03/aef87"},
		"everything":            {object, "{all}", object},
		"nothing between":       {object, "/orders/{empty}order_date", ""},
		"suffix before prefix":  {object, "/orders/{none}/buckets", ""},
		"prefix absent":         {object, "/invoices/{none}/", ""},
		"suffix absent":         {object, "/order_date={none}?", ""},
		"first prefix":          {"a=1;a=2;", "a={v};", "1"},
		"next suffix":           {"a/b/c/d", "a/{v}/", "b"},
		"overlapping prefix":    {"aaab", "aa{v}b", "a"},
		"suffix within prefix":  {"role/x", "role/{v}/", ""},
		"empty string":          {"", "{all}", ""},
		"empty string, prefix":  {"", "a{v}", ""},
		"letters beyond ASCII":  {"é=ü;", "é={v};", "ü"},
		"prefix is all of it":   {"role/", "role/{v}", ""},
		"case matters":          {"Role/x", "role/{v}", ""},
		"special in a regexp":   {"a.*b", "a.{v}b", "*"},
		"name is of no account": {"a/b", "a/{a_long name-with 9}", "b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before, after, err := parseTemplate(test.template)
			if err != nil {
				t.Fatal(err)
			}
			if got := extract(test.s, before, after); got != test.want {
				t.Errorf("%q.extract(%q) = %q, want %q", test.s, test.template, got, test.want)
			}
		})
	}
}

func TestParseTemplateRefuses(t *testing.T) {
	t.Parallel()
	for _, template := range []string{"", "role/", "{}", "a{}b", "{", "}", "}{", "{a", "a}", "{a}{b}", "{a}/{b}", "{{a}}", "{a}}", "{{a}"} {
		if before, after, err := parseTemplate(template); err == nil || before != "" || after != "" {
			t.Errorf("%q: got %q, %q, %v; want an error", template, before, after, err)
		}
	}
}

func FuzzExtract(f *testing.F) {
	f.Add(etlCaller, "assumed-role/{role_name}/")
	f.Add(etlCaller, "{account_arn}assumed-role/")
	f.Add("aaab", "aa{v}b")
	f.Add("", "}{")
	f.Fuzz(func(t *testing.T, s, template string) {
		before, after, err := parseTemplate(template)
		if err != nil {
			if !strings.Contains(err.Error(), "extract template") {
				t.Fatalf("the error does not say what is wrong: %v", err)
			}
			return
		}
		if open := strings.Index(template, "{"); template[:open] != before || !strings.HasSuffix(template, "}"+after) {
			t.Fatalf("%q was taken apart into %q and %q", template, before, after)
		}
		got := extract(s, before, after)
		// What comes out stands in s between the two, and the suffix is not in it.
		if got != "" && !strings.Contains(s, before+got+after) {
			t.Fatalf("%q.extract(%q) = %q, which is not there", s, template, got)
		}
		if after != "" && strings.Contains(got, after) {
			t.Fatalf("%q.extract(%q) = %q, which goes past the suffix", s, template, got)
		}
	})
}
