// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/stile-project/stile/serve"
)

// logger writes what a command that keeps running has to say: lines for people, or JSON.
func (p *program) logger(format string) *slog.Logger {
	if format == "json" {
		return slog.New(slog.NewJSONHandler(p.stderr, &slog.HandlerOptions{ReplaceAttr: withUnit}))
	}
	return slog.New(&plainLog{to: p})
}

// withUnit writes how long something took as 33.02ms: slog's own JSON has a number of nanoseconds, and does not say so.
func withUnit(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		return slog.String(a.Key, a.Value.Duration().Round(10*time.Microsecond).String())
	}
	return a
}

// running is the logger of stile serve, which is read long after: its lines tell when, unless who reads them sees that
// anyway.
func (p *program) running(format string) *slog.Logger {
	timed := !showsTime(p.stderr, p.env)
	p.stderr = &lines{to: p.stderr}
	if format == "json" {
		return p.logger(format)
	}
	return slog.New(&plainLog{to: p, timed: timed})
}

// showsTime reports whether whoever reads standard error knows when a line came: at a terminal, or from systemd's journal.
// The journal names the stream that it reads by device and inode, for one that was redirected is not it.
// Source: systemd.exec(5), JOURNAL_STREAM.
func showsTime(stderr io.Writer, env func(string) string) bool {
	file, ok := stderr.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	if err != nil {
		return false
	}
	if stream := env("JOURNAL_STREAM"); stream != "" && stream == streamOf(info) {
		return true
	}
	return isTerminal(file)
}

// plainLog writes lines such as those of every command: stile: LEVEL: TIME MESSAGE, KEY VALUE, …: ERROR.
type plainLog struct {
	to    *program
	word  string // in place of the level
	timed bool   // lines tell when
	attrs []slog.Attr
}

// lineTime is RFC 3339 to the millisecond.
const lineTime = "2006-01-02T15:04:05.000Z07:00"

// Enabled leaves out what is for those who look for a mistake in stile.
func (*plainLog) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

// Handle writes one line, and one more for a hint.
func (h *plainLog) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	if h.timed && !r.Time.IsZero() {
		b.WriteString(r.Time.UTC().Format(lineTime) + " ")
	}
	b.WriteString(r.Message)
	why, hint := "", ""
	add := func(a slog.Attr) bool {
		value := a.Value.Resolve()
		text := value.String()
		switch value.Kind() {
		case slog.KindTime:
			text = value.Time().UTC().Format(time.RFC3339)
		case slog.KindDuration:
			text = value.Duration().Round(time.Millisecond).String()
		}
		switch {
		case a.Key == "error" && h.word == "":
			why = text
		case a.Key == "hint":
			hint = text
		case text != "":
			b.WriteString(", " + a.Key + " " + text)
		}
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	if why != "" {
		b.WriteString(": " + why)
	}
	word := h.word
	if word == "" {
		word = map[slog.Level]string{slog.LevelInfo: "info", slog.LevelWarn: "warning"}[r.Level]
	}
	if word == "" {
		word = "error"
	}
	h.to.say(word, b.String())
	h.to.say("hint", hint)
	return nil
}

// WithAttrs adds to every line.
func (h *plainLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.attrs = append(append([]slog.Attr{}, h.attrs...), attrs...)
	return &with
}

// WithGroup leaves names as they are.
func (h *plainLog) WithGroup(string) slog.Handler { return h }

// An auditLog is where the audit goes.
type auditLog struct {
	handler slog.Handler // nil: nowhere
	path    string       // of a file; empty: none

	mu   sync.Mutex
	file *os.File
}

func (p *program) openAudit(o *serving, log *slog.Logger) (*auditLog, error) {
	a := new(auditLog)
	switch o.auditLog {
	case "none":
	case "-":
		a.handler = &plainLog{to: p, word: "audit", timed: true} // also at a terminal: it may be kept as evidence
		if o.logFormat == "json" {
			a.handler = log.Handler()
		}
	default:
		path, err := filepath.Abs(o.auditLog)
		if err != nil {
			return nil, misuse("open the audit log", "%w", err)
		}
		a.path = path
		if err := a.open(); err != nil {
			return nil, misuse("open the audit log", "%w", err)
		}
		a.handler = serve.JSON(a)
	}
	return a, nil
}

// open adds to what is in the file. Its folder must be there.
func (a *auditLog) open() error {
	file, err := os.OpenFile(a.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	a.mu.Lock()
	old := a.file
	a.file = file
	a.mu.Unlock()
	if old != nil {
		_ = old.Close() // nobody writes to it: that takes the lock
	}
	return nil
}

// reopen goes on in a new file, where somebody has moved the old one.
func (a *auditLog) reopen(log *slog.Logger) {
	if a.path == "" {
		return
	}
	if err := a.open(); err != nil {
		log.Error("the audit goes on in the old file", slog.String("error", err.Error()))
	}
}

// Write adds one line.
func (a *auditLog) Write(line []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.file.Write(line)
}

func (a *auditLog) close() {
	if !a.mu.TryLock() { // the disk does not answer
		return
	}
	defer a.mu.Unlock()
	if a.file != nil {
		_ = a.file.Close()
	}
}

func writeJSON(w io.Writer, v any) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(v)
}
