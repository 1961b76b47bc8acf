// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"context"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/outlet"
	"github.com/stile-project/stile/serve"
)

// files is what writes files, and of which description. Nil: there are none.
type files struct {
	config  []config.KeptFile
	keepers []*keep.Keeper
	outlet  *outlet.Files
	before  map[int]FileReport // of files that the plan of before had too: what they hold until they are written anew

	mu      sync.Mutex         // guards cancel and stopped
	cancel  context.CancelFunc // nil before start
	stopped bool
	done    chan struct{}
	err     error // when done
}

// filesOf makes what writes the files of a plan, or gives that of now if it is the same.
func (s *Sidecar) filesOf(p config.Serve, next map[string]*held) (*files, error) {
	f := &files{config: make([]config.KeptFile, len(p.Files)), done: make(chan struct{})}
	var kept []outlet.Kept
	news := map[string]*telling{}
	for i, one := range p.Files {
		keeper := next[one.Crossing].keeper
		file, err := s.o.fileOf(one)
		if err != nil {
			return nil, placed(one.Place, err)
		}
		kept = append(kept, outlet.Kept{File: file, Supplier: keeper, Place: one.Place})
		profile := file.Profile
		if file.Form == outlet.FormProfile && profile == "" {
			profile = "default"
		}
		news[file.Path+"\x00"+profile] = &telling{crossing: one.Crossing, what: whatOf(next[one.Crossing].config)}
		one.Place = ""
		f.config[i] = one
		f.keepers = append(f.keepers, keeper)
	}
	s.mu.Lock()
	old := s.files
	s.mu.Unlock()
	if len(kept) == 0 {
		return nil, nil
	}
	if old != nil && reflect.DeepEqual(old.config, f.config) && slices.Equal(old.keepers, f.keepers) {
		return old, nil
	}
	var err error
	f.outlet, err = outlet.NewFiles(kept, outlet.Options{Report: func(status outlet.Status) {
		s.tellFile(news[status.Path+"\x00"+status.Profile], status)
		select {
		case <-f.outlet.Written(): // very many files are not as many looks at all crossings
			s.lookNow()
		default:
		}
	}})
	if err != nil {
		return nil, err
	}
	f.goOn(old)
	_, err = s.disk.ask("the folders of files:", diskPatience+time.Duration(len(kept))*eachFile, func() (found, error) {
		for _, k := range kept {
			s.disk.at(k.Path)
		}
		return found{}, f.outlet.Check()
	})
	return f, err
}

// eachFile is how much longer very many files may take to be looked at, which is one after the other.
const eachFile = 10 * time.Millisecond

// goOn remembers what files hold that another plan had already: it does not go away because the plan changes.
func (f *files) goOn(old *files) {
	f.before = map[int]FileReport{}
	if old == nil {
		return
	}
	at := map[string]int{}
	for i, status := range f.outlet.Status() {
		at[status.Path+"\x00"+status.Profile] = i
	}
	for j, was := range old.reports() {
		i, ok := at[was.Path+"\x00"+was.Profile]
		if ok && was.Ready && f.keepers[i] == old.keepers[j] && reflect.DeepEqual(f.config[i], old.config[j]) {
			f.before[i] = was
		}
	}
}

// A telling is what is told of one file beside its status.
type telling struct {
	crossing, what string
	warned         bool // that somebody else writes it
}

// whatOf is what a crossing gives, in the words of the endpoints' audit.
func whatOf(c config.Crossing) string {
	switch {
	case c.To.AWS != nil:
		return "AWS session"
	case c.To.GCP != nil && c.To.GCP.IDToken != nil:
		return "ID token for " + c.To.GCP.IDToken.Audience
	case c.To.GCP != nil:
		return "access token"
	case c.To.Token != nil:
		return "subject token for " + c.To.Token.Audience
	}
	return ""
}

func (o Options) fileOf(k config.KeptFile) (outlet.File, error) {
	var f outlet.File
	var path string
	if p := k.AWSProfile; p != nil {
		path = p.Path
		f = outlet.File{Form: outlet.FormProfile, Profile: p.Profile, Mode: config.ParseMode(p.Mode), Group: p.Group, InsecureFolder: p.InsecureFolder}
	} else {
		t := k.Token
		path = t.Path
		form, _ := outlet.ParseForm(t.Form) // package config takes no others
		f = outlet.File{Form: form, Mode: config.ParseMode(t.Mode), Group: t.Group, InsecureFolder: t.InsecureFolder}
	}
	var err error
	f.Path, err = o.underHome(path)
	return f, err
}

func (s *Sidecar) tellFile(about *telling, status outlet.Status) {
	attrs := []any{slog.String("file", status.Path), slog.String("state", status.State.String())}
	if status.Profile != "" {
		attrs = append(attrs, slog.String("profile", status.Profile))
	}
	log := s.o.Log.With(attrs...)
	if status.Wrote {
		s.server.Wrote(serve.FileWrite{Crossing: about.crossing, What: about.what, Path: status.Path, Profile: status.Profile, Expires: status.Expires})
		log.Info("file written", slog.Time("expires", status.Expires))
	}
	if status.Foreign && !about.warned {
		about.warned = true
		log.Warn("something else writes this file too", slog.String("hint", "let one stile serve alone write it, and no other program: each would write its own again"))
	}
	switch status.State {
	case outlet.StateWaiting:
	case outlet.StateCurrent:
		if !status.Wrote {
			log.Info("file is current", slog.Time("expires", status.Expires))
		}
	default:
		attrs := []any{}
		if status.Err != nil {
			attrs = append(attrs, slog.String("error", status.Err.Error()))
			if hint := hintOf(status.Err); hint != "" {
				attrs = append(attrs, slog.String("hint", hint))
			}
		}
		log.Error("file not written", attrs...)
	}
}

// start writes until ctx ends, or stop. A plan may have been gone over to just when Run begins: what was stopped by then
// never starts.
func (f *files) start(ctx context.Context) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cancel != nil || f.stopped {
		return
	}
	ctx, f.cancel = context.WithCancel(ctx)
	go func() {
		defer close(f.done)
		f.err = f.outlet.Run(ctx)
	}()
}

// stop returns when nothing is written any more. What was written stays.
func (f *files) stop() error {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	cancel := f.cancel
	f.stopped = true
	f.mu.Unlock()
	if cancel == nil {
		return nil
	}
	cancel()
	<-f.done
	return f.err
}

// FilesWritten waits until every file has been written once.
func (s *Sidecar) FilesWritten(ctx context.Context) error {
	s.mu.Lock()
	f := s.files
	s.mu.Unlock()
	if f == nil {
		return nil
	}
	select {
	case <-f.outlet.Written():
		return nil
	case <-ctx.Done():
	}
	for _, status := range f.outlet.Status() {
		if status.Err != nil {
			return status.Err
		}
	}
	return context.Cause(ctx)
}

// A FileReport is how one file stands.
type FileReport struct {
	Crossing string    `json:"crossing"`
	Path     string    `json:"path"`
	Profile  string    `json:"profile,omitempty"`
	State    string    `json:"state"` // waiting, current, behind, absent or expired
	Ready    bool      `json:"ready"` // it holds a credential that is valid; one that is behind does too
	Written  time.Time `json:"written,omitzero"`
	Expires  time.Time `json:"expires,omitzero"`
	Failures int       `json:"failures,omitempty"`
	Error    string    `json:"error,omitempty"`
	Hint     string    `json:"hint,omitempty"`
}

// why says what a file that is not ready lacks.
func (r FileReport) why() string {
	file := "the file " + r.Path
	if r.Profile != "" {
		file += " [" + r.Profile + "]"
	}
	switch {
	case r.Error != "":
		return file + " is " + r.State + ": " + withHint(r.Error, r.Hint)
	case r.State == outlet.StateWaiting.String():
		return file + " is waiting to be written"
	}
	return file + " is " + r.State
}

func (f *files) reports() []FileReport {
	all := []FileReport{}
	if f == nil {
		return all
	}
	for i, status := range f.outlet.Status() {
		r := FileReport{Crossing: f.config[i].Crossing, Path: status.Path, Profile: status.Profile, State: status.State.String(),
			Ready:   status.State == outlet.StateCurrent || status.State == outlet.StateBehind,
			Written: status.Written, Expires: status.Expires, Failures: status.Failures}
		if before, ok := f.before[i]; ok && status.State == outlet.StateWaiting && time.Now().Before(before.Expires) {
			r = before
		}
		if status.Err != nil {
			r.Error, r.Hint = oneLine(status.Err.Error()), oneLine(hintOf(status.Err))
		}
		all = append(all, r)
	}
	return all
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
