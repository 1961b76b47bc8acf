// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"context"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/outlet"
)

// files is what writes files, and of which description. Nil: there are none.
type files struct {
	config  []config.KeptFile
	keepers []*keep.Keeper
	outlet  *outlet.Files

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
	for i, one := range p.Files {
		keeper := next[one.Crossing].keeper
		kept = append(kept, outlet.Kept{File: s.fileOf(one), Supplier: keeper})
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
	log := s.o.Log
	var err error
	f.outlet, err = outlet.NewFiles(kept, outlet.Options{Report: func(status outlet.Status) { tellFile(log, status) }})
	if err != nil {
		return nil, err
	}
	return f, f.outlet.Check()
}

func (s *Sidecar) fileOf(k config.KeptFile) outlet.File {
	if p := k.AWSProfile; p != nil {
		return outlet.File{Path: s.o.underHome(p.Path), Form: outlet.FormProfile, Profile: p.Profile, Mode: config.ParseMode(p.Mode), Group: p.Group, InsecureFolder: p.InsecureFolder}
	}
	t := k.Token
	form, _ := outlet.ParseForm(t.Form) // package config takes no others
	return outlet.File{Path: s.o.underHome(t.Path), Form: form, Mode: config.ParseMode(t.Mode), Group: t.Group, InsecureFolder: t.InsecureFolder}
}

func tellFile(log *slog.Logger, status outlet.Status) {
	attrs := []any{slog.String("file", status.Path), slog.String("state", status.State.String())}
	if status.Profile != "" {
		attrs = append(attrs, slog.String("profile", status.Profile))
	}
	switch status.State {
	case outlet.StateCurrent:
		log.Info("file written", append(attrs, slog.Time("expires", status.Expires))...)
	case outlet.StateWaiting:
	default:
		if status.Err != nil {
			attrs = append(attrs, slog.String("error", status.Err.Error()))
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
	Written  time.Time `json:"written,omitzero"`
	Expires  time.Time `json:"expires,omitzero"`
	Error    string    `json:"error,omitempty"`
}

func (f *files) reports() []FileReport {
	all := []FileReport{}
	if f == nil {
		return all
	}
	for i, status := range f.outlet.Status() {
		r := FileReport{Crossing: f.config[i].Crossing, Path: status.Path, Profile: status.Profile, State: status.State.String(), Written: status.Written, Expires: status.Expires}
		if status.Err != nil {
			r.Error = status.Err.Error()
		}
		all = append(all, r)
	}
	return all
}
