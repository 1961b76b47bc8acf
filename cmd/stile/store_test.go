// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stile-project/stile/keep/seal"
	"github.com/stile-project/stile/keep/shared/storetest"
	"github.com/stile-project/stile/lab/stage"
)

// sharing is a workload with a Redis, and a function that writes a stile.yaml which names it.
func sharing(t *testing.T) (*workload, *storetest.Process, func(name, settings string)) {
	t.Helper()
	server := storetest.Serve(t, "redis-server", func(port string) []string {
		return []string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"}
	})
	w, err := newWorkload("ec2", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return w, server, func(name, settings string) {
		text := fmt.Sprintf("version: 1\nstore:\n  url: redis://%s\n%scrossings:\n  warehouse:\n    from: { aws: {} }\n    to: { gcp: { provider: %s, service_account: %s } }\n",
			server.Address, settings, stage.Provider, stage.Reader)
		for path, content := range map[string]string{name + ".yaml": text, name + ".key": seal.NewLocalKey().Reveal()} {
			if err := os.WriteFile(filepath.Join(w.folder, path), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// exchanges counts what the journal has had since it was last read.
func (w *workload) exchanges() (n int) {
	for _, e := range w.scene.World.Journal.Take() {
		if (e.Operation == "token exchange" || e.Operation == "AssumeRoleWithWebIdentity") && e.Status == http.StatusOK {
			n++
		}
	}
	return n
}

func TestMachinesShareThroughRedis(t *testing.T) {
	t.Parallel()
	w, server, write := sharing(t)
	write("one", "  key: one.key\n")
	write("two", "  key: two.key\n")
	write("rotated", "  key: rotated.key\n  old_keys: [one.key]\n")
	write("apart", "  key: one.key\n  namespace: apart\n")
	write("role", "  key: one.key\n  share: role\n")
	machine := 0
	var first string
	ask := func(file string, exchanges int) outcome {
		t.Helper()
		machine++ // each has a folder of its own, and the store alone in common
		got := w.stile(t, []string{fmt.Sprintf("XDG_CACHE_HOME=%s/machine-%d", w.folder, machine)}, "token", "warehouse", "--config", file+".yaml")
		if got.code != 0 || strings.Count(got.stdout, "\n") != 1 {
			t.Errorf("%s: ended with %d: %q, %q", file, got.code, got.stdout, got.stderr)
		}
		if n := w.exchanges(); n != exchanges {
			t.Errorf("%s: %d exchanges, want %d", file, n, exchanges)
		}
		if err := w.untidy(got.stderr); err != nil {
			t.Error(err)
		}
		return got
	}
	first = ask("one", 1).stdout
	for _, file := range []string{"one", "rotated"} {
		if got := ask(file, 0); got.stdout != first || got.stderr != "" {
			t.Errorf("%s: another credential than the first machine's: %q", file, got.stderr)
		}
	}
	for _, file := range []string{"apart", "role"} {
		if ask(file, 1).stdout == first {
			t.Errorf("%s: the credential of others was found", file)
		}
	}
	if ask("two", 1).stdout == first {
		t.Error("what was sealed with one key was opened with another")
	}
	ask("two", 0)
	ask("one", 1) // sealed with the other key by now: absent, and mended

	server.Freeze()
	if got := ask("one", 1); strings.Count(got.stderr, "\n") != 1 || !strings.Contains(got.stderr, "warning: the store failed") {
		t.Errorf("a store that hangs: %q, want one warning", got.stderr)
	}
	server.Thaw()
	server.Kill()
	if got := ask("one", 1); strings.Count(got.stderr, "\n") != 1 || !strings.Contains(got.stderr, "warning: the store failed") {
		t.Errorf("a store that is down: %q, want one warning", got.stderr)
	}
}
