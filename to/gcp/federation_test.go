// SPDX-License-Identifier: Apache-2.0

package togcp_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stile-project/stile"
	fromgcp "github.com/stile-project/stile/from/gcp"
	"github.com/stile-project/stile/lab"
	labgcp "github.com/stile-project/stile/lab/gcp"
	"github.com/stile-project/stile/lab/stage"
	togcp "github.com/stile-project/stile/to/gcp"
)

const (
	staff    = "locations/global/workforcePools/staff-pool"
	employee = staff + "/providers/google-oidc"
)

// workforce lets the identity of the scene's machine into a workforce pool: the tests need an issuer, and Google is one.
func (s scene) workforce() stile.Source {
	s.t.Helper()
	s.must(s.World.Google.AddWorkforcePool("staff-pool"))
	s.must(s.World.Google.AddWorkforceProvider(labgcp.WorkforceProvider{Pool: "staff-pool", ID: "google-oidc", Issuer: "https://accounts.google.com",
		ClientID: "//iam.googleapis.com/" + employee, Mapping: map[string]string{"google.subject": "assertion.email"}}))
	return &fromgcp.Metadata{Client: &http.Client{Transport: s.World.Network(s.VM)}}
}

func (s scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

const member = "principal://iam.googleapis.com/" + staff + "/subject/" + stage.Resizer

func TestWorkforcePool(t *testing.T) {
	t.Parallel()
	s := set(t)
	source := s.workforce()
	s.must(s.World.Google.Grant("buckets/"+stage.Direct, "roles/storage.objectViewer", member))
	s.must(s.World.Google.Grant("serviceAccounts/"+stage.Reader, "roles/iam.workloadIdentityUser", member))
	cross := func(target stile.Target) (stile.Credential, error) {
		return stile.Cross(source, target).Credential(t.Context())
	}
	direct := &togcp.AccessToken{Provider: employee, UserProject: stage.Project, Client: s.client()}
	cred, err := cross(direct)
	s.must(err)
	if status, body := s.read(stage.Direct, cred.Token); status != http.StatusForbidden || !strings.Contains(body, "serviceusage.services.use") {
		t.Errorf("charged to a project the person may not use: %d %s", status, body)
	}
	s.must(s.World.Google.Grant("projects/"+stage.Project, "roles/serviceusage.serviceUsageConsumer", member))
	if status, _ := s.read(stage.Direct, cred.Token); status != http.StatusOK {
		t.Errorf("with the right to the project: %d", status)
	}
	for name, target := range map[string]stile.Target{
		"access token": &togcp.AccessToken{Provider: "//iam.googleapis.com/" + employee, UserProject: stage.Project, ServiceAccount: stage.Reader, Client: s.client()},
		"ID token":     &togcp.IDToken{Provider: employee, UserProject: stage.Project, ServiceAccount: stage.Reader, TokenAudience: s.Function, Client: s.client()},
	} {
		if cred, err := cross(target); err != nil || cred.Principal != stage.Reader {
			t.Errorf("%s of a service account: %q, %v", name, cred.Principal, err)
		}
	}
	_, err = cross(&togcp.AccessToken{Provider: employee, Client: s.client()})
	var e *stile.Error
	if !errors.Is(err, stile.ErrRefused) || !errors.As(err, &e) || !strings.Contains(e.Hint, "UserProject") {
		t.Errorf("without a user project: %v", err)
	}
}

func TestMisuseOfFederationAsksNoCloud(t *testing.T) {
	t.Parallel()
	s := set(t)
	cases := map[string]struct {
		target stile.Target
		words  string
	}{
		"user project of a workload":  {&togcp.AccessToken{Provider: stage.Provider, UserProject: stage.Project}, "workforce pools"},
		"and for an ID token":         {&togcp.IDToken{Provider: stage.Provider, UserProject: stage.Project, ServiceAccount: stage.Reader, TokenAudience: "a"}, "workforce pools"},
		"user project of two words":   {&togcp.AccessToken{Provider: employee, UserProject: "a b"}, "user project"},
		"user project too long":       {&togcp.AccessToken{Provider: employee, UserProject: "example.com:" + strings.Repeat("a", 21)}, "user project"},
		"workforce pool of a project": {&togcp.AccessToken{Provider: "projects/1/" + employee}, "provider"},
		"short workforce pool":        {&togcp.AccessToken{Provider: "locations/global/workforcePools/five5/providers/p"}, "6 to 63"},
		"no location":                 {&togcp.AccessToken{Provider: "locations//workforcePools/staff-pool/providers/p"}, "LOCATION"},
		"universe is a URL":           {&togcp.AccessToken{Provider: stage.Provider, Endpoints: togcp.Endpoints{UniverseDomain: "https://other.example"}}, "universe"},
		"universe with a path":        {&togcp.IDToken{Provider: stage.Provider, ServiceAccount: stage.Reader, TokenAudience: "a", Endpoints: togcp.Endpoints{UniverseDomain: "evil.example/x"}}, "universe"},
		"mTLS in another universe":    {&togcp.AccessToken{Provider: stage.Provider, Endpoints: togcp.Endpoints{UniverseDomain: "other.example", MTLS: true}}, "mTLS"},
		"boundary is no JSON":         {&togcp.AccessToken{Provider: stage.Provider, Boundary: "buckets/warehouse"}, "access boundary"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := c.target.Exchange(t.Context(), stile.SubjectToken{Value: stile.NewSecret("x"), Type: stile.TokenTypeJWT})
			if !errors.Is(err, stile.ErrMisuse) || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got %v, want misuse and %q", err, c.words)
			}
		})
	}
	if asked := s.World.Journal.Take(); len(asked) != 0 {
		t.Errorf("a cloud was asked: %v", asked)
	}
}

// asked answers as Google does and remembers which hosts it was asked at.
type asked struct {
	sync.Mutex
	urls []string
}

func (a *asked) RoundTrip(r *http.Request) (*http.Response, error) {
	a.Lock()
	defer a.Unlock()
	a.urls = append(a.urls, r.URL.Scheme+"://"+r.URL.Host+r.URL.Path)
	body := `{"access_token":"t","expires_in":3599,"accessToken":"t","expireTime":"2100-01-01T00:00:00Z"}`
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func TestHostsThatAreAsked(t *testing.T) {
	t.Parallel()
	path := "/v1/projects/-/serviceAccounts/" + stage.Reader + ":generateAccessToken"
	cases := map[string]struct {
		endpoints togcp.Endpoints
		want      []string
	}{
		"the public cloud": {togcp.Endpoints{}, []string{"https://sts.googleapis.com/v1/token", "https://iamcredentials.googleapis.com" + path}},
		"another universe": {togcp.Endpoints{UniverseDomain: "apis-s3ns.fr"}, []string{"https://sts.apis-s3ns.fr/v1/token", "https://iamcredentials.apis-s3ns.fr" + path}},
		"mTLS":             {togcp.Endpoints{MTLS: true}, []string{"https://sts.mtls.googleapis.com/v1/token", "https://iamcredentials.mtls.googleapis.com" + path}},
		"named": {togcp.Endpoints{STS: "https://a.example/t", IAMCredentials: "https://b.example/", MTLS: true, UniverseDomain: togcp.DefaultUniverse},
			[]string{"https://a.example/t", "https://b.example" + path}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			net := &asked{}
			target := &togcp.AccessToken{Provider: stage.Provider, ServiceAccount: stage.Reader, Endpoints: c.endpoints, Client: &http.Client{Transport: net}}
			if _, err := target.Exchange(t.Context(), stile.SubjectToken{Value: stile.NewSecret("x"), Type: stile.TokenTypeJWT}); err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(net.urls) != fmt.Sprint(c.want) {
				t.Errorf("asked %s, want %s", net.urls, c.want)
			}
			if target.Audience() != "//iam.googleapis.com/"+stage.Provider {
				t.Errorf("the audience is %s in this universe", target.Audience())
			}
		})
	}
}

func TestMTLSHostsOfTheLab(t *testing.T) {
	t.Parallel()
	s := set(t)
	target := &togcp.AccessToken{Provider: stage.Provider, ServiceAccount: stage.Reader, Endpoints: togcp.Endpoints{MTLS: true}, Client: s.client()}
	if _, err := stile.Cross(s.source(stage.Role, nil), target).Credential(t.Context()); err != nil {
		t.Error(err)
	}
}

// only bounds a token to reading one bucket.
func only(bucket, condition string) string {
	if condition != "" {
		condition = `,"availabilityCondition":{"title":"part","expression":"` + condition + `"}`
	}
	return `{"accessBoundary":{"accessBoundaryRules":[{"availableResource":"//storage.googleapis.com/projects/_/buckets/` + bucket +
		`","availablePermissions":["inRole:roles/storage.objectViewer"]` + condition + `}]}}`
}

func TestBoundaryNarrowsAToken(t *testing.T) {
	t.Parallel()
	s := set(t)
	s.must(s.World.Google.Grant("buckets/"+stage.Direct, "roles/storage.objectAdmin", "serviceAccount:"+stage.Reader))
	cases := map[string]struct {
		boundary        string
		warehouse, more int // statuses of a read in each bucket
	}{
		"none":                     {"", 200, 200},
		"one bucket":               {only(stage.Warehouse, ""), 200, 403},
		"the other":                {only(stage.Direct, ""), 403, 200},
		"a condition that holds":   {only(stage.Warehouse, "resource.name.startsWith('projects/_/buckets/"+stage.Warehouse+"/objects/orders') && true"), 200, 403},
		"one that does not":        {only(stage.Warehouse, "resource.name.endsWith('.secret')"), 403, 403},
		"a bucket it may not read": {only("elsewhere", ""), 403, 403},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := &togcp.AccessToken{Provider: stage.Provider, ServiceAccount: stage.Reader, Boundary: c.boundary, Client: s.client()}
			cred, err := stile.Cross(s.source(stage.Role, nil), target).Credential(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if left := time.Until(cred.Expires); cred.Principal != stage.Reader || left > time.Hour || left < 59*time.Minute {
				t.Errorf("the token of %q lives %s", cred.Principal, left)
			}
			for bucket, want := range map[string]int{stage.Warehouse: c.warehouse, stage.Direct: c.more} {
				if got, body := s.read(bucket, cred.Token); got != want {
					t.Errorf("%s: %d, want %d: %s", bucket, got, want, body)
				}
			}
			if c.boundary == "" {
				return
			}
			if status := s.write(stage.Direct, cred.Token); status != http.StatusForbidden {
				t.Errorf("a token bounded to reading wrote: %d", status)
			}
		})
	}
}

func (s scene) write(bucket string, token stile.Secret) int {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "https://storage.googleapis.com/upload/storage/v1/b/"+bucket+"/o?uploadType=media&name=x", strings.NewReader("x"))
	s.must(err)
	req.Header.Set("Authorization", "Bearer "+token.Reveal())
	res, err := s.client().Do(req)
	s.must(err)
	_ = res.Body.Close()
	return res.StatusCode
}

func TestBoundaryOfAFederatedToken(t *testing.T) {
	t.Parallel()
	s := set(t)
	target := &togcp.AccessToken{Provider: stage.Provider, Boundary: only(stage.Direct, ""), Client: s.client()}
	cred, err := stile.Cross(s.source(stage.Role, nil), target).Credential(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := s.read(stage.Direct, cred.Token); status != http.StatusOK {
		t.Errorf("within the boundary: %d", status)
	}
}

func TestGoogleRefusesABoundary(t *testing.T) {
	t.Parallel()
	s := set(t)
	target := &togcp.AccessToken{Provider: stage.Provider, ServiceAccount: stage.Reader, Client: s.client(),
		Boundary: strings.Replace(only(stage.Warehouse, ""), "objectViewer", "objectDreamer", 1)}
	_, err := stile.Cross(s.source(stage.Role, nil), target).Credential(t.Context())
	var e *stile.Error
	if !errors.Is(err, stile.ErrRefused) || !errors.As(err, &e) || e.Op != "bound the access token" || !strings.Contains(e.Hint, "each rule") {
		t.Errorf("got %v, want a refusal of the second exchange", err)
	}
}

// TestBoundaryFaults lets only the second exchange fail: the first is answered by the lab.
func TestBoundaryFaults(t *testing.T) {
	t.Parallel()
	for name, c := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := set(t)
			target := &togcp.AccessToken{Provider: stage.Provider, Boundary: only(stage.Direct, ""), Client: &http.Client{Transport: second{s.World.Network(nil), s, c.fault}}}
			_, err := stile.Cross(s.source(stage.Role, nil), target).Credential(t.Context())
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.words) || !strings.HasPrefix(err.Error(), "bound the access token") {
				t.Errorf("got %.300v, want kind %v and %q", err, c.kind, c.words)
			}
		})
	}
}

// second adds a fault before an exchange that bounds a token.
type second struct {
	http.RoundTripper
	scene scene
	fault lab.Fault
}

func (r second) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	if form, err := url.ParseQuery(string(body)); err == nil && form.Get("options") != "" {
		r.fault.Host = "sts.googleapis.com"
		r.scene.World.Faults.Add(r.fault)
	}
	req.Body = io.NopCloser(strings.NewReader(string(body)))
	return r.RoundTripper.RoundTrip(req)
}

func TestParseBoundary(t *testing.T) {
	t.Parallel()
	rule := `{"availableResource":"//storage.googleapis.com/projects/_/buckets/abc","availablePermissions":["inRole:roles/storage.objectViewer"]}`
	rules := func(n int, rule string) string {
		return `{"accessBoundaryRules":[` + strings.TrimSuffix(strings.Repeat(rule+",", n), ",") + `]}`
	}
	cases := map[string]struct{ text, words string }{
		"one rule":            {rules(1, rule), ""},
		"ten rules":           {rules(10, strings.Replace(rule, "objectViewer", "admin", 1)), ""},
		"as documented":       {`{"accessBoundary":` + rules(1, rule) + `}`, ""},
		"a custom role":       {rules(1, strings.Replace(rule, "roles/storage", "projects/demo-proj/roles/storage", 1)), ""},
		"no rule":             {rules(0, ""), "0 rules"},
		"eleven rules":        {rules(11, rule), "11 rules"},
		"too long":            {rules(10, strings.Replace(rule, "abc", strings.Repeat("a", 200), 1)), "at most 2048"},
		"empty":               {"", "not a JSON object"},
		"a list":              {"[]", "wrong type"},
		"two objects":         {rules(1, rule) + "{}", "follows"},
		"cut short":           {rules(1, rule)[:80], "not a JSON object"},
		"both forms":          {`{"accessBoundary":` + rules(1, rule) + `,"accessBoundaryRules":[` + rule + `]}`, "beside it"},
		"a misspelt field":    {rules(1, strings.Replace(rule, "availablePermissions", "permissions", 1)), "unknown"},
		"a misspelt outside":  {`{"accessBoundry":{}}`, "unknown"},
		"another service":     {rules(1, strings.Replace(rule, "storage.googleapis", "pubsub.googleapis", 1)), "availableResource"},
		"a whole project":     {rules(1, strings.Replace(rule, "/_/buckets/abc", "/demo-proj", 1)), "availableResource"},
		"an object":           {rules(1, strings.Replace(rule, "abc", "abc/objects/x", 1)), "availableResource"},
		"no role":             {rules(1, strings.Replace(rule, `"inRole:roles/storage.objectViewer"`, "", 1)), "at least one"},
		"a permission":        {rules(1, strings.Replace(rule, "inRole:roles/storage.objectViewer", "storage.objects.get", 1)), "inRole:"},
		"an empty condition":  {rules(1, strings.Replace(rule, "]}", `],"availabilityCondition":{"expression":" "}}`, 1)), "expression"},
		"a rule that is null": {rules(1, "null"), "availableResource"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := togcp.ParseBoundary(c.text)
			switch {
			case c.words == "" && err != nil:
				t.Error(err)
			case c.words == "":
				if again, err := togcp.ParseBoundary(b.String()); err != nil || again.String() != b.String() {
					t.Errorf("%s does not round-trip: %v", b, err)
				}
			case !errors.Is(err, stile.ErrMisuse) || !strings.Contains(err.Error(), c.words):
				t.Errorf("got %v, want misuse and %q", err, c.words)
			}
		})
	}
}

func TestEveryFieldIsInTheKey(t *testing.T) {
	t.Parallel()
	seen := map[stile.Key]string{}
	for name, target := range map[string]stile.Keyed{
		"plain":        &togcp.AccessToken{Provider: stage.Provider},
		"account":      &togcp.AccessToken{Provider: stage.Provider, ServiceAccount: stage.Reader},
		"boundary":     &togcp.AccessToken{Provider: stage.Provider, Boundary: only("abc", "")},
		"user project": &togcp.AccessToken{Provider: stage.Provider, UserProject: "demo-proj"},
		"mTLS":         &togcp.AccessToken{Provider: stage.Provider, Endpoints: togcp.Endpoints{MTLS: true}},
		"universe":     &togcp.AccessToken{Provider: stage.Provider, Endpoints: togcp.Endpoints{UniverseDomain: "other.example"}},
		"ID token":     &togcp.IDToken{Provider: stage.Provider, ServiceAccount: stage.Reader, TokenAudience: "a"},
		"ID, project":  &togcp.IDToken{Provider: stage.Provider, ServiceAccount: stage.Reader, TokenAudience: "a", UserProject: "demo-proj"},
		"ID, mTLS":     &togcp.IDToken{Provider: stage.Provider, ServiceAccount: stage.Reader, TokenAudience: "a", Endpoints: togcp.Endpoints{MTLS: true}},
	} {
		if other, dup := seen[target.CacheKey()]; dup {
			t.Errorf("%s and %s share a key", name, other)
		}
		seen[target.CacheKey()] = name
	}
}

func TestLifetimeOfTwelveHours(t *testing.T) {
	t.Parallel()
	s := set(t)
	s.must(s.World.Google.AllowLongTokens(stage.Reader))
	target := &togcp.AccessToken{Provider: stage.Provider, ServiceAccount: stage.Reader, Lifetime: 12 * time.Hour, Client: s.client()}
	cred, err := stile.Cross(s.source(stage.Role, nil), target).Credential(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(cred.Expires); left < 11*time.Hour {
		t.Errorf("lives %s, want 12h", left)
	}
	target.Lifetime += time.Second
	if _, err := stile.Cross(s.source(stage.Role, nil), target).Credential(t.Context()); !errors.Is(err, stile.ErrMisuse) {
		t.Errorf("a second more: %v, want misuse", err)
	}
}
