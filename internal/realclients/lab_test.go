// SPDX-License-Identifier: Apache-2.0

//go:build unix

// Package realclients_test lets gcloud and the aws CLI, as their vendors publish them, use credentials that stile made,
// and obtain some of their own, from the lab. Each program is used where it is found; STILE_REQUIRE_CLIENTS=1 makes
// its absence a failure.
package realclients_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// patience is how long one program may take before it is taken for hung: they start in a second or two.
const patience = 2 * time.Minute

// A lab is `stile-lab up` in a process of its own, and what it says to put in the environment.
type lab struct {
	programs string            // the folder of stile and stile-lab
	vars     map[string]string // for whoever is both workloads
	task     map[string]string // besides, for whoever is the ECS task
}

// build makes both programs, as `go build` makes them.
func build(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	watchSources(t)
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", folder+string(filepath.Separator), "./cmd/stile", "./cmd/stile-lab")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build stile and stile-lab: %v\n%s", err, out)
	}
	return folder
}

// watchSources looks at every Go file, so that go test sees when one has changed and does not repeat an old result:
// it cannot see what the compiler reads in another process.
func watchSources(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if filepath.Ext(path) == ".go" && !strings.HasSuffix(path, "_test.go") {
			_, err = os.Stat(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone since the folder was read
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// raise starts the lab, and at the end interrupts it as a person would and sees that it leaves nothing behind.
func raise(t *testing.T, programs string) *lab {
	t.Helper()
	scratch, file := t.TempDir(), filepath.Join(t.TempDir(), "lab.env")
	cmd := exec.Command(filepath.Join(programs, "stile-lab"), "up", "--env-file", file)
	cmd.Env = []string{"TMPDIR=" + scratch}
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start stile-lab up: %v", err)
	}
	kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	lines := bufio.NewScanner(said)
	if !lines.Scan() || !strings.Contains(lines.Text(), "both clouds are up") {
		_ = cmd.Wait()
		t.Fatalf("stile-lab up said %q, want that both clouds are up", lines.Text())
	}
	kill.Stop()
	t.Cleanup(func() { lower(t, cmd, lines, scratch) })
	return read(t, programs, file)
}

func lower(t *testing.T, cmd *exec.Cmd, lines *bufio.Scanner, scratch string) {
	t.Helper()
	kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Errorf("interrupt stile-lab up: %v", err)
	}
	last := ""
	for lines.Scan() {
		last = lines.Text()
	}
	if err := cmd.Wait(); err != nil || last != "stile-lab: the clouds are gone" {
		t.Errorf("stile-lab up ended with %v after %q, want success after word that the clouds are gone", err, last)
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("stile-lab up left %v (%v) behind, want nothing", left, err)
	}
}

var (
	export   = regexp.MustCompile(`(?m)^export ([A-Za-z_]\w*)='([^']*)'$`)
	taskLine = regexp.MustCompile(`(?m)^# export (AWS_CONTAINER_\w+)='([^']*)' (ECS_\w+)='([^']*)'$`)
)

// read takes the variables out of the script that a person would have sourced.
func read(t *testing.T, programs, file string) *lab {
	t.Helper()
	script, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the environment's file has mode %v (%v), want one that its owner alone can read", info.Mode(), err)
	}
	l := &lab{programs: programs, vars: map[string]string{}, task: map[string]string{}}
	for _, m := range export.FindAllStringSubmatch(string(script), -1) {
		l.vars[m[1]] = m[2]
	}
	m := taskLine.FindStringSubmatch(string(script))
	if m == nil || len(l.vars) < 10 {
		t.Fatalf("stile-lab up wrote no environment that can be read:\n%s", script)
	}
	l.task[m[1]], l.task[m[3]] = m[2], m[4]
	return l
}

// A shell is one in which the lab's environment was sourced. It has a home of its own, because stile and both clients
// keep tokens there, and nothing of this machine's environment but the way to its programs: variables for CA files,
// proxies and credentials are often preset, and would win.
type shell struct{ vars map[string]string }

func (l *lab) shell(t *testing.T) shell {
	t.Helper()
	home := t.TempDir()
	s := shell{map[string]string{
		"PATH": l.programs + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME": home, "TMPDIR": t.TempDir(), "LANG": "C.UTF-8",
	}}.with(l.vars)
	return s.with(map[string]string{
		"STILE_CACHE_DIR": filepath.Join(home, "kept"), "CLOUDSDK_CONFIG": filepath.Join(home, "gcloud"), "CLOUDSDK_CORE_DISABLE_PROMPTS": "1", "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
		"CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1", "AWS_PAGER": "",
	})
}

// with adds variables; an empty one is taken away.
func (s shell) with(vars map[string]string) shell {
	more := shell{map[string]string{}}
	for _, m := range []map[string]string{s.vars, vars} {
		for name, value := range m {
			more.vars[name] = value
			if value == "" {
				delete(more.vars, name)
			}
		}
	}
	return more
}

func (s shell) env() (entries []string) {
	for name, value := range s.vars {
		entries = append(entries, name+"="+value)
	}
	return entries
}

// outcome is how a command ended. A code of -1 is a signal: its time was up.
type outcome struct {
	stdout, stderr string
	code           int
}

// run runs a command with the shell's PATH.
func (s shell) run(t *testing.T, stdin string, argv ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// env finds the program by the PATH that it is given, not by this process's.
	cmd := exec.CommandContext(ctx, "env", argv...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = s.env(), s.vars["HOME"], 10*time.Second
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	var status *exec.ExitError
	if err != nil && !errors.As(err, &status) {
		t.Fatalf("run %s: %v", argv, err)
	}
	return outcome{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// prints is run for a command that must succeed; it gives what the command printed.
func (s shell) prints(t *testing.T, argv ...string) string {
	t.Helper()
	got := s.run(t, "", argv...)
	if got.code != 0 {
		t.Fatalf("%s ended with code %d:\n%s", strings.Join(argv, " "), got.code, got.stderr)
	}
	return got.stdout
}

// isRefused is run for a command that must fail, with the cloud's own word for why.
func (s shell) isRefused(t *testing.T, word string, argv ...string) {
	t.Helper()
	got := s.run(t, "", argv...)
	if got.code <= 0 || !strings.Contains(got.stderr, word) {
		t.Errorf("%s ended with code %d, want a failure that says %q; it printed %q and said\n%s", strings.Join(argv, " "), got.code, word, got.stdout, got.stderr)
	}
}

// write puts content in a new file of the shell's home and gives its path.
func (s shell) write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(s.vars["HOME"], name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
