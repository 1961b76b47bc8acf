// SPDX-License-Identifier: Apache-2.0

package gcptrust

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAdmits(t *testing.T) {
	t.Parallel()
	assertion := caller(etlCaller)
	a := Attributes{
		Subject: etlCaller,
		Groups:  []string{"admins"},
		Custom:  map[string]string{"aws_role": "arn:aws:sts::111122223333:assumed-role/etl-role"},
	}
	for name, test := range map[string]struct {
		condition string
		want      bool
		err       string // what the error contains; then nobody is admitted
	}{
		"none":                    {condition: "", want: true},
		"the typical one":         {condition: "assertion.account == '111122223333' && attribute.aws_role == 'arn:aws:sts::111122223333:assumed-role/etl-role'", want: true},
		"wrong account":           {condition: "assertion.account == '444455556666'"},
		"letter case":             {condition: "attribute.aws_role == 'arn:aws:sts::111122223333:assumed-role/ETL-role'"},
		"the IAM role's ARN":      {condition: "attribute.aws_role == 'arn:aws:iam::111122223333:role/etl-role'"},
		"the session's ARN":       {condition: "attribute.aws_role == assertion.arn"},
		"startsWith":              {condition: "google.subject.startsWith('arn:aws:sts::111122223333:assumed-role/etl-')", want: true},
		"endsWith":                {condition: "attribute.aws_role.endsWith('/etl-role')", want: true},
		"in a list":               {condition: "assertion.account in ['111122223333', '444455556666']", want: true},
		"in groups":               {condition: "'admins' in google.groups", want: true},
		"not in groups":           {condition: "'staff' in google.groups"},
		"extract":                 {condition: "assertion.arn.extract('assumed-role/{role}/') == 'etl-role'", want: true},
		"absent but asked":        {condition: "has(assertion.email) && assertion.email == 'x'"},
		"missing claim":           {condition: "assertion.email == 'x'", err: "no such key: email"},
		"missing, yet decided":    {condition: "assertion.email == 'x' || assertion.account == '111122223333'", want: true},
		"missing attribute":       {condition: "attribute.team == 'x'", err: "no such key: team"},
		"not a bool after all":    {condition: "assertion.account", err: "gave string, want bool"},
		"compares unlike things":  {condition: "assertion.account == 111122223333"},
		"dividing by zero":        {condition: "1 / 0 == 1", err: "division by zero"},
		"faulty regexp":           {condition: "assertion.arn.matches('(')", err: "missing closing"},
		"true for everyone":       {condition: "true", want: true},
		"false and missing claim": {condition: "false && assertion.email == 'x'"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := mustCompile(t, DefaultAWS(), test.condition).Admits(assertion, a)
			if got != test.want {
				t.Errorf("admitted: %v, want %v", got, test.want)
			}
			if (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("error %v, want one with %q", err, test.err)
			}
		})
	}
}

func TestAdmitsWithoutAttributes(t *testing.T) {
	t.Parallel()
	for _, condition := range []string{"'admins' in google.groups", "attribute.aws_role == 'x'", "assertion.arn == 'x'"} {
		got, err := mustCompile(t, DefaultAWS(), condition).Admits(nil, Attributes{})
		if got || err == nil || !strings.Contains(err.Error(), "no such key") {
			t.Errorf("%s: got %v, %v; want a missing key", condition, got, err)
		}
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	a := Attributes{Subject: etlCaller, Custom: map[string]string{"aws_role": "arn:etl"}}
	for name, test := range map[string]struct {
		condition string
		want      []string
	}{
		"no condition": {"", nil},
		"true":         {"assertion.account == '111122223333'", nil},
		"one of two": {
			"assertion.account == '111122223333' && attribute.aws_role == 'arn:ETL'",
			[]string{`attribute.aws_role == "arn:ETL" is false: attribute.aws_role is "arn:etl"`},
		},
		"two of three": {
			"assertion['account'] == '4' && true && attribute.aws_role.endsWith('x')",
			[]string{
				`assertion["account"] == "4" is false: assertion["account"] is "111122223333"`,
				`attribute.aws_role.endsWith("x") is false: attribute.aws_role is "arn:etl"`,
			},
		},
		"several variables, each once": {
			"assertion.account == attribute.aws_role || assertion.account == google.subject",
			[]string{`assertion.account == attribute.aws_role || assertion.account == google.subject is false: ` +
				`assertion.account is "111122223333", attribute.aws_role is "arn:etl", google.subject is "` + etlCaller + `"`},
		},
		"missing claim": {
			"assertion.email == 'x'",
			[]string{`assertion.email == "x" is undecided (no such key: email): assertion.email is undecided (no such key: email)`},
		},
		"presence":    {"has(assertion.email)", []string{`has(assertion.email) is false`}},
		"not a bool":  {"assertion.account", []string{`assertion.account is "111122223333": assertion.account is "111122223333"`}},
		"no variable": {"1 == 2", []string{"1 == 2 is false"}},
		"loop, kept":  {"['a'].exists(x, x == assertion.account)", []string{`["a"].exists(x, x == assertion.account) is false: assertion.account is "111122223333"`}},
		"unmapped group": {
			"'a' in google.groups",
			[]string{`"a" in google.groups is undecided (no such key: groups): google.groups is undecided (no such key: groups)`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := mustCompile(t, DefaultAWS(), test.condition).Explain(caller(etlCaller), a)
			if diff := cmp.Diff(strings.Join(test.want, "\n"), got); diff != "" {
				t.Errorf("explanation (-want +got):\n%s", diff)
			}
		})
	}
}
