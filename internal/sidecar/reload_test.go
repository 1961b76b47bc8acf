// SPDX-License-Identifier: Apache-2.0

package sidecar_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/assemble"
	"github.com/stile-project/stile/internal/sidecar"
)

const (
	withOther = oneECS + "    - { imds: other, listen: '127.0.0.1:0' }\n"
	withAgain = oneECS + "    - { imds: again, listen: '127.0.0.1:0' }\n"
	twice     = withOther + "    - { ecs: [images, other], listen: '127.0.0.1:0' }\n"
)

// readyAgain waits for what a plan serves, and counts what was exchanged for it.
func (s *scene) readyAgain(serve string) int {
	s.t.Helper()
	s.apply(serve)
	s.until("ready", s.ready)
	return s.exchanges()
}

// What is dropped is forgotten, so that it is exchanged anew when it comes back; what stays is held, so that its equal is not.
func TestReloadForgetsWhatIsDropped(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.apply(oneECS)
	s.run()
	s.until("ready", s.ready)
	s.exchanges()
	for i, step := range []struct {
		serve string
		want  int
	}{{withOther, 1}, {oneECS, 0}, {withOther, 1}, {twice, 0}, {oneECS, 0}, {twice, 1}, {oneECS, 0}, {withAgain, 0}, {oneECS, 0}, {withOther, 1}} {
		if n := s.readyAgain(step.serve); n != step.want {
			t.Errorf("step %d: %d exchanges, want %d", i, n, step.want)
		}
	}
}

// A plan that is not taken over leaves nothing behind, and takes nothing away.
func TestBadPlanLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.apply(oneECS)
	s.run()
	s.until("ready", s.ready)
	s.exchanges()
	taken, _ := s.at("ecs")
	withBoth := withOther + "    - { imds: again, listen: '127.0.0.1:0' }\n"
	for want, p := range map[string]sidecar.Plan{
		"crossing again: ":                keyless(plan(t, withBoth), "again"),
		"listen on " + taken:              plan(t, withOther+"    - { imds: again, listen: '"+taken+"' }\n"),
		"other machines could reach it":   listening(plan(t, withOther), "0.0.0.0:0"),
		"their paths are the same":        listening(plan(t, withOther+"    - { ecs: [again], listen: '127.0.0.1:0' }\n"), "unix:"+filepath.Join(s.folder, "s")),
		"/no/such/folder":                 plan(t, "  files: [{ crossing: visa, token: { path: /no/such/folder/token } }]\n"+withOther),
		"no user \"nobody-of-that-name\"": plan(t, "  allow_users: [nobody-of-that-name]\n"+withOther),
	} {
		err := s.sidecar.Apply(t.Context(), p)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
		if open := s.sidecar.Report().Endpoints; len(open) != 1 || open[0].Name != "ecs" {
			t.Errorf("%s: listening are %v", want, open)
		}
	}
	if n := s.readyAgain(withAgain); n != 0 {
		t.Errorf("%d exchanges: a bad plan took away what stood", n)
	}
	for range 2 {
		if n := s.readyAgain(withOther); n != 1 {
			t.Errorf("%d exchanges: a bad plan's crossing is still held", n)
		}
		s.apply(oneECS)
	}
}

// keyless has one crossing's source be a file that is not there.
func keyless(p sidecar.Plan, name string) sidecar.Plan {
	c := p.Crossings[name]
	c.From = config.From{GCP: &config.FromGCP{KeyFile: "/no/such/key"}}
	p.Crossings[name] = c
	return p
}

// listening moves every endpoint.
func listening(p sidecar.Plan, address string) sidecar.Plan {
	for i := range p.Serve.Endpoints {
		p.Serve.Endpoints[i].Listen = address
	}
	return p
}

func TestMistakesArePlaced(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	p := plan(t, withOther)
	if p.Serve.Endpoints[0].Place == "" {
		t.Fatal("the file's reader does not say where an endpoint is described")
	}
	same := listening(plan(t, oneECS+"    - { ecs: [other], listen: '127.0.0.1:0' }\n"), "unix:"+filepath.Join(s.folder, "s"))
	if err := s.sidecar.Apply(t.Context(), same); err == nil || !strings.HasPrefix(err.Error(), same.Serve.Endpoints[1].Place+": ") {
		t.Errorf("%v", err)
	}
	s.options.Folder = ""
	homeless := sidecar.New(s.options)
	t.Cleanup(homeless.Close)
	if err := homeless.Apply(t.Context(), p); err == nil || !strings.HasPrefix(err.Error(), p.Serve.Endpoints[0].Place+": find a place for the bearer token") {
		t.Errorf("%v", err)
	}
	broken := errors.New("no certificate")
	s.options.Around = func(config.From) (assemble.Surroundings, error) { return assemble.Surroundings{}, broken }
	bare := sidecar.New(s.options)
	t.Cleanup(bare.Close)
	if err := bare.Apply(t.Context(), p); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

// A crossing that is described otherwise is another one, wherever it is handed out.
func TestChangedCrossing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	const serve = oneECS + "    - { imds: images, listen: '127.0.0.1:0' }\n  files: [{ crossing: images, aws_profile: { path: '~/creds' } }]\n"
	s.apply(serve)
	s.run()
	s.until("ready", s.ready)
	if err := s.sidecar.FilesWritten(t.Context()); err != nil {
		t.Fatal(err)
	}
	address, token := s.at("ecs")
	credentials := func() string {
		code, body, err := get("http://"+address+"/v1/credentials/images", "Authorization", token)
		if err != nil || code != http.StatusOK {
			t.Fatalf("%d %s %v", code, body, err)
		}
		return body
	}
	before, keeper, writer := credentials(), s.sidecar.Keeper("images"), s.sidecar.Writer()
	s.exchanges()
	p := plan(t, serve)
	p.Crossings["images"] = named(p.Crossings["other"], "images")
	if err := s.sidecar.Apply(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if credentials() == before || s.sidecar.Keeper("images") == keeper || s.sidecar.Writer() == writer {
		t.Error("the crossing of before goes on")
	}
	if err := s.sidecar.FilesWritten(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.exchanges(); n != 1 {
		t.Errorf("%d exchanges", n)
	}
}

func named(c config.Crossing, name string) config.Crossing {
	c.Name = name
	return c
}

// What cannot tell its key goes on for as long as it is described the same.
func TestCrossingWithoutAKey(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	p := plan(t, oneECS)
	c := p.Crossings["images"]
	c.From = config.From{OIDC: &config.FromOIDC{Audience: "sts.amazonaws.com", GitHubActions: &config.GitHubActions{}}} // no such job here
	p.Crossings["images"] = c
	keeper := func() any {
		if err := s.sidecar.Apply(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		return s.sidecar.Keeper("images")
	}
	first, again := keeper(), keeper()
	to := *c.To.AWS
	to.SessionName = "another"
	c.To.AWS = &to
	p.Crossings["images"] = c
	if changed := keeper(); first != again || changed == first {
		t.Errorf("stayed while it was the same: %t; while it was another: %t", first == again, changed == first)
	}
}

// A line added above moves everything below, and changes nothing of it.
func TestReloadOfAMovedFile(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	const serve = "  endpoints:\n    - { imds: images, listen: '127.0.0.1:0' }\n  files: [{ crossing: images, aws_profile: { path: '~/creds' } }]\n"
	s.apply(serve)
	s.run()
	s.until("ready", s.ready)
	writer := s.sidecar.Writer()
	session := s.imdsToken()
	s.apply("  # about what follows\n\n" + serve)
	if s.sidecar.Writer() != writer {
		t.Error("the files are written anew")
	}
	if code, _ := s.imds("/latest/meta-data/iam/security-credentials/", "X-Aws-Ec2-Metadata-Token", session); code != http.StatusOK {
		t.Errorf("a client's session is unknown after the reload: %d", code)
	}
}

// Two endpoints at one address and one alone there are other listeners with the same endpoint, which knows whom it gave what.
func TestEndpointGoesOnBesideAnother(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	socket := filepath.Join(s.folder, "s")
	alone := listening(plan(t, "  endpoints:\n    - { gce: warehouse, listen: '127.0.0.1:1' }\n"), "unix:"+socket)
	beside := listening(plan(t, "  endpoints:\n    - { gce: warehouse, listen: '127.0.0.1:1' }\n    - { ecs: [images], listen: '127.0.0.1:1' }\n"), "unix:"+socket)
	apply := func(p sidecar.Plan) {
		if err := s.sidecar.Apply(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	apply(alone)
	s.run()
	s.until("ready", s.ready)
	s.exchanges()
	for i, step := range []struct {
		sidecar.Plan
		want int
	}{{alone, 1}, {alone, 0}, {beside, 1}, {beside, 0}, {alone, 0}} { // the ID token, and images
		apply(step.Plan)
		s.until("ready", s.ready)
		if got := overUnix(t, socket, "/computeMetadata/v1/instance/service-accounts/default/identity?audience=a", "Metadata-Flavor", "Google"); !strings.HasPrefix(got, "200 eyJ") {
			t.Fatalf("%.100s", got)
		}
		if n := s.exchanges(); n != step.want {
			t.Errorf("step %d: %d exchanges, want %d", i, n, step.want)
		}
	}
}

// waiting asks what a metadata server answers only when it changes, or ends.
func (s *scene) waiting() (answer <-chan string) {
	s.t.Helper()
	address, _ := s.at("gce")
	answered := make(chan string, 1)
	go func() {
		code, body, err := get("http://"+address+"/computeMetadata/v1/instance/service-accounts/default/email?wait_for_change=true", "Metadata-Flavor", "Google")
		if err != nil || code != http.StatusOK {
			body = "no answer: " + body
		}
		answered <- body
	}()
	s.until("asked", func() bool {
		w := httptest.NewRecorder()
		s.sidecar.Admin().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
		return strings.Contains(w.Body.String(), `outcome="answered"} 1`)
	})
	return answered
}

const oneGCE = "  endpoints:\n    - { gce: warehouse, listen: '127.0.0.1:0' }\n"

func TestWaitingClientsOfWhatIsGone(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.apply(oneGCE)
	s.run()
	answer := s.waiting()
	s.apply(oneECS)
	if got := <-answer; !strings.HasPrefix(got, "etl-reader@") {
		t.Error(got)
	}
}

func TestWaitingClientsAtTheEnd(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.apply(oneGCE)
	end := s.runUntil()
	answer := s.waiting()
	if err := end(); err != nil {
		t.Error(err)
	}
	if got := <-answer; !strings.HasPrefix(got, "etl-reader@") {
		t.Error(got)
	}
}

// Of plans that come at once, each is gone over to as a whole: what is served in the end listens, and is held.
func TestPlansAtOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	held := func(name string) {
		if _, err := s.sidecar.Keeper(name).Credential(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	rivals := []sidecar.Plan{plan(t, oneECS), plan(t, "  endpoints:\n    - { imds: other, listen: '127.0.0.1:0' }\n"), plan(t, oneECS), plan(t, oneGCE)}
	for range 30 {
		s.apply(oneECS)
		held("images")
		var all sync.WaitGroup
		for _, p := range rivals {
			all.Go(func() {
				if err := s.sidecar.Apply(t.Context(), p); err != nil {
					t.Error(err)
				}
				s.sidecar.Report()
			})
		}
		all.Wait()
		for _, one := range s.sidecar.Report().Serves {
			if len(one.Addresses) != 1 {
				t.Fatalf("%s listens at %q", one.Listener, one.Addresses)
			}
		}
		if s.sidecar.Keeper("images") == nil {
			continue
		}
		held("images")
		s.apply(withAgain)
		if !s.sidecar.Keeper("again").Status().Ready {
			t.Fatal("the crossing that is served is not held: its equal is exchanged anew")
		}
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.apply(oneECS)
	address, _ := s.at("ecs")
	keeper := s.sidecar.Keeper("images")
	s.sidecar.Close()
	if _, _, err := get("http://" + address + "/"); err == nil {
		t.Error("the endpoint still answers")
	}
	if _, err := keeper.Credential(t.Context()); err == nil || s.exchanges() != 0 {
		t.Error("the crossing is still exchanged")
	}
}

// Who waits at the metadata server for a change is told of one that a reload makes, at a free port and at a fixed one; and
// waits on through one that changes something else.
func TestWaitForAChangeByReload(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{"'127.0.0.1:0'", "'unix:SOCKET'"} {
		synctest.Test(t, func(t *testing.T) {
			s := newScene(t)
			serve := func(zone, project string) {
				s.apply("  endpoints: [{ gce: warehouse, listen: " + strings.ReplaceAll(listen, "SOCKET", filepath.Join(s.folder, "s")) + ", zone: " + zone + ", project: " + project + " }]\n")
			}
			serve("europe-west1-b", "one-proj")
			start := time.Now()
			var took time.Duration
			answered := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodGet, "/computeMetadata/v1/instance/zone?wait_for_change=true", nil)
			r.Header.Set("Metadata-Flavor", "Google")
			h := sidecar.Handler(s.sidecar, "gce/warehouse")
			go func() {
				h.ServeHTTP(answered, r)
				took = time.Since(start)
			}()
			synctest.Wait()
			time.Sleep(time.Second)
			serve("europe-west1-b", "other-proj")
			synctest.Wait()
			if took != 0 {
				t.Fatalf("%s: answered %q after %v, with no change", listen, answered.Body, took)
			}
			time.Sleep(time.Second)
			serve("europe-west1-c", "other-proj")
			synctest.Wait()
			if got := answered.Body.String(); !strings.HasSuffix(got, "/zones/europe-west1-c") || took != 2*time.Second {
				t.Errorf("%s: answered %q after %v, want the new zone after 2s", listen, got, took)
			}
		})
	}
}
