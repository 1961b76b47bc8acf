// SPDX-License-Identifier: Apache-2.0

package sidecar_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/sidecar"
	"github.com/stile-project/stile/keep"
)

// fetching has crossings fetched as Run does, with listeners open that nobody serves: a bubble's clock stands still while
// a socket is waited for.
func (s *scene) fetching() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.sidecar.Fetch(ctx)
	}()
	s.t.Cleanup(func() {
		cancel()
		<-done
	})
}

// standings is what a sidecar told of how it stands, and when.
type standings struct {
	mu    sync.Mutex
	since time.Time
	told  []string
}

func (s *standings) tell(unready, all int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, fmt.Sprintf("%d/%d at %s", unready, all, time.Since(s.since)))
}

func (s *standings) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprint(s.told)
}

func standing(s *scene) *standings {
	told := &standings{since: time.Now()}
	s.options.Standing = told.tell
	s.sidecar = sidecar.New(s.options)
	s.t.Cleanup(s.sidecar.Close)
	return told
}

func TestStandingIsToldWhenItChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		told := standing(s)
		s.apply(oneECS + "    - { gce: warehouse, listen: '127.0.0.1:0' }\n")
		s.fetching()
		time.Sleep(time.Minute)
		if got, want := told.String(), "[2/2 at 0s 0/2 at 0s]"; got != want {
			t.Errorf("told %s, want %s", got, want)
		}
		s.apply(oneECS + "    - { gce: warehouse, listen: '127.0.0.1:0' }\n    - { imds: other, listen: '127.0.0.1:0' }\n")
		time.Sleep(time.Minute)
		s.apply(oneECS)
		time.Sleep(time.Minute)
		if got, want := told.String(), "[2/2 at 0s 0/2 at 0s 1/3 at 1m0s 0/3 at 1m0s 0/1 at 2m0s]"; got != want {
			t.Errorf("told %s, want %s", got, want)
		}
	})
}

// For as long as it runs, and whoever asks or does not.
func TestStaysFreshUnasked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.apply(oneECS + "    - { imds: other, listen: '127.0.0.1:0' }\n    - { gce: warehouse, listen: '127.0.0.1:0' }\n")
		s.fetching()
		time.Sleep(time.Second)
		least := map[string]time.Duration{}
		for range 4 * 60 {
			for _, c := range s.sidecar.Report().Crossings {
				left := time.Until(c.Expires)
				if old, ok := least[c.Name]; !ok || left < old {
					least[c.Name] = left
				}
			}
			time.Sleep(time.Minute)
		}
		// With less, botocore takes an endpoint for one that is failing. Google's libraries know no such bound.
		for _, name := range []string{"images", "other"} {
			if least[name] < 19*time.Minute {
				t.Errorf("%s was down to %s", name, least[name])
			}
		}
		if left := least["warehouse"]; left < 4*time.Minute || left > 20*time.Minute {
			t.Errorf("warehouse was down to %s", left)
		}
	})
}

func TestComesBackAfterALongOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.down.Store(true)
		s.apply(oneECS)
		s.fetching()
		time.Sleep(3 * time.Minute)
		if s.ready() {
			t.Fatal("ready without a cloud")
		}
		s.down.Store(false)
		time.Sleep(10 * time.Second) // its keeper's pause is 5 s at most
		if !s.ready() {
			t.Error("not ready 10 s after the clouds are back")
		}
		s.apply(withOther)
		synctest.Wait()
		if !s.ready() {
			t.Error("a new crossing waits")
		}
	})
}

// One that hangs is asked once, and takes nobody's place.
func TestHangingCrossingHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.hangs.Store(true)
		const google = "    - { gce: warehouse, listen: '127.0.0.1:0' }\n"
		s.apply(oneECS + google)
		s.fetching()
		synctest.Wait()
		if k := s.sidecar.Keeper("warehouse"); !k.Status().Ready {
			t.Fatal("one that hangs holds up the other")
		}
		time.Sleep(time.Minute)
		s.apply(oneECS + google + "    - { gce: direct, listen: '127.0.0.1:0' }\n")
		synctest.Wait()
		if k := s.sidecar.Keeper("direct"); !k.Status().Ready {
			t.Error("one that hangs holds up what came later")
		}
	})
}

// ID tokens are young, because Google's library for Go takes them to be an hour's from when it gets them.
func TestIDTokensAreYoung(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.apply("  endpoints: [{ gce: warehouse, listen: '127.0.0.1:0' }]\n")
		supplier, err := s.sidecar.Google("warehouse").IDToken("a")
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			c, err := supplier.Credential(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if left := time.Until(c.Expires); left < 58*time.Minute {
				t.Fatalf("%s are left", left)
			}
			time.Sleep(10 * time.Minute)
		}
	})
}

// Files that the plan no longer names are left as they are, and written no more.
func TestFilesOfBeforeAreLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		path := filepath.Join(s.folder, "visa")
		s.apply("  files: [{ crossing: visa, token: { path: '~/visa' } }]\n")
		end := s.runUntil()
		if err := s.sidecar.FilesWritten(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := s.sidecar.Writer()
		s.apply("  files: [{ crossing: visa, token: { path: '~/moved' } }]\n")
		if sidecar.Writes(before) {
			t.Error("what wrote the files of before still runs")
		}
		if err := os.Remove(path); err != nil {
			t.Errorf("the file did not stay: %v", err)
		}
		time.Sleep(time.Hour)
		if _, err := os.Stat(path); err == nil {
			t.Error("it is written again")
		}
		now := s.sidecar.Writer()
		if !sidecar.Writes(now) {
			t.Error("nothing writes")
		}
		if err := end(); err != nil {
			t.Error(err)
		}
		if sidecar.Writes(now) {
			t.Error("it writes after the end")
		}
		if _, err := os.Stat(filepath.Join(s.folder, "moved")); err != nil {
			t.Error(err)
		}
	})
}

// An exchange takes no longer than it may, and fails as it was told.
func TestTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.hangs.Store(true)
		s.options.Timeout, s.options.Overdue = 7*time.Second, errTooLong
		s.sidecar = sidecar.New(s.options)
		t.Cleanup(s.sidecar.Close)
		s.apply(oneECS)
		start := time.Now()
		if _, err := s.sidecar.Keeper("images").Credential(t.Context()); err == nil || time.Since(start) != 7*time.Second {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		if got := s.sidecar.Report().Crossings[0].Error; !strings.HasSuffix(got, errTooLong.Error()) {
			t.Errorf("got %q", got)
		}
	})
}

// So many crossings that a memory for a thousand would forget some of them share with their equals.
func TestManyCrossingsAreShared(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.down.Store(true)
	p := plan(t, oneECS)
	const many = 1100
	for _, twin := range []string{"a", "b"} {
		for i := range many {
			c := p.Crossings["images"]
			to := *c.To.AWS
			to.SessionName = fmt.Sprintf("s%d", i)
			c.Name, c.To = fmt.Sprintf("%s%d", twin, i), config.To{AWS: &to}
			p.Crossings[c.Name] = c
			p.Serve.Endpoints[0].ECS = append(p.Serve.Endpoints[0].ECS, c.Name)
		}
	}
	if err := s.sidecar.Apply(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	s.down.Store(false)
	for i := 0; i < many; i += 10 {
		if _, err := s.sidecar.Keeper(fmt.Sprintf("a%d", i)).Credential(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !s.sidecar.Keeper(fmt.Sprintf("b%d", i)).Status().Ready {
			t.Fatalf("b%d is not a%d", i, i)
		}
	}
}

// serving has an ECS endpoint serve many crossings like this one, each of which is exchanged for itself.
func serving(p sidecar.Plan, name string, many int) sidecar.Plan {
	for i := range many {
		c := p.Crossings[name]
		to := *c.To.AWS
		to.SessionName = fmt.Sprintf("s%d", i)
		c.Name, c.To = fmt.Sprintf("%s%d", name, i), config.To{AWS: &to}
		p.Crossings[c.Name] = c
		p.Serve.Endpoints[0].ECS = append(p.Serve.Endpoints[0].ECS, c.Name)
	}
	return p
}

// However many hang, each takes its place for a moment: they are more than are asked at once.
func TestManyThatHangHoldUpNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.hangs.Store(true)
		if err := s.sidecar.Apply(t.Context(), serving(plan(t, oneECS), "images", 100)); err != nil {
			t.Fatal(err)
		}
		s.fetching()
		synctest.Wait()
		p := serving(plan(t, oneECS+"    - { gce: warehouse, listen: '127.0.0.1:0' }\n"), "images", 100)
		if err := s.sidecar.Apply(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		if !s.sidecar.Keeper("warehouse").Status().Ready {
			t.Error("those that hang hold up another")
		}
	})
}

// What a reload drops is waited for no longer, asked for no more, and in nobody's way.
func TestDroppedCrossingsAreGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.hangs.Store(true)
		if err := s.sidecar.Apply(t.Context(), serving(plan(t, oneECS), "images", 100)); err != nil {
			t.Fatal(err)
		}
		s.fetching()
		synctest.Wait()
		dropped := map[string]*keep.Keeper{}
		under := 0
		for i := range 100 {
			name := fmt.Sprintf("images%d", i)
			dropped[name] = s.sidecar.Keeper(name)
			if dropped[name].Status().Exchanging {
				under++
			}
		}
		if under == 0 || under == len(dropped) {
			t.Fatalf("%d of %d are exchanged: want some that are, and some that wait", under, len(dropped))
		}
		s.apply(oneGCE)
		synctest.Wait() // no clock has to move
		if !s.ready() {
			t.Error("what was dropped holds up what is served now")
		}
		time.Sleep(10 * time.Minute)
		after := 0
		for name, k := range dropped {
			status := k.Status()
			if status.Failures == 1 {
				after++
			}
			if status.Exchanging || status.Failures > 1 {
				t.Errorf("%s, which was dropped, is still exchanged: %+v", name, status)
			}
		}
		if after != under {
			t.Errorf("%d were exchanged, want the %d that were under way", after, under)
		}
	})
}
