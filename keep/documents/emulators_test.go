// SPDX-License-Identifier: Apache-2.0

package documents_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stile-project/stile/keep/documents"
)

// patience is how long a test waits for what must happen. A JVM starts in seconds, on a busy machine in more.
const patience = time.Minute

// An emulator is one of those that the Cloud SDK brings, started when it is first asked for and killed at the end.
type emulator struct {
	jar  string // below the SDK's folder platform
	args []string

	mu      sync.Mutex
	address string
	process *exec.Cmd
}

var (
	firestore = &emulator{jar: "cloud-firestore-emulator/cloud-firestore-emulator.jar",
		args: []string{"com.google.cloud.datastore.emulator.firestore.CloudFirestore"}}
	datastoreMode = &emulator{jar: firestore.jar,
		args: []string{"com.google.cloud.datastore.emulator.firestore.CloudFirestore", "--database-mode=datastore-mode"}}
	datastore = &emulator{jar: "cloud-datastore-emulator/CloudDatastore.jar",
		args: []string{"com.google.cloud.datastore.emulator.CloudDatastore", "start", "--testing"}}
	all = []*emulator{firestore, datastoreMode, datastore}
)

func TestMain(m *testing.M) {
	// What surrounds the test must not decide which cloud it asks.
	for _, name := range []string{"FIRESTORE_EMULATOR_HOST", "DATASTORE_EMULATOR_HOST", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB"} {
		_ = os.Unsetenv(name)
	}
	none := filepath.Join(os.TempDir(), "there-is-no-such-file")
	for _, name := range []string{"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"} {
		_ = os.Setenv(name, none)
	}
	code := m.Run()
	for _, e := range all {
		e.kill()
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

// at starts the emulator if need be, and returns its address.
func (e *emulator) at(t *testing.T) string {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.process == nil {
		if e.address == "" {
			e.address = freeAddress(t)
		}
		e.start(t)
	}
	return e.address
}

func (e *emulator) start(t *testing.T) {
	t.Helper()
	java, jar := needed(t, "java"), filepath.Join(filepath.Dir(filepath.Dir(needed(t, "gcloud"))), "platform", e.jar)
	if _, err := os.Stat(jar); err != nil {
		without(t, "the Cloud SDK here has no "+e.jar)
	}
	host, port, err := net.SplitHostPort(e.address)
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m", "-cp", jar}, e.args...)
	// It outlives the test that needed it first.
	e.process = exec.CommandContext(context.WithoutCancel(t.Context()), java, append(args, "--host="+host, "--port="+port)...)
	if err := e.process.Start(); err != nil {
		t.Fatal("starting the emulator:", err)
	}
	until(t, "the emulator to start", func() bool {
		ask, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+e.address+"/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(ask)
		if err == nil {
			_ = answer.Body.Close()
		}
		return err == nil
	})
}

// kill ends the emulator, and with it all that it holds. The next at starts it again, at the same address.
func (e *emulator) kill() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.process != nil && e.process.Process != nil {
		_ = e.process.Process.Kill()
		_ = e.process.Wait() // it was killed, and says so
		e.process = nil
	}
}

// needed is where a program is. Its links are followed: gcloud is one into the SDK.
func needed(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		without(t, "there is no "+program+" here")
	}
	return path
}

func without(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("STILE_REQUIRE_SERVERS") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return address
}

// environment is the process's own, and so one at a time may change it.
var environment sync.Mutex

// open opens url while variable is value.
func open(t *testing.T, variable, value, url string, opts ...documents.Option) *documents.Store {
	t.Helper()
	environment.Lock()
	defer environment.Unlock()
	if err := os.Setenv(variable, value); err != nil { //nolint:usetesting // the tests run in parallel, and read it here alone
		t.Fatal(err)
	}
	defer os.Unsetenv(variable) //nolint:errcheck // it was set a line ago
	s, err := documents.Open(t.Context(), url, opts...)
	if err != nil {
		t.Fatal("Open:", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error("Close:", err)
		}
	})
	return s
}

// until waits for done.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}
