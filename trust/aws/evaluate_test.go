// SPDX-License-Identifier: Apache-2.0

package awstrust

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const uniqueServiceAccount = "104857600000000000001"

// robust is the policy for a Google service account that names the subject and the audience both.
const robust = `{"Version":"2012-10-17","Statement":[{"Sid":"from-gcp","Effect":"Allow","Principal":{"Federated":"accounts.google.com"},
 "Action":"sts:AssumeRoleWithWebIdentity",
 "Condition":{"StringEquals":{"accounts.google.com:sub":"104857600000000000001",
   "accounts.google.com:aud":"104857600000000000001","accounts.google.com:oaud":"sts.amazonaws.com/111122223333"}}}]}`

// google is the request that a Google ID token makes: aud holds the token's azp, oaud its aud.
func google(azp, aud, sub string) Request {
	return Request{
		Principal: Principal{Kind: Federated, ID: "accounts.google.com"},
		Action:    "sts:AssumeRoleWithWebIdentity",
		Context: map[string][]string{
			"accounts.google.com:aud":  {azp},
			"accounts.google.com:oaud": {aud},
			"accounts.google.com:sub":  {sub},
		},
	}
}

func TestGoogleTrust(t *testing.T) {
	t.Parallel()
	const (
		email    = "app@demo-proj.iam.gserviceaccount.com"
		audience = "sts.amazonaws.com/111122223333"
	)
	byEmail := strings.Replace(robust, `aud":"104857600000000000001"`, `aud":"`+email+`"`, 1)
	byAudience := strings.Replace(robust, `"accounts.google.com:aud":"104857600000000000001"`, `"accounts.google.com:aud":"`+audience+`"`, 1)
	for _, tt := range []struct {
		name, policy string
		request      Request
		allowed      bool
		reason       string
	}{
		{"metadata token", robust, google(uniqueServiceAccount, audience, uniqueServiceAccount), true,
			`statement 1 (from-gcp) allows this: accounts.google.com:sub is "104857600000000000001", policy wants "104857600000000000001" (StringEquals); ` +
				`accounts.google.com:aud is "104857600000000000001", policy wants "104857600000000000001" (StringEquals); ` +
				`accounts.google.com:oaud is "sts.amazonaws.com/111122223333", policy wants "sts.amazonaws.com/111122223333" (StringEquals)`},
		{"metadata token for another audience", robust, google(uniqueServiceAccount, "https://images.example.com", uniqueServiceAccount), false,
			`statement 1 (from-gcp): accounts.google.com:oaud is "https://images.example.com", policy wants "sts.amazonaws.com/111122223333" (StringEquals)`},
		{"another service account", robust, google("999", audience, "999"), false,
			`statement 1 (from-gcp): accounts.google.com:sub is "999", policy wants "104857600000000000001" (StringEquals); ` +
				`accounts.google.com:aud is "999", policy wants "104857600000000000001" (StringEquals)`},
		{"JWT-bearer token, whose azp is the e-mail address", robust, google(email, audience, uniqueServiceAccount), false,
			`statement 1 (from-gcp): accounts.google.com:aud is "app@demo-proj.iam.gserviceaccount.com", policy wants "104857600000000000001" (StringEquals); ` +
				`accounts.google.com:sub is that value`},
		{"policy for JWT-bearer tokens", byEmail, google(email, audience, uniqueServiceAccount), true, ""},
		{"policy for JWT-bearer tokens, metadata token", byEmail, google(uniqueServiceAccount, audience, uniqueServiceAccount), false,
			`statement 1 (from-gcp): accounts.google.com:aud is "104857600000000000001", policy wants "app@demo-proj.iam.gserviceaccount.com" (StringEquals)`},
		{"audience under :aud", byAudience, google(uniqueServiceAccount, audience, uniqueServiceAccount), false,
			`statement 1 (from-gcp): accounts.google.com:aud is "104857600000000000001", policy wants "sts.amazonaws.com/111122223333" (StringEquals); ` +
				`accounts.google.com:oaud is that value`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := mustTrust(t, tt.policy).Evaluate(tt.request)
			if got.Allowed != tt.allowed || got.ExplicitDeny {
				t.Errorf("got %+v, want allowed %v", got, tt.allowed)
			}
			if tt.reason != "" && got.Reasons[0] != tt.reason {
				t.Errorf("reason:\n got %s\nwant %s", got.Reasons[0], tt.reason)
			}
			if wantStatement := map[bool]string{true: "from-gcp"}[tt.allowed]; got.Statement != wantStatement {
				t.Errorf("statement %q, want %q", got.Statement, wantStatement)
			}
		})
	}
}

// TestExplicitDenyFirst holds the order: Deny wins wherever it stands, and a policy without a match is silent.
func TestExplicitDenyFirst(t *testing.T) {
	t.Parallel()
	const (
		allow = `{"Sid":"yes","Effect":"Allow","Principal":"*","Action":"sts:*"}`
		deny  = `{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole","Condition":{"StringNotEquals":{"sts:ExternalId":"e"}}}`
	)
	withID := map[string][]string{"sts:ExternalId": {"e"}}
	for _, tt := range []struct {
		name, statements string
		context          map[string][]string
		want             Decision
	}{
		{"deny last", allow + "," + deny, nil, Decision{ExplicitDeny: true, Statement: "statement 2", Reasons: []string{
			"statement 1 (yes) allows this", "statement 2 denies this: sts:ExternalId is not in the request, which StringNotEquals lets pass"}}},
		{"deny first", deny + "," + allow, nil, Decision{ExplicitDeny: true, Statement: "statement 1", Reasons: []string{
			"statement 1 denies this: sts:ExternalId is not in the request, which StringNotEquals lets pass", "statement 2 (yes) allows this"}}},
		{"deny does not apply", deny + "," + allow, withID, Decision{Allowed: true, Statement: "yes", Reasons: []string{
			`statement 1 denies something else: sts:ExternalId is "e", policy wants anything but "e" (StringNotEquals)`, "statement 2 (yes) allows this"}}},
		{"deny alone, silent", deny, withID, Decision{Reasons: []string{
			`statement 1 denies something else: sts:ExternalId is "e", policy wants anything but "e" (StringNotEquals)`}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := mustTrust(t, `{"Version":"2012-10-17","Statement":[`+tt.statements+`]}`)
			got := p.Evaluate(Request{Principal: Principal{Kind: Anonymous}, Action: "sts:AssumeRole", Context: tt.context})
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
		})
	}
}

func TestActions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, element, action string
		want                  bool
	}{
		{"exact", `"Action":"s3:GetObject"`, "s3:GetObject", true},
		{"letter case does not count", `"Action":"S3:getobject"`, "s3:GetObject", true},
		{"star", `"Action":"s3:Get*"`, "s3:GetObjectAcl", true},
		{"question mark", `"Action":"s3:Get?bject"`, "s3:GetObject", true},
		{"everything", `"Action":"*"`, "s3:GetObject", true},
		{"every service", `"Action":"*:*"`, "s3:GetObject", true},
		{"list", `"Action":["s3:PutObject","s3:GetObject"]`, "s3:GetObject", true},
		{"other action", `"Action":"s3:PutObject"`, "s3:GetObject", false},
		{"other service", `"Action":"sts:*"`, "s3:GetObject", false},
		{"prefix is not enough", `"Action":"s3:GetObject"`, "s3:GetObjectAcl", false},
		{"not action, named", `"NotAction":["iam:*","s3:Get*"]`, "s3:GetObject", false},
		{"not action, another", `"NotAction":["iam:*","s3:Get*"]`, "s3:PutObject", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := mustIdentity(t, `{"Version":"2012-10-17","Statement":{"Effect":"Allow",`+tt.element+`,"Resource":"*"}}`)
			if got := p.Evaluate(Request{Action: tt.action}).Allowed; got != tt.want {
				t.Errorf("%s with %s: got %v, want %v", tt.element, tt.action, got, tt.want)
			}
		})
	}
}

func TestResources(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, element, resource string
		want                    bool
	}{
		{"exact", `"Resource":"arn:aws:s3:::b"`, "arn:aws:s3:::b", true},
		{"bucket is not its objects", `"Resource":"arn:aws:s3:::b"`, "arn:aws:s3:::b/k", false},
		{"objects", `"Resource":"arn:aws:s3:::b/*"`, "arn:aws:s3:::b/k/l", true},
		{"objects are not the bucket", `"Resource":"arn:aws:s3:::b/*"`, "arn:aws:s3:::b", false},
		{"case counts", `"Resource":"arn:aws:s3:::b/K"`, "arn:aws:s3:::b/k", false},
		{"everything", `"Resource":"*"`, "arn:aws:s3:::b", true},
		{"everything, no resource", `"Resource":"*"`, "", true},
		{"list", `"Resource":["arn:aws:s3:::a","arn:aws:s3:::b"]`, "arn:aws:s3:::b", true},
		{"variable", `"Resource":"arn:aws:s3:::home/${aws:username}/*"`, "arn:aws:s3:::home/ann/1", true},
		{"variable, another", `"Resource":"arn:aws:s3:::home/${aws:username}/*"`, "arn:aws:s3:::home/bob/1", false},
		{"variable without a value", `"Resource":"arn:aws:s3:::home/${aws:none}"`, "arn:aws:s3:::home/${aws:none}", false},
		{"not resource, named", `"NotResource":"arn:aws:s3:::b/*"`, "arn:aws:s3:::b/k", false},
		{"not resource, another", `"NotResource":"arn:aws:s3:::b/*"`, "arn:aws:s3:::c/k", true},
		{"not resource, variable without a value", `"NotResource":"arn:aws:s3:::${aws:none}"`, "arn:aws:s3:::c/k", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := mustIdentity(t, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*",`+tt.element+`}}`)
			r := Request{Action: "s3:GetObject", Resource: tt.resource, Context: map[string][]string{"aws:username": {"ann"}}}
			if got := p.Evaluate(r).Allowed; got != tt.want {
				t.Errorf("%s with %s: got %v, want %v", tt.element, tt.resource, got, tt.want)
			}
		})
	}
}

func TestReasons(t *testing.T) {
	t.Parallel()
	const trust = `{"Version":"2012-10-17","Statement":{"Effect":"Allow",%s}}`
	federated := `"Principal":{"Federated":"accounts.google.com"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":`
	for _, tt := range []struct{ name, statement, want string }{
		{"principal", `"Principal":{"Federated":"graph.facebook.com","AWS":"111122223333"},"Action":"sts:*"`,
			`statement 1: caller is Federated accounts.google.com, policy names Federated graph.facebook.com or AWS 111122223333 (Principal)`},
		{"deleted role", `"Principal":{"AWS":"AROAEXAMPLE1234567890"},"Action":"sts:*"`,
			`statement 1: caller is Federated accounts.google.com, policy names AWS AROAEXAMPLE1234567890 (the id of something deleted) (Principal)`},
		{"action", `"Principal":"*","Action":["sts:AssumeRole","sts:TagSession"]`,
			`statement 1: action is "sts:AssumeRoleWithWebIdentity", policy wants "sts:AssumeRole" or "sts:TagSession" (Action)`},
		{"not action", `"Principal":"*","NotAction":"sts:AssumeRoleWith*"`,
			`statement 1: action is "sts:AssumeRoleWithWebIdentity", policy wants anything but "sts:AssumeRoleWith*" (NotAction)`},
		{"letter case", federated + `{"StringEquals":{"accounts.google.com:oaud":"HTTPS://a.example"}}`,
			`statement 1: accounts.google.com:oaud is "https://a.example", policy wants "HTTPS://a.example" (StringEquals); they differ in letter case`},
		{"trailing slash", federated + `{"StringEquals":{"accounts.google.com:oaud":"https://a.example/"}}`,
			`statement 1: accounts.google.com:oaud is "https://a.example", policy wants "https://a.example/" (StringEquals); they differ in a trailing slash`},
		{"wildcard under StringEquals", federated + `{"StringEquals":{"accounts.google.com:oaud":"https://*"}}`,
			`statement 1: accounts.google.com:oaud is "https://a.example", policy wants "https://*" (StringEquals); only StringLike reads * and ? as wildcards`},
		{"absent key", federated + `{"StringEquals":{"accounts.google.com:email":"a@b"}}`,
			`statement 1: accounts.google.com:email is not in the request, policy wants "a@b" (StringEquals); the request has accounts.google.com:aud, accounts.google.com:oaud and accounts.google.com:sub`},
		{"variable", federated + `{"StringEquals":{"accounts.google.com:sub":"${aws:username}"}}`,
			`statement 1: accounts.google.com:sub is "7", policy wants "${aws:username}" (StringEquals), and ${aws:username} has no single value in this request`},
		{"null", federated + `{"Null":{"accounts.google.com:sub":"true"}}`,
			`statement 1: accounts.google.com:sub is in the request, policy wants it absent (Null)`},
		{"number", federated + `{"NumericLessThan":{"accounts.google.com:sub":"5"}}`,
			`statement 1: accounts.google.com:sub is "7", policy wants less than "5" (NumericLessThan)`},
		{"set", federated + `{"ForAllValues:StringLike":{"accounts.google.com:sub":["5","6"]}}`,
			`statement 1: accounts.google.com:sub is "7", policy wants every value to be "5" or "6" (ForAllValues:StringLike)`},
		{"long list", federated + `{"StringEquals":{"accounts.google.com:sub":["a","b","c","d","e","f","g","h"]}}`,
			`statement 1: accounts.google.com:sub is "7", policy wants "a", "b", "c", "d", "e", "f" or 2 more (StringEquals)`},
		{"long value", federated + `{"StringEquals":{"accounts.google.com:sub":"` + strings.Repeat("9", 500) + `"}}`,
			`statement 1: accounts.google.com:sub is "7", policy wants "` + strings.Repeat("9", maxQuoted) + `…" (StringEquals)`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := mustTrust(t, fmt.Sprintf(trust, tt.statement)).Evaluate(google("7", "https://a.example", "7"))
			if d.Allowed {
				t.Error("allowed")
			}
			if diff := cmp.Diff([]string{tt.want}, d.Reasons); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
		})
	}
}

func ExamplePolicy_Evaluate() {
	policy, err := ParseTrust([]byte(robust))
	if err != nil {
		fmt.Println(err)
		return
	}
	decision := policy.Evaluate(google("104857600000000000001", "https://images.example.com", "104857600000000000001"))
	fmt.Println(decision.Allowed)
	fmt.Println(decision.Reasons[0])
	// Output:
	// false
	// statement 1 (from-gcp): accounts.google.com:oaud is "https://images.example.com", policy wants "sts.amazonaws.com/111122223333" (StringEquals)
}
