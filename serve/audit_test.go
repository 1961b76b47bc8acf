// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile/serve/offer"
)

// memoryHandler keeps records as JSON lines.
type memoryHandler struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (*memoryHandler) Enabled(context.Context, slog.Level) bool { return true }

func (m *memoryHandler) Handle(ctx context.Context, r slog.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slog.NewJSONHandler(&m.buf, &slog.HandlerOptions{Level: slog.LevelDebug}).Handle(ctx, r)
}
func (m *memoryHandler) WithAttrs([]slog.Attr) slog.Handler { return m }
func (m *memoryHandler) WithGroup(string) slog.Handler      { return m }

func (m *memoryHandler) text() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.buf.String()
}

func (m *memoryHandler) lines(message string) (found []string) {
	for line := range strings.Lines(m.text()) {
		if strings.Contains(line, `"msg":"`+message) {
			found = append(found, line)
		}
	}
	return found
}

func newLog(m *memoryHandler) *slog.Logger { return slog.New(m) }

func TestAudit(t *testing.T) {
	t.Parallel()
	records := &memoryHandler{}
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	s := New(Options{Audit: records, Clock: func() time.Time { return now }})
	path := t.TempDir() + "/s"
	if err := s.Listen(t.Context(), []Listener{{Name: "tcp", Address: "127.0.0.1:0", Handler: give}, {Name: "sock", Address: "unix:" + path, Handler: give}}); err != nil {
		t.Fatal(err)
	}
	stop := run(t, s)
	tcp := addressOf(s, "tcp")
	for _, path := range []string{"/", "/refused", "/broken"} {
		ask(t, tcp, path)
	}
	ask(t, path, "/")
	raw(t, tcp, "GET / HTTP/1.1\r\nHost: "+secret[:11]+".example\r\nX-Forwarded-For: "+secret+"\r\n\r\n")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	uid := `"uid":` + strconv.Itoa(os.Getuid())
	for _, want := range []struct {
		message string
		parts   []string
	}{
		{"credential handed out", []string{`"listener":"tcp"`, `"endpoint":"ecs"`, `"crossing":"images"`, `"what":"AWS session"`, `"expires":"2026-11-22T04:00:00Z"`, `"time":"2026-11-22T03:00:00Z"`, `"remote":"127.0.0.1:`}},
		{"credential handed out", []string{`"listener":"sock"`, uid, `"pid":` + strconv.Itoa(os.Getpid())}},
		{"credential refused", []string{`"error":"refused"`, `"cloud":"AWS STS"`, `"status":403`, `"code":"AccessDenied"`}},
		{"credential refused", []string{`"error":"failed"`}},
		{"request turned away", []string{`"listener":"tcp"`, `"reason":"host"`}},
	} {
		found := false
		for _, line := range records.lines(want.message) {
			all := true
			for _, part := range want.parts {
				all = all && strings.Contains(line, part)
			}
			found = found || all
		}
		if !found {
			t.Errorf("no line %q with %q in\n%s", want.message, want.parts, records.text())
		}
	}
	if n := strings.Count(records.text(), "\n"); n != 5 {
		t.Errorf("%d lines:\n%s", n, records.text())
	}
	if strings.Contains(records.text(), secret[:11]) {
		t.Errorf("a secret is in\n%s", records.text())
	}
}

// Nothing is lost by ending in the middle of things.
func TestAuditIsFlushed(t *testing.T) {
	t.Parallel()
	records := &memoryHandler{}
	s := New(Options{Audit: records})
	if err := s.Listen(t.Context(), []Listener{{Name: "a", Address: "127.0.0.1:0", Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		for range 1000 {
			offer.Note(r, offer.Handed{Endpoint: "ecs"})
		}
	})}}); err != nil {
		t.Fatal(err)
	}
	stop := run(t, s)
	ask(t, addressOf(s, "a"), "/")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if n := len(records.lines("credential handed out")); n != 1000 {
		t.Errorf("%d of 1000 lines", n)
	}
}

// Lines are written as soon as no other waits, and their writer's failure is told.
func TestJSON(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &failing{}
		m := newMetrics(time.Now())
		a := newAudit(JSON(out), time.Now, m, slog.New(slog.DiscardHandler))
		c := &conn{l: &listener{}}
		c.l.now.Store(&site{Listener: Listener{Name: "a"}})
		for n := range 3 {
			a.handed(c, offer.Handed{Endpoint: "ecs"})
			synctest.Wait()
			if got := strings.Count(out.String(), "\n"); got != n+1 {
				t.Errorf("%d of %d lines are written", got, n+1)
			}
		}
		out.err = errors.New("no space left on device")
		a.handed(c, offer.Handed{Endpoint: "ecs"})
		synctest.Wait()
		if lost := m.auditLost.Load(); lost != 1 {
			t.Errorf("%d lines are counted as lost", lost)
		}
		out.err = nil
		a.handed(c, offer.Handed{Endpoint: "again"})
		synctest.Wait()
		if got := strings.Count(out.String(), "\n"); got != 4 || !strings.Contains(out.String(), "again") {
			t.Errorf("once the disk has room again: %s", out)
		}
		out.err = errors.New("no space left on device")
		a.handed(c, offer.Handed{Endpoint: "ecs"})
		if err := a.close(); !errors.Is(err, out.err) {
			t.Errorf("got %v", err)
		}
	})
}

type failing struct {
	bytes.Buffer
	err error
}

func (f *failing) Write(b []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return f.Buffer.Write(b)
}

type stuckHandler struct {
	memoryHandler
	goOn chan struct{}
	fail atomic.Bool
}

func (h *stuckHandler) Handle(context.Context, slog.Record) error {
	<-h.goOn
	if h.fail.Load() {
		return errors.New("no space left on device")
	}
	return nil
}

// Whoever reads the audit cannot stop the endpoints, and what it missed is counted.
func TestAuditThatIsStuck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &stuckHandler{goOn: make(chan struct{})}
		log := &memoryHandler{}
		m := newMetrics(time.Now())
		a := newAudit(h, time.Now, m, newLog(log))
		c := &conn{l: &listener{}}
		c.l.now.Store(&site{Listener: Listener{Name: "a"}})
		begin := time.Now()
		for range queued + 100 {
			a.handed(c, offer.Handed{})
			synctest.Wait()
		}
		if took := time.Since(begin); took != patience {
			t.Errorf("they were held up for %s", took)
		}
		if lost := m.auditLost.Load(); lost != 99 {
			t.Errorf("lost %d", lost)
		}
		h.fail.Store(true)
		close(h.goOn)
		if err := a.close(); err == nil {
			t.Error("it did not say that it failed")
		}
		a.handed(c, offer.Handed{})
		if lost := m.auditLost.Load(); lost != 99+queued+1+1 {
			t.Errorf("lost %d in the end", lost)
		}
		if n := len(log.lines("the audit cannot be written")); n != 1 {
			t.Errorf("said %d times", n)
		}
	})
}

// An unreadHandler takes no line until it is let go.
type unreadHandler struct {
	memoryHandler
	let chan struct{}
}

func (h *unreadHandler) Handle(ctx context.Context, r slog.Record) error {
	<-h.let
	return h.memoryHandler.Handle(ctx, r)
}

// Whoever takes no line of the audit keeps nothing from ending, once or again.
func TestAuditThatIsNotTakenIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &unreadHandler{let: make(chan struct{})}
		m := newMetrics(time.Now())
		a := newAudit(h, time.Now, m, slog.New(slog.DiscardHandler))
		for range 3 {
			a.put(line{at: time.Now(), file: &FileWrite{}}, 0)
		}
		began := time.Now()
		for range 2 {
			if err := a.close(); err == nil || !strings.HasPrefix(err.Error(), "3 lines were not taken within ") {
				t.Errorf("got %v", err)
			}
		}
		if took := time.Since(began); took != lastLines {
			t.Errorf("it took %s", took)
		}
		if lost := m.auditLost.Load(); lost != 3 {
			t.Errorf("%d lines are counted as lost, want 3", lost)
		}
		close(h.let)
		<-a.done
	})
}

// A disk takes some bytes, and then no more.
type disk struct {
	bytes.Buffer
	room int
}

func (d *disk) Write(b []byte) (int, error) {
	n, _ := d.Buffer.Write(b[:min(len(b), d.room)])
	if d.room -= n; n < len(b) {
		return n, errors.New("no space left on device")
	}
	return n, nil
}

// After a line that was written in part comes one of its own; after one that was not written at all no empty one.
func TestAuditAfterHalfALine(t *testing.T) {
	t.Parallel()
	for room, want := range map[int][]string{0: {"second", "third"}, 10: {"", "second", "third"}} {
		d := &disk{room: room}
		h := JSON(d)
		log := func(message string, fails bool) {
			if err := errors.Join(h.Handle(t.Context(), slog.NewRecord(time.Time{}, slog.LevelInfo, message, 0)), h.(interface{ Flush() error }).Flush()); (err != nil) != fails {
				t.Errorf("%s: %v", message, err)
			}
		}
		log("first", true)
		log("none", true)
		d.room = 1 << 20
		log("second", false)
		log("third", false)
		lines := strings.Split(strings.TrimSuffix(d.String(), "\n"), "\n")
		if len(lines) != len(want) {
			t.Fatalf("%q", lines)
		}
		for i, message := range want {
			if one := `{"level":"INFO","msg":"` + message + `"}`; message != "" && lines[i] != one {
				t.Errorf("room for %d: line %d is %q, want %q", room, i, lines[i], one)
			}
		}
	}
}
