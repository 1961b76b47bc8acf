// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/sidecar"
)

// pollEvery is how often the file is looked at. A change counts once the file has stayed so for as long again.
var pollEvery = time.Second

const (
	// reloadPause is between two times that the file is read: of many signals, the first and the last count.
	reloadPause = 250 * time.Millisecond
	// reloadSlow is how long that may take before it is told.
	reloadSlow = 10 * time.Second
	// coarse is how far apart two times of a file may be and look the same.
	coarse = 2 * time.Second
)

// A reloader reads the configuration again on SIGHUP, and when the file changes. It may take its time, and may never come to
// an end where a disk does not answer: nobody waits for it.
type reloader struct {
	program *program
	o       *serving
	s       *sidecar.Sidecar
	watched *watched
	log     *slog.Logger
	audit   *auditLog
	notify  *notification

	store  config.Store   // that is used, whatever the file says by now
	traces *config.Traces // likewise
}

// run begins. What it returns waits a moment for a reload that is under way.
func (r *reloader) run(ctx context.Context) (end func()) {
	hangups := make(chan os.Signal, 1) // one that is not taken yet stands for all
	signal.Notify(hangups, syscall.SIGHUP)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.attend(ctx, hangups)
	}()
	return func() {
		// SIGHUP is still taken, and does not end what is ending.
		cancel()
		select {
		case <-done:
		case <-time.After(time.Second):
		}
	}
}

func (r *reloader) attend(ctx context.Context, hangups <-chan os.Signal) {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			asked = true
		case <-poll.C:
		}
		if !r.look(ctx, asked) {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(reloadPause):
		}
	}
}

// look reads the file if somebody asked for that, or if it has changed. It reports whether it did.
func (r *reloader) look(ctx context.Context, asked bool) bool {
	hint := "see whether the disk of " + shown(r.watched.where) + ", or of a file that it names, answers"
	defer time.AfterFunc(reloadSlow, func() {
		r.log.Warn("reading the configuration takes long, what was served before goes on", slog.String("hint", hint))
	}).Stop()
	if asked {
		r.audit.reopen(r.log)
	} else if !r.watched.changed() {
		return false
	}
	r.reload(ctx)
	return true
}

// reload goes over to the file as it is now. A file with a mistake in it is told of, and changes nothing.
func (r *reloader) reload(ctx context.Context) {
	r.notify.reloading()
	defer r.notify.send("READY=1")
	next, err := r.program.watch(ctx, r.o)
	if err == nil {
		err = r.s.Apply(ctx, next.plan)
	}
	if ctx.Err() != nil {
		return
	}
	named := r.program.store
	r.program.store = r.store
	r.s.ConfigurationRead(err)
	if err != nil {
		next.plan = r.watched.plan
		*r.watched = *next
		r.log.Error("the configuration is not taken over, what was served before goes on", slog.String("error", err.Error()), slog.String("hint", hint(err)))
		return
	}
	if !sameStore(r.store, named) {
		r.log.Warn("the store changes when stile serve is started anew")
	}
	if !sameTraces(r.traces, next.plan.Serve.Traces) {
		r.log.Warn("where traces go changes when stile serve is started anew")
	}
	*r.watched = *next
	r.program.thrift(r.watched)
	shed()
	r.log.Info("configuration taken over")
}

func sameStore(a, b config.Store) bool {
	a.Place, b.Place = "", ""
	return fmt.Sprint(a) == fmt.Sprint(b)
}

// watched is a configuration, and how its file looked when it was read.
type watched struct {
	plan     sidecar.Plan
	where    string
	at, seen stamp

	sum   [sha256.Size]byte // of what was read
	young time.Time         // when it was read, if that was soon after it had changed; else zero
}

// A stamp tells one version of a file from the next. Nil: there is none, or it is on no disk.
type stamp struct{ info os.FileInfo }

func fileStamp(where string) stamp {
	if where == "" || strings.Contains(where, "://") {
		return stamp{}
	}
	info, err := os.Stat(where)
	if err != nil {
		return stamp{}
	}
	return stamp{info}
}

// is compares the file's own number too: another one that was put into its place may have its size, and the time at which
// all files of an image were made.
func (s stamp) is(other stamp) bool {
	if s.info == nil || other.info == nil {
		return s.info == nil && other.info == nil
	}
	return os.SameFile(s.info, other.info) && s.info.Size() == other.info.Size() && s.info.ModTime().Equal(other.info.ModTime())
}

// changed reports whether the file has changed and come to rest.
func (w *watched) changed() bool {
	now := fileStamp(w.where)
	settled := now.is(w.seen)
	w.seen = now
	if !settled || now.info == nil {
		return false
	}
	return !now.is(w.at) || w.changedUnseen()
}

// changedUnseen reads the file once more where it was read so soon after a change that another one could look the same.
func (w *watched) changedUnseen() bool {
	if w.young.IsZero() || time.Since(w.young) < coarse {
		return false
	}
	w.young = time.Time{}
	data, err := os.ReadFile(w.where)
	return err == nil && sha256.Sum256(data) != w.sum
}

// watch reads the plan that the flags and the file make. What is returned beside an error knows how the file looked.
func (p *program) watch(ctx context.Context, o *serving) (*watched, error) {
	ctx, cancel := p.within(ctx)
	defer cancel()
	where := cmp.Or(o.configFile, p.defaultConfig())
	w := &watched{where: where}
	if where == "" {
		return w, &stile.Error{Op: "choose what to serve", Err: fmt.Errorf("%w: there is no stile.yaml here", stile.ErrMisuse), Hint: "name one: --config stile.yaml"}
	}
	w.at = fileStamp(where) // first: what is written while it is read is read again
	w.seen = w.at
	data, err := p.read(ctx, where)
	if err != nil {
		return w, err
	}
	w.sum = sha256.Sum256(data)
	if now := time.Now(); w.at.info != nil && w.at.info.Mode().IsRegular() && now.Sub(w.at.info.ModTime()).Abs() < coarse {
		w.young = now
	}
	file, err := config.ParseAllowing(where, data, p.foreignStore(o.allowHosts, where, o.configFile != ""))
	if err != nil {
		return w, err
	}
	p.store = config.Store{}
	if file.Store != nil {
		p.store = *file.Store
	}
	if w.plan, err = o.planOf(file, where); err == nil && o.printEnv == "" {
		err = p.asksItself(w.plan)
	}
	return w, err
}
