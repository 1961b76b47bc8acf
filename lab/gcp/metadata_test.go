// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const accountRoot = "/computeMetadata/v1/instance/service-accounts/"

func (w *world) vm(change func(*Machine)) http.Handler {
	m := Machine{Project: testProject, Zone: "europe-west1-b", Name: "vm1", ServiceAccount: readerEmail, Licenses: []string{"1000204"},
		Attributes: map[string]string{"cluster-name": "blue"}}
	if change != nil {
		change(&m)
	}
	return w.VM(m)
}

func metadata(h http.Handler, path string, headers ...string) reply {
	r := httptest.NewRequest(http.MethodGet, "http://metadata.google.internal"+path, nil)
	r.Header.Set(flavorHeader, flavor)
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	return serve(h, r)
}

func TestMetadataEntries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	vm := w.vm(nil)
	for path, want := range map[string]string{
		"/computeMetadata/v1/":                                 "instance/\nproject/\nuniverse/\n",
		"/computeMetadata/v1/project/project-id":               testProject,
		"/computeMetadata/v1/project/numeric-project-id":       testNumber,
		"/computeMetadata/v1/instance/name":                    "vm1",
		"/computeMetadata/v1/instance/zone":                    "projects/123456789012/zones/europe-west1-b",
		"/computeMetadata/v1/instance/region":                  "projects/123456789012/regions/europe-west1",
		"/computeMetadata/v1/instance/attributes/cluster-name": "blue",
		"/computeMetadata/v1/instance/attributes/":             "cluster-name\n",
		"/computeMetadata/v1/instance/network-interfaces/0/ip": "10.132.0.2",
		"/computeMetadata/v1/universe/universe-domain":         "googleapis.com",
		accountRoot:                                               "default/\n" + readerEmail + "/\n",
		accountRoot + "default/":                                  "aliases\nemail\nidentity\nscopes\ntoken\n",
		accountRoot + "default/email":                             readerEmail,
		accountRoot + "default/aliases":                           "default\n",
		accountRoot + readerEmail + "/scopes":                     scopePlatform + "\n",
		accountRoot + "default/?recursive=true":                   `{"aliases":["default"],"email":"` + readerEmail + `","scopes":["` + scopePlatform + `"]}`,
		"/computeMetadata/v1/project/?recursive=true":             `{"attributes":{},"numericProjectId":123456789012,"projectId":"demo-proj"}`,
		"/computeMetadata/v1/instance/attributes/?recursive=true": `{"cluster-name":"blue"}`,
		"/computeMetadata/v1/instance/name?alt=json":              `"vm1"`,
		"/computeMetadata/v1/universe/?recursive=true&alt=text":   "universe-domain googleapis.com\n",
	} {
		got := w.want(metadata(vm, path), http.StatusOK)
		if got.body != want {
			t.Errorf("%s: got\n%s\nwant\n%s", path, got.body, want)
		}
		kind := "application/text"
		if strings.HasPrefix(want, "{") || strings.HasPrefix(want, `"`) {
			kind = "application/json"
		}
		if got.header.Get("Content-Type") != kind {
			t.Errorf("%s: Content-Type is %s, want %s", path, got.header.Get("Content-Type"), kind)
		}
		if len(got.header["ETag"]) != 1 {
			t.Errorf("%s: there is no header spelled ETag: %v", path, got.header)
		}
	}
}

func TestMetadataListsInstanceInJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.want(metadata(w.vm(nil), "/computeMetadata/v1/?recursive=true"), http.StatusOK)
	for path, want := range map[string]any{
		"instance.networkInterfaces.0.ip":        "10.132.0.2",
		"instance.attributes.cluster-name":       "blue",
		"instance.serviceAccounts.default.email": readerEmail,
		"instance.serviceAccounts.default.token": nil,
		"project.projectId":                      testProject,
		"universe.universeDomain":                "googleapis.com",
		"instance.machineType":                   "projects/123456789012/machineTypes/e2-small",
	} {
		if v := got.field(t, path); v != want {
			t.Errorf("%s is %v, want %v", path, v, want)
		}
	}
	if !strings.Contains(got.body, `"`+readerEmail+`":{`) {
		t.Errorf("the e-mail address lost its spelling: %s", got.body)
	}
}

func TestMetadataGuards(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	vm := w.vm(nil)
	const missing = `Missing required header "Metadata-Flavor": "Google"`
	for name, c := range map[string]struct {
		path    string
		headers []string
		status  int
		text    string
	}{
		"no flavor":                {accountRoot + "default/token", []string{flavorHeader, ""}, http.StatusForbidden, missing},
		"another flavor":           {accountRoot + "default/token", []string{flavorHeader, "Vanilla"}, http.StatusForbidden, missing},
		"no flavor at v1":          {"/computeMetadata/v1", []string{flavorHeader, ""}, http.StatusForbidden, missing},
		"forwarded":                {accountRoot + "default/token", []string{"X-Forwarded-For", "10.0.0.9"}, http.StatusForbidden, ""},
		"forwarded, at the root":   {"/", []string{"X-Forwarded-For", "10.0.0.9"}, http.StatusForbidden, ""},
		"the root, with no flavor": {"/", []string{flavorHeader, ""}, http.StatusOK, "computeMetadata/"},
		"nothing there":            {"/computeMetadata/v1/instance/none", nil, http.StatusNotFound, ""},
		"v1 and more":              {"/computeMetadata/v10/instance/", nil, http.StatusNotFound, ""},
		"below a value":            {"/computeMetadata/v1/instance/name/x", nil, http.StatusNotFound, ""},
		"a value with a slash":     {"/computeMetadata/v1/instance/name/", nil, http.StatusNotFound, ""},
		"a token with a slash":     {accountRoot + "default/token/", nil, http.StatusNotFound, ""},
		"another account":          {accountRoot + "other@demo-proj.iam.gserviceaccount.com/token", nil, http.StatusNotFound, ""},
		"no mutual TLS here":       {"/computeMetadata/v1/instance/platform-security/auto-mtls-configuration", nil, http.StatusNotFound, ""},
		"no audience":              {accountRoot + "default/identity", nil, http.StatusBadRequest, "non-empty audience parameter required"},
		"an empty audience":        {accountRoot + "default/identity?audience=", nil, http.StatusBadRequest, "non-empty audience parameter required"},
		"an unknown format":        {accountRoot + "default/identity?audience=x&format=tall", nil, http.StatusBadRequest, ""},
		"a scope of nobody":        {accountRoot + "default/token?scopes=everything", nil, http.StatusBadRequest, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := w.want(metadata(vm, c.path, c.headers...), c.status)
			if !strings.Contains(got.body, c.text) {
				t.Errorf("got %s, want it to say %s", got.body, c.text)
			}
			if got.header.Get(flavorHeader) != flavor || got.header.Get("Server") != "Metadata Server for VM" {
				t.Errorf("the answer lacks its headers: %v", got.header)
			}
			if c.status != http.StatusOK && got.header.Get("Content-Type") != "text/html; charset=UTF-8" {
				t.Errorf("an error is %s", got.header.Get("Content-Type"))
			}
		})
	}
}

func TestMetadataRedirectsDirectories(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	vm := w.vm(nil)
	for from, to := range map[string]string{
		"/computeMetadata/v1":                  "/computeMetadata/v1/",
		"/computeMetadata/v1/instance":         "/computeMetadata/v1/instance/", // Node's probe
		accountRoot + "default?recursive=true": accountRoot + "default/?recursive=true",
	} {
		got := w.want(metadata(vm, from), http.StatusMovedPermanently)
		if got.header.Get("Location") != to || got.header.Get(flavorHeader) != flavor {
			t.Errorf("%s goes to %q, want %q, with %s", from, got.header.Get("Location"), to, flavorHeader)
		}
		w.want(metadata(vm, to), http.StatusOK)
	}
}

func TestMetadataKeepsTokenUntilFiveMinutesBeforeItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	vm := w.vm(nil)
	token := func() (string, float64) {
		got := w.want(metadata(vm, accountRoot+"default/token"), http.StatusOK)
		return got.field(t, "access_token").(string), got.field(t, "expires_in").(float64)
	}
	first, life := token()
	if life != 3600 {
		t.Errorf("the first token lives %v s, want 3600", life)
	}
	w.clock.Advance(55*time.Minute - time.Second)
	if again, life := token(); again != first || life != 301 {
		t.Errorf("5 min 1 s before its end the token was replaced, or lives %v s", life)
	}
	w.clock.Advance(time.Second)
	if next, life := token(); next == first || life != 3600 {
		t.Errorf("5 min before its end the token was not replaced: it lives %v s", life)
	}
}

func TestMetadataTokenScopes(t *testing.T) {
	t.Parallel()
	const readOnly = "https://www.googleapis.com/auth/devstorage.read_only"
	asked := accountRoot + "default/token?scopes=" + url.QueryEscape(readOnly+",openid")
	for name, c := range map[string]struct {
		scopes []string
		want   []string
	}{
		"a broad machine gives less": {nil, []string{readOnly, "openid"}},
		"a narrow one what it has":   {[]string{"https://www.googleapis.com/auth/logging.write"}, []string{"https://www.googleapis.com/auth/logging.write"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			got := w.want(metadata(w.vm(func(m *Machine) { m.Scopes = c.scopes }), asked), http.StatusOK)
			token, failed := w.lookup(got.field(t, "access_token").(string), w.clock.Now())
			if failed != nil {
				t.Fatal(failed)
			}
			if diff := cmp.Diff(c.want, token.scopes); diff != "" {
				t.Errorf("scopes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMetadataIdentity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	vm := w.vm(nil)
	now := w.clock.Now()
	base := map[string]any{"iss": issuerURL, "aud": "https://a.example/?b=c", "azp": w.reader.UniqueID, "sub": w.reader.UniqueID, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	// gcloud and Node do not percent-encode the audience.
	plain := w.want(metadata(vm, accountRoot+"default/identity?audience=https://a.example/?b=c&format=standard&licenses=FALSE"), http.StatusOK)
	wantClaims(t, w, plain.body, base)

	full := w.want(metadata(vm, accountRoot+readerEmail+"/identity?audience=https%3A%2F%2Fa.example%2F%3Fb%3Dc&format=full&licenses=TRUE"), http.StatusOK)
	base["email"], base["email_verified"] = readerEmail, true
	base["google"] = map[string]any{"compute_engine": map[string]any{
		"project_id": testProject, "project_number": jsonNumber(testNumber), "zone": "europe-west1-b", "instance_id": digits("demo-proj/vm1", 19),
		"instance_name": "vm1", "instance_creation_timestamp": jsonNumber("1795316645"), "license_id": []any{"1000204"},
	}}
	wantClaims(t, w, full.body, base)
}

func TestMetadataWithoutAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	vm := w.vm(func(m *Machine) { m.ServiceAccount = "" })
	for _, path := range []string{"default/token", "default/email", "default/identity?audience=x", "default/"} {
		w.want(metadata(vm, accountRoot+path), http.StatusNotFound)
	}
	if got := w.want(metadata(vm, accountRoot), http.StatusOK); got.body != "" {
		t.Errorf("a machine with no account lists %q", got.body)
	}
}

func TestMetadataWaitForChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	vm := w.vm(nil)
	const path = "/computeMetadata/v1/instance/name?wait_for_change=true"
	etag := w.want(metadata(vm, path+"&last_etag=0"), http.StatusOK).header["ETag"][0] // another than now: answered at once
	w.want(metadata(vm, path+"&timeout_sec=0&last_etag="+etag), http.StatusOK)         // no change, and no time to wait for one
}
