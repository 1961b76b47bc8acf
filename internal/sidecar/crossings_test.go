// SPDX-License-Identifier: Apache-2.0

package sidecar_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/sidecar"
	"github.com/stile-project/stile/keep/file"
	"github.com/stile-project/stile/lab/stage"
)

// One search for credentials and one client serve all crossings of one description, and of no other.
func TestSourcesAreShared(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	intoGoogle := func(account string) config.To {
		return config.To{GCP: &config.ToGCP{Provider: stage.Provider, ServiceAccount: account}}
	}
	intoAWS := func(role string) config.To { return config.To{AWS: &config.ToAWS{Role: role}} }
	asked := func(secret string) config.From {
		return config.From{OIDC: &config.FromOIDC{Audience: "a", URL: &config.TokenURL{URL: "https://tokens.example", Headers: map[string]stile.Secret{"X": stile.NewSecret(secret)}}}}
	}
	aws := config.From{AWS: &config.FromAWS{}}
	variable := config.From{OIDC: &config.FromOIDC{Audience: "a", Environment: &config.TokenVariable{Variable: "TOKEN"}}}
	for name, c := range map[string]struct {
		a, b config.Crossing
		want bool
	}{
		"one AWS identity":              {config.Crossing{From: aws, To: intoGoogle(stage.Reader)}, config.Crossing{From: aws, To: intoGoogle(stage.Unbound)}, true},
		"another region":                {config.Crossing{From: aws, To: intoGoogle("")}, config.Crossing{From: config.From{AWS: &config.FromAWS{Region: "eu-west-1"}}, To: intoGoogle("")}, false},
		"one variable, one target":      {config.Crossing{From: variable, To: intoAWS(stage.FromGCP)}, config.Crossing{From: variable, To: intoAWS(stage.Role)}, true},
		"one variable, two clouds":      {config.Crossing{From: variable, To: intoAWS(stage.FromGCP)}, config.Crossing{From: variable, To: intoGoogle("")}, false},
		"one variable, two accounts":    {config.Crossing{From: variable, To: intoGoogle(stage.Reader)}, config.Crossing{From: variable, To: intoGoogle(stage.Unbound)}, false},
		"headers, which no text shows":  {config.Crossing{From: asked("one"), To: intoGoogle("")}, config.Crossing{From: asked("two"), To: intoGoogle("")}, false},
		"one Google identity, one role": {config.Crossing{From: config.From{GCP: &config.FromGCP{Audience: "a"}}, To: intoAWS(stage.FromGCP)}, config.Crossing{From: config.From{GCP: &config.FromGCP{Audience: "a"}}, To: intoAWS(stage.Role)}, true},
	} {
		sources, err := s.sidecar.Sources(t.Context(), c.a, c.b)
		if err != nil {
			t.Fatal(err)
		}
		if got := sources[0] == sources[1]; got != c.want {
			t.Errorf("%s: shared: %t, want %t", name, got, c.want)
		}
	}
}

func TestProjectsByTheirNames(t *testing.T) {
	t.Parallel()
	for provider, want := range map[string]string{stage.Provider: stage.Number, "locations/global/workforcePools/p/providers/x": "", "projects/my-project": "my-project", "": ""} {
		if got := sidecar.NumberOf(provider); got != want {
			t.Errorf("%s: got %q, want %q", provider, got, want)
		}
	}
	for account, want := range map[string]string{stage.Reader: stage.Project, "a@b.example.com.iam.gserviceaccount.com": "", "1-compute@developer.gserviceaccount.com": "", "": ""} {
		if got := sidecar.ProjectOf(account); got != want {
			t.Errorf("%s: got %q, want %q", account, got, want)
		}
	}
}

func TestGoogleEndpointSaysWhatThePlanSays(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	p := plan(t, "  endpoints: [{ gce: warehouse, listen: '127.0.0.1:0', project: another, project_number: '42' }]\n")
	p.Crossings["warehouse"].To.GCP.UniverseDomain = "universe.example"
	if err := s.sidecar.Apply(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	s.run()
	for path, want := range map[string]string{"project/project-id": "another", "project/numeric-project-id": "42", "universe/universe-domain": "universe.example"} {
		if code, body := s.gce(path); code != http.StatusOK || body != want {
			t.Errorf("%s: %d %q, want %q", path, code, body, want)
		}
	}
}

// Whoever asks for nothing special gets the crossing's own token, and no wider one.
func TestTokenWithoutScopesIsTheCrossings(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.apply("  endpoints: [{ gce: narrow, listen: '127.0.0.1:0' }]\n")
	s.run()
	s.until("ready", s.ready)
	s.exchanges()
	const account = "instance/service-accounts/default/"
	_, own := s.gce(account + "token")
	if n := s.exchanges(); n != 0 {
		t.Errorf("%d exchanges for a token that is held", n)
	}
	code, token := s.gce(account + "identity?audience=https://a.example")
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, token)
	}
	var claims struct{ Aud, Email string }
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil || json.Unmarshal(payload, &claims) != nil || claims.Aud != "https://a.example" || claims.Email != stage.Reader {
		t.Errorf("the ID token says %+v: %v", claims, err)
	}
	// Asking for something else has changed nothing of the crossing.
	if _, again := s.gce(account + "token"); again[:60] != own[:60] {
		t.Error("the crossing's token is another")
	}
	if code, body := s.gce(account + "token?scopes=https://www.googleapis.com/auth/devstorage.read_only"); code != http.StatusOK {
		t.Errorf("%d %s", code, body)
	}
	s.exchanges()
	// Nor when asked for more, as Node always does.
	for _, scopes := range []string{"https://www.googleapis.com/auth/bigquery", "https://www.googleapis.com/auth/cloud-platform"} {
		code, body := s.gce(account + "token?scopes=" + scopes)
		if code != http.StatusOK || body[:60] != own[:60] || s.exchanges() != 0 {
			t.Errorf("%s: %d, and not the crossing's own token", scopes, code)
		}
	}
}

// A scope for all of Google Cloud bounds nothing. A boundary bounds every access token, and there is no ID token.
func TestBoundsOfTheCrossing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	p := plan(t, oneGCE)
	to := p.Crossings["warehouse"].To.GCP
	to.Scopes = []string{"https://www.googleapis.com/auth/cloud-platform"}
	if err := s.sidecar.Apply(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	s.run()
	s.until("ready", s.ready)
	const account, storage = "instance/service-accounts/default/", "https://www.googleapis.com/auth/devstorage.read_only"
	if code, body := s.gce(account + "token?scopes=" + storage); code != http.StatusOK {
		t.Errorf("%d %s", code, body)
	}
	bounded := *to
	bounded.Boundary = &config.Boundary{Rules: []config.BoundaryRule{{Resource: "//storage.googleapis.com/projects/_/buckets/" + stage.Warehouse, Permissions: []string{"inRole:roles/storage.objectViewer"}}}}
	p.Crossings["warehouse"] = config.Crossing{Name: "warehouse", From: p.Crossings["warehouse"].From, To: config.To{GCP: &bounded}}
	if err := s.sidecar.Apply(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	s.until("bounded", func() bool { code, _ := s.gce(account + "identity?audience=a"); return code == http.StatusNotFound })
	s.until("ready", s.ready)
	own := s.exchanges()
	if code, body := s.gce(account + "token?scopes=" + storage); code != http.StatusOK {
		t.Errorf("%d %s", code, body)
	}
	if n := s.exchanges(); n != 2 { // the second one narrows
		t.Errorf("%d token exchanges for a bounded token, %d for the crossing's own", n, own)
	}
}

// What one process has exchanged, the next one finds in the store.
func TestStore(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	store, err := file.Open(s.folder + "/store")
	if err != nil {
		t.Fatal(err)
	}
	s.options.Store = store
	for want := 1; want >= 0; want-- {
		s.sidecar = sidecar.New(s.options)
		s.apply(oneECS)
		if _, err := s.sidecar.Keeper("images").Credential(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.sidecar.Close()
		if n := s.exchanges(); n != want {
			t.Errorf("%d exchanges, want %d", n, want)
		}
	}
}

func TestAudit(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	audit := &locked{}
	s.options.Audit = slog.NewTextHandler(audit, nil)
	s.sidecar = sidecar.New(s.options)
	t.Cleanup(s.sidecar.Close)
	s.apply(oneECS)
	s.run()
	address, token := s.at("ecs")
	if code, body, err := get("http://"+address+"/v1/credentials/images", "Authorization", token); err != nil || code != http.StatusOK {
		t.Fatalf("%d %s %v", code, body, err)
	}
	s.until("told", func() bool { return strings.Contains(audit.String(), "crossing=images") })
}

// What the log says of a crossing, it says by name.
func TestLogNamesTheCrossing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.apply("  endpoints: [{ gce: unbound, listen: '127.0.0.1:0' }]\n")
	s.run()
	s.until("refused", func() bool { return strings.Contains(s.log.String(), "crossing=unbound") })
}

// A crossing that no store takes is a matter for whoever asked for a store. Here its token is in a variable that is not set.
func TestNotSharedIsToldToWhoAskedForSharing(t *testing.T) {
	t.Parallel()
	for _, shared := range []bool{false, true} {
		s := newScene(t)
		store, err := file.Open(s.folder + "/store")
		if err != nil {
			t.Fatal(err)
		}
		s.options.Store, s.options.Shared = store, shared
		s.sidecar = sidecar.New(s.options)
		t.Cleanup(s.sidecar.Close)
		p := plan(t, "  endpoints: [{ ecs: [images, other], listen: '127.0.0.1:0' }]\n")
		other := p.Crossings["other"]
		other.From = config.From{OIDC: &config.FromOIDC{Environment: &config.TokenVariable{Variable: "UNSET"}}}
		p.Crossings["other"] = other
		if err := s.sidecar.Apply(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if _, err := s.sidecar.Keeper("other").Credential(t.Context()); !errors.Is(err, stile.ErrNoIdentity) {
			t.Error(err)
		}
		if _, err := s.sidecar.Keeper("images").Credential(t.Context()); err != nil {
			t.Error(err)
		}
		if told := strings.Contains(s.log.String(), "this credential is not shared"); told != shared {
			t.Errorf("asked for sharing: %t, told: %t:\n%s", shared, told, s.log)
		}
	}
}
