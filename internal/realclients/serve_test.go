// SPDX-License-Identifier: Apache-2.0

//go:build unix

package realclients_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stile-project/stile/lab/stage"
)

// sidecar is what stile serves. SDKs ask ECS before EC2, so each has a crossing of its own.
const sidecar = `version: 1
crossings:
  images:
    from: { gcp: { audience: ` + stage.ImagesAudience + ` } }
    to: { aws: { role: ` + stage.FromGCP + `, region: ` + stage.Region + ` } }
  machine:
    from: { gcp: { audience: ` + stage.ImagesAudience + ` } }
    to: { aws: { role: ` + stage.FromGCP + `, region: ` + stage.Region + `, session_name: machine } }
  warehouse:
    from: { aws: {} }
    to: { gcp: { provider: ` + stage.Provider + `, service_account: ` + stage.Reader + ` } }
  for-aws:
    from: { gcp: {} }
    to: { token: { audience: ` + stage.ImagesAudience + ` } }
  for-google:
    from: { gcp: {} }
    to: { token: { audience: ` + proofAudience + ` } }
serve:
  admin: unix:FOLDER/admin.sock
  endpoints:
    - { ecs: [images], listen: "127.0.0.1:0", token_file: FOLDER/ecs-token }
    - { imds: machine, listen: "127.0.0.1:0" }
    - { gce: warehouse, listen: "127.0.0.1:0", project: ` + stage.Project + `, zone: europe-west1-b }
  files:
    - { crossing: for-aws, token: { path: FOLDER/for-aws } }
    - { crossing: for-google, token: { path: FOLDER/for-google } }
`

// serve starts stile serve, waits until everything can be had, and asks how programs find it.
func (w *world) serve(t *testing.T) {
	t.Helper()
	must(t, os.WriteFile(w.path("stile.yaml"), []byte(strings.ReplaceAll(sidecar, "FOLDER", w.folder)), 0o600))
	w.workload.vars["STILE_CONFIG"] = w.path("stile.yaml")
	s := w.workload.shell(t)
	cmd := exec.Command(w.program("stile"), "serve")
	said := &said{}
	cmd.Env, cmd.Dir, cmd.Stderr, cmd.WaitDelay = s.env(), s.vars["HOME"], said, 10*time.Second
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("stile serve ended with %v", err)
		}
		if t.Failed() {
			t.Logf("stile serve said:\n%s", said)
		}
	})
	s.prints(t, "stile", "status", "--wait", "--timeout", "30s")
	w.found = map[string]map[string]string{}
	for _, crossing := range []string{"images", "machine", "warehouse"} {
		vars := map[string]string{}
		must(t, json.Unmarshal([]byte(s.prints(t, "stile", "serve", "--print-env", crossing, "--format", "json")), &vars))
		w.found[crossing] = vars
	}
}

// said is what a process says while it runs.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}
