// SPDX-License-Identifier: Apache-2.0

package sidecar_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/assemble"
	"github.com/stile-project/stile/internal/sidecar"
	"github.com/stile-project/stile/lab"
	"github.com/stile-project/stile/lab/stage"
)

func TestMain(m *testing.M) {
	_ = os.Unsetenv("AWS_CA_BUNDLE") // the AWS SDK would add it to a client that is none of its own
	goleak.VerifyTestMain(m)
}

const crossings = `version: 1
crossings:
  images: { from: { gcp: { audience: ` + stage.ImagesAudience + ` } }, to: { aws: { role: ` + stage.FromGCP + `, region: eu-west-1 } } }
  again: { from: { gcp: { audience: ` + stage.ImagesAudience + ` } }, to: { aws: { role: ` + stage.FromGCP + `, region: eu-west-1 } } }
  other: { from: { gcp: { audience: ` + stage.ImagesAudience + ` } }, to: { aws: { role: ` + stage.FromGCP + `, region: eu-west-1, session_name: other } } }
  warehouse: { from: { aws: {} }, to: { gcp: { provider: ` + stage.Provider + `, service_account: ` + stage.Reader + ` } } }
  narrow: { from: { aws: {} }, to: { gcp: { provider: ` + stage.Provider + `, service_account: ` + stage.Reader + `, scopes: ["https://www.googleapis.com/auth/devstorage.read_only"] } } }
  direct: { from: { aws: {} }, to: { gcp: { provider: ` + stage.Provider + ` } } }
  unbound: { from: { aws: {} }, to: { gcp: { provider: ` + stage.Provider + `, service_account: ` + stage.Unbound + ` } } }
  visa: { from: { gcp: {} }, to: { token: { audience: a } } }
`

// A scene is a lab, and a sidecar in it that is neither applied nor run.
type scene struct {
	t       *testing.T
	stage   *stage.Stage
	sidecar *sidecar.Sidecar
	folder  string
	log     *locked
	options sidecar.Options
	down    atomic.Bool // AWS STS
	hangs   atomic.Bool // the same: it never answers
}

type network struct {
	s    *scene
	next http.RoundTripper
}

var errTooLong = errors.New("that took too long")

func (n network) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.Host, "sts.eu-west-1.") {
		if n.s.down.Load() {
			return nil, errors.New("the network is down")
		}
		if n.s.hangs.Load() {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
	}
	return n.next.RoundTrip(r)
}

func newScene(t *testing.T) *scene {
	t.Helper()
	set, err := stage.Set(lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, stage: set, folder: t.TempDir(), log: &locked{}}
	around := func(place *lab.Place) assemble.Surroundings {
		client := &http.Client{Transport: network{s, set.World.Network(place)}}
		return assemble.Surroundings{Client: client, AWSClient: client, LinkLocal: client, Warn: func(string) {}, Lookup: func(string) (string, bool) { return "", false }}
	}
	aws, google := around(set.EC2), around(set.VM)
	s.options = sidecar.Options{
		Around: func(from config.From) (assemble.Surroundings, error) {
			if from.AWS != nil {
				return aws, nil
			}
			return google, nil
		},
		Region: func(named string) string { return named },
		Log:    slog.New(slog.NewTextHandler(s.log, nil)), Folder: filepath.Join(s.folder, "run"), Home: s.folder,
	}
	s.sidecar = sidecar.New(s.options)
	t.Cleanup(s.sidecar.Close)
	return s
}

// locked is a log that may be read while it is written.
type locked struct {
	mu sync.Mutex
	to bytes.Buffer
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.String()
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Write(b)
}

func plan(t *testing.T, serve string) sidecar.Plan {
	t.Helper()
	f, err := config.Parse("stile.yaml", []byte(crossings+"serve:\n"+serve))
	if err != nil {
		t.Fatal(err)
	}
	return sidecar.Plan{Serve: *f.Serve, Crossings: f.Crossings}
}

func (s *scene) apply(serve string) {
	s.t.Helper()
	if err := s.sidecar.Apply(s.t.Context(), plan(s.t, serve)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) run() {
	s.t.Helper()
	end := s.runUntil()
	s.t.Cleanup(func() {
		if err := end(); err != nil {
			s.t.Error(err)
		}
	})
}

// runUntil runs until end is called, which says how it ended; also the second time.
func (s *scene) runUntil() (end func() error) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		err = s.sidecar.Run(ctx)
	}()
	end = func() error {
		cancel()
		<-done
		return err
	}
	s.t.Cleanup(func() { _ = end() })
	return end
}

func (s *scene) until(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("never %s; %+v", what, s.sidecar.Report())
		}
	}
}

func (s *scene) ready() bool { return s.sidecar.Report().Ready }

// exchanges counts what the clouds gave out since it was last asked.
func (s *scene) exchanges() (n int) {
	for _, e := range s.stage.World.Journal.Take() {
		if (e.Operation == "token exchange" || e.Operation == "AssumeRoleWithWebIdentity") && e.Status == http.StatusOK {
			n++
		}
	}
	return n
}

// at is where the first endpoint of a kind listens, and its token.
func (s *scene) at(kind string) (address, token string) {
	s.t.Helper()
	for _, one := range s.sidecar.Report().Serves {
		if one.Kind == kind {
			data, _ := os.ReadFile(one.TokenFile)
			return one.Addresses[0], strings.TrimSpace(string(data))
		}
	}
	s.t.Fatalf("no %s", kind)
	return "", ""
}

func get(url string, headers ...string) (int, string, error) {
	return ask(http.MethodGet, url, headers...)
}

func ask(method, url string, headers ...string) (int, string, error) {
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		return 0, "", err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, string(body), err
}

func (s *scene) gce(path string) (int, string) {
	s.t.Helper()
	address, _ := s.at("gce")
	code, body, err := get("http://"+address+"/computeMetadata/v1/"+path, "Metadata-Flavor", "Google")
	if err != nil {
		s.t.Fatal(err)
	}
	return code, body
}

// imds asks at the first EC2 endpoint.
func (s *scene) imds(path string, headers ...string) (int, string) {
	s.t.Helper()
	address, _ := s.at("imds")
	code, body, err := get("http://"+address+path, headers...)
	if err != nil {
		s.t.Fatal(err)
	}
	return code, body
}

// imdsToken begins a session there.
func (s *scene) imdsToken() string {
	s.t.Helper()
	address, _ := s.at("imds")
	code, token, err := ask(http.MethodPut, "http://"+address+"/latest/api/token", "X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
	if err != nil || code != http.StatusOK {
		s.t.Fatalf("%d %s %v", code, token, err)
	}
	return token
}

const oneECS = "  endpoints:\n    - { ecs: [images], listen: '127.0.0.1:0' }\n"

func TestReadyWithoutARequest(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.apply("  endpoints:\n    - { ecs: [images, again], listen: '127.0.0.1:0' }\n    - { gce: warehouse, listen: '127.0.0.1:0' }\n")
	s.run()
	s.until("ready", s.ready)
	if n := s.exchanges(); n != 2 {
		t.Errorf("%d exchanges, want 2: two crossings are the same", n)
	}
	var names []string
	for _, c := range s.sidecar.Report().Crossings {
		names = append(names, c.Name)
	}
	if want := []string{"again", "images", "warehouse"}; !slices.Equal(names, want) {
		t.Errorf("crossings %q, want %q", names, want)
	}
}

func TestColdCrossingIsExchangedOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.apply(oneECS)
	address, token := s.at("ecs")
	s.run()
	var all sync.WaitGroup
	// Five times as many kept a busy machine from reading some headers within the server's five seconds.
	wrong := make(chan string, 200)
	for range cap(wrong) {
		all.Go(func() {
			code, body, err := get("http://"+address+"/v1/credentials/images", "Authorization", token)
			if err != nil || code != http.StatusOK || !strings.Contains(body, `"AccessKeyId":"ASIA`) {
				wrong <- fmt.Sprintf("%d %v", code, err)
			}
		})
	}
	all.Wait()
	if len(wrong) > 0 {
		t.Errorf("%d of %d got none: %s", len(wrong), cap(wrong), <-wrong)
	}
	if n := s.exchanges(); n != 1 {
		t.Errorf("%d exchanges", n)
	}
}

func TestReloadKeepsWhatStands(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.apply(oneECS)
	s.run()
	s.until("ready", s.ready)
	before, token := s.at("ecs")
	kept := s.sidecar.Keeper("images")
	s.exchanges()

	s.apply(oneECS) // nothing changed
	s.apply("  endpoints:\n    - { ecs: [images], listen: '127.0.0.1:0' }\n    - { imds: other, listen: '127.0.0.1:0' }\n    - { gce: warehouse, listen: '127.0.0.1:0' }\n")
	s.until("ready", s.ready)
	if n := s.exchanges(); n != 2 {
		t.Errorf("%d exchanges, want one for each new crossing", n)
	}
	if after, same := s.at("ecs"); after != before || same != token {
		t.Errorf("the endpoint was at %s and is at %s; its token is another: %t", before, after, same != token)
	}
	if s.sidecar.Keeper("images") != kept {
		t.Error("the crossing has another keeper")
	}
	imds, _ := s.at("imds")

	s.apply(oneECS)
	if s.sidecar.Keeper("other") != nil || len(s.sidecar.Report().Crossings) != 1 {
		t.Error("a crossing that is not served any longer is still held")
	}
	s.until("closed", func() bool { _, _, err := get("http://" + imds + "/"); return err != nil })
	if code, _, err := get("http://"+before+"/v1/credentials/images", "Authorization", token); err != nil || code != http.StatusOK {
		t.Errorf("%d, %v", code, err)
	}
	if n := s.exchanges(); n != 0 {
		t.Errorf("%d exchanges for what was held", n)
	}
}

func TestBadPlanChangesNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.apply(oneECS)
	s.run()
	s.until("ready", s.ready)
	taken, _ := s.at("ecs")
	report := s.sidecar.Report().Serves
	for name, serve := range map[string]string{
		"an address that is taken": "  endpoints:\n    - { ecs: [images, other], listen: '127.0.0.1:0' }\n    - { gce: warehouse, listen: '" + taken + "' }\n",
		"a user that is none":      "  allow_users: [nobody-of-that-name]\n" + oneECS,
		"a folder that is none":    "  files: [{ crossing: visa, token: { path: /no/such/folder/token } }]\n" + oneECS,
	} {
		if err := s.sidecar.Apply(t.Context(), plan(t, serve)); err == nil {
			t.Errorf("%s: taken over", name)
		}
		if got := s.sidecar.Report().Serves; fmt.Sprint(got) != fmt.Sprint(report) || s.sidecar.Keeper("other") != nil {
			t.Errorf("%s: serves %v", name, got)
		}
	}
	missing := plan(t, oneECS)
	delete(missing.Crossings, "images")
	if err := s.sidecar.Apply(t.Context(), missing); err == nil || !strings.Contains(err.Error(), `no crossing "images"`) {
		t.Errorf("a crossing that is none: %v", err)
	}
}

func TestCloudsAreAwayAtFirst(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.down.Store(true)
	s.apply(oneECS + "    - { gce: unbound, listen: '127.0.0.1:0' }\n")
	s.run()
	s.until("failing", func() bool { return s.sidecar.Report().Crossings[0].Failures > 0 })
	s.down.Store(false)
	// One that is refused holds up no other.
	s.until("ready", func() bool { return s.sidecar.Report().Crossings[0].Ready })
	s.until("refused", func() bool { return strings.Contains(s.sidecar.Report().Crossings[1].Error, "403") })
	if code, body := s.gce("instance/service-accounts/default/token"); code != http.StatusForbidden || strings.Contains(body, "access_token") {
		t.Errorf("%d %s", code, body)
	}
}

func TestGoogleEndpoint(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.apply("  endpoints: [{ gce: warehouse, listen: '127.0.0.1:0', zone: europe-west1-b }]\n")
	s.run()
	s.until("ready", s.ready)
	for path, want := range map[string]string{
		"project/project-id": stage.Project, "project/numeric-project-id": stage.Number, "instance/service-accounts/default/email": stage.Reader,
		"instance/zone": "projects/" + stage.Number + "/zones/europe-west1-b",
	} {
		if code, body := s.gce(path); code != http.StatusOK || body != want {
			t.Errorf("%s: %d %q, want %q", path, code, body, want)
		}
	}
	s.exchanges()
	const identity = "instance/service-accounts/default/identity?audience="
	_, one := s.gce(identity + "https://one.example")
	_, two := s.gce(identity + "https://two.example")
	_, again := s.gce(identity + "https://one.example")
	if !strings.HasPrefix(one, "eyJ") || one == two || one != again {
		t.Error("ID tokens for two audiences are mixed up, or not kept")
	}
	for _, scope := range []string{"https://www.googleapis.com/auth/devstorage.read_only", "https://www.googleapis.com/auth/bigquery"} {
		if code, body := s.gce("instance/service-accounts/default/token?scopes=" + scope); code != http.StatusOK {
			t.Errorf("%s: %d %s", scope, code, body)
		}
	}
	if n := len(s.sidecar.Report().Crossings); n != 1 {
		t.Errorf("%d crossings are told of, want the one that is served", n)
	}
}

func TestGoogleEndpointGivesNoMoreThanTheCrossing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.apply("  endpoints: [{ gce: narrow, listen: '127.0.0.1:0' }]\n")
	s.run()
	s.until("ready", s.ready)
	const token = "instance/service-accounts/default/token"
	_, own := s.gce(token)
	own, _, _ = strings.Cut(own, `,"expires_in"`)
	s.exchanges()
	for _, query := range []string{"", "?scopes=https://www.googleapis.com/auth/devstorage.read_only", "?scopes=https://www.googleapis.com/auth/cloud-platform"} {
		if code, body := s.gce(token + query); code != http.StatusOK || !strings.HasPrefix(body, own) {
			t.Errorf("%q: %d %s, want the crossing's own token", query, code, body)
		}
	}
	if n := s.exchanges(); n != 0 {
		t.Errorf("%d exchanges for tokens that the crossing has", n)
	}
	s.apply("  endpoints: [{ gce: direct, listen: '127.0.0.1:0', project: demo-proj }]\n")
	s.until("ready", s.ready)
	s.until("changed", func() bool {
		_, body := s.gce("instance/service-accounts/default/email")
		return body == "demo-proj.svc.id.goog"
	})
	if code, body := s.gce("instance/service-accounts/default/identity?audience=a"); code != http.StatusNotFound || !strings.Contains(body, "no service account") {
		t.Errorf("an ID token of nobody: %d %s", code, body)
	}
}

func TestOneAddressForAll(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	p := plan(t, "  endpoints:\n    - { ecs: [images], listen: '127.0.0.1:1' }\n    - { imds: images, listen: '127.0.0.1:1' }\n    - { gce: warehouse, listen: '127.0.0.1:1' }\n")
	socket := "unix:" + filepath.Join(s.folder, "s")
	for i := range p.Serve.Endpoints {
		p.Serve.Endpoints[i].Listen = socket
	}
	p.Serve.Endpoints[1].AllowV1 = true // so that it can be told from the others
	if err := s.sidecar.Apply(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	s.run()
	s.until("ready", s.ready)
	for path, want := range map[string]string{
		"/v1/credentials/images": "401 ", "/v1/credentials/warehouse": "401 ", "/latest/meta-data/": "200 iam/", "/computeMetadata/v1/": "403 ", "/%76%31/credentials/images": "404 ", "/": "200 computeMetadata/", "/else": "404 ",
	} {
		if got := overUnix(t, socket[len("unix:"):], path); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %.60q, want %q", path, got, want)
		}
	}
}

func TestFilesFollow(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.apply("  files:\n    - { crossing: images, aws_profile: { path: '~/creds', profile: images } }\n    - { crossing: visa, token: { path: '~/visa', mode: '0640' } }\n")
	s.run()
	if err := s.sidecar.FilesWritten(t.Context()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(s.folder, "creds"))
	if err != nil || !strings.Contains(string(data), "[images]") {
		t.Errorf("%q, %v", data, err)
	}
	info, err := os.Stat(filepath.Join(s.folder, "visa"))
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info, err)
	}
	for _, f := range s.sidecar.Report().Files {
		if f.State != "current" || f.Expires.IsZero() {
			t.Errorf("%+v", f)
		}
	}
	s.apply("  files:\n    - { crossing: other, aws_profile: { path: '~/creds', profile: other } }\n")
	if err := s.sidecar.FilesWritten(t.Context()); err != nil {
		t.Fatal(err)
	}
	if data, err = os.ReadFile(filepath.Join(s.folder, "creds")); err != nil || !strings.Contains(string(data), "[other]") {
		t.Errorf("%q, %v", data, err)
	}
}

func TestTokenFileIsMadeOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	e := config.Endpoint{ECS: []string{"images"}, Listen: "127.0.0.1:0"}
	s.apply(oneECS)
	path, err := s.options.TokenFile(e)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	first, _ := os.ReadFile(path)
	again := sidecar.New(s.options)
	t.Cleanup(again.Close)
	if err := again.Apply(t.Context(), plan(t, oneECS)); err != nil {
		t.Fatal(err)
	}
	if second, _ := os.ReadFile(path); len(first) < 40 || !bytes.Equal(first, second) {
		t.Errorf("the token has %d bytes, and stayed: %t", len(first), bytes.Equal(first, second))
	}
}

func TestStatusHoldsNoSecret(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.apply(oneECS + "    - { gce: warehouse, listen: '127.0.0.1:0' }\n")
	s.run()
	s.until("ready", s.ready)
	text, err := json.Marshal(s.sidecar.Report())
	if err != nil {
		t.Fatal(err)
	}
	_, token := s.at("ecs")
	for _, name := range []string{"images", "warehouse"} {
		c, err := s.sidecar.Keeper(name).Credential(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []stile.Secret{c.Session.SecretAccessKey, c.Session.SessionToken, c.Token, stile.NewSecret(token)} {
			if v := secret.Reveal(); v != "" && (bytes.Contains(text, []byte(v)) || strings.Contains(s.log.String(), v)) {
				t.Errorf("%s: a secret is told", name)
			}
		}
	}
}
