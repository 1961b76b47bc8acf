// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func (w *world) refresh(change func(url.Values)) reply {
	w.t.Helper()
	u, ok := w.users["dev@example.com"]
	if !ok {
		_, err := w.AddUser("dev@example.com")
		w.must(err)
		u = w.users["dev@example.com"]
	}
	form := url.Values{"grant_type": {grantRefresh}, "client_id": {u.ClientID}, "client_secret": {u.ClientSecret}, "refresh_token": {u.RefreshToken}}
	change(form)
	return w.postForm(tokenURL, form)
}

func TestRefreshToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.want(w.refresh(func(url.Values) {}), http.StatusOK)
	token, _ := got.field(t, "access_token").(string)
	identity := claimsOf(t, got.field(t, "id_token").(string))
	if got.field(t, "expires_in") != 3599.0 || identity["email"] != "dev@example.com" || identity["aud"] != gcloudClient {
		t.Errorf("got %s", got.body)
	}
	read := "https://storage.googleapis.com/storage/v1/b/demo-bucket/o/reports%2F2026.csv"
	w.want(w.request(http.MethodGet, read, token, ""), http.StatusForbidden)
	w.must(w.Grant("buckets/demo-bucket", "roles/storage.objectViewer", "user:dev@example.com"))
	w.want(w.request(http.MethodGet, read, token, ""), http.StatusOK)
}

func TestRefreshTokenRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	set := func(name, value string) func(url.Values) { return func(f url.Values) { f.Set(name, value) } }
	w.wantOAuth(w.refresh(set("client_id", "other")), http.StatusUnauthorized, "invalid_client", textClient)
	w.wantOAuth(w.refresh(set("client_secret", "other")), http.StatusUnauthorized, "invalid_client", textSecret)
	w.wantOAuth(w.refresh(set("refresh_token", "")), http.StatusBadRequest, invalidRequest, textRefresh)
	w.wantOAuth(w.refresh(set("refresh_token", "1//other")), http.StatusBadRequest, invalidGrant, textRevoked)
	w.wantOAuth(w.refresh(set("grant_type", "password")), http.StatusBadRequest, "unsupported_grant_type", "password")
	w.must(w.RevokeUser("dev@example.com"))
	w.wantOAuth(w.refresh(func(url.Values) {}), http.StatusBadRequest, invalidGrant, textRevoked)
}

func TestUsersAreSetUpStrictly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u, err := w.AddUser("dev@example.com")
	w.must(err)
	var file map[string]string
	w.must(json.Unmarshal(u.File(), &file))
	if file["type"] != "authorized_user" || file["refresh_token"] != u.RefreshToken {
		t.Errorf("the file is %v", file)
	}
	for name, err := range map[string]error{
		"twice":             second(w.AddUser("dev@example.com")),
		"a service account": second(w.AddUser(readerEmail)),
		"no e-mail":         second(w.AddUser("dev")),
		"revoking nobody":   w.RevokeUser("other@example.com"),
		"granting nobody":   w.Grant("buckets/demo-bucket", "roles/storage.admin", "user:other@example.com"),
	} {
		if err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }

const workforceProvider = resourceHost + "locations/global/workforcePools/staff-pool/providers/staff-oidc"

// workforce makes a pool for people of the test's issuer, and gives a token of one of them.
func (w *world) workforce() string {
	w.t.Helper()
	w.must(w.AddWorkforcePool("staff-pool"))
	w.must(w.AddWorkforceProvider(WorkforceProvider{Pool: "staff-pool", ID: "staff-oidc", Issuer: testIssuer, ClientID: "stile", Mapping: map[string]string{"google.subject": "assertion.sub"}, Condition: "assertion.sub != 'mallory'"}))
	return w.person("alice")
}

func (w *world) person(name string) string {
	w.t.Helper()
	now := w.clock.Now()
	raw, err := w.issuer.Sign(map[string]any{"iss": testIssuer, "aud": "stile", "sub": name, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()})
	w.must(err)
	return raw
}

func workforceForm(token, options string) url.Values {
	form := exchangeForm(token)
	form.Set("audience", workforceProvider)
	form.Set("subject_token_type", typeIDToken)
	if options != "" {
		form.Set("options", options)
	}
	return form
}

func TestWorkforce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := w.workforce()
	charged := `{"userProject":"` + testProject + `"}`
	got := w.want(w.exchangeWith(workforceForm(token, charged)), http.StatusOK).field(t, "access_token").(string)
	alice := "principal://iam.googleapis.com/locations/global/workforcePools/staff-pool/subject/alice"
	w.must(w.Grant("projects/"+testProject, "roles/browser", alice))
	project := "https://cloudresourcemanager.googleapis.com/v1/projects/" + testProject
	w.wantAPI(w.request(http.MethodGet, project, got, ""), http.StatusForbidden, "PERMISSION_DENIED", "serviceusage.services.use")
	w.must(w.Grant("projects/"+testProject, "roles/serviceusage.serviceUsageConsumer", alice))
	w.want(w.request(http.MethodGet, project, got, ""), http.StatusOK)

	w.wantOAuth(w.exchangeWith(workforceForm(token, "")), http.StatusBadRequest, invalidRequest, "userProject")
	w.wantOAuth(w.exchangeWith(workforceForm(token, `{"userProject":7}`)), http.StatusBadRequest, invalidRequest, "userProject")
	w.wantOAuth(w.exchangeWith(workforceForm(token, `{"userProject":"`+strings.Repeat("a", 33)+`"}`)), http.StatusBadRequest, invalidRequest, "userProject")
	w.wantOAuth(w.exchangeWith(workforceForm(w.person("mallory"), charged)), http.StatusBadRequest, unauthorizedClient, textCondition)
	gone := workforceForm(token, charged)
	gone.Set("audience", strings.Replace(workforceProvider, "staff-oidc", "gone", 1))
	w.wantOAuth(w.exchangeWith(gone), http.StatusBadRequest, invalidTarget, textTarget)
	gone.Set("audience", strings.Replace(workforceProvider, "staff-pool", "gone-pool", 1))
	w.wantOAuth(w.exchangeWith(gone), http.StatusBadRequest, invalidTarget, textTarget)
	workload := exchangeForm(w.subjectToken(tokenRecipe{}))
	workload.Set("options", charged)
	w.wantOAuth(w.exchangeWith(workload), http.StatusBadRequest, invalidRequest, "workforce")
}

func TestWorkforceIsSetUpStrictly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.workforce()
	with := func(change func(*WorkforceProvider)) error {
		p := WorkforceProvider{Pool: "staff-pool", ID: "more", Issuer: testIssuer, ClientID: "c", Mapping: map[string]string{"google.subject": "assertion.sub"}}
		change(&p)
		return w.AddWorkforceProvider(p)
	}
	for name, err := range map[string]error{
		"a short pool":    w.AddWorkforcePool("staff"),
		"a pool twice":    w.AddWorkforcePool("staff-pool"),
		"no pool":         with(func(p *WorkforceProvider) { p.Pool = "none-pool" }),
		"a short id":      with(func(p *WorkforceProvider) { p.ID = "a" }),
		"no client":       with(func(p *WorkforceProvider) { p.ClientID = "" }),
		"no mapping":      with(func(p *WorkforceProvider) { p.Mapping = nil }),
		"no TLS":          with(func(p *WorkforceProvider) { p.Issuer = "http://issuer.example" }),
		"member of kinds": w.Grant("buckets/demo-bucket", "roles/storage.admin", "principal://iam.googleapis.com/locations/global/workforcePools/"),
	} {
		if err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

const viewer = `"availablePermissions":["inRole:roles/storage.objectViewer"]`

func boundaryOf(rules ...string) string {
	return `{"accessBoundary":{"accessBoundaryRules":[` + strings.Join(rules, ",") + `]}}`
}

func ruleOn(bucket, permissions, condition string) string {
	if condition != "" {
		condition = `,"availabilityCondition":{"expression":"` + condition + `"}`
	}
	return `{"availableResource":"//storage.googleapis.com/projects/_/buckets/` + bucket + `",` + permissions + condition + `}`
}

// bound asks for a token of the reader with less power.
func (w *world) bound(token, options string) reply {
	w.t.Helper()
	form := url.Values{"grant_type": {grantExchange}, "requested_token_type": {typeAccessToken}, "subject_token": {token}, "subject_token_type": {typeAccessToken}}
	if options != "" {
		form.Set("options", options)
	}
	return w.exchangeWith(form)
}

func (w *world) readerToken() string {
	return w.accountToken(w.reader, []string{scopePlatform}, w.clock.Now(), time.Hour)
}

func TestBoundaryIsEnforced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.AddBucket(testProject, "other-bucket"))
	w.must(w.PutObject("other-bucket", "x", []byte("x")))
	w.must(w.Grant("projects/"+testProject, "roles/storage.admin", "serviceAccount:"+readerEmail))
	const root = "https://storage.googleapis.com/storage/v1/b"
	requests := map[string][2]string{
		"get": {http.MethodGet, root + "/demo-bucket/o/reports%2F2026.csv"}, "list": {http.MethodGet, root + "/demo-bucket/o?prefix=reports/"}, "list all": {http.MethodGet, root + "/demo-bucket/o"},
		"XML get": {http.MethodGet, "https://storage.googleapis.com/demo-bucket/reports/2026.csv"}, "other": {http.MethodGet, root + "/other-bucket/o/x"}, "buckets": {http.MethodGet, root + "?project=" + testProject},
		"write": {http.MethodPost, "https://storage.googleapis.com/upload/storage/v1/b/demo-bucket/o?uploadType=media&name=new"}, "delete": {http.MethodDelete, root + "/demo-bucket/o/none"},
		"project": {http.MethodGet, "https://cloudresourcemanager.googleapis.com/v1/projects/" + testProject},
	}
	inReports := "resource.name.startsWith('projects/_/buckets/demo-bucket/objects/reports/') || api.getAttribute('storage.googleapis.com/objectListPrefix', '').startsWith('reports/')"
	for name, c := range map[string]struct {
		options string
		may     string
	}{
		"reading":           {boundaryOf(ruleOn("demo-bucket", viewer, "")), "get, list, list all, XML get"},
		"a part of it":      {boundaryOf(ruleOn("demo-bucket", viewer, inReports)), "get, list, XML get"},
		"creating":          {boundaryOf(ruleOn("demo-bucket", `"availablePermissions":["inRole:roles/storage.objectCreator"]`, "resource.name.endsWith('/new')")), "write"},
		"creating an other": {boundaryOf(ruleOn("demo-bucket", `"availablePermissions":["inRole:roles/storage.objectCreator"]`, "resource.name.endsWith('/old')")), ""},
		"either of two":     {boundaryOf(ruleOn("demo-bucket", viewer, "false"), ruleOn("other-bucket", viewer, "")), "other"},
		"failing condition": {boundaryOf(ruleOn("demo-bucket", viewer, "resource.size == '1'")), ""},
		"a type":            {boundaryOf(ruleOn("demo-bucket", viewer, "resource.type == 'storage.googleapis.com/Object' && resource.service == 'storage.googleapis.com'")), "get, XML get"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token := w.want(w.bound(w.readerToken(), c.options), http.StatusOK).field(t, "access_token").(string)
			for what, r := range requests {
				got := w.request(r[0], r[1], token, "")
				may := false
				for one := range strings.SplitSeq(c.may, ", ") {
					may = may || one == what
				}
				if (got.status == http.StatusOK) != may || !may && got.status != http.StatusForbidden {
					t.Errorf("%s: %d, may %v: %s", what, got.status, may, got.body)
				}
			}
		})
	}
}

func TestBoundaryRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rule := ruleOn("demo-bucket", viewer, "")
	good := boundaryOf(rule)
	many := make([]string, 11)
	for i := range many {
		many[i] = rule
	}
	for name, options := range map[string]string{
		"no options": "", "no boundary": `{}`, "no rules": boundaryOf(), "eleven rules": boundaryOf(many...), "a text": `{"accessBoundary":"x"}`, "a rule of text": boundaryOf(`"x"`),
		"another field": boundaryOf(strings.Replace(rule, "{", `{"extra":1,`, 1)), "a project": boundaryOf(strings.Replace(rule, "/_/buckets/demo-bucket", "/demo-proj", 1)),
		"no role": boundaryOf(ruleOn("demo-bucket", `"availablePermissions":[]`, "")), "no such role": boundaryOf(ruleOn("demo-bucket", `"availablePermissions":["inRole:roles/none"]`, "")),
		"a bare role": boundaryOf(ruleOn("demo-bucket", `"availablePermissions":["roles/storage.admin"]`, "")), "no CEL": boundaryOf(ruleOn("demo-bucket", viewer, "(")),
		"no condition": boundaryOf(ruleOn("demo-bucket", viewer, "resource.name")), "unknown name": boundaryOf(ruleOn("demo-bucket", viewer, "request.x == 1")),
		"a long one": boundaryOf(ruleOn("demo-bucket", viewer, strings.Repeat("true || ", 300)+"true")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w.wantOAuth(w.bound(w.readerToken(), options), http.StatusBadRequest, invalidRequest, "")
		})
	}
	w.wantOAuth(w.bound("ya29.c.none", good), http.StatusBadRequest, invalidGrant, "subject token")
	bounded := w.want(w.bound(w.readerToken(), good), http.StatusOK).field(t, "access_token").(string)
	w.wantOAuth(w.bound(bounded, good), http.StatusBadRequest, invalidRequest, "already")
	form := exchangeForm(w.readerToken())
	form.Set("subject_token_type", typeAccessToken)
	form.Set("options", good)
	w.wantOAuth(w.exchangeWith(form), http.StatusBadRequest, invalidRequest, "audience")
	external := exchangeForm(w.subjectToken(tokenRecipe{}))
	external.Set("options", good)
	w.wantOAuth(w.exchangeWith(external), http.StatusBadRequest, invalidRequest, "accessBoundary")
}

func TestBoundedTokenOfAPersonHasNoExpiryOfItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	person := w.want(w.refresh(func(url.Values) {}), http.StatusOK).field(t, "access_token").(string)
	got := w.want(w.bound(person, boundaryOf(ruleOn("demo-bucket", viewer, ""))), http.StatusOK)
	if got.field(t, "expires_in") != nil {
		t.Errorf("got %s, want no expires_in", got.body)
	}
}

func TestQuotaProject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.Grant("buckets/demo-bucket", "roles/storage.objectViewer", "serviceAccount:"+readerEmail))
	w.must(w.Grant("projects/"+testProject, "roles/browser", "serviceAccount:"+readerEmail))
	ask := func(address, project string) reply {
		r := newRequest(address, w.readerToken())
		r.Header.Set("x-goog-user-project", project)
		return w.send(r)
	}
	const object, project = "https://storage.googleapis.com/storage/v1/b/demo-bucket/o/reports%2F2026.csv", "https://cloudresourcemanager.googleapis.com/v1/projects/" + testProject
	for _, charged := range []string{testProject, testNumber, "none-proj"} {
		w.want(ask(object, charged), http.StatusForbidden)
		got := ask(project, charged)
		w.wantAPI(got, http.StatusForbidden, "PERMISSION_DENIED", "required permission to use project "+charged)
		if reason := got.field(t, "error.details.0.reason"); reason != "USER_PROJECT_DENIED" {
			t.Errorf("reason %v", reason)
		}
	}
	w.must(w.Grant("projects/"+testProject, "roles/serviceusage.serviceUsageConsumer", "serviceAccount:"+readerEmail))
	w.want(ask(object, testNumber), http.StatusOK)
	w.want(ask(project, testProject), http.StatusOK)
}

func newRequest(address, token string) *http.Request {
	r, err := http.NewRequest(http.MethodGet, address, http.NoBody)
	if err != nil {
		panic(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

func FuzzReadBoundary(f *testing.F) {
	f.Add(boundaryOf(ruleOn("demo-bucket", viewer, "true")))
	f.Add(`{"accessBoundary":{"accessBoundaryRules":[null]}}`)
	f.Add(`{}`)
	f.Fuzz(func(t *testing.T, options string) {
		object, err := readObject([]byte(options))
		if err != nil {
			return
		}
		b, err := readBoundary(object["accessBoundary"])
		if err != nil {
			return
		}
		if len(b) == 0 || len(b) > maxBoundaryRules {
			t.Fatalf("%d rules", len(b))
		}
		for _, r := range b {
			elsewhere := access{permission: permObjectsGet, bucket: r.bucket + "x"}
			if boundary.allows(boundary{r}, t.Context(), elsewhere, "o", "") {
				t.Fatalf("a rule for %s opens another bucket", r.bucket)
			}
		}
	})
}
