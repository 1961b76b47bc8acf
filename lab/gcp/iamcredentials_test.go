// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stile-project/stile/lab/oidc"
)

const (
	impersonate   = "roles/iam.workloadIdentityUser"
	createTokens  = "roles/iam.serviceAccountTokenCreator"
	readerAccount = "serviceAccounts/" + readerEmail
	tokenBody     = `{"scope":["https://www.googleapis.com/auth/cloud-platform"]}`
)

func methodURL(ref, method string) string {
	return "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + ref + ":" + method
}

// credentials calls a method on the reader.
func (w *world) credentials(token, method, body string) reply {
	w.t.Helper()
	return w.request(http.MethodPost, methodURL(readerEmail, method), token, body)
}

func TestImpersonation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.Grant(readerAccount, impersonate, roleMember))
	got := w.want(w.credentials(w.federated(), "generateAccessToken", tokenBody), http.StatusOK)
	if want := "2026-11-22T04:04:05Z"; got.field(t, "expireTime") != want {
		t.Errorf("expireTime is %v, want %s", got.field(t, "expireTime"), want)
	}
	if text, _ := got.field(t, "accessToken").(string); !strings.HasPrefix(text, "ya29.c.") {
		t.Errorf("the token does not start ya29.c.: %s", got.body)
	}
}

func TestImpersonationByEveryMember(t *testing.T) {
	t.Parallel()
	pool := "iam.googleapis.com/" + testPool
	for name, member := range map[string]string{
		"subject": "principal://" + pool + "/subject/" + testARN,
		"role":    roleMember,
		"pool":    "principalSet://" + pool + "/*",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.must(w.Grant(readerAccount, impersonate, member))
			w.want(w.credentials(w.federated(scopeIAM), "generateAccessToken", tokenBody), http.StatusOK)
		})
	}
}

func TestImpersonationRefusesMissingBinding(t *testing.T) {
	t.Parallel()
	const denied = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist)."
	pool := "principalSet://iam.googleapis.com/" + testPool
	for name, grant := range map[string]struct{ role, member string }{
		"none at all":             {"", ""},
		"an IAM role's ARN":       {impersonate, pool + "/attribute.aws_role/arn:aws:iam::111122223333:role/etl-role"},
		"the path of a role":      {impersonate, pool + "/attribute.aws_role/arn:aws:sts::111122223333:assumed-role/team/etl-role"},
		"another role":            {impersonate, roleMember + "-2"},
		"another pool":            {impersonate, strings.Replace(roleMember, "aws-pool", "oidc-pool", 1)},
		"an attribute not mapped": {impersonate, pool + "/attribute.account/111122223333"},
		"a role that opens less":  {"roles/iam.serviceAccountOpenIdTokenCreator", roleMember},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if grant.role != "" {
				w.must(w.Grant(readerAccount, grant.role, grant.member))
			}
			got := w.credentials(w.federated(), "generateAccessToken", tokenBody)
			w.wantAPI(got, http.StatusForbidden, "PERMISSION_DENIED", denied)
			if why := w.lastFailure(); strings.Contains(grant.member, "arn:aws:iam") && !strings.Contains(why, grant.member+", which is somebody else") {
				t.Errorf("the journal does not show the binding that misses: %s", why)
			}
			if got.field(t, "error.details.0.reason") != "IAM_PERMISSION_DENIED" {
				t.Errorf("the details do not say IAM_PERMISSION_DENIED: %s", got.body)
			}
		})
	}
}

func TestMissingAccountLooksLikeMissingBinding(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.request(http.MethodPost, methodURL("nobody@demo-proj.iam.gserviceaccount.com", "generateAccessToken"), w.federated(), tokenBody)
	w.wantAPI(got, http.StatusForbidden, "PERMISSION_DENIED", "(or it may not exist)")
}

func TestGrantsSpreadSlowly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.SetPropagation(2 * time.Minute)
	w.must(w.Grant(readerAccount, impersonate, roleMember))
	token := w.federated()
	w.want(w.credentials(token, "generateAccessToken", tokenBody), http.StatusForbidden)
	if why := w.lastFailure(); !strings.Contains(why, "not spread yet") {
		t.Errorf("the journal does not tell a slow grant from a missing one: %s", why)
	}
	w.clock.Advance(2 * time.Minute)
	w.want(w.credentials(token, "generateAccessToken", tokenBody), http.StatusOK)
	w.must(w.Revoke(readerAccount, impersonate, roleMember))
	w.want(w.credentials(token, "generateAccessToken", tokenBody), http.StatusForbidden)
}

func TestAccessTokenRequests(t *testing.T) {
	t.Parallel()
	const invalid = "Request contains an invalid argument."
	tooLong := "Access tokens for service account " + readerEmail + " can not have lifetimes of more than 1 hour."
	for name, c := range map[string]struct {
		body    string
		status  int
		message string
	}{
		"a shorter life":          {`{"scope":["openid"],"lifetime":"600s"}`, http.StatusOK, ""},
		"null for a lifetime":     {`{"scope":["openid"],"lifetime":null}`, http.StatusOK, ""},
		"no scope":                {`{}`, http.StatusBadRequest, invalid},
		"no body":                 {``, http.StatusBadRequest, invalid},
		"a scope of nobody":       {`{"scope":["cloud-platform"]}`, http.StatusBadRequest, invalid},
		"over an hour":            {`{"scope":["openid"],"lifetime":"3601s"}`, http.StatusBadRequest, tooLong},
		"over any hour":           {`{"scope":["openid"],"lifetime":"999999999999s"}`, http.StatusBadRequest, tooLong},
		"a lifetime with no s":    {`{"scope":["openid"],"lifetime":"3600"}`, http.StatusBadRequest, invalid},
		"no lifetime to speak of": {`{"scope":["openid"],"lifetime":"0s"}`, http.StatusBadRequest, invalid},
		"a negative lifetime":     {`{"scope":["openid"],"lifetime":"-1s"}`, http.StatusBadRequest, invalid},
		"a lifetime as a number":  {`{"scope":["openid"],"lifetime":3600}`, http.StatusBadRequest, "Invalid value at 'lifetime'"},
		"scope a string":          {`{"scope":"openid"}`, http.StatusBadRequest, "Invalid value at 'scope'"},
		"an unknown field":        {`{"scope":["openid"],"audience":"x"}`, http.StatusBadRequest, `Unknown name "audience": Cannot find field.`},
		"a field twice":           {`{"scope":["openid"],"scope":["email"]}`, http.StatusBadRequest, "Invalid JSON payload"},
		"cut off":                 {`{"scope":["openid"`, http.StatusBadRequest, "Invalid JSON payload"},
		"not UTF-8":               {"{\"scope\":[\"\xff\"]}", http.StatusBadRequest, "Invalid JSON payload"},
		"nested deeply":           {strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000), http.StatusBadRequest, "Invalid JSON payload"},
		"10 MB":                   {strings.Repeat(" ", 10<<20), http.StatusRequestEntityTooLarge, "payload size"},
		"a delegate in a project": {`{"scope":["openid"],"delegates":["projects/demo-proj/serviceAccounts/x@y"]}`, http.StatusBadRequest, invalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.must(w.Grant(readerAccount, impersonate, roleMember))
			got := w.want(w.credentials(w.federated(), "generateAccessToken", c.body), c.status)
			if message, _ := got.field(t, "error.message").(string); !strings.Contains(message, c.message) {
				t.Errorf("got message %q, want %q", message, c.message)
			}
		})
	}
}

func TestLongTokensForListedAccounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.Grant(readerAccount, impersonate, roleMember))
	w.must(w.AllowLongTokens(readerEmail))
	got := w.want(w.credentials(w.federated(), "generateAccessToken", `{"scope":["openid"],"lifetime":"43200s"}`), http.StatusOK)
	if want := "2026-11-22T15:04:05Z"; got.field(t, "expireTime") != want {
		t.Errorf("expireTime is %v, want %s", got.field(t, "expireTime"), want)
	}
	w.want(w.credentials(w.federated(), "generateAccessToken", `{"scope":["openid"],"lifetime":"43201s"}`), http.StatusBadRequest)
}

func TestCredentialsNeedGoodTokens(t *testing.T) {
	t.Parallel()
	const bad = "Request had invalid authentication credentials. Expected OAuth 2 access token"
	for name, c := range map[string]struct {
		token   func(*world) string
		status  int
		code    string
		message string
		reason  string
	}{
		"none":    {func(*world) string { return "" }, 401, "UNAUTHENTICATED", "Request is missing required authentication credential.", "CREDENTIALS_MISSING"},
		"made up": {func(*world) string { return "ya29.d.x" }, 401, "UNAUTHENTICATED", bad, "ACCESS_TOKEN_TYPE_UNSUPPORTED"},
		"expired": {func(w *world) string {
			token := w.federated()
			w.clock.Advance(time.Hour)
			return token
		}, 401, "UNAUTHENTICATED", bad, "ACCESS_TOKEN_EXPIRED"},
		"of a pool disabled since": {func(w *world) string {
			token := w.federated()
			w.must(w.SetPoolDisabled(testProject, "aws-pool", true))
			return token
		}, 401, "UNAUTHENTICATED", bad, "ACCESS_TOKEN_REVOKED"},
		"with a narrow scope": {func(w *world) string { return w.federated("https://www.googleapis.com/auth/devstorage.read_only") },
			403, "PERMISSION_DENIED", "Request had insufficient authentication scopes.", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.must(w.Grant(readerAccount, impersonate, roleMember))
			got := w.credentials(c.token(w), "generateAccessToken", tokenBody)
			w.wantAPI(got, c.status, c.code, c.message)
			if got.field(t, "error.details.0.reason") != c.reason {
				t.Errorf("the reason is %v, want %s", got.field(t, "error.details.0.reason"), c.reason)
			}
			if got.header.Get("WWW-Authenticate") == "" {
				t.Error("there is no WWW-Authenticate")
			}
		})
	}
}

// A disabled provider stops new exchanges and leaves the tokens that are out; a pool enabled again revives its tokens.
func TestTokensOutliveProviderNotPool(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.Grant(readerAccount, impersonate, roleMember))
	token := w.federated()
	w.must(w.AddProvider(Provider{Project: testProject, Pool: "aws-pool", ID: "aws-prov", AWSAccount: testAccount, Disabled: true}))
	w.want(w.credentials(token, "generateAccessToken", tokenBody), http.StatusOK)
	w.must(w.SetPoolDisabled(testProject, "aws-pool", true))
	w.want(w.credentials(token, "generateAccessToken", tokenBody), http.StatusUnauthorized)
	w.must(w.SetPoolDisabled(testProject, "aws-pool", false))
	w.want(w.credentials(token, "generateAccessToken", tokenBody), http.StatusOK)
}

func TestGenerateIDToken(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		body  string
		email bool
	}{
		"plain":       {`{"audience":"sts.amazonaws.com"}`, false},
		"with e-mail": {`{"audience":"sts.amazonaws.com","includeEmail":true,"organizationNumberIncluded":true}`, true},
		"snake case":  {`{"audience":"sts.amazonaws.com","include_email":true}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.must(w.Grant(readerAccount, impersonate, roleMember))
			got := w.want(w.credentials(w.federated(), "generateIdToken", c.body), http.StatusOK)
			want := map[string]any{"iss": issuerURL, "aud": "sts.amazonaws.com", "azp": w.reader.UniqueID, "sub": w.reader.UniqueID,
				"iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
			if c.email {
				want["email"], want["email_verified"] = readerEmail, true
			}
			wantClaims(t, w, got.field(t, "token").(string), want)
		})
	}
	w := newWorld(t)
	w.must(w.Grant(readerAccount, impersonate, roleMember))
	w.wantAPI(w.credentials(w.federated(), "generateIdToken", `{"audience":""}`), http.StatusBadRequest, "INVALID_ARGUMENT", "")
}

// wantClaims verifies an ID token against Google's published keys, and compares its claims.
func wantClaims(t *testing.T, w *world, raw string, want map[string]any) {
	t.Helper()
	claims, err := oidc.Verifier{Net: viaHandlers{w}}.Verify(t.Context(), issuerURL, raw)
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range claims {
		if when, ok := unixTime(v); ok {
			claims[name] = when.Unix()
		}
	}
	if diff := cmp.Diff(want, claims); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}

// viaHandlers reaches Google as the world does: by host name.
type viaHandlers struct{ w *world }

func (v viaHandlers) RoundTrip(r *http.Request) (*http.Response, error) {
	h, _ := v.w.Handler(r.URL.Host)
	page := &pageWriter{header: http.Header{}, status: http.StatusOK}
	h.ServeHTTP(page, r)
	return xmlResponse(page.status, page.body.String()), nil
}

func TestSigning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.Grant(readerAccount, createTokens, roleMember))
	token := w.federated()

	signed := w.want(w.credentials(token, "signJwt", `{"payload":"{\"sub\":\"x\",\"exp\":1795320245}"}`), http.StatusOK)
	if !w.signedBy(readerEmail, signed.field(t, "signedJwt").(string)) {
		t.Error("the JWT is not signed with a key of the account")
	}

	blob := w.want(w.credentials(token, "signBlob", `{"payload":"aGVsbG8="}`), http.StatusOK)
	signature, err := base64.StdEncoding.DecodeString(blob.field(t, "signedBlob").(string))
	w.must(err)
	set, _ := w.publicKeys(readerEmail)
	sum := sha256.Sum256([]byte("hello"))
	if err := rsa.VerifyPKCS1v15(set.Keys[0].Key.(*rsa.PublicKey), crypto.SHA256, sum[:], signature); err != nil {
		t.Errorf("the signature does not verify: %v", err)
	}
	keys := w.want(w.request(http.MethodGet, "https://www.googleapis.com/service_accounts/v1/jwk/"+readerEmail, "", ""), http.StatusOK)
	if keys.field(t, "keys.0.kid") != blob.field(t, "keyId") || strings.Contains(keys.body, `"d"`) {
		t.Errorf("the published key is not the one that signed, or it is private: %s", keys.body)
	}
}

func TestSigningRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		role, method, body string
		status             int
	}{
		"workloadIdentityUser does not sign JWTs":  {impersonate, "signJwt", `{"payload":"{}"}`, http.StatusForbidden},
		"workloadIdentityUser does not sign bytes": {impersonate, "signBlob", `{"payload":"aGVsbG8="}`, http.StatusForbidden},
		"claims that are no JSON":                  {createTokens, "signJwt", `{"payload":"x"}`, http.StatusBadRequest},
		"exp over 12 h ahead":                      {createTokens, "signJwt", `{"payload":"{\"exp\":1795359846}"}`, http.StatusBadRequest},
		"exp in the past":                          {createTokens, "signJwt", `{"payload":"{\"exp\":1795316644}"}`, http.StatusBadRequest},
		"bytes that are not base64":                {createTokens, "signBlob", `{"payload":"!"}`, http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.must(w.Grant(readerAccount, c.role, roleMember))
			w.want(w.credentials(w.federated(), c.method, c.body), c.status)
		})
	}
}

func TestDelegation(t *testing.T) {
	t.Parallel()
	const first, second = "hop-number-one", "hop-number-two"
	email := func(name string) string { return name + "@demo-proj.iam.gserviceaccount.com" }
	body := `{"scope":["openid"],"delegates":["projects/-/serviceAccounts/` + email(first) + `","projects/-/serviceAccounts/` + email(second) + `"]}`
	type grant struct{ on, role, member string }
	whole := []grant{
		{email(first), createTokens, roleMember},
		{email(second), createTokens, "serviceAccount:" + email(first)},
		{readerEmail, createTokens, "serviceAccount:" + email(second)},
	}
	for name, c := range map[string]struct {
		grants     []grant
		permission string // that is missing
	}{
		"the whole chain":      {whole, ""},
		"the first link":       {whole[1:], permImplicitDelegation},
		"the middle link":      {[]grant{whole[0], whole[2]}, permImplicitDelegation},
		"the last link":        {whole[:2], permGetAccessToken},
		"a link that is short": {[]grant{{email(first), impersonate, roleMember}, whole[1], whole[2]}, permImplicitDelegation},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for _, hop := range []string{first, second} {
				_, err := w.AddServiceAccount(testProject, hop)
				w.must(err)
			}
			for _, g := range c.grants {
				w.must(w.Grant("serviceAccounts/"+g.on, g.role, g.member))
			}
			got := w.credentials(w.federated(), "generateAccessToken", body)
			if c.permission == "" {
				w.want(got, http.StatusOK)
				return
			}
			w.wantAPI(got, http.StatusForbidden, "PERMISSION_DENIED", "Permission '"+c.permission+"' denied")
		})
	}
}

func TestCredentialsPathWantsWildcard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.Grant(readerAccount, impersonate, roleMember))
	address := strings.Replace(methodURL(readerEmail, "generateAccessToken"), "/-/", "/demo-proj/", 1)
	w.wantAPI(w.request(http.MethodPost, address, w.federated(), tokenBody), http.StatusBadRequest, "INVALID_ARGUMENT", "")
	// The account may be named by its number too.
	w.want(w.request(http.MethodPost, methodURL(w.reader.UniqueID, "generateAccessToken"), w.federated(), tokenBody), http.StatusOK)
}
