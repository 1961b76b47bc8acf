// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"log/slog"
	"time"

	"github.com/stile-project/stile/serve/offer"
)

// A FileWrite is one time that a credential was written into a file.
type FileWrite struct {
	Crossing string
	What     string // AWS session, access token, ID token for AUDIENCE
	Path     string
	Profile  string // of a file of profiles; else empty
	Expires  time.Time
}

// Wrote notes in the audit that a file got a credential, and counts it: whoever may read the file has it now. As with an
// endpoint's answer, it waits at most a second for room among the lines.
func (s *Server) Wrote(w FileWrite) {
	s.metrics.handed(offer.Handed{Endpoint: "file"})
	if s.audit.handler != nil {
		s.audit.put(line{at: s.audit.clock(), file: &w}, patience)
	}
}

func (a *audit) writeFile(at time.Time, w *FileWrite) {
	ctx := context.Background()
	if !a.handler.Enabled(ctx, slog.LevelInfo) {
		return
	}
	r := slog.NewRecord(at, slog.LevelInfo, "credential handed out", 0)
	r.AddAttrs(slog.String("endpoint", "file"), slog.String("crossing", w.Crossing), slog.String("what", clip(w.What, longestWhat)),
		slog.Time("expires", w.Expires), slog.String("path", w.Path))
	if w.Profile != "" {
		r.AddAttrs(slog.String("profile", w.Profile))
	}
	err := a.handler.Handle(ctx, r)
	a.failed(err, 1)
	if err == nil {
		a.gathered++
	}
}
