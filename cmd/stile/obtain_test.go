// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
)

// botocore asks again for a session with less than 15 minutes left, each time it signs, so it must not be given one.
func TestSessionsHaveAQuarterOfAnHourLeft(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		to   config.To
		want time.Duration
	}{
		"AWS":          {config.To{AWS: &config.ToAWS{}}, 15 * time.Minute},
		"Google Cloud": {config.To{GCP: &config.ToGCP{}}, 0},
		"a token":      {config.To{Token: &config.ToToken{}}, 0},
	} {
		if got := termsOf(config.Crossing{To: test.to}).Floor; got != test.want {
			t.Errorf("%s: the floor is %s, want %s", name, got, test.want)
		}
	}
}

// When the time is up the exchange is let say what it was at; when the user interrupts, nothing is waited for.
func TestPatientlyEnding(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		cause error
		want  time.Duration
	}{
		"the time is up": {&overdue{"not done", stile.ErrTemporary}, lastWords},
		"an interrupt":   {context.Canceled, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancelCause(t.Context())
				waiting, done := patientlyEnding(ctx)
				defer done()
				started := time.Now()
				stop(test.cause)
				<-waiting.Done()
				if took := time.Since(started); took != test.want || !errors.Is(context.Cause(waiting), test.cause) {
					t.Errorf("ended after %s with %v, want %s", took, context.Cause(waiting), test.want)
				}
			})
		})
	}
}

func TestWarningsAreThosePeopleNeed(t *testing.T) {
	t.Parallel()
	said := func(shared bool, level slog.Level, text string, attrs ...any) string {
		var stderr bytes.Buffer
		slog.New(&warnings{to: &program{stderr: &stderr}, shared: shared}).Log(t.Context(), level, text, attrs...)
		return stderr.String()
	}
	for name, test := range map[string][2]string{
		"a failed store":            {said(false, slog.LevelWarn, "the store failed", "while", "loading", "error", "no"), "stile: warning: the store failed, while loading: no\n"},
		"news":                      {said(true, slog.LevelInfo, "credential exchanged"), ""},
		"the command's own failure": {said(true, slog.LevelError, "exchange failed", "error", "no"), ""},
		"nobody asked to share":     {said(false, slog.LevelWarn, "not shared", "crossing", "w", "error", "no"), ""},
		"somebody asked":            {said(true, slog.LevelWarn, "not shared", "crossing", "w", "error", "no"), "stile: warning: not shared: no\n"},
	} {
		if test[0] != test[1] {
			t.Errorf("%s: got %q, want %q", name, test[0], test[1])
		}
	}
}
