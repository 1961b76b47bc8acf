// SPDX-License-Identifier: Apache-2.0

package gce_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/serve/gce"
	"github.com/stile-project/stile/serve/offer"
)

const (
	plain = "application/text"
	asObj = "application/json"
	html  = "text/html; charset=UTF-8"
	words = "text/plain; charset=utf-8"
)

func TestPaths(t *testing.T) {
	t.Parallel()
	c := newCloud()
	h := c.handler(t, c.crossing())
	const (
		listed  = "aliases\nemail\nidentity\nscopes\ntoken\n"
		object  = `{"aliases":["default"],"email":"` + email + `","scopes":["` + platform + `"]}`
		token   = `{"access_token":"secret.access[]","expires_in":3600,"token_type":"Bearer"}`
		missing = "The requested URL was not found"
	)
	for _, test := range []struct {
		path, kind string
		status     int
		body       string // a part of it for errors, else all
	}{
		{"/", plain, 200, "computeMetadata/\n"},
		{"/?x=%zz", plain, 200, "computeMetadata/\n"},
		{"/computeMetadata", html, 301, ""},
		{"/computeMetadata/", plain, 200, "v1/\n"},
		{"/computeMetadata/v1", html, 301, ""},
		{root, plain, 200, "instance/\nproject/\nuniverse/\n"},
		{root + "instance", html, 301, ""},
		{root + "instance/", plain, 200, "attributes/\nhostname\nid\nname\nregion\nservice-accounts/\nzone\n"},
		{root + "instance/attributes/", plain, 200, ""},
		{root + "instance/attributes/?recursive=true", asObj, 200, "{}"},
		{root + "instance/attributes/cluster-name", html, 404, missing},
		{root + "instance/name", plain, 200, "warehouse"},
		{root + "instance/id", plain, 200, "1536837842790158410"},
		{root + "instance/hostname", plain, 200, "warehouse.europe-west1-b.c.demo-proj.internal"},
		{root + "instance/zone", plain, 200, "projects/123456789012/zones/europe-west1-b"},
		{root + "instance/zone?alt=json", asObj, 200, `"projects/123456789012/zones/europe-west1-b"`},
		{root + "instance/zone?alt=text", plain, 200, "projects/123456789012/zones/europe-west1-b"},
		{root + "instance/zone?alt=%zz", html, 400, "malformed"},
		{root + "instance/zone/", html, 404, missing},
		{root + "instance/zone/b", html, 404, missing},
		{root + "instance/region", plain, 200, "projects/123456789012/regions/europe-west1"},
		{root + "instance/machine-type", html, 404, missing},
		{root + "instance/platform-security/auto-mtls-configuration", html, 404, missing},
		{root + "project/project-id", plain, 200, "demo-proj"},
		{root + "project/numeric-project-id", plain, 200, "123456789012"},
		{root + "project/numeric-project-id?alt=json", asObj, 200, "123456789012"},
		{root + "project/?recursive=true", asObj, 200, `{"attributes":{},"numericProjectId":123456789012,"projectId":"demo-proj"}`},
		{root + "project/?alt=json", asObj, 200, `{"attributes":{},"numericProjectId":123456789012,"projectId":"demo-proj"}`},
		{root + "project/?recursive=TRUE&alt=text", plain, 200, "numeric-project-id 123456789012\nproject-id demo-proj\n"},
		{root + "project/attributes/", plain, 200, ""},
		{root + "universe/universe-domain", plain, 200, "googleapis.com"},
		{root + "instance/service-accounts/", plain, 200, "default/\n" + email + "/\n"},
		{root + "instance/service-accounts/?recursive=true", asObj, 200, `{"default":` + object + `,"` + email + `":` + object + `}`},
		{root + "instance/service-accounts/default", html, 301, ""},
		{account, plain, 200, listed},
		{account + "?recursive=true", asObj, 200, object},
		{account + "?recursive=true&alt=text", plain, 200, "aliases default\nemail " + email + "\nscopes " + platform + "\n"},
		{root + "instance/service-accounts/" + email + "/?recursive=true", asObj, 200, object},
		{root + "instance/service-accounts/etl-job%40demo-proj.iam.gserviceaccount.com/", plain, 200, listed},
		{root + "instance/service-accounts/other@demo-proj.iam.gserviceaccount.com/token", html, 404, missing},
		{account + "email", plain, 200, email},
		{account + "aliases", plain, 200, "default\n"},
		{account + "scopes", plain, 200, platform + "\n"},
		{account + "scopes?alt=json", asObj, 200, `["` + platform + `"]`},
		{account + "token", asObj, 200, token},
		{account + "token?alt=json", asObj, 200, token},
		{account + "token?scopes=", asObj, 200, token},
		{account + "token?scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloud-platform", asObj, 200, token},
		{root + "instance/service-accounts/" + email + "/token", asObj, 200, token},
		{account + "token/", html, 404, missing},
		{account + "identity?audience=a", plain, 200, "secret.id[a]"},
		{account + "identity/?audience=a", html, 404, missing},

		// What is no name of anything: nothing is cleaned or guessed.
		{"//computeMetadata/v1/project/project-id", html, 404, missing},
		{"/computeMetadata//v1/project/project-id", html, 404, missing},
		{root + "/project/project-id", html, 404, missing},
		{root + "project//project-id", html, 404, missing},
		{account + "/token", html, 404, missing},
		{root + "project/../project/project-id", html, 404, missing},
		{root + "project/%2e%2e/project/project-id", html, 404, missing},
		{root + "./project/project-id", html, 404, missing},
		{root + "project%2Fproject-id", html, 404, missing},
		{root + "instance%2fservice-accounts%2fdefault%2ftoken", html, 404, missing},
		{account + "%2Ftoken", html, 404, missing},
		{account + "token%00", html, 404, missing},
		{account + "token%20", html, 404, missing},
		{account + "TOKEN", html, 404, missing},
		{account + "token;x=y", html, 404, missing},
		{"/computeMetadata/v1beta1/instance/zone", html, 404, missing},
		{"/computeMetadata/v1x", html, 404, missing},
		{"/computemetadata/v1/", html, 404, missing},
		{"/latest/meta-data/", html, 404, missing},
		{"/favicon.ico", html, 404, missing},
	} {
		w := get(h, test.path)
		body := w.Body.String()
		same := body == test.body
		if test.status != 200 {
			same = strings.Contains(body, test.body)
		}
		if w.Code != test.status || w.Header().Get("Content-Type") != test.kind || !same {
			t.Errorf("%s: got %d %s %q, want %d %s %q", test.path, w.Code, w.Header().Get("Content-Type"), body, test.status, test.kind, test.body)
		}
		if got := w.Header()["Metadata-Flavor"]; len(got) != 1 || got[0] != "Google" {
			t.Errorf("%s: Metadata-Flavor is %q", test.path, got)
		}
		if w.Header().Get("Server") != "Metadata Server for VM" || w.Header().Get("X-Frame-Options") != "SAMEORIGIN" || w.Header().Get("X-XSS-Protection") != "0" {
			t.Errorf("%s: headers %v", test.path, w.Header())
		}
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	c := newCloud()
	h := c.handler(t, c.crossing())
	for from, want := range map[string]string{
		"/computeMetadata":                            "/computeMetadata/",
		"/computeMetadata/v1":                         root,
		root + "instance":                             root + "instance/",
		root + "instance?recursive=true&alt=text":     root + "instance/?recursive=true&alt=text",
		root + "instance/service-accounts/" + email:   root + "instance/service-accounts/" + email + "/",
		root + "instance/service-accounts/d%65fault?": root + "instance/service-accounts/d%65fault/",
	} {
		if w := get(h, from); w.Code != 301 || w.Header().Get("Location") != want {
			t.Errorf("%s: got %d to %q, want 301 to %q", from, w.Code, w.Header().Get("Location"), want)
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	c := newCloud()
	h := c.handler(t, c.crossing())
	const missing = `Missing required header "Metadata-Flavor": "Google"`
	none := map[string][]string{}
	for _, test := range []struct {
		name, path string
		header     map[string][]string
		status     int
		body       string
	}{
		{"root", "/", none, 200, "computeMetadata/"},
		{"above v1", "/computeMetadata/", none, 200, "v1/"},
		{"elsewhere", "/other", none, 404, "not found"},
		{"no header", root, none, 403, missing},
		{"no header, no slash", "/computeMetadata/v1", none, 403, missing},
		{"no header, no entry", root + "nothing", none, 403, missing},
		{"no header, token", account + "token", none, 403, missing},
		{"no header, identity", account + "identity?audience=a", none, 403, missing},
		{"other value", account + "token", map[string][]string{"Metadata-Flavor": {"Amazon"}}, 403, missing},
		{"empty value", account + "token", map[string][]string{"Metadata-Flavor": {""}}, 403, missing},
		{"lower case", account + "token", map[string][]string{"Metadata-Flavor": {"google"}}, 403, missing},
		{"twice", account + "token", map[string][]string{"Metadata-Flavor": {"Google", "Google"}}, 403, missing},
		{"proxy", account + "token", map[string][]string{"Metadata-Flavor": {"Google"}, "X-Forwarded-For": {"10.0.0.1"}}, 403, "X-Forwarded-For"},
		{"proxy of no name", account + "token", map[string][]string{"Metadata-Flavor": {"Google"}, "X-Forwarded-For": {""}}, 403, "X-Forwarded-For"},
		{"proxy, root", "/", map[string][]string{"X-Forwarded-For": {"10.0.0.1"}}, 403, "X-Forwarded-For"},
	} {
		r := request(http.MethodGet, test.path)
		r.Header = test.header
		w := ask(h, r)
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.body) || w.Header().Get("Metadata-Flavor") != "Google" {
			t.Errorf("%s: got %d %q %v, want %d %q", test.name, w.Code, w.Body, w.Header(), test.status, test.body)
		}
	}
	if n := c.made.Load(); n != 0 {
		t.Errorf("%d suppliers were asked for", n)
	}
}

func TestMethods(t *testing.T) {
	t.Parallel()
	c := newCloud()
	h := c.handler(t, c.crossing())
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "BREW"} {
		for _, path := range []string{"/", account + "token", root + "nothing"} {
			w := ask(h, request(method, path))
			if w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" || w.Header().Get("Metadata-Flavor") != "Google" {
				t.Errorf("%s %s: got %d %v", method, path, w.Code, w.Header())
			}
		}
	}
	hc, _ := client(t, h)
	for path, want := range map[string]int{"/": 200, root: 200, account + "token": 200, root + "nothing": 404} {
		r := request(http.MethodHead, "http://metadata.google.internal"+path)
		r.RequestURI = ""
		got, err := hc.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		got.Body.Close()
		if got.StatusCode != want || got.Header.Get("Metadata-Flavor") != "Google" {
			t.Errorf("HEAD %s: got %d %v", path, got.StatusCode, got.Header)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]offer.Crossing{
		"nothing":         {Name: "x"},
		"into AWS":        {Name: "x", AWS: &offer.AWS{}},
		"no access token": {Name: "x", Google: &offer.Google{}},
	} {
		if _, err := gce.New(x, gce.Options{}); !errors.Is(err, stile.ErrMisuse) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// What the crossing does not know is not there.
func TestUnknownIsNotThere(t *testing.T) {
	t.Parallel()
	c := newCloud()
	x := c.crossing()
	x.Google.Project, x.Google.ProjectNumber, x.Google.Zone, x.Google.Universe = "", "not a number", "", "example.goog"
	h := c.handler(t, x)
	for path, want := range map[string]int{
		"project/project-id": 404, "project/numeric-project-id": 404, "instance/zone": 404, "instance/region": 404,
		"project/": 200, "instance/name": 200, "instance/hostname": 200, "universe/universe-domain": 200,
	} {
		if w := get(h, root+path); w.Code != want {
			t.Errorf("%s: got %d, want %d", path, w.Code, want)
		}
	}
	if w := get(h, root+"?recursive=true"); !json.Valid(w.Body.Bytes()) || !strings.Contains(w.Body.String(), `"universe":{"universeDomain":"example.goog"}`) {
		t.Errorf("got %s", w.Body)
	}
}

func TestZones(t *testing.T) {
	t.Parallel()
	for zone, want := range map[string]string{
		"europe-west1-b": "europe-west1", "us-central1-ai1a": "us-central1", "northamerica-northeast2-c": "northamerica-northeast2",
		"europe-west1": "", "b": "", "-b": "", "europe-west1-": "", "us-west-2-lax-1a": "", "zone1-a": "",
	} {
		c := newCloud()
		x := c.crossing()
		x.Google.Zone, x.Google.ProjectNumber = zone, ""
		h := c.handler(t, x)
		w := get(h, root+"instance/region")
		if want == "" && w.Code != 404 || want != "" && w.Body.String() != "projects/demo-proj/regions/"+want {
			t.Errorf("%s: got %d %q, want %q", zone, w.Code, w.Body, want)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	ids := map[string]string{}
	for name, want := range map[string]string{
		"warehouse": "warehouse", "Ware.House_2": "ware-house-2", "2nd": "stile-2nd", "": "stile", "...": "stile", "-a-": "a", "é": "stile",
		strings.Repeat("a", 62) + "-b": strings.Repeat("a", 62), strings.Repeat("a", 70): strings.Repeat("a", 63),
	} {
		c := newCloud()
		x := c.crossing()
		x.Name, x.Google.Zone = name, ""
		h := c.handler(t, x)
		if got := get(h, root+"instance/name").Body.String(); got != want {
			t.Errorf("name %q: got %q, want %q", name, got, want)
		}
		if got := get(h, root+"instance/hostname").Body.String(); got != want+".c.demo-proj.internal" {
			t.Errorf("name %q: hostname %q", name, got)
		}
		id := get(h, root+"instance/id").Body.String()
		if len(id) != 19 || ids[id] != "" {
			t.Errorf("name %q: id %q, which is also that of %q", name, id, ids[id])
		}
		ids[id] = "the crossing " + name
	}
}

// Direct access has no service account: the account has a name all the same, and no identity.
func TestDirectAccess(t *testing.T) {
	t.Parallel()
	for project, name := range map[[2]string]string{{"demo-proj", "123456789012"}: "demo-proj.svc.id.goog", {"", "123456789012"}: "123456789012.svc.id.goog", {}: "default"} {
		c := newCloud()
		x := c.crossing()
		x.Google.Email, x.Google.IDToken, x.Google.Project, x.Google.ProjectNumber = "", nil, project[0], project[1]
		h := c.handler(t, x)
		if got := get(h, account+"email").Body.String(); got != name {
			t.Errorf("e-mail %q, want %q", got, name)
		}
		if got := get(h, account).Body.String(); got != "aliases\nemail\nscopes\ntoken\n" {
			t.Errorf("the account lists %q", got)
		}
		var accounts map[string]any
		if err := json.Unmarshal(get(h, root+"instance/service-accounts/?recursive=true").Body.Bytes(), &accounts); err != nil || accounts[name] == nil || accounts["default"] == nil {
			t.Errorf("accounts %v, %v", accounts, err)
		}
		if w := get(h, root+"instance/service-accounts/"+name+"/token"); w.Code != 200 {
			t.Errorf("token: %d", w.Code)
		}
		if c.lastNote(t).Err != nil {
			t.Error(c.lastNote(t).Err)
		}
		for _, path := range []string{account, root + "instance/service-accounts/" + name + "/"} {
			w := get(h, path+"identity?audience=a")
			if w.Code != 404 || !strings.Contains(w.Body.String(), "has no service account") || c.lastNote(t).Err == nil {
				t.Errorf("identity: got %d %q", w.Code, w.Body)
			}
		}
	}
}

// A service account with a boundary has no ID tokens either, and not for want of an account.
func TestBoundaryGivesNoIDTokens(t *testing.T) {
	t.Parallel()
	c := newCloud()
	x := c.crossing()
	x.Google.IDToken = nil
	h := c.handler(t, x)
	const hint = "\nhint: serve a crossing to the same service account without a boundary\n"
	if w := get(h, account+"identity?audience=a"); w.Code != 404 || !strings.Contains(w.Body.String(), "the crossing has a boundary") || !strings.HasSuffix(w.Body.String(), hint) {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
}

// Tokens are in no listing, whatever is asked for.
func TestRecursiveShowsNoToken(t *testing.T) {
	t.Parallel()
	c := newCloud()
	h := c.handler(t, c.crossing())
	for _, path := range []string{"", "instance/", "instance/service-accounts/", "instance/service-accounts/default/"} {
		for _, query := range []string{"?recursive=true", "?recursive=true&alt=json", "?alt=json", "?recursive=true&alt=text"} {
			w := get(h, root+path+query)
			if body := w.Body.String(); w.Code != 200 || strings.Contains(body, "secret") || strings.Contains(body, "identity") || strings.Contains(body, "token") {
				t.Errorf("%s%s: %d %s", path, query, w.Code, body)
			}
			if strings.Contains(query, "text") {
				continue
			}
			var object map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &object); err != nil {
				t.Errorf("%s%s: %v", path, query, err)
			}
		}
	}
	if n := c.made.Load(); n != 0 {
		t.Errorf("%d suppliers were asked for", n)
	}
	var all map[string]map[string]any
	if err := json.Unmarshal(get(h, root+"?recursive=true").Body.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, object := range all {
		for key := range object {
			keys = append(keys, key)
		}
	}
	want := []string{"attributes", "attributes", "hostname", "id", "name", "numericProjectId", "projectId", "region", "serviceAccounts", "universeDomain", "zone"}
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(keys))); diff != "" {
		t.Error(diff)
	}
}
