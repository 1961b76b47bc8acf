// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

const imagesYAML = `version: 1
crossings:
  images:
    from: { gcp: { audience: sts.amazonaws.com/111122223333 } }
    to: { aws: { role: "arn:aws:iam::111122223333:role/from-gcp", region: eu-west-1 } }
  warehouse:
    from: { aws: {} }
    to: { gcp: { provider: projects/123456789012/locations/global/workloadIdentityPools/aws-pool/providers/aws-prov, service_account: etl-reader@demo-proj.iam.gserviceaccount.com } }
`

// execWorkload is a workload whose folder has a stile.yaml and some scripts.
func execWorkload(t *testing.T, scripts map[string]string) *workload {
	t.Helper()
	folder := t.TempDir()
	w, err := newWorkload("both", folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	for name, text := range scripts {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "stile.yaml"), []byte(imagesYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// away is a stile without a terminal, as a supervisor starts it.
func away(t *testing.T, w *workload, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = w.folder, append([]string{"PATH=" + os.Getenv("PATH")}, w.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// ending is how a process ended, as its parent sees it.
func ending(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	err := cmd.Wait()
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		t.Fatal(err)
	}
	return cmd.ProcessState.String()
}

// A signal that comes before the command does ends stile, which leaves nothing behind.
func TestExecEndedBeforeItsCommand(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			if signal.Ignored(s) {
				t.Skip("the tests run with it ignored")
			}
			w := execWorkload(t, nil)
			asked := make(chan struct{})
			var once sync.Once
			w.spoil("iamcredentials.googleapis.com", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				once.Do(func() { close(asked) })
				<-r.Context().Done()
			}))
			temporary := filepath.Join(w.folder, "tmp")
			if err := os.Mkdir(temporary, 0o700); err != nil {
				t.Fatal(err)
			}
			cmd := away(t, w, "stile", "exec", "warehouse", "--", "touch", "ran")
			cmd.Env = append(cmd.Env, "TMPDIR="+temporary)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			<-asked
			if left, _ := os.ReadDir(temporary); len(left) != 1 {
				t.Errorf("%d folders in the temporary one, want gcloud's: then there is nothing to see", len(left))
			}
			if err := cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
			if got := ending(t, cmd); got != "signal: "+s.String() {
				t.Error(got)
			}
			if left, _ := os.ReadDir(temporary); len(left) > 0 {
				t.Errorf("it left %s", left[0].Name())
			}
			if _, err := os.Stat(filepath.Join(w.folder, "ran")); err == nil {
				t.Error("the command ran")
			}
		})
	}
}
