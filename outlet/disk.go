// SPDX-License-Identifier: Apache-2.0

package outlet

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"time"
)

// A file system on a network may never answer, and nothing ends the call: it holds a thread. So whoever takes long goes on
// without one of the places that writers share, and the rest of its folder waits for it.
const (
	atOnce      = 8                // writers: each holds a thread while the disk works
	slow        = time.Second      // what a writer may take before others have its place
	slowAtMost  = 512              // writers that have lost their place: then others wait after all
	hangs       = 15 * time.Second // more than the lock's patience
	lastMoments = 2 * time.Second  // of a writer when all is to end
)

var errHangs = errors.New("the file system does not answer")

// disks is who writes now.
type disks struct {
	reach func(path string) // nil but in tests: it may hang, as a file system does

	places chan struct{}
	mu     sync.Mutex
	slow   map[string]int // writers by folder
	all    int            // of slow
	ended  chan struct{}  // closed and made anew whenever one of them ends
}

func newDisks() *disks {
	return &disks{places: make(chan struct{}, atOnce), slow: map[string]int{}, ended: make(chan struct{})}
}

func (d *disks) at(path string) {
	if d.reach != nil {
		d.reach(path)
	}
}

// begin waits for a place, while nobody is slow in the folder. It reports whether there was one.
func (d *disks) begin(ctx context.Context, folder string, late <-chan time.Time) bool {
	for {
		d.mu.Lock()
		free, ended := d.slow[folder] == 0, d.ended
		d.mu.Unlock()
		if free {
			select {
			case d.places <- struct{}{}:
			case <-late:
				return false
			case <-ctx.Done():
				return false
			}
			d.mu.Lock()
			free = d.slow[folder] == 0 // still
			d.mu.Unlock()
			if free {
				return true
			}
			<-d.places
			continue
		}
		select {
		case <-ended:
		case <-late:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// yield gives a place to others. It reports whether it did.
func (d *disks) yield(folder string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.all >= slowAtMost {
		return false
	}
	d.slow[folder]++
	d.all++
	<-d.places
	return true
}

func (d *disks) end(folder string, yielded bool) {
	if !yielded {
		<-d.places
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.slow[folder]--; d.slow[folder] == 0 {
		delete(d.slow, folder)
	}
	d.all--
	close(d.ended)
	d.ended = make(chan struct{})
}

// do has work done by a goroutine of its own, whose place was begun.
func (d *disks) do(path string, work func() outcome) <-chan outcome {
	folder, answered := filepath.Dir(path), make(chan outcome, 1)
	var mu sync.Mutex
	done, yielded := false, false
	timer := time.AfterFunc(slow, func() {
		mu.Lock()
		defer mu.Unlock()
		if !done {
			yielded = d.yield(folder)
		}
	})
	go func() {
		d.at(path)
		o := work()
		timer.Stop()
		mu.Lock()
		done = true
		d.end(folder, yielded)
		mu.Unlock()
		answered <- o
	}()
	return answered
}

// An outcome is what came of one attempt.
type outcome struct {
	news change
	gone bool // what was written is not there any more
	disk bool // err is the file's, not the supplier's
	err  error
}

// onDisk does the work, and fails where that takes too long. The work goes on then, and its outcome is that of a later
// attempt; until it has ended, only it has the fields of k that are for whoever has k.
func (f *Files) onDisk(ctx context.Context, k *kept, work func() outcome) outcome {
	timer := time.NewTimer(hangs)
	defer timer.Stop()
	if k.working != nil {
		if before := k.await(ctx, timer.C); before.err != nil || before.news.wrote {
			return before
		}
	}
	if !f.disks.begin(ctx, filepath.Dir(k.Path), timer.C) {
		return k.hangs(ctx)
	}
	k.working = f.disks.do(k.Path, work)
	return k.await(ctx, timer.C)
}

// await waits for what the disk was asked.
func (k *kept) await(ctx context.Context, late <-chan time.Time) outcome {
	var last <-chan time.Time
	end := ctx.Done()
	for {
		select {
		case o := <-k.working:
			k.working = nil
			return o
		case <-end:
			end, last = nil, time.After(lastMoments)
		case <-last:
			return k.hangs(ctx)
		case <-late:
			return k.hangs(ctx)
		}
	}
}

func (k *kept) hangs(ctx context.Context) outcome {
	if ctx.Err() != nil {
		return outcome{err: ctx.Err()}
	}
	return outcome{disk: true, err: k.fail("write the credential to", hinted{errHangs, "see whether a network disk is away: ls -l " + k.Path})}
}
