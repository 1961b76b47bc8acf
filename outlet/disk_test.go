// SPDX-License-Identifier: Apache-2.0

package outlet_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/outlet"
)

// A remote disk answers for no path below its folder while it is away.
type remote struct {
	mu      sync.Mutex
	folder  string
	back    chan struct{} // nil: it answers
	waiting int
}

func (r *remote) reach(path string) {
	r.mu.Lock()
	back := r.back
	if !strings.HasPrefix(path, r.folder) {
		back = nil
	}
	if back != nil {
		r.waiting++
	}
	r.mu.Unlock()
	if back != nil {
		<-back
	}
}

func (r *remote) away() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.back, r.waiting = make(chan struct{}), 0
}

func (r *remote) answers() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.back != nil {
		close(r.back)
		r.back = nil
	}
}

func (r *remote) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.waiting
}

// runOn is run, on a disk that may be away.
func runOn(t *testing.T, r *remote, opts outlet.Options, kept ...outlet.Kept) (files *outlet.Files, end func() error) {
	t.Helper()
	files, err := outlet.NewFiles(kept, opts)
	if err != nil {
		t.Fatal(err)
	}
	outlet.Reach(files, r.reach)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- files.Run(ctx) }()
	return files, func() error {
		cancel()
		return <-ended
	}
}

func fileIn(supplier stile.Supplier, path ...string) outlet.Kept {
	return outlet.Kept{File: outlet.File{Path: filepath.Join(path...)}, Supplier: supplier}
}

// Many files in several folders of a disk that hangs, and one elsewhere: that one is written at once, and for ever. What
// hangs is told, once, and holds few threads; when the disk is back all is written.
func TestHangingDiskHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const many = 60
	for i := range 3 {
		if err := os.MkdirAll(filepath.Join(dir, "remote", fmt.Sprint(i)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		r := &remote{folder: filepath.Join(dir, "remote")}
		r.away()
		defer r.answers()
		var told log
		supplier := &desk{cred: tokenUntil("one", 24*time.Hour)}
		var kept []outlet.Kept
		for i := range many {
			kept = append(kept, fileIn(supplier, dir, "remote", fmt.Sprint(i%3), fmt.Sprint(i)))
		}
		kept = append(kept, fileIn(supplier, dir, "here"))
		files, end := runOn(t, r, outlet.Options{Report: told.report}, kept...)
		turn(1500 * time.Millisecond)
		told.is(t, "here current wrote")
		turn(30 * time.Second)
		told.mu.Lock()
		if n := len(told.said); n != many || !strings.HasSuffix(told.said[0], " absent disk=true") {
			t.Errorf("%d lines, want %d: %q", n, many, told.said[:1])
		}
		told.said = nil
		told.mu.Unlock()
		if n := r.count(); n > 24 {
			t.Errorf("%d threads hang, want at most 8 for each folder", n)
		}
		threads := r.count()
		err := files.Status()[0].Err
		if err == nil || !errors.Is(err, stile.ErrTemporary) || !strings.Contains(err.Error(), "the file system does not answer") {
			t.Errorf("%v", err)
		}
		supplier.say(tokenUntil("two", 24*time.Hour), nil)
		turn(outlet.DefaultEvery)
		told.is(t, "here current wrote")
		turn(time.Hour)
		if n := r.count(); n != threads {
			t.Errorf("%d threads hang after an hour, %d did before", n, threads)
		}
		r.answers()
		turn(3 * time.Minute)
		<-files.Written()
		told.mu.Lock()
		if n := strings.Count(strings.Join(told.said, "\n"), " wrote"); n != many+threads { // those that hung wrote what there was then
			t.Errorf("%d writes are told, want %d", n, many+threads)
		}
		told.mu.Unlock()
		for i, status := range files.Status() {
			if got := contentOf(t, status.Path); got != "two" || status.State != outlet.StateCurrent || status.Err != nil {
				t.Errorf("%d: %q, %+v", i, got, status)
			}
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	})
}

// A file that is there already and whose disk goes away is behind, and dead when its time has come, as that of any other.
func TestFileOnADiskThatWentAway(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := &remote{folder: dir}
		defer r.answers()
		var told log
		supplier := &desk{cred: tokenUntil("one", 10*time.Minute)}
		files, end := runOn(t, r, outlet.Options{Report: told.report}, fileIn(supplier, dir, "token"))
		<-files.Written()
		turn(time.Second)
		r.away()
		turn(time.Minute)
		supplier.say(tokenUntil("two", time.Hour), nil)
		turn(10 * time.Minute)
		told.is(t, "token current wrote", "token behind disk=true", "token expired disk=true")
		if n := r.count(); n != 1 {
			t.Errorf("%d threads hang, want 1", n)
		}
		r.answers()
		turn(3 * time.Minute)
		told.is(t, "token current wrote")
		if got := contentOf(t, filepath.Join(dir, "token")); got != "two" {
			t.Errorf("got %q", got)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	})
}

// The end waits a moment for what is being written, and not for ever; what can be removed is.
func TestEndOnAHangingDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "remote"), 0o700); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		r := &remote{folder: filepath.Join(dir, "remote")}
		supplier := &desk{cred: tokenUntil("one", time.Hour)}
		idle, busy, here := fileIn(supplier, dir, "remote", "idle"), fileIn(supplier, dir, "remote", "busy"), fileIn(supplier, dir, "here")
		idle.RemoveAtEnd, busy.RemoveAtEnd, here.RemoveAtEnd = true, true, true
		files, end := runOn(t, r, outlet.Options{}, idle, busy, here)
		<-files.Written()
		turn(time.Second)
		r.away()
		turn(outlet.DefaultEvery)
		start := time.Now()
		err := end()
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("the end took %s", took)
		}
		if err == nil || strings.Count(err.Error(), "the file system does not answer") != 2 {
			t.Errorf("%v", err)
		}
		if _, err := os.Stat(filepath.Join(dir, "here")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a file elsewhere stays: %v", err)
		}
		r.answers()
		synctest.Wait()
	})
}
