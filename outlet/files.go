// SPDX-License-Identifier: Apache-2.0

package outlet

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/stile-project/stile"
)

// Defaults of a [Files].
const (
	DefaultEvery    = 10 * time.Second
	DefaultPatience = time.Minute
)

const (
	firstPause   = time.Second // after a failure, doubled by each that follows
	longestPause = time.Minute
	spread       = time.Millisecond // between first questions, so that many files are not many exchanges at once
	removal      = 10 * time.Second // what all removals together may take
)

// A Kept is a [File] whose credential is kept fresh.
type Kept struct {
	File
	// Supplier is asked often, and must be cheap: a keeper. Required.
	Supplier stile.Supplier
	// RemoveAtEnd removes what was written when [Files.Run] ends.
	RemoveAtEnd bool
	// Place is where the file is described, such as FILE:LINE:COLUMN, for errors of [NewFiles] and [Files.Check]. Empty:
	// nowhere.
	Place string
}

// Files keeps credentials in files fresh. Use [NewFiles].
type Files struct {
	opts  Options
	kept  []*kept
	disks *disks
	first chan struct{} // closed when nothing is left to be written for the first time

	mu      sync.Mutex // guards missing and every kept's status
	missing int
	ran     bool
}

// Options are what [Files] does otherwise than by default.
type Options struct {
	// Every is how long after a question to a supplier the next one follows. Zero: [DefaultEvery].
	Every time.Duration
	// Patience is how long one question may take. Zero: [DefaultPatience].
	Patience time.Duration
	// Report is told of every change of a file's state, of every other failure of the disk, and of every time that a
	// file was written; one at a time for each file, from several goroutines. Nil: nobody is.
	Report func(Status)
}

// A State is how a file stands.
type State int

// The states.
const (
	StateWaiting State = iota // for the first credential
	StateCurrent              // the file holds what the supplier gave last
	StateBehind               // there is nothing newer, or it could not be written; what the file holds is still good
	StateAbsent               // the file is not there, or holds something else, and the last attempt failed
	StateExpired              // what the file holds is dead
)

// String names the state in one word.
func (s State) String() string {
	names := []string{"waiting", "current", "behind", "absent", "expired"}
	if s < 0 || int(s) >= len(names) {
		return fmt.Sprintf("state %d", int(s))
	}
	return names[s]
}

// A Status is how one file stands. Times are zero where there is nothing to tell.
type Status struct {
	Path    string
	Profile string // of a file of [FormProfile]
	State   State
	Written time.Time // when the content last changed
	Expires time.Time // of what the file holds

	Failures int   // in a row, since the last success
	Err      error // the last of them
	Disk     bool  // Err is the file's, not the supplier's

	// Wrote and Foreign are for Options.Report alone: the file was written just now, and somebody else had changed what
	// was written before.
	Wrote, Foreign bool

	gone bool // what was written is not there any more
}

// kept is one file of a Files. Its fields below due are for whoever has it out of the queue.
type kept struct {
	Kept
	due time.Time

	credential stile.Credential // as in the file; of kind 0 before the first
	info       fs.FileInfo      // of the file, as it was written
	sheet      *sheet           // of the profiles in the file; nil: it has none
	working    <-chan outcome   // of what the disk has been asked and has not answered; nil: nothing

	reported bool // by mu of the Files, as what follows
	last     Status
	status   Status
}

// NewFiles checks what can be checked without a disk, and that no two write the same place. It writes nothing: see
// [Files.Run]. The error tells of every file that is wrong.
func NewFiles(files []Kept, opts Options) (*Files, error) {
	if opts.Every <= 0 {
		opts.Every = DefaultEvery
	}
	if opts.Patience <= 0 {
		opts.Patience = DefaultPatience
	}
	f := &Files{opts: opts, disks: newDisks(), first: make(chan struct{}), missing: len(files)}
	var wrong []error
	places, sheets := make(map[string]*kept), make(map[string]*sheet)
	for _, one := range files {
		k := &kept{Kept: one, status: Status{Path: one.Path}}
		err := one.plain()
		if err == nil && one.Supplier == nil {
			err = one.fail("check the file", fmt.Errorf("%w: no supplier", stile.ErrMisuse))
		}
		if err == nil {
			k.Path, err = filepath.Abs(one.Path)
		}
		if err == nil {
			err = k.alone(places, k.Path)
		}
		if one.Form == FormProfile {
			k.status.Profile = one.profile()
			if sheets[k.Path] == nil {
				sheets[k.Path] = newSheet()
			}
			k.sheet = sheets[k.Path]
		}
		wrong = append(wrong, k.placed(err))
		f.kept = append(f.kept, k)
	}
	if len(files) == 0 {
		close(f.first)
	}
	return f, errors.Join(wrong...)
}

// alone takes the file's place among places, by its path. Only profiles share a file.
func (k *kept) alone(places map[string]*kept, path string) error {
	whole, part := path, path
	if k.Form == FormProfile {
		part += "\x00" + k.profile()
	}
	if other := places[whole]; other != nil && (other.Form != FormProfile || k.Form != FormProfile) || places[part] != nil {
		return k.fail("check the file", hinted{fmt.Errorf("%w: it is given twice", stile.ErrMisuse), "name another file, or, of files with profiles, another profile in it; a link leads to the same file"})
	}
	places[whole], places[part] = k, k
	return nil
}

func (k *kept) placed(err error) error {
	if err == nil || k.Place == "" {
		return err
	}
	return fmt.Errorf("%s: %w", k.Place, err)
}

// Check is [File.Check] of every file: what is wrong already when a program starts. Two paths that lead to one file by a
// link are found here too.
func (f *Files) Check() error {
	wrong := make([]error, len(f.kept))
	places := make(map[string]*kept)
	for i, k := range f.kept {
		err := k.Check()
		if err == nil {
			err = k.aloneOnDisk(places)
		}
		wrong[i] = k.placed(err)
	}
	return errors.Join(wrong...)
}

func (k *kept) aloneOnDisk(places map[string]*kept) error {
	p, err := k.place()
	if err != nil {
		return k.fail("check the file", err)
	}
	return k.alone(places, p.path)
}

// Written is closed when every file has been written once.
func (f *Files) Written() <-chan struct{} { return f.first }

// Status tells how each file stands, in the order they were given.
func (f *Files) Status() []Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	all := make([]Status, len(f.kept))
	for i, k := range f.kept {
		all[i] = k.status.at(now)
	}
	return all
}

// at is the status with a state that time alone may have changed.
func (s Status) at(now time.Time) Status {
	switch {
	case s.Written.IsZero() && s.Err == nil:
		s.State = StateWaiting
	case s.Written.IsZero():
		s.State = StateAbsent
	case s.gone:
		s.State, s.Expires = StateAbsent, time.Time{}
	case !now.Before(s.Expires):
		s.State = StateExpired
	case s.Err != nil:
		s.State = StateBehind
	default:
		s.State = StateCurrent
	}
	return s
}

// Run asks every supplier again and again until the context ends, and writes what is new. A file that vanished, or
// that someone changed, is written again. What fails is tried again after a pause of 1 second to 1 minute, and leaves
// the file as it is; see [Options].Report and [Files.Status]. It returns when nothing runs any more, with what went
// wrong in removing files. It may be called once.
//
// Files on a disk that does not answer, as one on a network may, fail like others, and hold up none elsewhere. Their calls
// go on after the end.
func (f *Files) Run(ctx context.Context) error {
	f.mu.Lock()
	again := f.ran
	f.ran = true
	f.mu.Unlock()
	if again {
		return fmt.Errorf("%w: outlet.Files runs once", stile.ErrMisuse)
	}
	done := make(chan *kept)
	waiting := make(queue, 0, len(f.kept))
	now := time.Now()
	for i, k := range f.kept {
		k.due = now.Add(time.Duration(i) * spread)
		waiting.Push(k) // sorted as it is
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for busy := 0; ; {
		if ctx.Err() != nil {
			for ; busy > 0; busy-- {
				<-done
			}
			return f.end(context.WithoutCancel(ctx))
		}
		for len(waiting) > 0 && !waiting[0].due.After(time.Now()) {
			k := heap.Pop(&waiting).(*kept) //nolint:forcetypeassert // the queue holds nothing else
			busy++
			go func() {
				f.refresh(ctx, k)
				done <- k
			}()
		}
		var tick <-chan time.Time
		if len(waiting) > 0 {
			timer.Reset(time.Until(waiting[0].due))
			tick = timer.C
		}
		select {
		case k := <-done:
			busy--
			heap.Push(&waiting, k)
		case <-tick:
		case <-ctx.Done():
		}
	}
}

// refresh asks and writes once, and says when to do so again.
func (f *Files) refresh(ctx context.Context, k *kept) {
	got := f.attempt(ctx, k)
	disk, err := got.disk, got.err
	if ctx.Err() != nil && !got.news.wrote {
		return
	}
	now := time.Now()
	f.mu.Lock()
	s := &k.status
	if !errors.Is(err, errHangs) { // then nobody knows
		s.gone = got.gone
	}
	pause := f.opts.Every
	other := disk && s.Err != nil && err != nil && s.Err.Error() != err.Error()
	if err != nil {
		s.Failures++
		s.Err, s.Disk = err, disk
		pause = min(longestPause, firstPause<<min(s.Failures-1, 10))
		if busy, ok := errors.AsType[unrested](err); ok {
			pause = busy.wait
		}
	} else {
		s.Failures, s.Err, s.Disk = 0, nil, false
	}
	told := s.at(now)
	told.Wrote, told.Foreign = got.news.wrote, got.news.foreign
	news := !k.reported || told.State != k.last.State || told.Disk != k.last.Disk || told.Wrote || other
	k.reported, k.last = true, told
	f.mu.Unlock()
	if news && f.opts.Report != nil {
		f.opts.Report(told)
	}
	k.due = now.Add(pause)
	if end := told.Expires; now.Before(end) && end.Before(k.due) {
		k.due = end // to tell at once that it is dead
	}
}

// attempt asks the supplier, and has the file hold what it gave.
func (f *Files) attempt(ctx context.Context, k *kept) outcome {
	asked, cancel := context.WithTimeout(ctx, f.opts.Patience)
	defer cancel()
	c, err := k.Supplier.Credential(asked)
	if err == nil && dead(c, time.Now()) {
		err = k.fail("write the credential to", fmt.Errorf("%w: the supplier gave one that has expired", stile.ErrTemporary))
	}
	got := f.onDisk(ctx, k, func() outcome {
		if err != nil {
			return outcome{gone: k.lost(), err: err}
		}
		o := f.write(ctx, k, c)
		o.gone = o.err != nil && k.lost()
		return o
	})
	if err != nil && errors.Is(got.err, errHangs) {
		got.disk, got.err = false, err
	}
	return got
}

func (f *Files) write(ctx context.Context, k *kept, c stile.Credential) outcome {
	if k.credential == c && k.untouched() {
		return outcome{}
	}
	if dead(c, time.Now()) { // the disk may have been slow
		return outcome{disk: true, err: k.fail("write the credential to", fmt.Errorf("%w: it expired before the disk took it", stile.ErrTemporary))}
	}
	put := k.write
	if k.sheet != nil {
		put = k.sheet.write(k.File)
	}
	info, news, err := put(ctx, c, k.credential, k.info == nil)
	if err != nil {
		return outcome{disk: true, err: err}
	}
	f.wrote(k, c, info, news)
	return outcome{news: news}
}

// lost reports whether the file is not there any more, or holds something else. Where that cannot be seen, it is not
// lost.
func (k *kept) lost() bool {
	if k.info == nil || k.untouched() {
		return false
	}
	if there, err := os.Stat(k.Path); err == nil && !there.Mode().IsRegular() {
		return true
	}
	p, err := k.place()
	if err != nil {
		return errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotFolder)
	}
	old, info, err := p.read()
	if err != nil || info == nil {
		return err == nil
	}
	return !k.holds(old, k.credential)
}

func (f *Files) wrote(k *kept, c stile.Credential, info fs.FileInfo, news change) {
	first := k.info == nil
	fresh := k.credential != c
	k.credential, k.info = c, info
	f.mu.Lock()
	defer f.mu.Unlock()
	k.status.Expires = c.Expires
	if fresh || first || news.wrote {
		k.status.Written = time.Now()
	}
	if first {
		if f.missing--; f.missing == 0 {
			close(f.first)
		}
	}
}

// end removes what is not to stay.
func (f *Files) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, removal)
	defer cancel()
	var failed []error
	for _, k := range f.kept {
		if !k.RemoveAtEnd {
			continue
		}
		if k.working != nil { // and may write it yet
			failed = append(failed, k.fail("remove the credential from", errHangs))
			continue
		}
		if k.info == nil {
			continue
		}
		removed := make(chan error, 1)
		go func() {
			f.disks.at(k.Path)
			removed <- k.Remove(ctx, k.credential)
		}()
		select {
		case err := <-removed:
			failed = append(failed, err)
		case <-time.After(removal / 3): // the others are not to stay for that
			failed = append(failed, k.fail("remove the credential from", errHangs))
		}
	}
	return errors.Join(failed...)
}

// queue is a heap of files, the next one first.
type queue []*kept

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(k any)        { *q = append(*q, k.(*kept)) } //nolint:forcetypeassert // see Run
func (q *queue) Pop() any {
	old := *q
	k := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return k
}
