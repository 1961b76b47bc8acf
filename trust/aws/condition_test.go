// SPDX-License-Identifier: Apache-2.0

package awstrust

import (
	"fmt"
	"testing"
)

// holds evaluates a Condition on its own, in version 2012-10-17.
func holds(t *testing.T, condition string, ctx map[string][]string) bool {
	t.Helper()
	doc := fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Condition":%s}}`, condition)
	d := mustTrust(t, doc).Evaluate(Request{Principal: Principal{Kind: Anonymous}, Action: "sts:AssumeRole", Context: ctx})
	if len(d.Reasons) != 1 || d.Reasons[0] == "" {
		t.Errorf("want one reason for the one statement, got %q", d.Reasons)
	}
	return d.Allowed
}

func mustTrust(t *testing.T, doc string) *Policy {
	t.Helper()
	p, err := ParseTrust([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustIdentity(t *testing.T, doc string) *Policy {
	t.Helper()
	p, err := ParseIdentity([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

type conditionCase struct {
	name      string
	condition string
	values    []string // of the key k:x; nil when it is absent
	want      bool
}

func runConditions(t *testing.T, cases []conditionCase) {
	t.Helper()
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx := map[string][]string{}
			if tt.values != nil {
				ctx["k:x"] = tt.values
			}
			if got := holds(t, tt.condition, ctx); got != tt.want {
				t.Errorf("%s with %q: got %v, want %v", tt.condition, tt.values, got, tt.want)
			}
		})
	}
}

func TestStringOperators(t *testing.T) {
	t.Parallel()
	runConditions(t, []conditionCase{
		{"equals", `{"StringEquals":{"k:x":"a"}}`, []string{"a"}, true},
		{"equals heeds case", `{"StringEquals":{"k:x":"a"}}`, []string{"A"}, false},
		{"equals takes a star literally", `{"StringEquals":{"k:x":"a*"}}`, []string{"ab"}, false},
		{"equals a star", `{"StringEquals":{"k:x":"a*"}}`, []string{"a*"}, true},
		{"equals any of the list", `{"StringEquals":{"k:x":["a","b"]}}`, []string{"b"}, true},
		{"equals none of the list", `{"StringEquals":{"k:x":["a","b"]}}`, []string{"c"}, false},
		{"equals with the key absent", `{"StringEquals":{"k:x":"a"}}`, nil, false},
		{"equals the empty string", `{"StringEquals":{"k:x":""}}`, []string{""}, true},
		{"equals empty does not mean absent", `{"StringEquals":{"k:x":""}}`, nil, false},
		{"equals a number as written", `{"StringEquals":{"k:x":111122223333}}`, []string{"111122223333"}, true},
		{"equals a boolean as written", `{"StringEquals":{"k:x":true}}`, []string{"true"}, true},
		{"key in other case", `{"StringEquals":{"K:X":"a"}}`, []string{"a"}, true},

		{"not equals", `{"StringNotEquals":{"k:x":"a"}}`, []string{"b"}, true},
		{"not equals, equal", `{"StringNotEquals":{"k:x":"a"}}`, []string{"a"}, false},
		{"not equals is nor", `{"StringNotEquals":{"k:x":["a","b"]}}`, []string{"b"}, false},
		{"not equals, outside the list", `{"StringNotEquals":{"k:x":["a","b"]}}`, []string{"c"}, true},
		{"not equals with the key absent", `{"StringNotEquals":{"k:x":"a"}}`, nil, true},

		{"ignore case", `{"StringEqualsIgnoreCase":{"k:x":"Team"}}`, []string{"tEAM"}, true},
		{"ignore case, different", `{"StringEqualsIgnoreCase":{"k:x":"Team"}}`, []string{"teams"}, false},
		{"ignore case with the key absent", `{"StringEqualsIgnoreCase":{"k:x":"Team"}}`, nil, false},
		{"not ignore case", `{"StringNotEqualsIgnoreCase":{"k:x":"Team"}}`, []string{"tEAM"}, false},
		{"not ignore case with the key absent", `{"StringNotEqualsIgnoreCase":{"k:x":"Team"}}`, nil, true},

		{"like", `{"StringLike":{"k:x":"repo:org/*:ref:refs/heads/main"}}`, []string{"repo:org/app:ref:refs/heads/main"}, true},
		{"like matches the whole value", `{"StringLike":{"k:x":"a*c"}}`, []string{"abcd"}, false},
		{"like star takes nothing too", `{"StringLike":{"k:x":"a*"}}`, []string{"a"}, true},
		{"like question mark takes one", `{"StringLike":{"k:x":"a?c"}}`, []string{"abc"}, true},
		{"like question mark takes no less", `{"StringLike":{"k:x":"a?c"}}`, []string{"ac"}, false},
		{"like question mark takes a whole character", `{"StringLike":{"k:x":"a?c"}}`, []string{"aéc"}, true},
		{"like heeds case", `{"StringLike":{"k:x":"a*"}}`, []string{"Ab"}, false},
		{"like backtracks", `{"StringLike":{"k:x":"*a*b"}}`, []string{"xaayaab"}, true},
		{"like with the key absent", `{"StringLike":{"k:x":"*"}}`, nil, false},
		{"like star and the empty string", `{"StringLike":{"k:x":"*"}}`, []string{""}, true},
		{"not like", `{"StringNotLike":{"k:x":"a*"}}`, []string{"b"}, true},
		{"not like, alike", `{"StringNotLike":{"k:x":["b*","a*"]}}`, []string{"ab"}, false},
		{"not like with the key absent", `{"StringNotLike":{"k:x":"a*"}}`, nil, true},

		{"several values without a set operator: any matches", `{"StringEquals":{"k:x":"b"}}`, []string{"a", "b"}, true},
		{"several values without a set operator, negated: none may match", `{"StringNotEquals":{"k:x":"b"}}`, []string{"a", "b"}, false},
	})
}

func TestARNOperators(t *testing.T) {
	t.Parallel()
	const topic = "arn:aws:sns:eu-west-1:111122223333:orders"
	for _, name := range []string{"ArnEquals", "ArnLike"} {
		negated := map[string]string{"ArnEquals": "ArnNotEquals", "ArnLike": "ArnNotLike"}[name]
		for _, tt := range []struct {
			name, pattern, have string
			want                bool
		}{
			{"same", topic, topic, true},
			{"star in each part", "arn:*:s?s:*:*:ord*", topic, true},
			{"star in the last part passes colons", "arn:aws:sns:*:*:*", topic + ":sub:1", true},
			{"star stays within its part", "arn:aws:sns:*:orders", topic, false},
			{"star does not reach over a colon", "arn:aws:someservice:*:111122223333:finance/*",
				"arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt", false},
			{"other account", "arn:aws:sns:*:999999999999:*", topic, false},
			{"case counts", topic, "arn:aws:sns:eu-west-1:111122223333:Orders", false},
			{"value is no ARN", "arn:aws:sns:*:*:*", "orders", false},
			{"pattern is no ARN", "*", topic, false},
		} {
			t.Run(name+" "+tt.name, func(t *testing.T) {
				t.Parallel()
				ctx := map[string][]string{"k:x": {tt.have}}
				if got := holds(t, fmt.Sprintf(`{%q:{"k:x":%q}}`, name, tt.pattern), ctx); got != tt.want {
					t.Errorf("%s %q with %q: got %v, want %v", name, tt.pattern, tt.have, got, tt.want)
				}
				if got := holds(t, fmt.Sprintf(`{%q:{"k:x":%q}}`, negated, tt.pattern), ctx); got == tt.want {
					t.Errorf("%s %q with %q: got %v, want %v", negated, tt.pattern, tt.have, got, !tt.want)
				}
			})
		}
	}
	runConditions(t, []conditionCase{
		{"equals with the key absent", `{"ArnEquals":{"k:x":"arn:aws:sns:*:*:*"}}`, nil, false},
		{"like with the key absent", `{"ArnLike":{"k:x":"arn:aws:sns:*:*:*"}}`, nil, false},
		{"not equals with the key absent", `{"ArnNotEquals":{"k:x":"arn:aws:sns:*:*:*"}}`, nil, true},
		{"not like with the key absent", `{"ArnNotLike":{"k:x":"arn:aws:sns:*:*:*"}}`, nil, true},
	})
}

func TestNullAndBool(t *testing.T) {
	t.Parallel()
	runConditions(t, []conditionCase{
		{"null true, absent", `{"Null":{"k:x":"true"}}`, nil, true},
		{"null true, present", `{"Null":{"k:x":"true"}}`, []string{"a"}, false},
		{"null false, absent", `{"Null":{"k:x":"false"}}`, nil, false},
		{"null false, present", `{"Null":{"k:x":false}}`, []string{"a"}, true},
		{"null true, no values", `{"Null":{"k:x":"true"}}`, []string{}, true},
		{"null false, an empty string is null", `{"Null":{"k:x":"false"}}`, []string{""}, false},
		{"null either way", `{"Null":{"k:x":["true","false"]}}`, nil, true},
		{"bool", `{"Bool":{"k:x":"true"}}`, []string{"true"}, true},
		{"bool unquoted", `{"Bool":{"k:x":true}}`, []string{"true"}, true},
		{"bool in other case", `{"Bool":{"k:x":"True"}}`, []string{"true"}, true},
		{"bool, different", `{"Bool":{"k:x":"true"}}`, []string{"false"}, false},
		{"bool absent is not false", `{"Bool":{"k:x":"false"}}`, nil, false},
		{"bool if exists", `{"BoolIfExists":{"k:x":"true"}}`, nil, true},
	})
}

func TestNumericOperators(t *testing.T) {
	t.Parallel()
	runConditions(t, []conditionCase{
		{"equals", `{"NumericEquals":{"k:x":"10"}}`, []string{"10"}, true},
		{"equals as a number, not as text", `{"NumericEquals":{"k:x":"10"}}`, []string{"10.0"}, true},
		{"equals unquoted", `{"NumericEquals":{"k:x":10}}`, []string{"10"}, true},
		{"equals, 21 digits told apart", `{"NumericEquals":{"k:x":"104857600000000000001"}}`, []string{"104857600000000000002"}, false},
		{"equals, not a number", `{"NumericEquals":{"k:x":"10"}}`, []string{"ten"}, false},
		{"equals, no hexadecimal", `{"NumericEquals":{"k:x":"10"}}`, []string{"0xa"}, false},
		{"equals with the key absent", `{"NumericEquals":{"k:x":"10"}}`, nil, false},
		{"not equals", `{"NumericNotEquals":{"k:x":"10"}}`, []string{"11"}, true},
		{"not equals, equal", `{"NumericNotEquals":{"k:x":["9","10"]}}`, []string{"10"}, false},
		{"not equals with the key absent", `{"NumericNotEquals":{"k:x":"10"}}`, nil, true},
		{"less than", `{"NumericLessThan":{"k:x":"10"}}`, []string{"9.99"}, true},
		{"less than, equal", `{"NumericLessThan":{"k:x":"10"}}`, []string{"10"}, false},
		{"less than compares numbers, not texts", `{"NumericLessThan":{"k:x":"10"}}`, []string{"9"}, true},
		{"less than with the key absent", `{"NumericLessThan":{"k:x":"10"}}`, nil, false},
		{"less or equal, equal", `{"NumericLessThanEquals":{"k:x":"10"}}`, []string{"10"}, true},
		{"less or equal, more", `{"NumericLessThanEquals":{"k:x":"10"}}`, []string{"11"}, false},
		{"greater than, negative", `{"NumericGreaterThan":{"k:x":"-2"}}`, []string{"-1"}, true},
		{"greater than, equal", `{"NumericGreaterThan":{"k:x":"10"}}`, []string{"10"}, false},
		{"greater or equal, equal", `{"NumericGreaterThanEquals":{"k:x":"10"}}`, []string{"10"}, true},
		{"greater or equal, less", `{"NumericGreaterThanEquals":{"k:x":"10"}}`, []string{"9"}, false},
	})
}

func TestDateOperators(t *testing.T) {
	t.Parallel()
	runConditions(t, []conditionCase{
		{"equals in another zone", `{"DateEquals":{"k:x":"2026-11-22T04:00:00Z"}}`, []string{"2026-11-22T05:00:00+01:00"}, true},
		{"equals the epoch", `{"DateEquals":{"k:x":"2026-11-22T04:00:00Z"}}`, []string{"1795320000"}, true},
		{"equals, policy in epoch", `{"DateEquals":{"k:x":1795320000}}`, []string{"2026-11-22T04:00:00Z"}, true},
		{"equals, date alone is midnight", `{"DateEquals":{"k:x":"2026-11-22"}}`, []string{"2026-11-22T00:00:00Z"}, true},
		{"equals, year and month", `{"DateEquals":{"k:x":"2026-11"}}`, []string{"2026-11-01"}, true},
		{"equals, four digits are a year", `{"DateEquals":{"k:x":"2026"}}`, []string{"2026-01-01T00:00Z"}, true},
		{"equals, not a date", `{"DateEquals":{"k:x":"2026-11-22"}}`, []string{"yesterday"}, false},
		{"equals with the key absent", `{"DateEquals":{"k:x":"2026-11-22"}}`, nil, false},
		{"not equals", `{"DateNotEquals":{"k:x":"2026-11-22"}}`, []string{"2026-11-23"}, true},
		{"not equals, equal", `{"DateNotEquals":{"k:x":"2026-11-22"}}`, []string{"2026-11-22"}, false},
		{"not equals with the key absent", `{"DateNotEquals":{"k:x":"2026-11-22"}}`, nil, true},
		{"less than", `{"DateLessThan":{"k:x":"2026-11-22T04:00:00Z"}}`, []string{"2026-11-22T03:59:59.999Z"}, true},
		{"less than, equal", `{"DateLessThan":{"k:x":"2026-11-22T04:00:00Z"}}`, []string{"2026-11-22T04:00:00Z"}, false},
		{"less or equal, equal", `{"DateLessThanEquals":{"k:x":"2026-11-22T04:00:00Z"}}`, []string{"2026-11-22T04:00:00Z"}, true},
		{"less or equal, later", `{"DateLessThanEquals":{"k:x":"2026-11-22T04:00:00Z"}}`, []string{"2026-11-22T04:00:01Z"}, false},
		{"greater than", `{"DateGreaterThan":{"k:x":"2026-11-22T04:00:00Z"}}`, []string{"2026-11-22T04:00:01Z"}, true},
		{"greater than, equal", `{"DateGreaterThan":{"k:x":"2026-11-22T04:00:00Z"}}`, []string{"2026-11-22T04:00:00Z"}, false},
		{"greater than with the key absent", `{"DateGreaterThan":{"k:x":"2026-11-22T04:00:00Z"}}`, nil, false},
		{"greater or equal, equal", `{"DateGreaterThanEquals":{"k:x":"2026-11-22T04:00:00Z"}}`, []string{"2026-11-22T04:00:00Z"}, true},
		{"greater or equal, earlier", `{"DateGreaterThanEquals":{"k:x":"2026-11-22T04:00:00Z"}}`, []string{"2026-11-22T03:59:59Z"}, false},
	})
}

func TestBinaryAndIPOperators(t *testing.T) {
	t.Parallel()
	runConditions(t, []conditionCase{
		{"binary", `{"BinaryEquals":{"k:x":"QmluYXJ5"}}`, []string{"QmluYXJ5"}, true},
		{"binary, different", `{"BinaryEquals":{"k:x":"QmluYXJ5"}}`, []string{"QmluYXJ6"}, false},
		{"binary, not base64", `{"BinaryEquals":{"k:x":"QmluYXJ5"}}`, []string{"?"}, false},
		{"binary with the key absent", `{"BinaryEquals":{"k:x":"QmluYXJ5"}}`, nil, false},
		{"ip in range", `{"IpAddress":{"k:x":"203.0.113.0/24"}}`, []string{"203.0.113.9"}, true},
		{"ip outside", `{"IpAddress":{"k:x":"203.0.113.0/24"}}`, []string{"203.0.114.9"}, false},
		{"ip in any of the ranges", `{"IpAddress":{"k:x":["203.0.113.0/24","2001:DB8:1234:5678::/64"]}}`, []string{"2001:db8:1234:5678::1"}, true},
		{"ip range with host bits", `{"IpAddress":{"k:x":"203.0.113.77/24"}}`, []string{"203.0.113.9"}, true},
		{"ip alone is itself", `{"IpAddress":{"k:x":"203.0.113.9"}}`, []string{"203.0.113.9"}, true},
		{"ip alone is no more", `{"IpAddress":{"k:x":"203.0.113.9"}}`, []string{"203.0.113.10"}, false},
		{"ip mapped into IPv6", `{"IpAddress":{"k:x":"203.0.113.0/24"}}`, []string{"::ffff:203.0.113.9"}, true},
		{"ip, not an address", `{"IpAddress":{"k:x":"203.0.113.0/24"}}`, []string{"AWS Internal"}, false},
		{"ip with the key absent", `{"IpAddress":{"k:x":"0.0.0.0/0"}}`, nil, false},
		{"not ip, outside", `{"NotIpAddress":{"k:x":["203.0.113.0/24","198.51.100.0/24"]}}`, []string{"192.0.2.1"}, true},
		{"not ip, inside the second", `{"NotIpAddress":{"k:x":["203.0.113.0/24","198.51.100.0/24"]}}`, []string{"198.51.100.1"}, false},
		{"not ip with the key absent", `{"NotIpAddress":{"k:x":"203.0.113.0/24"}}`, nil, true},
	})
}

func TestSetOperators(t *testing.T) {
	t.Parallel()
	runConditions(t, []conditionCase{
		{"any, one matches", `{"ForAnyValue:StringEquals":{"k:x":["a","b"]}}`, []string{"z", "b"}, true},
		{"any, none matches", `{"ForAnyValue:StringEquals":{"k:x":["a","b"]}}`, []string{"y", "z"}, false},
		{"any, absent", `{"ForAnyValue:StringEquals":{"k:x":"a"}}`, nil, false},
		{"any, empty string is an empty set", `{"ForAnyValue:StringLike":{"k:x":"*"}}`, []string{""}, false},
		{"any, negated: one differs", `{"ForAnyValue:StringNotEquals":{"k:x":"a"}}`, []string{"a", "b"}, true},
		{"any, negated: none differs", `{"ForAnyValue:StringNotEquals":{"k:x":["a","b"]}}`, []string{"a", "b"}, false},
		{"any, negated, absent", `{"ForAnyValue:StringNotEquals":{"k:x":"a"}}`, nil, false},
		{"all, every one matches", `{"ForAllValues:StringLike":{"k:x":["a*","b"]}}`, []string{"ab", "b", "a"}, true},
		{"all, one does not", `{"ForAllValues:StringEquals":{"k:x":["a","b"]}}`, []string{"a", "c"}, false},
		{"all, absent", `{"ForAllValues:StringEquals":{"k:x":"a"}}`, nil, true},
		{"all, empty string is an empty set", `{"ForAllValues:StringEquals":{"k:x":"a"}}`, []string{""}, true},
		{"all, one empty string among values counts", `{"ForAllValues:StringEquals":{"k:x":"a"}}`, []string{"a", ""}, false},
		{"all, negated: every one differs", `{"ForAllValues:StringNotEquals":{"k:x":["a","b"]}}`, []string{"c", "d"}, true},
		{"all, negated: one does not", `{"ForAllValues:StringNotEquals":{"k:x":["a","b"]}}`, []string{"c", "b"}, false},
		{"all, negated, absent", `{"ForAllValues:StringNotEquals":{"k:x":"a"}}`, nil, true},
		{"any of numbers", `{"ForAnyValue:NumericLessThan":{"k:x":"5"}}`, []string{"9", "4"}, true},
		{"all of numbers", `{"ForAllValues:NumericLessThan":{"k:x":"5"}}`, []string{"9", "4"}, false},
		{"any of ARNs", `{"ForAnyValue:ArnLike":{"k:x":"arn:aws:s3:::*"}}`, []string{"x", "arn:aws:s3:::b"}, true},
		{"any of addresses outside", `{"ForAnyValue:NotIpAddress":{"k:x":"10.0.0.0/8"}}`, []string{"10.1.1.1", "192.0.2.1"}, true},
		{"any if exists, absent", `{"ForAnyValue:StringEqualsIfExists":{"k:x":"a"}}`, nil, true},
		{"any if exists, present", `{"ForAnyValue:StringEqualsIfExists":{"k:x":"a"}}`, []string{"b"}, false},
		{"all if exists, absent", `{"ForAllValues:StringEqualsIfExists":{"k:x":"a"}}`, nil, true},
	})
}

// TestIfExists holds every operator to the rule: absent is true, present is judged as without it.
func TestIfExists(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ operator, value, passes, fails string }{
		{"StringEquals", "a", "a", "b"},
		{"StringNotEquals", "a", "b", "a"},
		{"StringEqualsIgnoreCase", "a", "A", "b"},
		{"StringNotEqualsIgnoreCase", "a", "b", "A"},
		{"StringLike", "a*", "ab", "b"},
		{"StringNotLike", "a*", "b", "ab"},
		{"ArnEquals", "arn:aws:s3:::b*", "arn:aws:s3:::bc", "arn:aws:s3:::c"},
		{"ArnNotEquals", "arn:aws:s3:::b*", "arn:aws:s3:::c", "arn:aws:s3:::bc"},
		{"ArnLike", "arn:aws:s3:::b*", "arn:aws:s3:::bc", "arn:aws:s3:::c"},
		{"ArnNotLike", "arn:aws:s3:::b*", "arn:aws:s3:::c", "arn:aws:s3:::bc"},
		{"Bool", "true", "true", "false"},
		{"NumericEquals", "5", "5", "6"},
		{"NumericNotEquals", "5", "6", "5"},
		{"NumericLessThan", "5", "4", "5"},
		{"NumericLessThanEquals", "5", "5", "6"},
		{"NumericGreaterThan", "5", "6", "5"},
		{"NumericGreaterThanEquals", "5", "5", "4"},
		{"DateEquals", "2026-01-02", "2026-01-02", "2026-01-03"},
		{"DateNotEquals", "2026-01-02", "2026-01-03", "2026-01-02"},
		{"DateLessThan", "2026-01-02", "2026-01-01", "2026-01-02"},
		{"DateLessThanEquals", "2026-01-02", "2026-01-02", "2026-01-03"},
		{"DateGreaterThan", "2026-01-02", "2026-01-03", "2026-01-02"},
		{"DateGreaterThanEquals", "2026-01-02", "2026-01-02", "2026-01-01"},
		{"BinaryEquals", "YQ==", "YQ==", "Yg=="},
		{"IpAddress", "10.0.0.0/8", "10.1.1.1", "192.0.2.1"},
		{"NotIpAddress", "10.0.0.0/8", "192.0.2.1", "10.1.1.1"},
	} {
		t.Run(tt.operator, func(t *testing.T) {
			t.Parallel()
			condition := fmt.Sprintf(`{"%sIfExists":{"k:x":%q}}`, tt.operator, tt.value)
			if !holds(t, condition, nil) {
				t.Errorf("%s: absent must pass", condition)
			}
			for value, want := range map[string]bool{tt.passes: true, tt.fails: false} {
				if got := holds(t, condition, map[string][]string{"k:x": {value}}); got != want {
					t.Errorf("%s with %q: got %v, want %v", condition, value, got, want)
				}
			}
		})
	}
}

// TestEveryOperatorIsListed fails when an operator is added and TestIfExists does not know it.
func TestEveryOperatorIsListed(t *testing.T) {
	t.Parallel()
	if got, want := len(operators), 26+1; got != want { // Null has no IfExists
		t.Errorf("%d operators, the tests know %d", got, want)
	}
}

func TestKeysAndOperatorsAreAnded(t *testing.T) {
	t.Parallel()
	const condition = `{"StringEquals":{"k:a":"1","k:b":"2"},"StringLike":{"k:c":"3*"}}`
	for _, tt := range []struct {
		name    string
		a, b, c string
		want    bool
	}{
		{"all hold", "1", "2", "33", true},
		{"first key fails", "x", "2", "33", false},
		{"second key fails", "1", "x", "33", false},
		{"second operator fails", "1", "2", "x", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx := map[string][]string{"k:a": {tt.a}, "k:b": {tt.b}, "k:c": {tt.c}}
			if got := holds(t, condition, ctx); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestVariables(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, condition, x string
		v                  []string // of k:v
		want               bool
	}{
		{"value of a key", `{"StringEquals":{"k:x":"home/${k:v}"}}`, "home/ann", []string{"ann"}, true},
		{"key name in other case", `{"StringEquals":{"k:x":"${K:V}"}}`, "ann", []string{"ann"}, true},
		{"different value", `{"StringEquals":{"k:x":"${k:v}"}}`, "bob", []string{"ann"}, false},
		{"wildcard beside it", `{"StringLike":{"k:x":"${k:v}/*"}}`, "ann/photo", []string{"ann"}, true},
		{"wildcard in its value is literal", `{"StringLike":{"k:x":"${k:v}"}}`, "ann", []string{"*"}, false},
		{"in an ARN", `{"ArnLike":{"k:x":"arn:aws:s3:::${k:v}/*"}}`, "arn:aws:s3:::ann/1", []string{"ann"}, true},
		{"a whole ARN", `{"ArnEquals":{"k:x":"${k:v}"}}`, "arn:aws:s3:::b", []string{"arn:aws:s3:::b"}, true},
		{"in a boolean", `{"Bool":{"k:x":"${k:v}"}}`, "true", []string{"true"}, true},
		{"default, unused", `{"StringEquals":{"k:x":"${k:v, 'nobody'}"}}`, "ann", []string{"ann"}, true},
		{"default, used", `{"StringEquals":{"k:x":"${k:v, 'nobody'}"}}`, "nobody", nil, true},
		{"default without a space", `{"StringEquals":{"k:x":"${k:v,'nobody'}"}}`, "nobody", nil, true},
		{"empty default", `{"StringEquals":{"k:x":"a${k:v, ''}"}}`, "a", nil, true},
		{"no value", `{"StringEquals":{"k:x":"${k:v}"}}`, "${k:v}", nil, false},
		{"no value, another of the list matches", `{"StringEquals":{"k:x":["${k:v}","ann"]}}`, "ann", nil, true},
		{"no value, negated", `{"StringNotEquals":{"k:x":"${k:v}"}}`, "ann", nil, false},
		{"two values", `{"StringEquals":{"k:x":"${k:v}"}}`, "ann", []string{"ann", "bob"}, false},
		{"literal star", `{"StringLike":{"k:x":"a${*}"}}`, "a*", nil, true},
		{"literal star is no wildcard", `{"StringLike":{"k:x":"a${*}"}}`, "ab", nil, false},
		{"literal question mark", `{"StringLike":{"k:x":"a${?}"}}`, "ab", nil, false},
		{"literal dollar", `{"StringEquals":{"k:x":"${$}{k:v}"}}`, "${k:v}", []string{"ann"}, true},
		{"escape in StringEquals", `{"StringEquals":{"k:x":"a${*}"}}`, "a*", nil, true},
		{"tag key", `{"StringEquals":{"k:x":"${aws:PrincipalTag/team}"}}`, "data", nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx := map[string][]string{"k:x": {tt.x}, "aws:principaltag/team": {"data"}}
			if tt.v != nil {
				ctx["k:v"] = tt.v
			}
			if got := holds(t, tt.condition, ctx); got != tt.want {
				t.Errorf("%s with %q: got %v, want %v", tt.condition, tt.x, got, tt.want)
			}
		})
	}
}

func TestOldVersionHasNoVariables(t *testing.T) {
	t.Parallel()
	for name, version := range map[string]string{"2008-10-17": `"Version":"2008-10-17",`, "none": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := mustTrust(t, `{`+version+`"Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Condition":{"StringEquals":{"k:x":"${k:v}"}}}}`)
			for value, want := range map[string]bool{"${k:v}": true, "ann": false} {
				ctx := map[string][]string{"k:x": {value}, "k:v": {"ann"}}
				if got := p.Evaluate(Request{Action: "sts:AssumeRole", Context: ctx}).Allowed; got != want {
					t.Errorf("%q: got %v, want %v", value, got, want)
				}
			}
		})
	}
}

func TestKeyNames(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, policy, request string }{
		{"google", "accounts.google.com:oaud", "Accounts.Google.Com:OAUD"},
		{"tag", "aws:RequestTag/team", "aws:requesttag/Team"},
		{"issuer with a path", "sts.windows.net/TENANT/:aud", "sts.windows.net/tenant/:aud"},
		{"claim with a slash", "accounts.google.com:google/organization_number", "accounts.google.com:google/organization_number"},
		{"tag with a space and a colon", "aws:RequestTag/cost center: EU", "aws:RequestTag/cost center: EU"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			condition := fmt.Sprintf(`{"StringEquals":{%q:"v"}}`, tt.policy)
			if !holds(t, condition, map[string][]string{tt.request: {"v"}}) {
				t.Errorf("key %q does not find %q", tt.policy, tt.request)
			}
		})
	}
}
