// SPDX-License-Identifier: Apache-2.0

package issuers

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	app = Account{"etl", "app"}
	web = Account{"web", "web"}
)

// cluster is one with two accounts, of which app may create its own tokens, and a running pod of each.
func (s *setup) cluster() (*ClusterServer, *Pod, *Pod) {
	s.t.Helper()
	c, err := s.AddCluster(Cluster{Name: "prod", Issuer: "https://oidc.prod.example"})
	if err != nil {
		s.t.Fatal(err)
	}
	var pods []*Pod
	for _, a := range []Account{app, web} {
		if err := c.AddAccount(a); err != nil {
			s.t.Fatal(err)
		}
		p, err := c.Start(PodSpec{Account: a, Projections: []Projection{{Path: "/tokens/vault", Audience: audience}}})
		if err != nil {
			s.t.Fatal(err)
		}
		pods = append(pods, p)
	}
	if err := c.AllowTokens(app, app); err != nil {
		s.t.Fatal(err)
	}
	return c, pods[0], pods[1]
}

func (s *setup) file(p *Pod, name string) string {
	s.t.Helper()
	content, err := p.File(name)
	if err != nil {
		s.t.Fatal(err)
	}
	return content
}

const own = AccountFolder + "/token"

func TestProjectedToken(t *testing.T) {
	t.Parallel()
	s := start(t)
	c, pod, _ := s.cluster()
	now := s.time().Unix()
	for path, want := range map[string]struct {
		audience string
		life     int64
	}{own: {c.Issuer(), 3607}, "/tokens/vault": {audience, 3600}} {
		got := s.claims(c.Issuer(), s.file(pod, path))
		expected := map[string]any{
			"iss": c.Issuer(), "sub": "system:serviceaccount:etl:app", "aud": []any{want.audience}, "jti": got["jti"],
			"iat": number(now), "nbf": number(now), "exp": number(now + want.life),
			"kubernetes.io": map[string]any{
				"namespace":      "etl",
				"node":           map[string]any{"name": "node-1", "uid": uuidOf(c.Issuer() + " node  node-1")},
				"pod":            map[string]any{"name": "app-7d4b9c8f6-x2x7k", "uid": pod.uid},
				"serviceaccount": map[string]any{"name": "app", "uid": uuidOf(c.Issuer() + " serviceaccount etl app")},
			},
		}
		if diff := cmp.Diff(expected, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	if got := s.file(pod, AccountFolder+"/namespace"); got != "etl" {
		t.Errorf("namespace %q", got)
	}
}

// The kubelet writes a new token once 80 % of the old one's life is over, or a day.
func TestProjectedTokensTurnOver(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		life, kept, renewed time.Duration
	}{
		"an hour":     {time.Hour, 48*time.Minute - time.Second, 48 * time.Minute},
		"ten minutes": {10 * time.Minute, 8*time.Minute - time.Second, 8 * time.Minute},
		"a month":     {30 * 24 * time.Hour, 24*time.Hour - time.Second, 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			cluster, _, _ := s.cluster()
			p, err := cluster.Start(PodSpec{Name: "p", Account: app, Projections: []Projection{{Path: "/t", Audience: "a", Life: c.life}}})
			if err != nil {
				t.Fatal(err)
			}
			first := s.file(p, "/t")
			s.pass(c.kept)
			if s.file(p, "/t") != first {
				t.Errorf("renewed before %v", c.renewed)
			}
			s.pass(c.renewed - c.kept)
			if s.file(p, "/t") == first {
				t.Errorf("not renewed after %v", c.renewed)
			}
		})
	}
}

func TestFilesAreWrittenWhole(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, pod, _ := s.cluster()
	folder := t.TempDir()
	for range 2 {
		files, err := pod.Files()
		if err != nil {
			t.Fatal(err)
		}
		if err := files.Write(folder); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(own)))
		if err != nil || string(got) != files[own] {
			t.Errorf("the token on disk is not the pod's: %v", err)
		}
		s.pass(time.Hour)
	}
	left, err := filepath.Glob(filepath.Join(folder, filepath.FromSlash(AccountFolder), ".new-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	s := start(t)
	c, _, _ := s.cluster()
	for name, spec := range map[string]PodSpec{
		"no such account":    {Name: "x", Account: Account{"etl", "nobody"}},
		"a name taken":       {Account: app},
		"a name of its own":  {Name: "A b", Account: app},
		"a short life":       {Name: "x", Account: app, Projections: []Projection{{Path: "/t", Life: 599 * time.Second}}},
		"a long life":        {Name: "x", Account: app, Projections: []Projection{{Path: "/t", Life: longestTokenLife + 1}}},
		"a relative path":    {Name: "x", Account: app, Projections: []Projection{{Path: "t"}}},
		"a path up the tree": {Name: "x", Account: app, Projections: []Projection{{Path: "/a/../../t"}}},
		"over its own token": {Name: "x", Account: app, Projections: []Projection{{Path: own}}},
	} {
		if _, err := c.Start(spec); err == nil {
			t.Errorf("%s: it starts", name)
		}
	}
}

// create asks the API server of the cluster prod for a token.
func (s *setup) create(bearer, namespace, name, body string, header ...string) (int, string) {
	s.t.Helper()
	return s.do("POST", "https://kubernetes.prod.example/api/v1/namespaces/"+namespace+"/serviceaccounts/"+name+"/token", bearer, body,
		append([]string{"Content-Type", "application/json"}, header...)...)
}

func TestTokenRequest(t *testing.T) {
	t.Parallel()
	s := start(t)
	c, pod, _ := s.cluster()
	bearer := s.file(pod, own)
	for name, q := range map[string]struct {
		body     string
		audience any
		seconds  int64
		pod      bool
	}{
		"as a client sends it": {`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"audiences":["` + audience + `"],"expirationSeconds":600}}`, []any{audience}, 600, false},
		"two audiences":        {`{"spec":{"audiences":["a","b"]}}`, []any{"a", "b"}, 3600, false},
		"nothing asked for":    {`{}`, []any{c.Issuer()}, 3600, false},
		"bound to the pod":     {`{"spec":{"boundObjectRef":{"kind":"Pod","apiVersion":"v1","name":"app-7d4b9c8f6-x2x7k"}}}`, []any{c.Issuer()}, 3600, true},
	} {
		status, body := s.create(bearer, "etl", "app", q.body)
		var answer struct {
			Kind, APIVersion string
			Metadata         struct{ Name, Namespace string }
			Status           struct{ Token, ExpirationTimestamp string }
			Spec             struct{ ExpirationSeconds int64 }
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil || status != 201 || answer.Kind != "TokenRequest" || answer.Metadata.Namespace != "etl" || answer.Metadata.Name != "app" {
			t.Errorf("%s: %d %s", name, status, body)
			continue
		}
		got := s.claims(c.Issuer(), answer.Status.Token)
		_, bound := got["kubernetes.io"].(map[string]any)["pod"]
		end := s.time().Add(time.Duration(q.seconds) * time.Second)
		if diff := cmp.Diff(q.audience, got["aud"]); diff != "" || got["sub"] != "system:serviceaccount:etl:app" || got["exp"] != number(end.Unix()) || bound != q.pod ||
			answer.Spec.ExpirationSeconds != q.seconds || answer.Status.ExpirationTimestamp != end.UTC().Format(time.RFC3339) {
			t.Errorf("%s: claims %v, answer until %s (%s)", name, got, answer.Status.ExpirationTimestamp, diff)
		}
	}
}

func TestTokenRequestRefusals(t *testing.T) {
	t.Parallel()
	const cannot = `serviceaccounts "%s" is forbidden: User "%s" cannot create resource "serviceaccounts/token" in API group "" in the namespace "%s"`
	appUser, webUser := app.Subject(), web.Subject()
	for name, c := range map[string]struct {
		bearer          func(s *setup, c *ClusterServer, app, web *Pod) string
		namespace, name string
		body            string
		status          int
		reason, message string
		why             string // in the journal
	}{
		"nobody":           {none, "etl", "app", `{}`, 403, "Forbidden", fmt.Sprintf(cannot, "app", "system:anonymous", "etl"), "Role"},
		"garbage":          {func(*setup, *ClusterServer, *Pod, *Pod) string { return "garbage" }, "etl", "app", `{}`, 401, "Unauthorized", "Unauthorized", "3"},
		"another audience": {func(s *setup, _ *ClusterServer, p, _ *Pod) string { return s.file(p, "/tokens/vault") }, "etl", "app", `{}`, 401, "Unauthorized", "Unauthorized", audience},
		"expired": {func(s *setup, _ *ClusterServer, p, _ *Pod) string {
			raw := s.file(p, own)
			s.pass(3607 * time.Second)
			return raw
		}, "etl", "app", `{}`, 401, "Unauthorized", "Unauthorized", "expired"},
		"the pod is gone":     {func(s *setup, _ *ClusterServer, p, _ *Pod) string { raw := s.file(p, own); p.Delete(); return raw }, "etl", "app", `{}`, 401, "Unauthorized", "Unauthorized", "pod is gone"},
		"another cluster's":   {anotherCluster, "etl", "app", `{}`, 401, "Unauthorized", "Unauthorized", "not among"},
		"a made-up account":   {madeUp, "etl", "app", `{}`, 401, "Unauthorized", "Unauthorized", "account is gone"},
		"another namespace":   {appToken, "web", "web", `{}`, 403, "Forbidden", fmt.Sprintf(cannot, "web", appUser, "web"), "Role"},
		"without any right":   {webToken, "web", "web", `{}`, 403, "Forbidden", fmt.Sprintf(cannot, "web", webUser, "web"), "Role"},
		"a right to nothing":  {allowed(Account{"etl", "gone"}), "etl", "gone", `{}`, 404, "NotFound", `serviceaccounts "gone" not found`, "exists"},
		"less than 10 m":      {appToken, "etl", "app", `{"spec":{"expirationSeconds":599}}`, 422, "Invalid", `TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes`, "599"},
		"more than 2^32 s":    {appToken, "etl", "app", `{"spec":{"expirationSeconds":4294967297}}`, 422, "Invalid", `TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds`, "2^32"},
		"no pod to bind to":   {appToken, "etl", "app", `{"spec":{"boundObjectRef":{"kind":"Pod","apiVersion":"v1","name":"x"}}}`, 404, "NotFound", `pods "x" not found`, "bind"},
		"bound to a wrong id": {appToken, "etl", "app", `{"spec":{"boundObjectRef":{"kind":"Pod","apiVersion":"v1","name":"app-7d4b9c8f6-x2x7k","uid":"1"}}}`, 409, "Conflict", "does not match the UID in record", "uid"},
		"bound to a node":     {appToken, "etl", "app", `{"spec":{"boundObjectRef":{"kind":"Node","apiVersion":"v1","name":"n"}}}`, 400, "BadRequest", "cannot bind token to object of type v1, Kind=Node", "bound to a pod"},
		"not JSON":            {appToken, "etl", "app", `{`, 400, "BadRequest", "TokenRequest", "TokenRequest"},
		"another kind":        {appToken, "etl", "app", `{"kind":"Secret","apiVersion":"v1"}`, 400, "BadRequest", "cannot be handled as a TokenRequest", "TokenRequest"},
		"namespace in body":   {appToken, "etl", "app", `{"metadata":{"namespace":"web"}}`, 400, "BadRequest", "the namespace of the provided object does not match the namespace sent on the request", "namespace"},
		"another resource":    {appToken, "etl", "app/x", `{}`, 404, "NotFound", "the server could not find the requested resource", "path"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			cluster, one, two := s.cluster()
			status, body := s.create(c.bearer(s, cluster, one, two), c.namespace, c.name, c.body)
			var got struct {
				Kind, Status, Reason, Message string
				Code                          int
			}
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatalf("%d %s: %v", status, body, err)
			}
			if status != c.status || got.Code != c.status || got.Kind != "Status" || got.Status != "Failure" || got.Reason != c.reason || !strings.Contains(got.Message, c.message) {
				t.Errorf("got %d %+v, want %d %s: %s", status, got, c.status, c.reason, c.message)
			}
			if why := s.reason(); !strings.Contains(why, c.why) {
				t.Errorf("the journal says %q, want something about %q", why, c.why)
			}
		})
	}
}

func none(*setup, *ClusterServer, *Pod, *Pod) string { return "" }

func appToken(s *setup, _ *ClusterServer, p, _ *Pod) string { return s.file(p, own) }

func webToken(s *setup, _ *ClusterServer, _, p *Pod) string { return s.file(p, own) }

func allowed(whose Account) func(*setup, *ClusterServer, *Pod, *Pod) string {
	return func(s *setup, c *ClusterServer, p, _ *Pod) string {
		if err := c.AllowTokens(app, whose); err != nil {
			s.t.Fatal(err)
		}
		return s.file(p, own)
	}
}

func anotherCluster(s *setup, c *ClusterServer, p, _ *Pod) string {
	second, err := s.AddCluster(Cluster{Name: "second", Issuer: "https://oidc.second.example"})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.sign(second.Token, s.claims(c.Issuer(), s.file(p, own)))
}

func madeUp(s *setup, c *ClusterServer, p, _ *Pod) string {
	claims := s.claims(c.Issuer(), s.file(p, own))
	claims["sub"] = "system:serviceaccount:etl:root"
	claims["kubernetes.io"].(map[string]any)["serviceaccount"] = map[string]any{"name": "root", "uid": uuidOf("x")}
	return s.sign(c.Token, claims)
}

func (s *setup) sign(token func(map[string]any) (string, error), claims map[string]any) string {
	s.t.Helper()
	raw, err := token(claims)
	if err != nil {
		s.t.Fatal(err)
	}
	return raw
}

func TestTokenRequestTakesJSONAndPOST(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, pod, _ := s.cluster()
	if status, body := s.create(s.file(pod, own), "etl", "app", `{}`, "Content-Type", "text/plain"); status != 415 || !strings.Contains(body, "UnsupportedMediaType") {
		t.Errorf("text: %d %s", status, body)
	}
	if status, body := s.do("GET", "https://kubernetes.prod.example/api/v1/namespaces/etl/serviceaccounts/app/token", s.file(pod, own), ""); status != 405 || !strings.Contains(body, "MethodNotAllowed") {
		t.Errorf("GET: %d %s", status, body)
	}
}

func TestClusterShortensTokens(t *testing.T) {
	t.Parallel()
	s := start(t)
	c, err := s.AddCluster(Cluster{Name: "short", Issuer: "https://oidc.short.example", MaxTokenLife: 30 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AddAccount(app); err != nil {
		t.Fatal(err)
	}
	p, err := c.Start(PodSpec{Account: app})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.claims(c.Issuer(), s.file(p, own))["exp"]; got != number(s.time().Add(30*time.Minute).Unix()) {
		t.Errorf("exp %v, want 30m from now", got)
	}
}

// A client that trusts the pod's ca.crt and nothing else reaches the API server on loopback.
func TestListenUnderTheClustersCA(t *testing.T) {
	t.Parallel()
	d := New(Config{Clock: time.Now})
	s := &setup{t: t, Directory: d}
	_, pod, _ := s.cluster()
	server, err := pod.cluster.Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(s.file(pod, AccountFolder+"/ca.crt"))) {
		t.Fatal("ca.crt holds no certificate")
	}
	ask := func(roots *x509.CertPool) (*http.Response, error) {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+server.Address+"/api/v1/namespaces/etl/serviceaccounts/app/token", strings.NewReader(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+s.file(pod, own))
		return transport.RoundTrip(req)
	}
	res, err := ask(roots)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 201 {
		t.Errorf("got %d %s, %v", res.StatusCode, body, err)
	}
	if res, err := ask(x509.NewCertPool()); err == nil {
		_ = res.Body.Close()
		t.Error("a client that does not trust the CA was served")
	}
}

func TestAddClusterRefuses(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, c := range []Cluster{
		{Issuer: "https://a.example"}, {Name: "A", Issuer: "https://a.example"}, {Name: "a"}, {Name: "a", Issuer: "http://a.example"},
		{Name: "a", Issuer: "https://a.example/"}, {Name: "a", Issuer: "https://a.example:8443"}, {Name: "a", Issuer: "https://a.example?x"}, {Name: "a", Issuer: GitLabIssuer},
	} {
		if _, err := s.AddCluster(c); err == nil {
			t.Errorf("%+v was added", c)
		}
	}
}

func FuzzTokenRequest(f *testing.F) {
	f.Add("/api/v1/namespaces/etl/serviceaccounts/app/token", `{"spec":{"audiences":["a"],"expirationSeconds":600}}`)
	f.Add("/api/v1/namespaces//serviceaccounts//token", `{}`)
	f.Add("/api/v1/namespaces/etl/serviceaccounts/app/token", `{"spec":{"boundObjectRef":{"kind":"Pod"}}}`)
	f.Add("/api/v1/namespaces/etl/serviceaccounts/app/token", `[`)
	c, bearer := readyCluster(f)
	f.Fuzz(func(t *testing.T, path, body string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.URL.Path = path
		r.Header.Set("Authorization", "Bearer "+bearer)
		w := httptest.NewRecorder()
		c.ServeHTTP(w, r)
		var answer struct {
			Kind   string
			Code   int
			Status json.RawMessage
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%d %s: %v", w.Code, w.Body, err)
		}
		if ok := answer.Kind == "TokenRequest" && w.Code == 201 || answer.Kind == "Status" && w.Code == answer.Code && w.Code >= 400 && w.Code < 500; !ok {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if w.Code == 201 && path != "/api/v1/namespaces/etl/serviceaccounts/app/token" {
			t.Errorf("a token by the path %q", path)
		}
	})
}

// readyCluster is made once: its CA and its keys would take more time than what is fuzzed.
func readyCluster(f *testing.F) (c *ClusterServer, bearer string) {
	f.Helper()
	at := time.Unix(1795316645, 0)
	c, err := New(Config{Clock: func() time.Time { return at }}).AddCluster(Cluster{Name: "prod", Issuer: "https://oidc.prod.example"})
	if err != nil {
		f.Fatal(err)
	}
	if err := errors.Join(c.AddAccount(app), c.AllowTokens(app, app)); err != nil {
		f.Fatal(err)
	}
	pod, err := c.Start(PodSpec{Account: app})
	if err != nil {
		f.Fatal(err)
	}
	if bearer, err = pod.File(own); err != nil {
		f.Fatal(err)
	}
	return c, bearer
}
