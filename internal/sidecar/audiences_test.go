// SPDX-License-Identifier: Apache-2.0

package sidecar_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/assemble"
	"github.com/stile-project/stile/internal/sidecar"
)

// A client may ask for one audience or set of scopes after another: none of them has a client of its own, and none needs
// anything that may fail by then.
func TestAudiencesShareOneClient(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	var asked atomic.Int64
	var gone atomic.Bool
	inner := s.options.Around
	s.options.Around = func(from config.From) (assemble.Surroundings, error) {
		asked.Add(1)
		if gone.Load() {
			return assemble.Surroundings{}, errors.New("too many open files")
		}
		return inner(from)
	}
	s.sidecar = sidecar.New(s.options)
	t.Cleanup(s.sidecar.Close)
	s.apply("  endpoints: [{ gce: warehouse, listen: '127.0.0.1:0' }]\n")
	s.run()
	s.until("ready", s.ready)
	gone.Store(true)
	for i := range 200 {
		if code, body := s.gce(fmt.Sprintf("instance/service-accounts/default/identity?audience=a%d", i)); code != http.StatusOK {
			t.Fatalf("%d %s", code, body)
		}
	}
	if code, body := s.gce("instance/service-accounts/default/token?scopes=https://www.googleapis.com/auth/devstorage.read_only"); code != http.StatusOK {
		t.Fatalf("%d %s", code, body)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("%d clients were made, want 1", n)
	}
	gone.Store(false)
	s.apply("  endpoints: [{ gce: warehouse, listen: '127.0.0.1:0' }]\n")
	if n := asked.Load(); n != 2 {
		t.Errorf("%d clients were made by the next plan, want 2", n)
	}
}
