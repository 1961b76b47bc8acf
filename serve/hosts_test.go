// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"io"
	"strings"
	"testing"
)

// A name of one's own can be allowed, and whoever is turned away reads how, wherever the listener is.
func TestNameOfOnesOwn(t *testing.T) {
	t.Parallel()
	const asked = "GET / HTTP/1.1\r\nHost: stile.default.svc:9919\r\n\r\n"
	l := Listener{Name: "admin", Address: "127.0.0.1:0", Handler: says("ok")}
	s := start(t, Options{}, l)
	at := addressOf(s, "admin")
	answer, err := exchange(dial(t, at), asked)
	if err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != 403 || !strings.Contains(string(said), "with hosts, under serve in stile.yaml") {
		t.Errorf("got %d %q, %v", answer.StatusCode, said, err)
	}
	l.Hosts = []string{"stile.default.svc"}
	if err := s.Listen(t.Context(), []Listener{l}); err != nil {
		t.Fatal(err)
	}
	if status := raw(t, at, asked); status != 200 {
		t.Errorf("allowed: %d", status)
	}
	if status := raw(t, at, strings.Replace(asked, "default", "other", 1)); status != 403 {
		t.Errorf("another: %d", status)
	}
	l.Hosts = nil
	if err := s.Listen(t.Context(), []Listener{l}); err != nil {
		t.Fatal(err)
	}
	if status := raw(t, at, asked); status != 403 {
		t.Errorf("no longer allowed: %d", status)
	}
}

func TestHostsHaveNoPort(t *testing.T) {
	t.Parallel()
	for text, good := range map[string]bool{
		"stile.default.svc": true, "Stile": true, "my_stile.": true, "192.0.2.7": true, "fd00::7": true, "[fd00::7]": true,
		"stile:80": false, "stile:": false, "192.0.2.7:80": false, "[fd00::7]:80": false, "[fd00::7": false, "[stile]": false,
		"": false, "*": false, "*.svc": false, "http://stile": false, "a b": false, "fe80::1%eth0": false,
	} {
		if _, err := newSite(Listener{Name: "a", Address: "127.0.0.1:0", Handler: give, Hosts: []string{text}}); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}
