// SPDX-License-Identifier: Apache-2.0

package gcptrust

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func mustCompile(t *testing.T, mapping map[string]string, condition string) *Rules {
	t.Helper()
	r, err := Compile(mapping, condition)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// caller is an AWS assertion.
func caller(arn string) map[string]any {
	return map[string]any{"account": "111122223333", "arn": arn, "userid": "AROAEXAMPLE:session"}
}

const etlCaller = "arn:aws:sts::111122223333:assumed-role/etl-role/i-0abc123def4567890"

func TestDefaultAWSMapping(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ arn, role string }{
		"EC2 instance role":   {etlCaller, "arn:aws:sts::111122223333:assumed-role/etl-role"},
		"Lambda":              {"arn:aws:sts::111122223333:assumed-role/fn-role/my-function", "arn:aws:sts::111122223333:assumed-role/fn-role"},
		"ECS task":            {"arn:aws:sts::111122223333:assumed-role/task-role/3f2a9c0d1e", "arn:aws:sts::111122223333:assumed-role/task-role"},
		"IAM user":            {"arn:aws:iam::111122223333:user/alice", "arn:aws:iam::111122223333:user/alice"},
		"China":               {"arn:aws-cn:sts::111122223333:assumed-role/r/s", "arn:aws-cn:sts::111122223333:assumed-role/r"},
		"session with a hint": {"arn:aws:sts::111122223333:assumed-role/r/assumed-role@x", "arn:aws:sts::111122223333:assumed-role/r"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := mustCompile(t, DefaultAWS(), "").Map(caller(test.arn))
			if err != nil {
				t.Fatal(err)
			}
			want := Attributes{Subject: test.arn, Custom: map[string]string{"aws_role": test.role}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMap(t *testing.T) {
	t.Parallel()
	claims := map[string]any{
		"sub":    "organization:acme:pipeline:web",
		"email":  "Robin@Example.com",
		"groups": []any{"admins", "staff"},
		"id":     json.Number("8087716956832600000"),
		"google": map[string]any{"compute_engine": map[string]any{"zone": "europe-west1-b"}},
	}
	for name, test := range map[string]struct {
		key, expression string
		want            Attributes
	}{
		"claim":              {"attribute.v", "assertion.email", Attributes{Custom: map[string]string{"v": "Robin@Example.com"}}},
		"claim by index":     {"attribute.v", "assertion['email']", Attributes{Custom: map[string]string{"v": "Robin@Example.com"}}},
		"claim in claims":    {"attribute.v", "assertion.google.compute_engine.zone", Attributes{Custom: map[string]string{"v": "europe-west1-b"}}},
		"split":              {"attribute.v", "assertion.sub.split(':')[1]", Attributes{Custom: map[string]string{"v": "acme"}}},
		"lowerAscii":         {"attribute.v", "assertion.email.lowerAscii()", Attributes{Custom: map[string]string{"v": "robin@example.com"}}},
		"number to string":   {"attribute.v", "string(assertion.id)", Attributes{Custom: map[string]string{"v": "8087716956832600000"}}},
		"has, absent":        {"attribute.v", "has(assertion.team) ? assertion.team : 'none'", Attributes{Custom: map[string]string{"v": "none"}}},
		"matches":            {"attribute.v", "assertion.email.matches('^R.*com$') ? 'y' : 'n'", Attributes{Custom: map[string]string{"v": "y"}}},
		"exists":             {"attribute.v", "assertion.groups.exists(g, g == 'staff') ? 'y' : 'n'", Attributes{Custom: map[string]string{"v": "y"}}},
		"groups":             {"google.groups", "assertion.groups", Attributes{Groups: []string{"admins", "staff"}, Custom: map[string]string{}}},
		"groups, by literal": {"google.groups", "['a', assertion.email]", Attributes{Groups: []string{"a", "Robin@Example.com"}, Custom: map[string]string{}}},
		"groups, none":       {"google.groups", "[]", Attributes{Groups: []string{}, Custom: map[string]string{}}},
		"groups, by filter":  {"google.groups", "assertion.groups.filter(g, g.startsWith('a'))", Attributes{Groups: []string{"admins"}, Custom: map[string]string{}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := mustCompile(t, map[string]string{"google.subject": "'robin'", test.key: test.expression}, "").Map(claims)
			if err != nil {
				t.Fatal(err)
			}
			test.want.Subject = "robin"
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMapRefuses(t *testing.T) {
	t.Parallel()
	claims := map[string]any{"sub": "robin", "n": json.Number("7"), "list": []any{"a"}, "mixed": []any{"a", json.Number("1")}, "template": "{"}
	for name, test := range map[string]struct{ key, expression, want string }{
		"missing claim":              {"attribute.v", "assertion.team", "no such key: team"},
		"number for a string":        {"attribute.v", "assertion.n", "gave int, want string"},
		"list for a string":          {"attribute.v", "assertion.list", "gave list(dyn), want string"},
		"string for a list":          {"google.groups", "assertion.sub", "gave string, want a list"},
		"list with a number":         {"google.groups", "assertion.mixed", "item 2: the expression gave int"},
		"number for the subject":     {"google.subject", "assertion.n", "gave int, want string"},
		"empty subject":              {"google.subject", "assertion.sub.extract('role/{r}')", "empty string"},
		"index out of range":         {"attribute.v", "assertion.sub.split(':')[1]", "index out of bounds"},
		"template from a claim":      {"attribute.v", "assertion.sub.extract(assertion.template)", "one {name}"},
		"regular expression faulty":  {"attribute.v", "assertion.sub.matches('(') ? 'a' : 'b'", "missing closing"},
		"method on the wrong thing":  {"attribute.v", "assertion.n.extract('{a}')", "no such overload"},
		"a claim that is no object":  {"attribute.v", "assertion.sub.deeper", "no such"},
		"error in one branch of two": {"attribute.v", "true ? assertion.team : 'x'", "no such key: team"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mapping := map[string]string{"google.subject": "assertion.sub"}
			mapping[test.key] = test.expression
			got, err := mustCompile(t, mapping, "").Map(claims)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), test.key) {
				t.Fatalf("got error %v, want one naming %s and %q", err, test.key, test.want)
			}
			if diff := cmp.Diff(Attributes{}, got); diff != "" {
				t.Errorf("attributes beside an error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMapNilAssertion(t *testing.T) {
	t.Parallel()
	if _, err := mustCompile(t, DefaultAWS(), "").Map(nil); err == nil || !strings.Contains(err.Error(), "no such key: arn") {
		t.Errorf("got %v, want a missing arn", err)
	}
}

func TestMappedSizeLimits(t *testing.T) {
	t.Parallel()
	const tooLong = "The size of mapped attribute google.subject exceeds the 127 bytes limit. Either modify your attribute mapping or the incoming assertion to produce a mapped attribute that is less than 127 bytes."
	mapping := map[string]string{"google.subject": "assertion.sub", "attribute.v": "assertion.v", "google.groups": "assertion.groups"}
	for name, test := range map[string]struct {
		sub, v, group string
		want          *LimitError
		text          string
	}{
		"subject fits":      {sub: strings.Repeat("x", 127)},
		"subject over":      {sub: strings.Repeat("x", 128), want: &LimitError{"google.subject", 128, 127}, text: tooLong},
		"bytes, not runes":  {sub: strings.Repeat("é", 64), want: &LimitError{"google.subject", 128, 127}, text: tooLong},
		"all fit":           {sub: "r", v: strings.Repeat("x", 8190), group: "g"},
		"all over":          {sub: "r", v: strings.Repeat("x", 8190), group: "gg", want: &LimitError{"", 8193, 8192}},
		"one over, custom":  {sub: "r", v: strings.Repeat("x", 8192), want: &LimitError{"", 8193, 8192}},
		"one over, a group": {sub: "r", group: strings.Repeat("x", 8192), want: &LimitError{"", 8193, 8192}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := mustCompile(t, mapping, "").Map(map[string]any{"sub": test.sub, "v": test.v, "groups": []any{test.group}})
			if test.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			got, ok := errors.AsType[*LimitError](err)
			if !ok {
				t.Fatalf("got %v, want a *LimitError", err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("limit (-want +got):\n%s", diff)
			}
			if test.text != "" && err.Error() != test.text {
				t.Errorf("text %q, want %q", err, test.text)
			}
		})
	}
}

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	many := map[string]string{"google.subject": "assertion.sub"}
	for n := range MaxCustom + 1 {
		many[fmt.Sprint("attribute.a", n)] = "assertion.sub"
	}
	with := func(key, expression string) map[string]string {
		return map[string]string{"google.subject": "assertion.sub", key: expression}
	}
	quoted := func(n int) string { return "'" + strings.Repeat("x", n-2) + "'" }
	for name, test := range map[string]struct {
		mapping   map[string]string
		condition string
		want      string
	}{
		"no mapping":              {mapping: nil, want: "google.subject is required"},
		"no subject":              {mapping: map[string]string{"attribute.a": "assertion.sub"}, want: "google.subject is required"},
		"unknown google key":      {mapping: with("google.display_name", "'x'"), want: `key "google.display_name"`},
		"bare key":                {mapping: with("aws_role", "'x'"), want: `key "aws_role"`},
		"capital in key":          {mapping: with("attribute.Role", "'x'"), want: `key "attribute.Role"`},
		"hyphen in key":           {mapping: with("attribute.aws-role", "'x'"), want: "want google.subject"},
		"key without a name":      {mapping: with("attribute.", "'x'"), want: "want google.subject"},
		"key with a line break":   {mapping: with("attribute.a\n", "'x'"), want: "want google.subject"},
		"key too long":            {mapping: with("attribute."+strings.Repeat("a", 101), "'x'"), want: "want google.subject"},
		"too many custom":         {mapping: many, want: "51 custom attributes, at most 50"},
		"expression too long":     {mapping: with("attribute.a", quoted(2049)), want: "2049 characters, at most 2048"},
		"expression empty":        {mapping: with("attribute.a", ""), want: "attribute.a"},
		"expression is garbage":   {mapping: with("attribute.a", "]}~"), want: "attribute.a"},
		"expression not UTF-8":    {mapping: with("attribute.a", "'\xff'"), want: "not valid UTF-8"},
		"unclosed":                {mapping: with("attribute.a", "assertion.arn.extract("), want: "attribute.a"},
		"unknown variable":        {mapping: with("attribute.a", "claims.sub"), want: "undeclared reference to 'claims'"},
		"mapping sees no google":  {mapping: with("attribute.a", "google.subject"), want: "undeclared reference to 'google'"},
		"mapping sees no custom":  {mapping: with("attribute.a", "attribute.b"), want: "undeclared reference to 'attribute'"},
		"unknown function":        {mapping: with("attribute.a", "assertion.sub.reverse()"), want: "undeclared reference to 'reverse'"},
		"replace is not Google's": {mapping: with("attribute.a", "assertion.sub.replace('a', 'b')"), want: "undeclared reference to 'replace'"},
		"bool for a string":       {mapping: with("attribute.a", "assertion.sub == 'x'"), want: "gives bool, want string"},
		"string for groups":       {mapping: with("google.groups", "'x'"), want: "gives string, want list(string)"},
		"template, no name":       {mapping: with("attribute.a", "assertion.sub.extract('role/')"), want: "one {name}"},
		"template, two names":     {mapping: with("attribute.a", "assertion.sub.extract('{a}/{b}')"), want: "one {name}"},
		"condition too long":      {mapping: with("attribute.a", "'x'"), condition: "true || " + quoted(4096) + " == ''", want: "at most 4096"},
		"condition is a string":   {mapping: with("attribute.a", "'x'"), condition: "assertion.sub + 'x'", want: "want bool"},
		"condition is a number":   {mapping: with("attribute.a", "'x'"), condition: "1", want: "gives int, want bool"},
		"condition is garbage":    {mapping: with("attribute.a", "'x'"), condition: "attribute.a = 'x'", want: "attribute condition"},
		"condition of blanks":     {mapping: with("attribute.a", "'x'"), condition: "  ", want: "attribute condition"},
		"attribute is a string":   {mapping: with("attribute.a", "'x'"), condition: "attribute.a == 1", want: "no matching overload"},
		"condition nested deeply": {mapping: with("attribute.a", "'x'"), condition: strings.Repeat("(", 2000) + "true" + strings.Repeat(")", 2000), want: "attribute condition"},
		"condition, bad template": {mapping: with("attribute.a", "'x'"), condition: "assertion.sub.extract('}{') == ''", want: "one {name}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := Compile(test.mapping, test.condition)
			if err == nil || !strings.Contains(err.Error(), test.want) || r != nil {
				t.Errorf("got %v, %v; want an error with %q", r, err, test.want)
			}
		})
	}
}

func TestCompileAtTheLimits(t *testing.T) {
	t.Parallel()
	mapping := map[string]string{
		"google.subject": "'" + strings.Repeat("é", 2046) + "'", // characters, not bytes
		"google.groups":  "[]",
	}
	for n := range MaxCustom - 1 {
		mapping[fmt.Sprint("attribute.a", n)] = "assertion.sub"
	}
	mapping["attribute."+strings.Repeat("a", 100)] = "'x'"
	condition := "true || '" + strings.Repeat("x", 4096-14) + "'==''"
	if len(condition) != MaxCondition {
		t.Fatalf("the condition under test has %d characters", len(condition))
	}
	mustCompile(t, mapping, condition)
}

// A stranger's expression must end, and soon, whatever it does.
func TestHostileExpressionsAreStopped(t *testing.T) {
	t.Parallel()
	nested := "true"
	for n := range 7 {
		nested = fmt.Sprintf("[1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0].all(v%d, %s)", n, nested)
	}
	doubled := "['xxxxxxxxxxxxxxxx']"
	for n := range 40 {
		doubled += fmt.Sprintf(".map(v%d, v%[1]d + v%[1]d)", n)
	}
	for name, condition := range map[string]string{
		"loops in loops":        nested,
		"a string that doubles": doubled + "[0] == 'x'",
		"splitting in a loop":   "assertion.groups.all(g, assertion.long.split('').size() > 0 && assertion.groups.all(h, assertion.long.split('').size() > 0))",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := mustCompile(t, map[string]string{"google.subject": "'x'"}, condition)
			assertion := map[string]any{"long": strings.Repeat("x", 20_000), "groups": slicesOf("g", 500)}
			admitted, err := r.Admits(assertion, Attributes{})
			if admitted || err == nil || !strings.Contains(err.Error(), "limit exceeded") {
				t.Errorf("got %v, %v; want the limit to be exceeded", admitted, err)
			}
			if why := r.Explain(assertion, Attributes{}); !strings.Contains(why, "could not be decided") {
				t.Errorf("explained as %q", why)
			}
		})
	}
}

func TestLargeRegularExpressionsAreRefused(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("(x{0,1000})", 20)
	if _, err := Compile(DefaultAWS(), "assertion.arn.matches('"+large+"')"); err == nil || !strings.Contains(err.Error(), "exceeds limit") {
		t.Errorf("written out: got %v, want it to exceed the limit", err)
	}
	r := mustCompile(t, DefaultAWS(), "assertion.arn.matches(assertion.pattern)")
	if _, err := r.Admits(map[string]any{"arn": "x", "pattern": large}, Attributes{}); err == nil || !strings.Contains(err.Error(), "exceeds limit") {
		t.Errorf("from a claim: got %v, want it to exceed the limit", err)
	}
}

// Failing costs nothing in CEL and exists carries on, so time is what ends this.
func TestEvaluationEndsWithItsDeadline(t *testing.T) {
	t.Parallel()
	r := mustCompile(t, DefaultAWS(), "assertion.groups.exists(g, 'x'.matches(assertion.pattern))")
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	vars := variables(map[string]any{"groups": slicesOf("g", 500), "pattern": "x{1000}y{1000}"}, Attributes{})
	_, _, err := evaluate(ctx, r.condition.program, vars)
	if err == nil || !strings.Contains(err.Error(), "time limit exceeded") {
		t.Errorf("got %v, want the time limit to be exceeded", err)
	}
}

func slicesOf(item string, n int) []any {
	items := make([]any, n)
	for i := range items {
		items[i] = item
	}
	return items
}

func TestMembers(t *testing.T) {
	t.Parallel()
	a := Attributes{
		Subject: etlCaller,
		Groups:  []string{"admins", "", "a/b"},
		Custom:  map[string]string{"aws_role": "arn:aws:sts::111122223333:assumed-role/etl-role", "empty": "", "a": "é"},
	}
	const pool = "projects/123456789012/locations/global/workloadIdentityPools/aws-pool"
	want := []string{
		"principal://iam.googleapis.com/" + pool + "/subject/" + etlCaller,
		"principalSet://iam.googleapis.com/" + pool + "/group/admins",
		"principalSet://iam.googleapis.com/" + pool + "/group/a/b",
		"principalSet://iam.googleapis.com/" + pool + "/attribute.a/é",
		"principalSet://iam.googleapis.com/" + pool + "/attribute.aws_role/arn:aws:sts::111122223333:assumed-role/etl-role",
		"principalSet://iam.googleapis.com/" + pool + "/*",
	}
	if diff := cmp.Diff(want, a.Members(pool)); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
}

func FuzzCompile(f *testing.F) {
	for _, expression := range DefaultAWS() {
		f.Add(expression, "assertion.account == '111122223333'")
	}
	f.Add("assertion.arn.split(':')[4].lowerAscii()", "attribute.v.startsWith('a') && google.subject in ['a', 'b']")
	f.Add("has(assertion.x) ? 'a' : 'b'", "assertion.groups.exists(g, g.matches('^a+$'))")
	f.Add("assertion.arn.extract('{a}{b}')", "]}~")
	f.Add("'\\xff'", "[1,2,3].map(x, [x,x]).all(y, y.size() == 2)")
	f.Fuzz(func(t *testing.T, expression, condition string) {
		r, err := Compile(map[string]string{"google.subject": expression, "attribute.v": expression}, condition)
		if err != nil {
			if r != nil {
				t.Fatal("rules beside an error")
			}
			return
		}
		assertion := caller(etlCaller)
		a, err := r.Map(assertion)
		if err != nil {
			return
		}
		if a.Subject == "" || len(a.Subject) > MaxSubject || a.Custom["v"] != a.Subject {
			t.Fatalf("one expression gave subject %q and attribute %q", a.Subject, a.Custom["v"])
		}
		admitted, err := r.Admits(assertion, a)
		if admitted && err != nil {
			t.Fatalf("admitted in spite of %v", err)
		}
		if why := r.Explain(assertion, a); admitted != (why == "") {
			t.Fatalf("admitted %v (%v), explained as %q", admitted, err, why)
		}
	})
}
