// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestExchangeGivesFederatedToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.want(w.exchangeWith(exchangeForm(w.subjectToken(tokenRecipe{}))), http.StatusOK)
	if text, _ := got.field(t, "access_token").(string); !strings.HasPrefix(text, "ya29.d.") {
		t.Errorf("the token does not start ya29.d.: %s", got.body)
	}
	for field, want := range map[string]any{"issued_token_type": typeAccessToken, "token_type": "Bearer", "expires_in": 3599.0} {
		if value := got.field(t, field); value != want {
			t.Errorf("%s is %v, want %v", field, value, want)
		}
	}
}

// spacesAsPercent encodes as Python and Node do, where Go and Java write + for a space.
func spacesAsPercent(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// The vendors' libraries differ in these, and Google takes them all.
func TestExchangeAcceptsEveryLibrary(t *testing.T) {
	t.Parallel()
	lower := func(list []map[string]any) []map[string]any {
		for _, h := range list {
			h["key"] = strings.ToLower(h["key"].(string))
		}
		return list
	}
	cases := map[string]tokenRecipe{
		"Go":                       {},
		"Python, target unsigned":  {unsignedTarget: true, encode: spacesAsPercent},
		"Node, all lower case":     {unsignedTarget: true, headers: lower, encode: spacesAsPercent},
		"Java, target given twice": {headers: func(l []map[string]any) []map[string]any { return append(l, l[4]) }},
		"an empty body":            {change: func(o map[string]any) { o["body"] = "" }},
		"target with https:":       {target: "https:" + testProvider},
		"a slash for a path":       {change: func(o map[string]any) { o["url"] = strings.Replace(o["url"].(string), "?", "/?", 1) }},
		"a minute old":             {age: time.Minute},
	}
	for name, recipe := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.want(w.exchangeWith(exchangeForm(w.subjectToken(recipe))), http.StatusOK)
		})
	}
}

func TestExchangeRefusesForms(t *testing.T) {
	t.Parallel()
	set := func(name, value string) func(url.Values) { return func(f url.Values) { f.Set(name, value) } }
	cases := map[string]struct {
		change            func(url.Values)
		code, description string
	}{
		"no grant type":                {set("grant_type", ""), "unsupported_grant_type", ""},
		"another grant type":           {set("grant_type", "password"), "unsupported_grant_type", ""},
		"no requested type":            {set("requested_token_type", ""), invalidRequest, ""},
		"no scope":                     {set("scope", " "), invalidScope, ""},
		"a scope of nobody":            {set("scope", "https://example.com/auth/x"), invalidScope, ""},
		"no audience":                  {set("audience", ""), invalidRequest, textAudience},
		"a pool for an audience":       {set("audience", resourceHost+testPool), invalidRequest, textAudience},
		"https twice in the audience":  {set("audience", "https:"+testProvider), invalidRequest, textAudience},
		"project id for its number":    {set("audience", strings.Replace(testProvider, testNumber, testProject, 1)), invalidTarget, textTarget},
		"a project nobody has":         {set("audience", strings.Replace(testProvider, testNumber, "999", 1)), invalidTarget, textTarget},
		"a provider nobody made":       {set("audience", testProvider+"x"), invalidTarget, textTarget},
		"an ID token for AWS":          {set("subject_token_type", typeIDToken), invalidRequest, "subject token type"},
		"no subject token":             {set("subject_token", ""), invalidRequest, "subject_token"},
		"options that are no JSON":     {set("options", "{"), invalidRequest, "options"},
		"a field given twice":          {func(f url.Values) { f.Add("scope", "openid") }, invalidRequest, "more than once"},
		"a field that is not UTF-8":    {set("scope", "\xff"), invalidRequest, "UTF-8"},
		"a raw signature for a token":  {set("subject_token", "97ec934120e9fe8e"), invalidRequest, errNotJSON.Error()},
		"a token not percent-encoded":  {set("subject_token", `{"url":"x"}`), invalidRequest, errNotJSON.Error()},
		"a truncated percent-encoding": {set("subject_token", "%7B%2"), invalidRequest, errNotJSON.Error()},
		"a token that is not UTF-8":    {set("subject_token", "%ff%fe"), invalidRequest, errNotJSON.Error()},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			form := exchangeForm(w.subjectToken(tokenRecipe{}))
			c.change(form)
			w.wantOAuth(w.exchangeWith(form), http.StatusBadRequest, c.code, c.description)
			if w.aws.calls != 0 {
				t.Error("AWS was asked about a request that is refused anyway")
			}
		})
	}
}

func TestExchangeRefusesSubjectTokens(t *testing.T) {
	t.Parallel()
	header := func(name, value string) func([]map[string]any) []map[string]any {
		return func(list []map[string]any) []map[string]any {
			for _, h := range list {
				if h["key"] == name {
					h["value"] = value
				}
			}
			return list
		}
	}
	without := func(name string) func([]map[string]any) []map[string]any {
		return func(list []map[string]any) (kept []map[string]any) {
			for _, h := range list {
				if h["key"] != name {
					kept = append(kept, h)
				}
			}
			return kept
		}
	}
	set := func(name string, value any) func(map[string]any) { return func(o map[string]any) { o[name] = value } }
	const query = "?Action=GetCallerIdentity&Version=2011-06-15"
	badFormat := errRequest.Error()
	mismatch := "does not match the audience"
	cases := map[string]struct {
		recipe      tokenRecipe
		code        string
		description string
	}{
		"missing target resource": {tokenRecipe{headers: without("X-Goog-Cloud-Target-Resource")}, invalidGrant, badFormat},
		"wrong target resource":   {tokenRecipe{target: testProvider + "x"}, invalidGrant, mismatch},
		"two target resources": {tokenRecipe{headers: func(l []map[string]any) []map[string]any {
			return append(l, map[string]any{"key": targetHeader, "value": "//other"})
		}}, invalidGrant, badFormat},
		"missing authorization":  {tokenRecipe{headers: without("Authorization")}, invalidGrant, badFormat},
		"missing host":           {tokenRecipe{headers: without("Host")}, invalidGrant, badFormat},
		"missing date":           {tokenRecipe{headers: without("X-Amz-Date")}, invalidGrant, badFormat},
		"host header of another": {tokenRecipe{headers: header("Host", "sts.us-east-1.amazonaws.com")}, invalidGrant, badFormat},
		"a header that steers": {tokenRecipe{headers: func(l []map[string]any) []map[string]any {
			return append(l, map[string]any{"key": "Transfer-Encoding", "value": "chunked"})
		}}, invalidGrant, badFormat},
		"a line break in a header":    {tokenRecipe{headers: header("X-Amz-Date", "20261122T030405Z\r\nX: y")}, invalidGrant, badFormat},
		"GET":                         {tokenRecipe{change: set("method", "GET")}, invalidGrant, badFormat},
		"a body":                      {tokenRecipe{change: set("body", "Action=AssumeRole")}, invalidGrant, badFormat},
		"another member":              {tokenRecipe{change: set("bodyy", "")}, invalidGrant, badFormat},
		"headers that are no list":    {tokenRecipe{change: set("headers", map[string]any{"host": awsHost})}, invalidGrant, badFormat},
		"plain http":                  {tokenRecipe{change: set("url", "http://"+awsHost+query)}, invalidGrant, badFormat},
		"a host that is not AWS":      {tokenRecipe{change: set("url", "https://sts.eu-west-1.amazonaws.com.evil.example"+query)}, invalidGrant, badFormat},
		"a user in the URL":           {tokenRecipe{change: set("url", "https://x@"+awsHost+query)}, invalidGrant, badFormat},
		"a port in the URL":           {tokenRecipe{change: set("url", "https://"+awsHost+":8443"+query)}, invalidGrant, badFormat},
		"another action":              {tokenRecipe{change: set("url", "https://"+awsHost+"?Action=AssumeRole&Version=2011-06-15")}, invalidGrant, badFormat},
		"one parameter more":          {tokenRecipe{change: set("url", "https://"+awsHost+query+"&X-Amz-Expires=999")}, invalidGrant, badFormat},
		"changed signature":           {tokenRecipe{headers: header("Authorization", "AWS4-HMAC-SHA256 Credential=A/20261122/eu-west-1/sts/aws4_request, SignedHeaders=host;x-amz-date, Signature=00")}, invalidGrant, "SignatureDoesNotMatch"},
		"changed session token":       {tokenRecipe{headers: header("X-Amz-Security-Token", "another")}, invalidGrant, "SignatureDoesNotMatch"},
		"changed host, in both":       {tokenRecipe{headers: header("Host", "sts.us-east-1.amazonaws.com"), change: set("url", "https://sts.us-east-1.amazonaws.com"+query)}, invalidGrant, "SignatureDoesNotMatch"},
		"stale":                       {tokenRecipe{age: 6 * time.Minute}, invalidGrant, "Signature expired"},
		"of the future":               {tokenRecipe{age: -6 * time.Minute}, invalidGrant, "Signature not yet current"},
		"a China host outside China":  {tokenRecipe{change: set("url", "https://sts.eu-west-1.amazonaws.com.cn"+query)}, invalidGrant, badFormat},
		"signed target changed later": {tokenRecipe{target: testProvider + "x", headers: header("X-Goog-Cloud-Target-Resource", testProvider)}, invalidGrant, "SignatureDoesNotMatch"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.wantOAuth(w.exchangeWith(exchangeForm(w.subjectToken(c.recipe))), http.StatusBadRequest, c.code, c.description)
			if w.lastFailure() == "" {
				t.Error("the journal does not say why")
			}
		})
	}
}

// A request whose signature covers the target is good for one provider; whoever intercepts it cannot take it elsewhere,
// with the header as it is or with another.
func TestSignedTargetIsNotReplayedToAnotherProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.AddProvider(Provider{Project: testProject, Pool: "aws-pool", ID: "aws-other", AWSAccount: testAccount}))
	form := exchangeForm(w.subjectToken(tokenRecipe{}))
	form.Set("audience", strings.Replace(testProvider, "aws-prov", "aws-other", 1))
	w.wantOAuth(w.exchangeWith(form), http.StatusBadRequest, invalidGrant, "does not match the audience")
}

func TestExchangeRefusesWrongAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.aws.account = "999988887777"
	w.wantOAuth(w.exchangeWith(exchangeForm(w.subjectToken(tokenRecipe{}))), http.StatusBadRequest, invalidGrant, "does not match the account")
}

func TestExchangeRefusesFailingCondition(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.AddProvider(Provider{Project: testProject, Pool: "aws-pool", ID: "aws-prov", AWSAccount: testAccount,
		Condition: "attribute.aws_role == 'arn:aws:sts::111122223333:assumed-role/other'"}))
	w.wantOAuth(w.exchangeWith(exchangeForm(w.subjectToken(tokenRecipe{}))), http.StatusBadRequest, unauthorizedClient, textCondition)
	if why := w.lastFailure(); !strings.Contains(why, "assumed-role/etl-role") {
		t.Errorf("the journal does not show the value that failed: %s", why)
	}
}

func TestExchangeRefusesLongSubject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.aws.arn = "arn:aws:sts::111122223333:assumed-role/" + strings.Repeat("r", 64) + "/" + strings.Repeat("s", 64)
	w.wantOAuth(w.exchangeWith(exchangeForm(w.subjectToken(tokenRecipe{}))), http.StatusBadRequest, invalidRequest,
		"The size of mapped attribute google.subject exceeds the 127 bytes limit. Either modify your attribute mapping or the incoming assertion to produce a mapped attribute that is less than 127 bytes.")
}

func TestExchangeRefusesClosedPoolsAndProviders(t *testing.T) {
	t.Parallel()
	disabled := Provider{Project: testProject, Pool: "aws-pool", ID: "aws-prov", AWSAccount: testAccount, Disabled: true}
	cases := map[string]func(*world) error{
		"disabled pool":     func(w *world) error { return w.SetPoolDisabled(testProject, "aws-pool", true) },
		"deleted pool":      func(w *world) error { return w.DeletePool(testProject, "aws-pool") },
		"disabled provider": func(w *world) error { return w.AddProvider(disabled) },
	}
	for name, closeIt := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			form := exchangeForm(w.subjectToken(tokenRecipe{}))
			w.must(closeIt(w))
			w.wantOAuth(w.exchangeWith(form), http.StatusBadRequest, invalidTarget, textTarget)
		})
	}
}

func TestExchangeWhenAWSIsAway(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]struct {
		status int
		body   string
	}{
		"down":           {http.StatusInternalServerError, ""},
		"talks nonsense": {http.StatusOK, "<html>"},
		"names nobody":   {http.StatusOK, "<GetCallerIdentityResponse/>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.aws.status, w.aws.body = answer.status, answer.body
			w.wantOAuth(w.exchangeWith(exchangeForm(w.subjectToken(tokenRecipe{}))), http.StatusServiceUnavailable, "temporarily_unavailable", "")
		})
	}
}

// AWS shows the canonical request, session token included, after the first line of its message.
func TestExchangeDoesNotRepeatAWSBeyondTheFirstLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.aws.status = http.StatusForbidden
	w.aws.body = "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>No match.\n\nx-amz-security-token:SECRET</Message></Error></ErrorResponse>"
	got := w.exchangeWith(exchangeForm(w.subjectToken(tokenRecipe{})))
	w.wantOAuth(got, http.StatusBadRequest, invalidGrant, "SignatureDoesNotMatch: No match.")
	if all := got.body + fmt.Sprint(w.journal.Take()); strings.Contains(all, "SECRET") {
		t.Errorf("the session token came back: %s", all)
	}
}

func TestExchangeClientAuthentication(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		value  string
		status int
	}{
		"Basic, as gcloud sends it": {"Basic Z2Nsb3VkOnB1YmxpYw==", http.StatusOK},
		"a bearer token":            {"Bearer x", http.StatusUnauthorized},
		"broken Basic":              {"Basic !", http.StatusUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := httptest.NewRequest(http.MethodPost, "https://sts.googleapis.com/v1/token", strings.NewReader(exchangeForm(w.subjectToken(tokenRecipe{})).Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Authorization", c.value)
			w.want(w.send(r), c.status)
		})
	}
}

func TestExchangeGarbage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const form = "application/x-www-form-urlencoded"
	for name, c := range map[string]struct {
		kind, body string
		status     int
	}{
		"nothing":         {form, "", http.StatusBadRequest},
		"JSON":            {"application/json", "{}", http.StatusBadRequest},
		"no content type": {"", "a=b", http.StatusBadRequest},
		"broken encoding": {form, "a=%zz", http.StatusBadRequest},
		"10 MB":           {form, strings.Repeat("x", 10<<20), http.StatusRequestEntityTooLarge},
		"a huge token":    {form, exchangeForm(strings.Repeat("%7B", 1<<18)).Encode(), http.StatusBadRequest},
		"deep JSON":       {form, exchangeForm(strings.Repeat("%5B", 100_000) + strings.Repeat("%5D", 100_000)).Encode(), http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "https://sts.googleapis.com/v1/token", strings.NewReader(c.body))
			r.Header.Set("Content-Type", c.kind)
			if got := w.send(r); got.status != c.status || got.field(t, "error") == nil {
				t.Errorf("got %d, want %d: %.200s", got.status, c.status, got.body)
			}
		})
	}
}

func TestUnknownPathsAreNotFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, address := range []string{
		"https://sts.googleapis.com/v1/token", // GET
		"https://iamcredentials.googleapis.com/v1/projects",
		"https://oauth2.googleapis.com/",
		"https://accounts.google.com/login",
		"https://www.googleapis.com/nothing",
		"https://cloudresourcemanager.googleapis.com/v3/projects",
		"https://storage.googleapis.com/storage/v1/b/demo-bucket/acl",
		"https://europe-west1-demo-proj.cloudfunctions.net/none",
	} {
		w.want(w.request(http.MethodGet, address, "", ""), http.StatusNotFound)
	}
	if _, ok := w.Handler("example.com"); ok {
		t.Error("somebody answers for example.com")
	}
}

func TestIntrospect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := w.federated()
	const address = "https://sts.googleapis.com/v1/introspect"
	got := w.want(w.postForm(address, url.Values{"token": {token}}), http.StatusOK)
	if want := "principal://iam.googleapis.com/" + testPool + "/subject/" + testARN; got.field(t, "username") != want || got.field(t, "active") != true {
		t.Errorf("got %s, want active and username %s", got.body, want)
	}
	w.clock.Advance(time.Hour)
	if got := w.postForm(address, url.Values{"token": {token}}); got.field(t, "active") != false {
		t.Errorf("an expired token is active: %s", got.body)
	}
}
