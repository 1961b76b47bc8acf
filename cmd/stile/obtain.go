// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/stores"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/keep/file"
	"github.com/stile-project/stile/keep/file/keyring"
	"github.com/stile-project/stile/serve/ecs"
)

// lastWords is how long an exchange may take to say what it was at when the time was up. The keeper itself gives it half
// of that.
const lastWords = time.Second

// obtain gives the crossing's credential: the one that is kept, or a new one, which is then kept.
func (p *program) obtain(ctx context.Context, c config.Crossing) (stile.Credential, error) {
	around, err := p.surroundings(c.From)
	if err != nil {
		return stile.Credential{}, err
	}
	crossing, err := around.Crossing(ctx, c)
	if err != nil {
		return stile.Credential{}, err
	}
	log := slog.New(&warnings{to: p, shared: p.store.IsShared()})
	store, closeStore, err := p.openStore(ctx, log)
	if err != nil {
		return stile.Credential{}, err
	}
	defer closeStore()
	late := &overdue{"not done within --timeout " + p.timeout.String(), stile.ErrTemporary}
	options := []keep.Option{keep.WithTimeout(timeLeft(ctx), late), keep.WithLogger(log)}
	if store != nil {
		options = append(options, keep.WithStore(store, storeDeadline(p.store)))
	}
	if p.store.IsShared() {
		// What follows waits, for one answer after another. On one thread, the timers that count a store's time run only
		// when what waits for its answer could run too; and of a thousand commands on one machine, each takes less of it.
		runtime.GOMAXPROCS(1)
	}
	memory := keep.NewMemory(options...)
	defer memory.Close() // waits until the credential is saved
	ctx, cancel := patientlyEnding(ctx)
	defer cancel()
	return memory.Keep(crossing, termsOf(c)).Credential(ctx)
}

// folderDeadline is how long the folder may take: longer than a server, which it does not do without a machine that is
// short of everything, and then an exchange of one's own is the worse choice.
const folderDeadline = 10 * time.Second

func storeDeadline(s config.Store) time.Duration {
	switch {
	case s.Deadline != 0:
		return s.Deadline.Std()
	case s.IsShared():
		return keep.DefaultStoreDeadline
	}
	return folderDeadline
}

func termsOf(c config.Crossing) keep.Terms {
	terms := keep.Terms{Name: c.Name}
	if c.To.AWS != nil {
		terms.Floor = ecs.Floor // what botocore and the SDKs like it want of a process is what they want of an endpoint
	}
	return terms
}

// openStore gives nil where nothing is kept. A folder that cannot be used costs an exchange, and no more; a store that
// someone described, and that cannot work as described, is for them to mend.
func (p *program) openStore(ctx context.Context, log *slog.Logger) (keep.Store, func(), error) {
	none := func() {}
	if p.noCache {
		return nil, none, nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeDeadline(p.store))
	defer cancel()
	store, closeStore, err := stores.Open(ctx, p.store, stores.Surroundings{Lookup: os.LookupEnv, Keyring: p.keyring(), Log: log})
	switch {
	case err != nil && p.store.IsShared() && errors.Is(err, stile.ErrMisuse):
		return nil, none, err
	case err != nil:
		p.warn("credentials are not kept: %v", err)
		p.say("hint", hint(err))
		return nil, none, nil
	}
	return store, func() { _ = closeStore() }, nil
}

// keyring is that of the system, unless the environment says that it is to be left alone.
func (p *program) keyring() file.Keyring {
	if set(p.env("STILE_NO_KEYRING")) {
		return nil
	}
	return keyring.System(os.LookupEnv)
}

// set reports whether a variable that switches something on does.
func set(value string) bool { return value != "" && value != "0" && value != "false" }

// timeLeft is what remains of the command's time.
func timeLeft(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return keep.DefaultTimeout
	}
	return time.Until(deadline)
}

// patientlyEnding is ctx, which lasts a little longer when the command's time is up: the exchange ends by then as well,
// and knows what it was doing.
func patientlyEnding(ctx context.Context) (context.Context, context.CancelFunc) {
	waiting, end := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		cause := context.Cause(ctx)
		if late := new(overdue); errors.As(cause, &late) {
			timer := time.NewTimer(lastWords)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-waiting.Done():
			}
		}
		end(cause)
	})
	return waiting, func() {
		stop()
		end(nil)
	}
}

// warnings passes on what a person should know of what libraries log: that something failed and work goes on. Failures
// of the command itself come back as errors.
type warnings struct {
	to     *program
	shared bool // somebody asked for a shared store
}

// Enabled is for warnings, no more and no less.
func (w *warnings) Enabled(_ context.Context, l slog.Level) bool { return l == slog.LevelWarn }

// Handle writes one line: what happened, to what, and why.
func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	text, why := r.Message, ""
	unshared := false
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "error", "why":
			why = ": " + a.Value.String()
		case "crossing":
			unshared = true // such as cannot be shared by nature: of interest where sharing was asked for
		default:
			text += ", " + a.Key + " " + a.Value.String()
		}
		return true
	})
	if unshared && !w.shared {
		return nil
	}
	w.to.warn("%s%s", text, why)
	return nil
}

// WithAttrs and WithGroup are for loggers that carry attributes, as none here does for warnings that matter.
func (w *warnings) WithAttrs([]slog.Attr) slog.Handler { return w }

// WithGroup leaves names as they are.
func (w *warnings) WithGroup(string) slog.Handler { return w }
