// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
)

func TestConfigurationRead(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0).UTC()
	s := New(Options{Clock: func() time.Time { return now }})
	defer func() { _ = s.Close() }()
	const successful, when = "stile_config_last_reload_successful ", "stile_config_last_reload_success_timestamp_seconds "
	metrics := func() string { return string(s.exposition()) }
	status := func() string {
		text, err := json.Marshal(s.Report().Configuration)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got := metrics(); strings.Contains(got, "stile_config") || status() != "null" {
		t.Errorf("of a server that reads no configuration: %s\n%s", status(), got)
	}

	s.ConfigurationRead(nil)
	if got := metrics(); !strings.Contains(got, "\n"+successful+"1\n") || !strings.Contains(got, "\n"+when+"1.8e+09\n") {
		t.Errorf("once it was read:\n%s", got)
	}
	if got, want := status(), `{"current":true,"taken_over":"2027-01-15T08:00:00Z"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}

	now = now.Add(time.Minute)
	s.ConfigurationRead(&stile.Error{Op: "read\n\tthe file", Err: fmt.Errorf("%w: line 3", stile.ErrMisuse), Hint: "mend\nit"})
	if got := metrics(); !strings.Contains(got, "\n"+successful+"0\n") || !strings.Contains(got, "\n"+when+"1.8e+09\n") {
		t.Errorf("after a mistake:\n%s", got)
	}
	if got, want := status(), `{"current":false,"taken_over":"2027-01-15T08:00:00Z","error":"read the file: misused: line 3","error_kind":"misuse","hint":"mend it","failed_at":"2027-01-15T08:01:00Z"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}

	now = now.Add(time.Minute)
	s.ConfigurationRead(nil)
	if got, want := status(), `{"current":true,"taken_over":"2027-01-15T08:02:00Z"}`; got != want || !strings.Contains(metrics(), "\n"+successful+"1\n") {
		t.Errorf("once it was mended: got %s, want %s", got, want)
	}
}

// A program branches on the kind of a failure, and not on its words.
func TestStatusTellsTheKindOfAFailure(t *testing.T) {
	t.Parallel()
	for kind, err := range map[string]error{
		"refused": stile.ErrRefused, "no_identity": stile.ErrNoIdentity, "temporary": stile.ErrTemporary, "misuse": stile.ErrMisuse, "failed": fmt.Errorf("anything"), "": nil,
	} {
		if got := report(statusThatFailed(err)).ErrorKind; got != kind {
			t.Errorf("%v: got %q, want %q", err, got, kind)
		}
	}
}

func statusThatFailed(err error) keep.Status {
	return keep.Status{Name: "images", Failures: 1, Err: err}
}
