// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/user"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/serve/offer"
)

const (
	// queued is how many lines may wait to be written, and patience how long an answer waits for room among them. After
	// that the line is lost, which is counted and logged: whoever reads the audit must not be able to stop the
	// endpoints. A process that is killed outright loses what waits.
	queued   = 512
	patience = time.Second
	// lastLines is how long the end waits for what waits to be written.
	lastLines = 5 * time.Second

	longestWhat = 512 // an audience is the caller's own words
)

// An audit writes down who got what. All its methods do nothing where there is no handler.
type audit struct {
	handler slog.Handler
	clock   func() time.Time
	metrics *metrics
	log     *slog.Logger

	mu     sync.RWMutex // held for reading while a line is handed over
	closed bool
	lines  chan line
	done   chan struct{}
	ending sync.Once
	ended  error        // once ending is done
	stuck  atomic.Bool  // the last line found no room
	held   atomic.Int64 // lines that the writer has, and may not have written

	names    map[uint32]string // of users; the writer's own
	callers  callers           // the same
	gathered uint64            // lines since the last flush, the same
	lastFail error             // of the last line, the same
	told     time.Time         // when the log last heard of a failure, the same
}

// A line is what is known when the answer is given; text is made of it later.
type line struct {
	at       time.Time
	listener string
	remote   string
	from     *conn
	who      peer
	handed   offer.Handed
	why      *refusal   // nil: an endpoint answered
	file     *FileWrite // nil: it is about a request
}

func newAudit(h slog.Handler, clock func() time.Time, m *metrics, log *slog.Logger) *audit {
	a := &audit{handler: h, clock: clock, metrics: m, log: log, lines: make(chan line, queued), done: make(chan struct{}), names: map[uint32]string{}}
	if h == nil {
		close(a.done)
		return a
	}
	a.callers = newCallers(a.pressed)
	go func() {
		defer close(a.done)
		for l := range a.lines {
			a.held.Add(1)
			a.write(l)
			if !a.gathers() {
				a.held.Store(0)
			} else if len(a.lines) == 0 {
				a.flush()
				a.held.Store(0)
			}
		}
	}()
	return a
}

// JSON makes an audit of one JSON object a line. Lines that come at once are written at once, and none waits for another
// to come. After a line of which only a part could be written, as on a full disk, comes a new one. It is made for
// Options.Audit, and not for use by several loggers.
func JSON(w io.Writer) slog.Handler {
	to := &ends{Writer: w}
	b := bufio.NewWriterSize(to, 16<<10)
	return &lineWriter{slog.NewJSONHandler(b, nil), b, to}
}

type lineWriter struct {
	slog.Handler
	gathered *bufio.Writer
	to       *ends
}

// ends knows how what was written ends.
type ends struct {
	io.Writer
	within bool // a line
}

func (e *ends) Write(b []byte) (int, error) {
	n, err := e.Writer.Write(b)
	if n > 0 && n <= len(b) {
		e.within = b[n-1] != '\n'
	}
	return n, err
}

// Flush forgets what could not be written: a bufio.Writer that failed once would fail for ever, and disks are emptied.
func (w *lineWriter) Flush() error {
	err := w.gathered.Flush()
	if err != nil {
		w.gathered.Reset(w.to)
		if w.to.within {
			_ = w.gathered.WriteByte('\n') // into memory
		}
	}
	return err
}

// gathers reports whether the handler is such as [JSON].
func (a *audit) gathers() bool {
	_, ok := a.handler.(interface{ Flush() error })
	return ok
}

// flush writes what a handler of [JSON] has gathered.
func (a *audit) flush() {
	if f, ok := a.handler.(interface{ Flush() error }); ok {
		a.failed(f.Flush(), a.gathered)
		a.gathered = 0
	}
}

// handed notes what an endpoint answered.
func (a *audit) handed(c *conn, h offer.Handed) {
	if a.handler != nil {
		a.put(line{at: a.clock(), listener: c.l.now.Load().Name, remote: c.remote(), from: c, who: c.peer(), handed: h}, patience)
	}
}

// refused notes what no endpoint saw. Such requests cost nobody anything, so there may be more than can be written.
func (a *audit) refused(c *conn, listener string, why *refusal) {
	if a.handler != nil {
		a.put(line{at: a.clock(), listener: listener, remote: c.remote(), from: c, who: c.peer(), why: why}, 0)
	}
}

func (a *audit) put(l line, wait time.Duration) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.closed { // a request that was cut, and ends only now
		a.metrics.lost()
		return
	}
	select {
	case a.lines <- l:
		a.stuck.Store(false)
		return
	default:
	}
	if wait > 0 && !a.stuck.Load() {
		late := time.NewTimer(wait)
		defer late.Stop()
		select {
		case a.lines <- l:
			return
		case <-late.C:
			a.stuck.Store(true)
		}
	}
	a.metrics.lost()
}

// close writes what waits. Whoever reads the audit must not be able to keep stile from ending either: what is not written
// in time is lost.
func (a *audit) close() error {
	a.mu.Lock()
	if !a.closed {
		close(a.lines)
	}
	a.closed = true
	a.mu.Unlock()
	a.ending.Do(func() { a.ended = a.end() })
	return a.ended
}

func (a *audit) end() error {
	late := time.NewTimer(lastLines)
	defer late.Stop()
	select {
	case <-a.done:
		return a.lastFail
	case <-late.C:
		lost := uint64(len(a.lines)) + uint64(max(a.held.Load(), 0))
		a.metrics.auditLost.Add(lost)
		return fmt.Errorf("%d lines were not taken within %s: is standard error, or whatever takes them, still read?", lost, lastLines)
	}
}

func (a *audit) write(l line) {
	if l.file != nil {
		a.writeFile(l.at, l.file)
		return
	}
	level, message := slog.LevelInfo, "credential handed out"
	switch {
	case l.why != nil:
		level, message = slog.LevelWarn, "request turned away"
	case l.handed.Err != nil:
		level, message = slog.LevelWarn, "credential refused"
	}
	ctx := context.Background()
	if !a.handler.Enabled(ctx, level) {
		return
	}
	r := slog.NewRecord(l.at, level, message, 0)
	r.AddAttrs(slog.String("listener", l.listener))
	if l.why != nil {
		r.AddAttrs(slog.String("reason", l.why.reason))
	} else {
		r.AddAttrs(slog.String("endpoint", l.handed.Endpoint), slog.String("crossing", l.handed.Crossing), slog.String("what", clip(l.handed.What, longestWhat)))
		r.AddAttrs(outcomeAttrs(l.handed)...)
	}
	if l.remote != "" {
		r.AddAttrs(slog.String("remote", l.remote))
	}
	if l.who.known {
		r.AddAttrs(slog.Uint64("uid", uint64(l.who.uid)))
		if name := a.nameOf(l.who.uid); name != "" {
			r.AddAttrs(slog.String("user", name))
		}
	}
	if pid := a.callers.pid(l.from, l.who); pid != 0 {
		r.AddAttrs(slog.Int64("pid", int64(pid)))
	}
	err := a.handler.Handle(ctx, r)
	a.failed(err, 1)
	if err == nil {
		a.gathered++
	}
}

// pressed reports whether too many lines wait to go on with anything but writing.
func (a *audit) pressed() bool { return len(a.lines) > pressing }

// failed counts lines that are lost, if err says so.
func (a *audit) failed(err error, lines uint64) {
	if a.lastFail = err; err == nil {
		return
	}
	a.metrics.auditLost.Add(lines)
	if now := time.Now(); now.Sub(a.told) > time.Minute {
		a.told = now
		a.log.Error("the audit cannot be written", slog.String("error", err.Error()))
	}
}

// outcomeAttrs tell an error by its kind and the cloud's code: free text may be anybody's.
func outcomeAttrs(h offer.Handed) []slog.Attr {
	if h.Err == nil {
		return []slog.Attr{slog.Time("expires", h.Expires)}
	}
	attrs := []slog.Attr{slog.String("error", offer.Outcome(h.Err))}
	if e, ok := errors.AsType[*stile.Error](h.Err); ok && e.Status != 0 {
		attrs = append(attrs, slog.String("cloud", e.Cloud), slog.Int("status", e.Status), slog.String("code", clip(e.Code, longestWhat)))
	}
	return attrs
}

// nameOf is the user's name, or "". It is asked for once: the users of one machine are few.
func (a *audit) nameOf(uid uint32) string {
	name, known := a.names[uid]
	if known || len(a.names) > 1024 {
		return name
	}
	if found, err := user.LookupId(strconv.FormatUint(uint64(uid), 10)); err == nil {
		name = found.Username
	}
	a.names[uid] = name
	return name
}

func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "…"
}

// remote is the other end's address; a Unix socket's has none.
func (c *conn) remote() string {
	if !c.local.IsValid() {
		return ""
	}
	return c.RemoteAddr().String()
}
