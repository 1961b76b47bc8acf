// SPDX-License-Identifier: Apache-2.0

package awstrust

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestWellFormed(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"robust":                      robust,
		"one statement without list":  `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}}`,
		"elements in any order":       `{"Statement":[{"Action":["sts:AssumeRole","sts:TagSession"],"Principal":{"AWS":"111122223333"},"Effect":"Deny"}],"Version":"2008-10-17","Id":"x y"}`,
		"as the console writes it":    `{"Version":"2012-10-17","Statement":[{"Sid":"","Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole","Condition":{}},{"Sid":"","Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`,
		"Sid with spaces":             `{"Statement":{"Sid":"from gcp, 2","Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}}`,
		"NotAction":                   `{"Statement":{"Effect":"Deny","Principal":"*","NotAction":"sts:AssumeRole"}}`,
		"white space does not count":  strings.Repeat(" \n", maxTrust) + robust,
		"dollar that is no variable":  `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"sts:*","Condition":{"StringEquals":{"k:x":"$5"}}}}`,
		"brace in the old version":    `{"Statement":{"Effect":"Allow","Principal":"*","Action":"sts:*","Condition":{"StringEquals":{"k:x":"${"}}}}`,
		"escaped character beyond FF": `{"Statement":{"Effect":"Allow","Principal":"*","Action":"sts:*","Condition":{"StringEquals":{"k:x":"\u20ac"}}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := ParseTrust([]byte(doc)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMalformedTrust(t *testing.T) {
	t.Parallel()
	st := func(elements string) string { return `{"Version":"2012-10-17","Statement":[{` + elements + `}]}` }
	cond := func(condition string) string {
		return st(`"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Condition":` + condition)
	}
	who := func(principal string) string {
		return st(`"Effect":"Allow","Action":"sts:AssumeRole","Principal":` + principal)
	}
	for _, tt := range []struct{ name, doc, want string }{
		{"nothing", "", "policy document: empty"},
		{"white space", " \n\t", "policy document: empty"},
		{"not UTF-8", "{\"\xff\"", "not UTF-8"},
		{"garbage", "hello", "line 1 column 1: not JSON: invalid character 'h'"},
		{"cut off", `{"Version":"2012-10-17","Statement":[{`, "not JSON: unexpected end"},
		{"two documents", robust + "{}", "line 4 column 118: not JSON: invalid character '{' after top-level value"},
		{"control character", "{\"a\x00\"", "line 1 column 4: character U+0000"},
		{"character beyond FF", `{"Id":"€"}`, "line 1 column 8: character U+20AC"},
		{"byte order mark", "\ufeff{}", "character U+FEFF"},
		{"list", `[]`, "line 1 column 1: want an object, found a list"},
		{"null", `null`, "want an object, found null"},
		{"too long", `{"Id":"` + strings.Repeat("x", 5000) + `"}`, "5009 characters without white space, AWS takes 4096"},
		{"very much white space", strings.Repeat(" ", maxBytes+1), "131073 bytes long, AWS takes 131072"},
		{"too deep", strings.Repeat("[", 40) + strings.Repeat("]", 40), "nested too deeply"},

		{"unknown element", `{"Versoin":"2012-10-17"}`, `line 1 column 2: unknown element "Versoin", did you mean Version?`},
		{"version", `{"Version":"2012-10-18","Statement":[]}`, `column 12: Version: want "2012-10-17" or "2008-10-17"`},
		{"version as number", `{"Version":2012,"Statement":[]}`, `Version: want "2012-10-17"`},
		{"version twice", `{"Version":"2012-10-17","Version":"2012-10-17"}`, `"Version" appears twice in one object`},
		{"empty Id", `{"Id":"","Statement":[]}`, `Id: want a string that is not empty`},
		{"no statement", `{"Version":"2012-10-17"}`, "Statement: missing"},
		{"empty statement list", `{"Statement":[]}`, "Statement: the list is empty"},
		{"statement as string", `{"Statement":"Allow"}`, "Statement: want an object or a list of objects, found a string"},
		{"statement null", `{"Statement":[null]}`, "statement 1: want an object, found null"},

		{"unknown element of a statement", st(`"Effect":"Allow","Principals":"*"`), `statement 1: unknown element "Principals", did you mean Principal?`},
		{"element in lower case", st(`"effect":"Allow"`), `unknown element "effect", did you mean Effect?`},
		{"element twice", st(`"Effect":"Allow","Effect":"Deny"`), `"Effect" appears twice`},
		{"Sid as number", st(`"Sid":1`), "statement 1: Sid: want a string, found a number"},
		{"Sid twice", `{"Statement":[{"Sid":"a","Effect":"Allow","Principal":"*","Action":"sts:*"},{"Sid":"a"}]}`, `statement 2: Sid: "a" is the Sid of an earlier statement`},
		{"no effect", st(`"Sid":"a","Principal":"*","Action":"sts:*"`), "statement 1 (a): Effect: missing"},
		{"effect in lower case", st(`"Effect":"allow"`), `Effect: want "Allow" or "Deny"`},
		{"no principal", st(`"Effect":"Allow","Action":"sts:*"`), "Principal: missing"},
		{"both principals", st(`"Effect":"Allow","Principal":"*","NotPrincipal":"*"`), "NotPrincipal: a statement has either Principal or NotPrincipal, not both"},
		{"no action", st(`"Effect":"Allow","Principal":"*"`), "Action: missing"},
		{"both actions", st(`"Effect":"Allow","Principal":"*","Action":"sts:*","NotAction":"sts:*"`), "NotAction: a statement has either"},
		{"empty action", st(`"Effect":"Allow","Principal":"*","Action":""`), "Action: the string is empty"},
		{"empty action list", st(`"Effect":"Allow","Principal":"*","Action":[]`), "Action: the list is empty"},
		{"action in nested list", st(`"Effect":"Allow","Principal":"*","Action":[["sts:AssumeRole"]]`), "Action: want a string, found a list"},
		{"action without service", st(`"Effect":"Allow","Principal":"*","Action":"AssumeRole"`), `Action: "AssumeRole": want SERVICE:ACTION`},
		{"action of another service", st(`"Effect":"Allow","Principal":"*","Action":"s3:GetObject"`), "a trust policy may name actions of sts only"},
		{"every action", st(`"Effect":"Allow","Principal":"*","Action":"*"`), "a trust policy may name actions of sts only"},
		{"resource", st(`"Effect":"Allow","Principal":"*","Action":"sts:*","Resource":"*"`), "Resource: a trust policy has none"},

		{"principal as other string", who(`"111122223333"`), `Principal: want "*" or an object with AWS, Federated or Service`},
		{"principal empty", who(`{}`), "Principal: the object is empty"},
		{"principal of unknown kind", who(`{"Aws":"*"}`), `Principal: unknown element "Aws", did you mean AWS?`},
		{"canonical user", who(`{"CanonicalUser":"79a5"}`), `unknown element "CanonicalUser"`},
		{"principal empty list", who(`{"AWS":[]}`), "Principal AWS: the list is empty"},
		{"account unquoted", who(`{"AWS":111122223333}`), "Principal AWS: want a string, found a number"},
		{"account of 11 digits", who(`{"AWS":"11112222333"}`), `"11112222333": want an account of 12 digits`},
		{"wildcard in a role", who(`{"AWS":"arn:aws:iam::111122223333:role/*"}`), "no wildcards here"},
		{"role of sts", who(`{"AWS":"arn:aws:sts::111122223333:role/etl"}`), "want an account of 12 digits or the ARN"},
		{"role without a name", who(`{"AWS":"arn:aws:iam::111122223333:role/a/"}`), "want an account of 12 digits or the ARN"},
		{"session without a name", who(`{"AWS":"arn:aws:sts::111122223333:assumed-role/etl"}`), "want an account of 12 digits or the ARN"},
		{"group", who(`{"AWS":"arn:aws:iam::111122223333:group/g"}`), "want an account of 12 digits or the ARN"},
		{"https of Google", who(`{"Federated":"https://accounts.google.com"}`), "no https:// here"},
		{"host that is not built in", who(`{"Federated":"token.actions.githubusercontent.com"}`), "want accounts.google.com or another provider built in"},
		{"federated wildcard", who(`{"Federated":"*"}`), "no wildcards here"},
		{"service", who(`{"Service":"ec2"}`), "want the name of a service"},

		{"condition as list", cond(`[]`), "Condition: want an object, found a list"},
		{"unknown operator", cond(`{"StringEqual":{"k:x":"a"}}`), `Condition: unknown condition operator "StringEqual", did you mean StringEquals?`},
		{"operator in lower case", cond(`{"stringequals":{"k:x":"a"}}`), `did you mean StringEquals?`},
		{"unknown set operator", cond(`{"ForSomeValues:StringEquals":{"k:x":"a"}}`), `unknown set operator "ForSomeValues"`},
		{"Null if exists", cond(`{"NullIfExists":{"k:x":"true"}}`), "Null takes neither IfExists nor a set operator"},
		{"Null for all", cond(`{"ForAllValues:Null":{"k:x":"true"}}`), "Null takes neither IfExists nor a set operator"},
		{"operator without keys", cond(`{"StringEquals":{}}`), "Condition StringEquals: no condition key"},
		{"operator with a string", cond(`{"StringEquals":"a"}`), "Condition StringEquals: want an object of condition keys, found a string"},
		{"key without prefix", cond(`{"StringEquals":{"aud":"a"}}`), `Condition StringEquals: "aud": want a condition key with its prefix`},
		{"key twice in other case", cond(`{"StringEquals":{"k:x":"a","K:X":"b"}}`), `"K:X" appears twice`},
		{"no values", cond(`{"StringEquals":{"k:x":[]}}`), "Condition StringEquals k:x: the list is empty"},
		{"null value", cond(`{"StringEquals":{"k:x":null}}`), "Condition StringEquals k:x: want a string, a number or a boolean, found null"},
		{"nested values", cond(`{"StringEquals":{"k:x":[["a"]]}}`), "found a list"},
		{"bool", cond(`{"Bool":{"k:x":"yes"}}`), `"yes": want "true" or "false"`},
		{"null operator", cond(`{"Null":{"k:x":""}}`), `want "true" or "false"`},
		{"number", cond(`{"NumericEquals":{"k:x":"ten"}}`), `"ten": want an integer or a decimal number`},
		{"variable in a number", cond(`{"NumericEquals":{"k:x":"${k:y}"}}`), `want an integer or a decimal number`},
		{"date", cond(`{"DateLessThan":{"k:x":"tomorrow"}}`), `"tomorrow": want a date`},
		{"binary", cond(`{"BinaryEquals":{"k:x":"?"}}`), `"?": want base64`},
		{"address", cond(`{"IpAddress":{"k:x":"203.0.113.0/33"}}`), `want an address or a range`},
		{"variable never closed", cond(`{"StringEquals":{"k:x":"${k:y"}}`), "never closed"},
		{"variable without a key", cond(`{"StringEquals":{"k:x":"${}"}}`), `"${}": not a variable`},
		{"default without quotes", cond(`{"StringEquals":{"k:x":"${k:y, a}"}}`), "wants single quotes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseTrust([]byte(tt.doc))
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("got %v, want an *Error", err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestMalformedIdentity(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, doc, want string }{
		{"principal", `{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"}}`, "statement 1: Principal: a permission or session policy has none"},
		{"not principal", `{"Statement":{"Effect":"Allow","NotPrincipal":"*","Action":"s3:*","Resource":"*"}}`, "NotPrincipal: a permission"},
		{"no resource", `{"Statement":{"Effect":"Allow","Action":"s3:*"}}`, "Resource: missing"},
		{"both resources", `{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*","NotResource":"*"}}`, "NotResource: a statement has either"},
		{"resource that is no ARN", `{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"my-bucket/*"}}`, `"my-bucket/*": want an ARN or "*"`},
		{"resource cut short", `{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:b"}}`, `want an ARN or "*"`},
		{"resource object", `{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":{}}}`, "Resource: want a string, found an object"},
		{"Id", `{"Id":"x","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`, "Id: only a resource's policy may have one"},
		{"Sid with a hyphen", `{"Statement":{"Sid":"a-b","Effect":"Allow","Action":"s3:*","Resource":"*"}}`, "want letters and digits only"},
		{"too long", `{"Statement":"` + strings.Repeat("x", maxIdentity) + `"}`, "AWS takes 10240"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseIdentity([]byte(tt.doc))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// TestErrorPlace holds line and column to what an editor shows.
func TestErrorPlace(t *testing.T) {
	t.Parallel()
	doc := "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [{\n    \"Sid\": \"é\", \"Effect\": \"Alow\"\n  }]\n}"
	_, err := ParseTrust([]byte(doc))
	got, _ := errors.AsType[*Error](err)
	if got == nil || got.Line != 4 || got.Column != 27 || got.Statement != "statement 1 (é)" || got.Element != "Effect" {
		t.Errorf("got %+v, want line 4 column 27, Effect of statement 1 (é)", got)
	}
}

// TestErrorsQuoteLittle: a document may be someone's secret, so that an error shows one shortened value at most.
func TestErrorsQuoteLittle(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("s", 3000)
	for name, doc := range map[string]string{
		"action":    `{"Statement":{"Effect":"Allow","Principal":"*","Action":"` + long + `"}}`,
		"principal": `{"Statement":{"Effect":"Allow","Action":"sts:*","Principal":{"AWS":"` + long + `"}}}`,
		"element":   `{"` + long + `":1}`,
		"operator":  `{"Statement":{"Effect":"Allow","Principal":"*","Action":"sts:*","Condition":{"` + long + `":{}}}}`,
		"key":       `{"Statement":{"Effect":"Allow","Principal":"*","Action":"sts:*","Condition":{"Null":{"k:` + long + `":"x"}}}}`,
		"variable":  `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"sts:*","Condition":{"StringLike":{"k:x":"${ ` + long + `}"}}}}`,
		"operands":  `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"sts:*","Condition":{"` + long + `:Null":{}}}}`,
		"no keys":   fmt.Sprintf(`{"Statement":{"Sid":%q,"Effect":1}}`, long),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseTrust([]byte(doc))
			if err == nil || len(err.Error()) > 600 {
				t.Errorf("want a short error, got %v", err)
			}
		})
	}
}
