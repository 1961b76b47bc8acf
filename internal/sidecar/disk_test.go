// SPDX-License-Identifier: Apache-2.0

package sidecar_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/sidecar"
)

// A hanging disk is one that answers for no path below some folder until it is back.
type hangingDisk struct {
	mu    sync.Mutex
	below string
	back  chan struct{}
	asked int // while it hung
}

func (h *hangingDisk) reach(path string) {
	h.mu.Lock()
	back := h.back
	hangs := back != nil && strings.HasPrefix(path, h.below)
	if hangs {
		h.asked++
	}
	h.mu.Unlock()
	if hangs {
		<-back
	}
}

// hang has the disk hang; what it returns ends that.
func (h *hangingDisk) hang(below string) (back func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.below, h.back, h.asked = below, make(chan struct{}), 0
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.back != nil {
			close(h.back)
			h.back = nil
		}
	}
}

func (h *hangingDisk) times() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked
}

func mayHang(s *scene) *hangingDisk {
	h := &hangingDisk{}
	sidecar.Reach(s.sidecar, h.reach)
	return h
}

// The bearer token of one endpoint lies on a disk that hangs: fetching, refreshing, status, reloads and the end wait for
// nothing but that, and it is asked once.
func TestHangingTokenFileHoldsUpNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		disk := mayHang(s)
		serves := strings.Replace(oneECS, ", listen:", ", token_file: '~/remote/token', listen:", 1)
		s.apply(serves + "    - { imds: other, listen: '127.0.0.1:0' }\n")
		back := disk.hang(filepath.Join(s.folder, "remote"))
		defer back()
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.sidecar.Fetch(ctx)
		}()
		synctest.Wait()
		for _, name := range []string{"images", "other"} {
			if !s.sidecar.Keeper(name).Status().Ready {
				t.Errorf("%s is not fetched", name)
			}
		}
		time.Sleep(2 * time.Second)
		report := s.sidecar.Report()
		if report.Ready || !strings.Contains(report.Serves[0].Error, "the file system does not answer within 1s") || report.Serves[1].Error != "" {
			t.Errorf("%+v", report.Serves)
		}
		start := time.Now()
		s.apply(serves + "    - { imds: other, listen: '127.0.0.1:0' }\n    - { gce: warehouse, listen: '127.0.0.1:0' }\n")
		synctest.Wait()
		if took := time.Since(start); took > 5*time.Second || !s.sidecar.Keeper("warehouse").Status().Ready {
			t.Errorf("a reload took %s: %+v", took, s.sidecar.Report())
		}
		for range 20 { // as a storm of signals does
			s.apply(serves)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("reloads took %s", took)
		}
		time.Sleep(3 * time.Hour)
		if left := time.Until(s.sidecar.Keeper("images").Status().Expires); left < 19*time.Minute {
			t.Errorf("%s are left of a crossing whose token hangs", left)
		}
		if n := disk.times(); n != 2 { // a look, and a reload
			t.Errorf("the disk was asked %d times, want 2", n)
		}
		if n := strings.Count(s.log.String(), "nobody is let in"); n != 1 {
			t.Errorf("told %d times:\n%s", n, s.log)
		}
		back()
		time.Sleep(3 * time.Second)
		if !s.ready() || !strings.Contains(s.log.String(), "is good again") {
			t.Errorf("not ready once the disk is back: %+v", s.sidecar.Report())
		}
		back = disk.hang(filepath.Join(s.folder, "remote"))
		defer synctest.Wait()
		defer back()
		time.Sleep(10 * time.Second)
		start = time.Now()
		end()
		<-ended
		if took := time.Since(start); took != 0 {
			t.Errorf("the end took %s", took)
		}
	})
}

// Several that hang, and one beside them that is removed and does not: it comes back as ever.
func TestHangingTokenFileHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		disk := mayHang(s)
		s.apply("  endpoints:\n" +
			"    - { ecs: [images], listen: '127.0.0.1:0', token_file: '~/remote/a' }\n    - { ecs: [other], listen: '127.0.0.1:0', token_file: '~/remote/b' }\n" +
			"    - { ecs: [again], listen: '127.0.0.1:0', token_file: '~/here/token' }\n")
		s.fetching()
		time.Sleep(time.Minute)
		here := filepath.Join(s.folder, "here", "token")
		before, err := os.ReadFile(here)
		if err != nil {
			t.Fatal(err)
		}
		back := disk.hang(filepath.Join(s.folder, "remote"))
		defer synctest.Wait()
		defer back()
		time.Sleep(time.Minute)
		if err := os.Remove(here); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		if now, err := os.ReadFile(here); err != nil || string(now) != string(before) {
			t.Errorf("it did not come back: %v", err)
		}
		if n := disk.times(); n != 2 {
			t.Errorf("the disk was asked %d times, want 2", n)
		}
	})
}

// What is not served yet cannot be: the plan is refused in a few seconds, with the file that is at fault, and tried again
// without another call that hangs.
func TestPlanWithAHangingFileIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		disk := mayHang(s)
		s.apply(oneECS)
		s.fetching()
		time.Sleep(time.Second)
		remote := filepath.Join(s.folder, "remote")
		cert, key := filepath.Join(remote, "cert.pem"), filepath.Join(remote, "key.pem")
		for path, serves := range map[string]string{
			filepath.Join(remote, "token"): oneECS + "    - { ecs: [other], listen: '127.0.0.1:0', token_file: '~/remote/token' }\n",
			"the folders of files:":        oneECS + "  files: [{ crossing: visa, token: { path: '~/remote/visa' } }]\n",
			cert:                           oneECS + "    - { imds: other, listen: '127.0.0.1:0', tls: { cert: '" + cert + "', key: '" + key + "' } }\n",
		} {
			back := disk.hang(remote)
			start := time.Now()
			for range 10 {
				err := s.sidecar.Apply(t.Context(), plan(t, serves))
				if err == nil || !strings.Contains(err.Error(), "reach "+path) || !strings.Contains(err.Error(), "does not answer within 5") || !errors.Is(err, stile.ErrTemporary) {
					t.Errorf("%s: %v", path, err)
				}
			}
			if took := time.Since(start); took > 6*time.Second {
				t.Errorf("%s: ten reloads took %s", path, took)
			}
			if n := disk.times(); n != 1 {
				t.Errorf("%s: the disk was asked %d times", path, n)
			}
			if r := s.sidecar.Report(); len(r.Serves) != 1 || !r.Ready {
				t.Errorf("%s: %+v", path, r)
			}
			back()
			synctest.Wait()
		}
	})
}
