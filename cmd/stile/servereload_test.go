// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stile-project/stile/internal/sidecar"
)

const servesOne = "version: 1\ncrossings:\n  a: { from: { gcp: { audience: x } }, to: { aws: { role: 'arn:aws:iam::111122223333:role/r', region: eu-west-1 } } }\nserve: { hosts: [HOST], endpoints: [{ imds: a, listen: '127.0.0.1:0' }] }\n"

// reading is a reloader of a file that is served already.
func reading(t *testing.T, path string) (*reloader, *strings.Builder) {
	t.Helper()
	log := new(strings.Builder)
	p := &program{stdout: io.Discard, stderr: log, env: func(string) string { return "" }}
	o := new(serving)
	o.configFile = path
	p.timeout = time.Minute
	w, err := p.watch(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	s := sidecar.New(p.sidecarOptions(slog.New(slog.DiscardHandler)))
	t.Cleanup(s.Close)
	return &reloader{program: p, o: o, s: s, watched: w, log: slog.New(&plainLog{to: p}), audit: new(auditLog), store: p.store, traces: w.plan.Serve.Traces}, log
}

func putFile(t *testing.T, path, content string, at time.Time) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path+".new", []byte(content), 0o600), os.Chtimes(path+".new", at, at), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

// However a file is replaced, the change is seen once it has come to rest, and once.
func TestChangedFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "stile.yaml")
	one, two := strings.Replace(servesOne, "HOST", "one", 1), strings.Replace(servesOne, "HOST", "two", 1)
	image := time.Unix(1, 0) // as all files have in some images
	putFile(t, path, one, image)
	r, _ := reading(t, path)
	serves := func(want string) {
		t.Helper()
		if got := strings.Join(r.watched.plan.Serve.Hosts, " "); got != want {
			t.Errorf("serves %s, want %s", got, want)
		}
	}
	looks := func(want ...bool) {
		t.Helper()
		for i, want := range want {
			if got := r.look(t.Context(), false); got != want {
				t.Errorf("look %d: read %t, want %t", i, got, want)
			}
		}
	}
	looks(false, false)
	putFile(t, path, two, image) // its size and its time are the same
	looks(false, true, false, false)
	serves("two")

	// What is written in place is read once it rests; half of it is not taken over, and the rest of it is seen.
	if err := os.WriteFile(path, []byte(one[:70]), 0o600); err != nil {
		t.Fatal(err)
	}
	if !r.look(t.Context(), true) {
		t.Error("a signal is not heard")
	}
	serves("two")
	looks(false, false)
	if err := os.WriteFile(path, []byte(one), 0o600); err != nil {
		t.Fatal(err)
	}
	looks(false, true, false)
	serves("one")

	// Gone for a moment, or when a signal comes: what was served goes on.
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	looks(false, false)
	r.look(t.Context(), true)
	serves("one")
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	looks(false, true, false)
	serves("one")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	looks(false)
	putFile(t, path, two, image)
	looks(false, true, false)
	serves("two")
}

// A file that changes while it is read, and one that changes twice so that both look the same, are read again.
func TestChangeThatIsHardToSee(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "stile.yaml")
	one, two := strings.Replace(servesOne, "HOST", "one", 1), strings.Replace(servesOne, "HOST", "two", 1)
	now := time.Now()
	putFile(t, path, one, now)
	r, log := reading(t, path)
	if r.watched.young.IsZero() {
		t.Fatal("a file that has just changed counts as old")
	}
	if r.look(t.Context(), false) || r.look(t.Context(), false) {
		t.Error("it is read too soon")
	}
	if err := errors.Join(os.WriteFile(path, []byte(two), 0o600), os.Chtimes(path, now, now)); err != nil {
		t.Fatal(err)
	}
	r.watched.young = r.watched.young.Add(-coarse)
	if !r.look(t.Context(), false) || r.look(t.Context(), false) {
		t.Error("a change within the clock's grain is not seen, or twice")
	}
	if got := r.watched.plan.Serve.Hosts[0]; got != "two" {
		t.Errorf("serves %s", got)
	}
	r.watched.young = r.watched.young.Add(-coarse)
	if r.look(t.Context(), false) {
		t.Errorf("what is the same is read again:\n%s", log)
	}
}

// What is opened at the start stays, and each reload says so for as long as the file says otherwise.
func TestStoreOfTheNextStart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "stile.yaml")
	const warning = "the store changes when stile serve is started anew"
	other := servesOne + "store: { url: none }\n"
	putFile(t, path, servesOne, time.Now())
	r, log := reading(t, path)
	for i, step := range []struct {
		content string
		warned  bool
	}{
		{other, true}, {other, true}, {servesOne, false},
		{other + "mistake: 1\n", false}, {other, true}, {servesOne + "\n", false}, // not forgotten over a mistake
		{servesOne + "store: { url: 'redis://r', key: /k }\n", true},
	} {
		log.Reset()
		putFile(t, path, step.content, time.Now())
		r.look(t.Context(), true)
		if got := strings.Count(log.String(), warning); got > 1 || got == 1 != step.warned {
			t.Errorf("step %d: warned %d times:\n%s", i, got, log)
		}
		if r.program.store.URL != "" {
			t.Errorf("step %d: the store is taken for that of the file", i)
		}
	}
}

// Where traces go stays likewise. The lean build reads a file that names them, and opens none.
func TestTracesOfTheNextStart(t *testing.T) {
	t.Parallel()
	const warning = "where traces go changes when stile serve is started anew"
	path := filepath.Join(t.TempDir(), "stile.yaml")
	traced := func(url string) string {
		return strings.Replace(servesOne, "hosts:", "traces: { endpoint: '"+url+"' }, hosts:", 1)
	}
	putFile(t, path, traced("http://127.0.0.1:1"), time.Now())
	r, log := reading(t, path)
	for i, step := range []struct {
		content string
		warned  bool
	}{
		{traced("http://127.0.0.1:2"), true}, {traced("http://127.0.0.1:2"), true}, {traced("http://127.0.0.1:1"), false}, {servesOne, true},
	} {
		log.Reset()
		putFile(t, path, step.content, time.Now())
		r.look(t.Context(), true)
		if got := strings.Count(log.String(), warning); got > 1 || got == 1 != step.warned {
			t.Errorf("step %d: warned %d times:\n%s", i, got, log)
		}
	}
}

// No signal waits for a reload: one that comes meanwhile stands for all, and comes after it.
func TestSignalsDuringAReload(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "stile.yaml")
	putFile(t, path, servesOne, time.Unix(1, 0))
	r, log := reading(t, path)
	hangups := make(chan os.Signal, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.attend(ctx, hangups)
	}()
	start := time.Now()
	sent := 0
	for time.Since(start) < time.Second {
		select {
		case hangups <- os.Interrupt:
		default:
		}
		sent++
	}
	cancel()
	<-done
	if n := strings.Count(log.String(), "configuration taken over"); n < 1 || n > 6 {
		t.Errorf("%d signals in a second had the file read %d times", sent, n)
	}
}
