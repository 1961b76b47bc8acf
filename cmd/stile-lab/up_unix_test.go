// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestUp uses the environment that up prints as a person would: another process, a shell, the real program.
func TestUp(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	stile := filepath.Join(folder, "stile")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", stile, "../stile").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	temp, envFile := filepath.Join(folder, "temp"), filepath.Join(folder, "lab.env")
	if err := os.Mkdir(temp, 0o700); err != nil {
		t.Fatal(err)
	}
	lab := up(t, temp, envFile)
	if info, err := os.Stat(envFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the environment's file: %v, %v", info, err)
	}
	for command, want := range map[string]string{
		"stile token warehouse":     "ya29.",
		"stile token direct --json": `"kind":"access_token"`,
		"stile token --credential-file $GOOGLE_APPLICATION_CREDENTIALS": "ya29.",
		"stile credential-process images":                               `"AccessKeyId":"ASIA`,
		"stile whoami":                                                  "resizer@demo-proj.iam.gserviceaccount.com",
		"stile config check":                                            "good: 3 crossings",
		"stile exec images -- env":                                      "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:",
		"stile exec --static images -- env":                             "AWS_SESSION_TOKEN=",
	} {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", ". ./lab.env && "+command)
		cmd.Dir = folder
		// What a machine's owner has set must not win.
		cmd.Env = []string{"PATH=" + folder + ":" + os.Getenv("PATH"), "HOME=" + folder, "AWS_PROFILE=mine", "AWS_ACCESS_KEY_ID=AKIAMINE", "AWS_EC2_METADATA_DISABLED=true"}
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v\n%.600s", command, err, out)
		}
	}
	down(t, lab)
	if left, err := filepath.Glob(filepath.Join(temp, "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// up starts stile-lab up in a process of its own and waits until it says that it is.
func up(t *testing.T, temp, envFile string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	lab := exec.CommandContext(t.Context(), self, "up", "--env-file", envFile)
	lab.Env = []string{asProgram + "=1", "TMPDIR=" + temp, "PATH=" + os.Getenv("PATH")}
	says, err := lab.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(says)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "stile-lab: interrupt to end") {
			go func() { _, _ = io.Copy(io.Discard, says) }()
			return lab
		}
	}
	t.Fatalf("it ended: %v", lab.Wait())
	return nil
}

func down(t *testing.T, lab *exec.Cmd) {
	t.Helper()
	if err := lab.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := lab.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}
