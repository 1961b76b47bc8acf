// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/stile-project/stile/lab/oidc"
)

const (
	uniqueID = "104857600000000000001"
	audience = "sts.amazonaws.com/111122223333"

	robust = `{"Version":"2012-10-17","Statement":[{"Sid":"FromGoogle","Effect":"Allow","Principal":{"Federated":"accounts.google.com"},
		"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"accounts.google.com:sub":"104857600000000000001",
		"accounts.google.com:aud":"104857600000000000001","accounts.google.com:oaud":"sts.amazonaws.com/111122223333"}}}]}`
)

// googleTrust is a trust policy that holds Google's tokens to one condition.
func googleTrust(key, value string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"accounts.google.com"},"Action":"sts:AssumeRoleWithWebIdentity",` +
		`"Condition":{"StringEquals":{"` + key + `":"` + value + `"}}}]}`
}

// claims are those of a metadata server's token, and whatever a test changes. A nil value takes a claim out.
func (w *world) claims(change map[string]any) map[string]any {
	now := w.now().Unix()
	c := map[string]any{
		"iss": "https://accounts.google.com", "aud": audience, "azp": uniqueID, "sub": uniqueID, "iat": now, "exp": now + 3600,
		"email": "app@demo-proj.iam.gserviceaccount.com", "email_verified": true,
	}
	maps.Copy(c, change)
	for name, value := range c {
		if value == nil {
			delete(c, name)
		}
	}
	return c
}

func (w *world) googleToken(change map[string]any) string {
	w.t.Helper()
	token, err := w.google.Sign(w.claims(change))
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

// webCall is a good call, and whatever a test changes. An empty value takes a parameter out.
func webCall(token string, change ...string) string {
	p := map[string]string{"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleArn": target, "RoleSessionName": "vm1", "WebIdentityToken": token}
	for i := 0; i+1 < len(change); i += 2 {
		p[change[i]] = change[i+1]
	}
	var pairs []string
	for name, value := range p {
		if value != "" {
			pairs = append(pairs, name, value)
		}
	}
	return fields(pairs...)
}

func TestAssumeRoleWithWebIdentityBySDK(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.role(Role{Account: home, Name: "from-gcp", Trust: robust, Permissions: everything})
	client := sts.New(sts.Options{Region: irishReg, HTTPClient: w.client(), RetryMaxAttempts: 1})
	got, err := client.AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: aws.String(target), RoleSessionName: aws.String("vm1"), WebIdentityToken: aws.String(w.googleToken(nil)), DurationSeconds: aws.Int32(900),
	})
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToString(got.Audience) != uniqueID || aws.ToString(got.Provider) != "accounts.google.com" || aws.ToString(got.SubjectFromWebIdentityToken) != uniqueID {
		t.Errorf("audience %s, provider %s, subject %s", aws.ToString(got.Audience), aws.ToString(got.Provider), aws.ToString(got.SubjectFromWebIdentityToken))
	}
	if left := got.Credentials.Expiration.Sub(w.now()); left > 15*time.Minute || left < 14*time.Minute {
		t.Errorf("good for %v, want 15m", left)
	}
	keys := Keys{AccessKeyID: *got.Credentials.AccessKeyId, SecretAccessKey: *got.Credentials.SecretAccessKey, SessionToken: *got.Credentials.SessionToken}
	me, err := sts.New(sts.Options{Region: irishReg, HTTPClient: w.client(), Credentials: static(keys), RetryMaxAttempts: 1}).GetCallerIdentity(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := "arn:aws:sts::111122223333:assumed-role/from-gcp/vm1"; aws.ToString(me.Arn) != want || aws.ToString(got.AssumedRoleUser.Arn) != want {
		t.Errorf("the session is %s and says it is %s, want %s", aws.ToString(got.AssumedRoleUser.Arn), aws.ToString(me.Arn), want)
	}
	if aws.ToString(me.UserId) != aws.ToString(got.AssumedRoleUser.AssumedRoleId) {
		t.Errorf("user id %s, want %s", aws.ToString(me.UserId), aws.ToString(got.AssumedRoleUser.AssumedRoleId))
	}
}

// Which claim answers for which key: protocols differ by how the token was made.
func TestGoogleConditionKeys(t *testing.T) {
	t.Parallel()
	const email = "app@demo-proj.iam.gserviceaccount.com"
	for name, c := range map[string]struct {
		token      map[string]any
		key, value string
		admitted   bool
	}{
		"aud is azp":                          {nil, "accounts.google.com:aud", uniqueID, true},
		"aud is not the audience asked for":   {nil, "accounts.google.com:aud", audience, false},
		"oaud is the audience asked for":      {nil, "accounts.google.com:oaud", audience, true},
		"oaud is not azp":                     {nil, "accounts.google.com:oaud", uniqueID, false},
		"aud is aud when there is no azp":     {map[string]any{"azp": nil}, "accounts.google.com:aud", audience, true},
		"azp of a JWT bearer is the e-mail":   {map[string]any{"azp": email}, "accounts.google.com:aud", email, true},
		"sub":                                 {nil, "accounts.google.com:sub", uniqueID, true},
		"sub is not the e-mail":               {nil, "accounts.google.com:sub", email, false},
		"email":                               {nil, "accounts.google.com:email", email, true},
		"the session's name":                  {nil, "sts:RoleSessionName", "vm1", true},
		"another session's name":              {nil, "sts:RoleSessionName", "vm2", false},
		"the federated provider":              {nil, "aws:FederatedProvider", "accounts.google.com", true},
		"a key the token has no claim for":    {nil, "accounts.google.com:hd", "example.com", false},
		"wrong audience, policy asks by oaud": {map[string]any{"aud": "https://elsewhere.example"}, "accounts.google.com:oaud", audience, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.role(Role{Account: home, Name: "from-gcp", Trust: googleTrust(c.key, c.value)})
			a := w.do(post(t, irish, webCall(w.googleToken(c.token))))
			if c.admitted {
				if a.Status != 200 {
					t.Errorf("refused with %s: %s", a.Code, a.Message)
				}
				return
			}
			w.wantRefusal(a, 403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
			if why := w.reason(); !strings.Contains(why, strings.ToLower(c.key)) && !strings.Contains(why, c.key) {
				t.Errorf("the journal does not name %s: %s", c.key, why)
			}
		})
	}
}

// AWS answers the same whatever is wrong with the role; the journal tells the reasons apart.
func TestWebIdentityAccessDeniedReadsTheSame(t *testing.T) {
	t.Parallel()
	tags := map[string]any{tagsClaim: map[string]any{"principal_tags": map[string]any{"team": []string{"data"}}}}
	for name, c := range map[string]struct {
		trust   string
		roleARN string
		token   map[string]any
		reason  string
	}{
		"no such role":         {robust, "arn:aws:iam::111122223333:role/other", nil, "exists"},
		"the path left out":    {robust, "arn:aws:iam::111122223333:role/team/from-gcp", nil, "exists"},
		"another subject":      {robust, target, map[string]any{"sub": "2"}, "accounts.google.com:sub"},
		"another provider":     {strings.Replace(robust, `"Federated":"accounts.google.com"`, `"Federated":"graph.facebook.com"`, 1), target, nil, "accounts.google.com"},
		"not this action":      {strings.Replace(robust, "sts:AssumeRoleWithWebIdentity", "sts:AssumeRole", 1), target, nil, "sts:AssumeRole"},
		"no sts:TagSession":    {robust, target, tags, "sts:TagSession"},
		"no SetSourceIdentity": {robust, target, map[string]any{sourceIdentityClaim: "alice"}, "sts:SetSourceIdentity"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.role(Role{Account: home, Name: "from-gcp", Trust: c.trust})
			w.wantRefusal(w.do(post(t, irish, webCall(w.googleToken(c.token), "RoleArn", c.roleARN))), 403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
			if why := w.reason(); !strings.Contains(why, c.reason) {
				t.Errorf("the journal says %q, want something about %q", why, c.reason)
			}
		})
	}
}

func TestWebIdentityTokenRefusals(t *testing.T) {
	t.Parallel()
	const notJWT = "The ID Token provided is not a valid JWT."
	const noKey = "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements"
	claim := func(name string, value any) func(*world) string {
		return func(w *world) string { return w.googleToken(map[string]any{name: value}) }
	}
	ago := func(d time.Duration) int64 { return time.Now().Add(-d).Unix() }
	for name, c := range map[string]struct {
		token         func(*world) string
		code, message string
	}{
		"an access token":      {func(*world) string { return "ya29.c.b0Aexample" }, "InvalidIdentityToken", notJWT},
		"garbage":              {func(*world) string { return "\x01garbage.garbage.garbage" }, "InvalidIdentityToken", notJWT},
		"truncated":            {func(w *world) string { s := w.googleToken(nil); return s[:len(s)/2] }, "InvalidIdentityToken", notJWT},
		"without a signature":  {func(w *world) string { s := w.googleToken(nil); return s[:strings.LastIndex(s, ".")+1] }, "InvalidIdentityToken", ""},
		"claims changed":       {func(w *world) string { return w.altered(map[string]any{"sub": "1"}) }, "InvalidIdentityToken", notJWT},
		"alg none":             {func(w *world) string { return w.forged("none", w.kid(), "") }, "InvalidIdentityToken", notJWT},
		"key confusion":        {func(w *world) string { return w.forged("HS256", w.kid(), w.publishedKey()) }, "InvalidIdentityToken", notJWT},
		"alg PS256":            {func(w *world) string { return w.forged("PS256", w.kid(), "") }, "InvalidIdentityToken", notJWT},
		"unknown key":          {func(w *world) string { return w.forged("RS256", "nobody's", "") }, "InvalidIdentityToken", noKey},
		"another issuer's key": {func(w *world) string { s, _ := w.github.Sign(w.claims(nil)); return s }, "InvalidIdentityToken", ""},
		"expired":              {claim("exp", ago(time.Second)), "ExpiredTokenException", "Token expired: current date/time "},
		"too old": {func(w *world) string { return w.googleToken(map[string]any{"iat": ago(25 * time.Hour)}) },
			"InvalidIdentityToken", "Token too old: 900"},
		"iat ahead":           {claim("iat", ago(-time.Hour)), "InvalidIdentityToken", "not yet valid"},
		"nbf ahead":           {claim("nbf", ago(-time.Hour)), "InvalidIdentityToken", "not yet valid"},
		"nbf 6 min ahead":     {claim("nbf", ago(-6*time.Minute)), "InvalidIdentityToken", "not yet valid"},
		"exp a fraction":      {claim("exp", json.Number("1999999999.5")), "InvalidIdentityToken", notJWT},
		"exp a string":        {claim("exp", "1999999999"), "InvalidIdentityToken", notJWT},
		"iat a fraction":      {claim("iat", json.Number("1795316645.25")), "InvalidIdentityToken", notJWT},
		"exp beyond 64 bits":  {claim("exp", json.Number("99999999999999999999")), "InvalidIdentityToken", notJWT},
		"no exp":              {claim("exp", nil), "InvalidIdentityToken", "Missing a required claim: exp"},
		"no iat":              {claim("iat", nil), "InvalidIdentityToken", "Missing a required claim: iat"},
		"no sub":              {claim("sub", nil), "InvalidIdentityToken", "Missing a required claim: sub"},
		"no aud":              {claim("aud", nil), "InvalidIdentityToken", "Missing a required claim: aud"},
		"no iss":              {claim("iss", nil), "InvalidIdentityToken", "Missing a required claim: iss"},
		"aud a number":        {claim("aud", 1), "InvalidIdentityToken", notJWT},
		"aud a mixed list":    {claim("aud", []any{"a", 1}), "InvalidIdentityToken", notJWT},
		"an unknown issuer":   {claim("iss", "https://issuer.example"), "InvalidIdentityToken", "No OpenIDConnect provider found in your account for https://issuer.example"},
		"a slash too many":    {claim("iss", "https://accounts.google.com/"), "InvalidIdentityToken", "No OpenIDConnect provider found in your account for https://accounts.google.com/"},
		"an issuer over http": {claim("iss", "http://accounts.google.com"), "InvalidIdentityToken", "No OpenIDConnect provider found in your account for http://accounts.google.com"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.role(Role{Account: home, Name: "from-gcp", Trust: robust})
			token := c.token(w)
			w.wantRefusal(w.do(post(t, irish, webCall(token))), 400, c.code, c.message)
			if w.reason() == "" {
				t.Error("the journal does not say which check failed")
			}
		})
	}
}

// altered is a token of Google's whose claims were changed after signing.
func (w *world) altered(change map[string]any) string {
	parts := strings.Split(w.googleToken(nil), ".")
	parts[1] = base64.RawURLEncoding.EncodeToString([]byte(mustJSON(w.t, w.claims(change))))
	return strings.Join(parts, ".")
}

// forged is a token that Google never signed: with a secret it carries the HMAC of itself.
func (w *world) forged(alg, kid, secret string) string {
	enc := base64.RawURLEncoding.EncodeToString
	head := enc([]byte(mustJSON(w.t, map[string]string{"alg": alg, "kid": kid, "typ": "JWT"}))) + "." + enc([]byte(mustJSON(w.t, w.claims(nil))))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(head))
	return head + "." + enc(mac.Sum(nil))
}

// kid names the key that Google signs with now.
func (w *world) kid() string {
	header, _, err := oidc.Unverified(w.googleToken(nil))
	if err != nil {
		w.t.Fatal(err)
	}
	kid, _ := header["kid"].(string)
	return kid
}

// publishedKey is what anyone can read of Google's key, the secret of a key confusion.
func (w *world) publishedKey() string {
	resp, err := w.client().Get("https://accounts.google.com/.well-known/jwks.json")
	if err != nil {
		w.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(body)
}

func TestWebIdentityParameterRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change        []string
		code, message string
	}{
		"illegal session name": {[]string{"RoleSessionName", "a b"}, "ValidationError",
			`1 validation error detected: Value 'a b' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]*`},
		"session name not ASCII":  {[]string{"RoleSessionName", "zoë"}, "ValidationError", "Member must satisfy regular expression pattern"},
		"session name too short":  {[]string{"RoleSessionName", "a"}, "ValidationError", "Member must have length greater than or equal to 2"},
		"session name too long":   {[]string{"RoleSessionName", strings.Repeat("a", 65)}, "ValidationError", "Member must have length less than or equal to 64"},
		"no session name":         {[]string{"RoleSessionName", ""}, "ValidationError", "Value null at 'roleSessionName' failed to satisfy constraint: Member must not be null"},
		"no role":                 {[]string{"RoleArn", ""}, "ValidationError", "Value null at 'roleArn'"},
		"a short role ARN":        {[]string{"RoleArn", "arn:aws:iam::1"}, "ValidationError", "Member must have length greater than or equal to 20"},
		"a session's ARN":         {[]string{"RoleArn", "arn:aws:sts::111122223333:assumed-role/from-gcp/x"}, "ValidationError", "is invalid"},
		"no token":                {[]string{"WebIdentityToken", ""}, "ValidationError", "at 'webIdentityToken' failed to satisfy constraint: Member must not be null"},
		"a short token":           {[]string{"WebIdentityToken", "abc"}, "ValidationError", "Value at 'webIdentityToken' failed to satisfy constraint: Member must have length greater than or equal to 4"},
		"a long token":            {[]string{"WebIdentityToken", strings.Repeat("a", 20001)}, "ValidationError", "Value at 'webIdentityToken' failed to satisfy constraint: Member must have length less than or equal to 20000"},
		"two faults":              {[]string{"RoleSessionName", "a", "DurationSeconds", "1"}, "ValidationError", "2 validation errors detected: "},
		"duration under 15m":      {[]string{"DurationSeconds", "899"}, "ValidationError", "Value '899' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900"},
		"duration over 12h":       {[]string{"DurationSeconds", "43201"}, "ValidationError", "Member must have value less than or equal to 43200"},
		"duration no number":      {[]string{"DurationSeconds", "1h"}, "ValidationError", "at 'durationSeconds'"},
		"duration over the role":  {[]string{"DurationSeconds", "3601"}, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."},
		"a provider id":           {[]string{"ProviderId", "accounts.google.com"}, "ValidationError", "ProviderId"},
		"policy no JSON":          {[]string{"Policy", "{"}, "MalformedPolicyDocument", "The policy is not in the valid JSON format."},
		"policy not a policy":     {[]string{"Policy", `{"Version":"2012-10-17"}`}, "MalformedPolicyDocument", "Syntax errors in policy."},
		"policy too long":         {[]string{"Policy", `"` + strings.Repeat("x", 2048) + `"`}, "ValidationError", "at 'policy' failed to satisfy constraint: Member must have length less than or equal to 2048"},
		"an unknown policy's ARN": {[]string{"PolicyArns.member.1.arn", "arn:aws:iam::aws:policy/Nothing"}, "ValidationError", "ARN arn:aws:iam::aws:policy/Nothing is not valid."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.role(Role{Account: home, Name: "from-gcp", Trust: robust})
			w.wantRefusal(w.do(post(t, irish, webCall(w.googleToken(nil), c.change...))), 400, c.code, c.message)
		})
	}
}

func TestWebIdentityRefusesASignedCall(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*world, *http.Request){
		"Authorization": func(w *world, r *http.Request) {
			r.Header.Set("Authorization", w.signed(w.session(etlARN), irishReg, irish, "", 0).Header.Get("Authorization"))
		},
		"X-Amz-Security-Token": func(w *world, r *http.Request) { r.Header.Set("X-Amz-Security-Token", w.session(etlARN).SessionToken) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.role(Role{Account: home, Name: "from-gcp", Trust: robust})
			r := post(t, irish, webCall(w.googleToken(nil)))
			change(w, r)
			w.wantRefusal(w.do(r), 400, "InvalidIdentityToken", "Couldn't retrieve verification key")
			if why := w.reason(); !strings.Contains(why, name) {
				t.Errorf("the journal does not name the header: %s", why)
			}
		})
	}
}

func TestRegisteredProvider(t *testing.T) {
	t.Parallel()
	const (
		issuer = "https://token.actions.githubusercontent.com"
		arn    = "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"
		trust  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"` + arn + `"},"Action":"sts:AssumeRoleWithWebIdentity",
			"Condition":{"StringEquals":{"token.actions.githubusercontent.com:aud":"sts.amazonaws.com","token.actions.githubusercontent.com:sub":"repo:o/r:ref:refs/heads/main"}}}]}`
	)
	good := map[string]any{"iss": issuer, "aud": "sts.amazonaws.com", "sub": "repo:o/r:ref:refs/heads/main", "azp": nil, "email": nil}
	for name, c := range map[string]struct {
		clientIDs     []string
		change        map[string]any
		down          http.Handler
		status        int
		code, message string
	}{
		"good":                     {[]string{"sts.amazonaws.com"}, nil, nil, 200, "", ""},
		"not registered":           {nil, nil, nil, 400, "InvalidIdentityToken", "No OpenIDConnect provider found in your account for " + issuer},
		"wrong aud":                {[]string{"other"}, nil, nil, 400, "InvalidIdentityToken", "Incorrect token audience"},
		"azp decides when present": {[]string{"sts.amazonaws.com"}, map[string]any{"azp": "someone"}, nil, 400, "InvalidIdentityToken", "Incorrect token audience"},
		"an aud out of several":    {[]string{"sts.amazonaws.com"}, map[string]any{"aud": []string{"x", "sts.amazonaws.com"}}, nil, 200, "", ""},
		"another subject":          {[]string{"sts.amazonaws.com"}, map[string]any{"sub": "repo:o/r:pull_request"}, nil, 403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"},
		"issuer answers nonsense":  {[]string{"sts.amazonaws.com"}, nil, http.NotFoundHandler(), 400, "InvalidIdentityToken", "Couldn't retrieve verification key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.role(Role{Account: home, Name: "from-gcp", Trust: trust})
			if c.clientIDs != nil {
				if err := w.cloud.AddOIDCProvider(home, issuer, c.clientIDs...); err != nil {
					t.Fatal(err)
				}
			}
			if c.down != nil {
				w.extra["token.actions.githubusercontent.com"] = c.down
			}
			claims := w.claims(good)
			maps.Copy(claims, c.change)
			token, err := w.github.Sign(claims)
			if err != nil {
				t.Fatal(err)
			}
			a := w.do(post(t, irish, webCall(token+"\n"))) // as a token file is sent
			if c.status != 200 {
				w.wantRefusal(a, c.status, c.code, c.message)
			} else if a.Status != 200 || !strings.Contains(a.Body, "<Provider>"+arn+"</Provider>") {
				t.Errorf("got %d\n%s", a.Status, a.Body)
			}
		})
	}
}

func TestWebIdentityIssuerUnreachable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.role(Role{Account: home, Name: "from-gcp", Trust: robust})
	delete(w.extra, "accounts.google.com")
	client := sts.New(sts.Options{Region: irishReg, HTTPClient: w.client(), RetryMaxAttempts: 1})
	_, err := client.AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: aws.String(target), RoleSessionName: aws.String("vm1"), WebIdentityToken: aws.String(w.googleToken(nil)),
	})
	if api, ok := errors.AsType[smithy.APIError](err); !ok || api.ErrorCode() != "IDPCommunicationError" {
		t.Errorf("got %v, want IDPCommunicationError", err)
	}
}

func TestWebIdentityTagsAndSourceIdentity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.role(Role{Account: home, Name: "from-gcp", Permissions: everything, Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"accounts.google.com"},
		"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession","sts:SetSourceIdentity"],
		"Condition":{"StringEquals":{"aws:RequestTag/team":"data","sts:SourceIdentity":"alice"},"ForAllValues:StringEquals":{"sts:TransitiveTagKeys":["team"]}}}]}`})
	token := w.googleToken(map[string]any{
		sourceIdentityClaim: "alice",
		tagsClaim:           map[string]any{"principal_tags": map[string]any{"team": []string{"data"}}, "transitive_tag_keys": []string{"team"}},
	})
	a := w.do(post(t, irish, webCall(token)))
	if a.Status != 200 || !strings.Contains(a.Body, "<SourceIdentity>alice</SourceIdentity>") || !strings.Contains(a.Body, "<PackedPolicySize>") {
		t.Errorf("got %d\n%s", a.Status, a.Body)
	}
	for name, tags := range map[string]any{
		"two values":    map[string]any{"principal_tags": map[string]any{"team": []string{"a", "b"}}},
		"not a list":    map[string]any{"principal_tags": map[string]any{"team": "a"}},
		"not an object": "x",
	} {
		t.Run(name, func(t *testing.T) {
			w.wantRefusal(w.do(post(t, irish, webCall(w.googleToken(map[string]any{tagsClaim: tags})))), 400, "InvalidIdentityToken", "session tags")
		})
	}
}
