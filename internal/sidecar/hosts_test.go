// SPDX-License-Identifier: Apache-2.0

package sidecar_test

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"testing"
)

// A name that the plan allows is good at every listener, and from the next request on.
func TestHostsOfThePlan(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.run()
	admin := filepath.Join(s.folder, "a") // its port would be nowhere told
	block := "  admin: unix:" + admin + "\n" + oneECS
	status := func(network, address string) int {
		t.Helper()
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}}}
		req, err := http.NewRequest(http.MethodGet, "http://stile.default.svc:9919/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	for _, step := range []struct {
		hosts      string
		admin, ecs int
	}{{"", 403, 403}, {"  hosts: [stile.default.svc]\n", 200, 401}, {"  hosts: [stile.other.svc]\n", 403, 403}} {
		s.apply(step.hosts + block)
		address, _ := s.at("ecs")
		if admin, ecs := status("unix", admin), status("tcp", address); admin != step.admin || ecs != step.ecs {
			t.Errorf("%q: admin says %d, want %d; ecs says %d, want %d", step.hosts, admin, step.admin, ecs, step.ecs)
		}
	}
}

// Google's libraries look for their header on a refusal too, whoever gives it.
func TestRefusalsAtGCEBearItsHeader(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.apply("  endpoints:\n    - { gce: warehouse, listen: '127.0.0.1:0' }\n")
	s.run()
	address, _ := s.at("gce")
	for _, host := range []string{"evil.example", "localhost"} {
		req, err := http.NewRequest(http.MethodGet, "http://"+address+"/computeMetadata/v1/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusForbidden || res.Header.Get("Metadata-Flavor") != "Google" {
			t.Errorf("%s: got %d, Metadata-Flavor %q", host, res.StatusCode, res.Header.Get("Metadata-Flavor"))
		}
	}
}
