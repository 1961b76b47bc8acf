// SPDX-License-Identifier: Apache-2.0

package keyring_test

import (
	"bufio"
	"errors"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep/file"
	"github.com/stile-project/stile/keep/file/keyring"
)

func onBus(t testing.TB) {
	t.Helper()
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		t.Skip("there is always a keyring, and it is the user's own")
	}
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

func TestNoBusMeansNoKeyring(t *testing.T) {
	t.Parallel()
	onBus(t)
	for name, env := range map[string]map[string]string{
		"nothing":           nil,
		"disabled":          {"DBUS_SESSION_BUS_ADDRESS": "disabled:"},
		"none, autolaunch":  {"DBUS_SESSION_BUS_ADDRESS": "autolaunch:"},
		"folder without":    {"XDG_RUNTIME_DIR": t.TempDir()},
		"a relative folder": {"XDG_RUNTIME_DIR": "run"},
	} {
		start := time.Now()
		_, err := keyring.System(lookup(env)).Get()
		took := time.Since(start)
		if set := keyring.System(lookup(env)).Set(stile.NewSecret("x")); !errors.Is(err, file.ErrNoKeyring) || !errors.Is(set, file.ErrNoKeyring) {
			t.Errorf("%s: got %v, %v", name, err, set)
		}
		if took > time.Second { // nothing was started or waited for; BenchmarkNoBus has the figure
			t.Errorf("%s: took %v", name, took)
		}
	}
}

// A server's session bus has nobody who keeps secrets, and that is not worth a warning.
func TestBusWithoutSecretService(t *testing.T) {
	onBus(t)
	daemon, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Skip("no dbus-daemon here")
	}
	cmd := exec.CommandContext(t.Context(), daemon, "--session", "--nofork", "--print-address", "--address=unix:path="+filepath.Join(t.TempDir(), "bus"))
	cmd.Env = append(cmd.Environ(), "XDG_DATA_DIRS="+t.TempDir(), "XDG_DATA_HOME="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", strings.TrimSpace(address)) // the library reads it itself
	if _, err := keyring.System(lookup(map[string]string{"DBUS_SESSION_BUS_ADDRESS": strings.TrimSpace(address)})).Get(); !errors.Is(err, file.ErrNoKeyring) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkNoBus(b *testing.B) {
	onBus(b)
	ring := keyring.System(lookup(map[string]string{"XDG_RUNTIME_DIR": b.TempDir()}))
	for b.Loop() {
		_, _ = ring.Get()
	}
}
