// SPDX-License-Identifier: Apache-2.0

package sidecar_test

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/sidecar"
)

// refuses applies a plan that cannot be had, and finds why.
func (s *scene) refuses(p sidecar.Plan, want string) {
	s.t.Helper()
	if err := s.sidecar.Apply(s.t.Context(), p); err == nil || !strings.Contains(err.Error(), want) {
		s.t.Errorf("got %v, want %s", err, want)
	}
}

func TestOnlyTheUsersThatMayAsk(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells whose program asks")
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s := newScene(t)
	s.run()
	for users, want := range map[string]int{"['4294967290']": http.StatusForbidden, "['4294967290', " + me.Username + "]": http.StatusUnauthorized, "['" + me.Uid + "']": http.StatusUnauthorized} {
		s.apply("  allow_users: " + users + "\n" + oneECS)
		address, _ := s.at("ecs")
		s.until(users, func() bool {
			code, _, err := get("http://" + address + "/v1/credentials/images")
			return err == nil && code == want
		})
	}
}

func TestRemoteWhereThePlanAllowsIt(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	p := listening(plan(t, oneECS), "0.0.0.0:0")
	s.refuses(p, "other machines could reach it")
	p.Serve.Endpoints[0].AllowRemote = true
	if err := s.sidecar.Apply(t.Context(), p); err != nil {
		t.Error(err)
	}
	p.Serve.Admin = "0.0.0.0:0" // it hands out nothing
	if err := s.sidecar.Apply(t.Context(), p); err != nil {
		t.Error(err)
	}
}

func TestSocketMode(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	socket := filepath.Join(s.folder, "s")
	p := listening(plan(t, oneECS), "unix:"+socket)
	p.Serve.Endpoints[0].Mode = "0660"
	if err := s.sidecar.Apply(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info, err)
	}
	if at := s.sidecar.Report().Serves[0].Addresses; !slices.Equal(at, []string{"unix:" + socket}) {
		t.Errorf("told to be at %q", at)
	}
}

// A listener takes another hop limit only when it opens: that it is refused shows that it got there.
func TestHopLimit(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("hop limits are set on Linux alone")
	}
	s := newScene(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()
	p := listening(plan(t, "  endpoints:\n    - { imds: images, listen: '127.0.0.1:1', hop_limit: 2 }\n    - { gce: warehouse, listen: '127.0.0.1:1' }\n"), address)
	if err := s.sidecar.Apply(t.Context(), p); err != nil {
		t.Skipf("the port was taken meanwhile: %v", err)
	}
	p.Serve.Endpoints = p.Serve.Endpoints[:1]
	p.Serve.Endpoints[0].HopLimit = 0
	s.refuses(p, "hop limit")
	p.Serve.Endpoints[0].HopLimit = 2
	if err := s.sidecar.Apply(t.Context(), p); err != nil {
		t.Errorf("the same hop limit: %v", err)
	}
}

// Port 0 is as many ports as endpoints, each with a name, a token and crossings of its own.
func TestFreePorts(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.apply(oneECS + "    - { ecs: [other], listen: '127.0.0.1:0' }\n    - { imds: images, listen: '127.0.0.1:0' }\n    - { imds: other, listen: '127.0.0.1:0' }\n  admin: 127.0.0.1:0\n")
	s.run()
	s.until("ready", s.ready)
	serves := s.sidecar.Report().Serves
	var names []string
	for _, one := range serves {
		names = append(names, one.Listener)
		if one.Kind != "ecs" {
			continue
		}
		token, err := os.ReadFile(one.TokenFile)
		if err != nil {
			t.Fatal(err)
		}
		for _, crossing := range []string{"images", "other"} {
			want := http.StatusUnauthorized
			if one.Crossings[0] == crossing {
				want = http.StatusOK
			}
			for _, at := range serves {
				if code, body, err := get("http://"+at.Addresses[0]+"/v1/credentials/"+crossing, "Authorization", string(token)); err != nil || code == http.StatusOK != (want == http.StatusOK && at.Listener == one.Listener) {
					t.Errorf("%s with the token of %s: %d %s %v", at.Listener, one.Listener, code, body, err)
				}
			}
		}
	}
	if want := []string{"ecs", "ecs#2", "imds/images", "imds/other"}; !slices.Equal(names, want) {
		t.Errorf("named %q, want %q", names, want)
	}
	for range 20 {
		if again := s.sidecar.Report().Serves; fmt.Sprint(again) != fmt.Sprint(serves) {
			t.Fatalf("told in another order: %v", again)
		}
	}
}

// What stays keeps its port and its name, whatever comes, goes and moves around it: programs were told of them.
func TestFreePortsStay(t *testing.T) {
	t.Parallel()
	const (
		images  = "    - { ecs: [images], listen: '127.0.0.1:0' }\n"
		other   = "    - { ecs: [other], listen: '127.0.0.1:0' }\n"
		both    = "    - { ecs: [images, other], listen: '127.0.0.1:0' }\n"
		imds    = "    - { imds: images, listen: '127.0.0.1:0' }\n"
		imdsOld = "    - { imds: images, listen: '127.0.0.1:0', allow_v1: true }\n"
		zone    = "    - { gce: warehouse, listen: '127.0.0.1:0', zone: europe-west1-b }\n"
		noZone  = "    - { gce: warehouse, listen: '127.0.0.1:0' }\n"
		others  = "    - { ecs: [images, again], listen: '127.0.0.1:0' }\n"
	)
	s := newScene(t)
	fixed := "    - { ecs: [again], listen: 'unix:" + filepath.Join(s.folder, "s") + "' }\n"
	where := func() map[string]string {
		all := map[string]string{}
		for _, one := range s.sidecar.Report().Serves {
			all[fmt.Sprint(one.Kind, one.Crossings)] = one.Listener + " at " + one.Addresses[0]
		}
		return all
	}
	s.apply("  endpoints:\n" + images + other + both + imds + zone + fixed)
	s.run()
	first := where()
	if len(first) != 6 {
		t.Fatalf("%v", first)
	}
	for i, endpoints := range []string{
		fixed + zone + imds + both + other + images,
		other + both, // what was first is gone
		images + others + other + both,
		other + both,
		both + imdsOld + noZone + other, // described otherwise
		other + imds + zone + both,
	} {
		before := where()
		s.apply("  endpoints:\n" + endpoints)
		for what, at := range where() {
			if was, ok := before[what]; ok && was != at {
				t.Errorf("step %d: %s was %s and is %s", i, what, was, at)
			}
		}
	}
	for _, what := range []string{"ecs[other]", "ecs[images other]"} {
		if now := where()[what]; now != first[what] {
			t.Errorf("%s was %s and is %s", what, first[what], now)
		}
	}
}

// One whose list of crossings has changed keeps its port too, where there is no other that it could be; what cannot change
// while a port is open gets one of its own.
func TestFreePortOfAnother(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.apply(oneECS)
	before, _ := s.at("ecs")
	s.apply("  endpoints: [{ ecs: [images, other], listen: '127.0.0.1:0' }]\n")
	if now, _ := s.at("ecs"); now != before {
		t.Errorf("was at %s, and is at %s", before, now)
	}
	cert, key := certificate(t, s.folder)
	s.apply("  endpoints: [{ ecs: [again], listen: '127.0.0.1:0', tls: { cert: '" + cert + "', key: '" + key + "' } }]\n")
	if now, _ := s.at("ecs"); now == before {
		t.Error("one that speaks TLS is to have the port of one that does not")
	}
}

func TestAdminTellsOfEndpoints(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.apply(oneECS + "  admin: 'unix:" + filepath.Join(s.folder, "admin") + "'\n")
	s.run()
	s.until("ready", s.ready)
	ask := func(path string) string { return overUnix(t, filepath.Join(s.folder, "admin"), path) }
	if got := ask("/status"); !strings.HasPrefix(got, "200 {") || !strings.Contains(got, `"serves": [`) || !strings.Contains(got, `"files": []`) {
		t.Errorf("%.300s", got)
	}
	if got := ask("/readyz"); !strings.HasPrefix(got, "200 ") {
		t.Error(got)
	}
	w := httptest.NewRecorder()
	if s.sidecar.Admin().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/status", http.NoBody)); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST /status: %d", w.Code)
	}
	w = httptest.NewRecorder()
	if s.sidecar.Admin().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/status", http.NoBody)); w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("/status is %s", w.Header())
	}
	if got := ask("/metrics"); !strings.Contains(got, `stile_exchanges_total{crossing="images",result="ok"} 1`) {
		t.Error(got)
	}
}

func TestVersion1WhereAllowed(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.run()
	for setting, want := range map[string]int{"": http.StatusUnauthorized, ", allow_v1: true": http.StatusOK} {
		s.apply("  endpoints: [{ imds: images, listen: '127.0.0.1:0'" + setting + " }]\n")
		s.until(setting, func() bool {
			code, _ := s.imds("/latest/meta-data/")
			return code == want
		})
	}
}

// Whoever has the token already wants it in no file.
func TestGivenToken(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.options.Token = stile.NewSecret("given")
	s.sidecar = sidecar.New(s.options)
	t.Cleanup(s.sidecar.Close)
	s.apply(oneECS)
	s.run()
	address, _ := s.at("ecs")
	for token, want := range map[string]int{"given": http.StatusOK, "guessed": http.StatusUnauthorized} {
		if code, body, err := get("http://"+address+"/v1/credentials/images", "Authorization", token); err != nil || code != want {
			t.Errorf("%s: %d %s %v", token, code, body, err)
		}
	}
	if _, err := os.Stat(s.options.Folder); err == nil {
		t.Error("a folder was made for nothing")
	}
}

// What an EC2 endpoint says of the role and the region is what the crossing ends in.
func TestRoleAndRegion(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.options.Region = func(named string) string { return cmp.Or(named, "eu-north-1") }
	s.sidecar = sidecar.New(s.options)
	t.Cleanup(s.sidecar.Close)
	s.run()
	p := plan(t, "  endpoints: [{ imds: images, listen: '127.0.0.1:0', allow_v1: true }]\n")
	for _, want := range []string{"eu-west-1 from-gcp", "eu-north-1 from-gcp", "eu-north-1 reader"} {
		c := p.Crossings["images"]
		to := *c.To.AWS
		region, role, _ := strings.Cut(want, " ")
		if region == "eu-north-1" {
			to.Region = ""
		}
		if role == "reader" {
			to.Then = &config.NextRole{Role: "arn:aws:iam::111122223333:role/reader"}
		}
		c.To.AWS = &to
		p.Crossings["images"] = c
		if err := s.sidecar.Apply(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		s.until(want, func() bool {
			_, at := s.imds("/latest/meta-data/placement/region")
			_, name := s.imds("/latest/meta-data/iam/security-credentials/")
			return at+" "+name == want
		})
	}
}

// Two that differ in something else than their crossings are not taken for each other, and one of which that changes is
// still itself.
func TestFreePortsOfTwins(t *testing.T) {
	t.Parallel()
	const (
		strict = "    - { imds: images, listen: '127.0.0.1:0' }\n"
		lax    = "    - { imds: images, listen: '127.0.0.1:0', allow_v1: true }\n"
	)
	s := newScene(t)
	s.run()
	laxAt := func() (at string) {
		for _, one := range s.sidecar.Report().Serves {
			s.until("served", func() bool {
				code, _, err := get("http://" + one.Addresses[0] + "/latest/meta-data/")
				if code == http.StatusOK {
					at = one.Addresses[0]
				}
				return err == nil
			})
		}
		return at
	}
	s.apply("  endpoints:\n" + strict + lax)
	before := laxAt()
	s.apply("  endpoints:\n" + lax + strict)
	if now := laxAt(); now != before || before == "" {
		t.Errorf("version 1 was answered at %q, and is at %q", before, now)
	}
	s.apply("  endpoints:\n    - { ecs: [images], listen: '127.0.0.1:0' }\n    - { ecs: [other], listen: '127.0.0.1:0' }\n")
	at := func() string { return s.sidecar.Report().Serves[len(s.sidecar.Report().Serves)-1].Addresses[0] }
	second := at()
	s.apply("  endpoints:\n    - { ecs: [other], root: other, listen: '127.0.0.1:0' }\n")
	if now := at(); now != second {
		t.Errorf("other was at %s, and is at %s", second, now)
	}
}
