// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func newTestFolder(t *testing.T, in ...string) *Folder {
	t.Helper()
	f, err := NewFolder(prefix, in...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Remove)
	write(t, filepath.Join(f.Path, "token"))
	return f
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func isThere(path string) bool { _, err := os.Lstat(path); return err == nil }

func TestFolderIsPrivate(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	f := newTestFolder(t, base)
	if !IsOwn(f.Path) || filepath.Dir(f.Path) != base {
		t.Errorf("%s: not this user's alone, or not in %s", f.Path, base)
	}
	f.Remove()
	if isThere(f.Path) {
		t.Error("it is still there")
	}
}

func TestFolderWhereItCanBe(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	f := newTestFolder(t, filepath.Join(base, "none"), base)
	if filepath.Dir(f.Path) != base {
		t.Error(f.Path)
	}
	if f, err := NewFolder(prefix, filepath.Join(base, "none")); err == nil {
		t.Errorf("%s is there", f.Path)
	}
}

// A process that is killed leaves its folder to the next.
func TestSweepAfterAKill(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "folder")
	cmd.Dir = base
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	path, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(base, strings.TrimSpace(path))
	write(t, filepath.Join(left, "token"))
	Sweep(prefix, base)
	if !isThere(filepath.Join(left, "token")) {
		t.Error("a folder in use was swept")
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if !isThere(filepath.Join(left, "token")) {
		t.Fatal("it was not left: there is nothing to see")
	}
	Sweep(prefix, filepath.Join(base, "none"), base)
	if isThere(left) {
		t.Error("it is still there")
	}
}

// dead is a folder as a process leaves it that was killed.
func dead(t *testing.T, base, name string) string {
	t.Helper()
	path := filepath.Join(base, name)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(path, runningName))
	write(t, filepath.Join(path, "token"))
	return path
}

func TestSweepLeaves(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	living := newTestFolder(t, base)
	foreignName := dead(t, base, "mine-1")
	shared := dead(t, base, prefix+"shared")
	if err := os.Chmod(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	elsewhere := dead(t, base, "elsewhere")
	link := filepath.Join(base, prefix+"link")
	if err := os.Symlink(elsewhere, link); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(base, prefix+"file")
	write(t, file)
	unlocked := filepath.Join(base, prefix+"unlocked") // by a process that has not come so far yet
	if err := os.Mkdir(unlocked, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(unlocked, "token"))
	left := []string{living.Path, foreignName, shared, elsewhere, unlocked}
	if os.Geteuid() == 0 {
		anothers := dead(t, base, prefix+"anothers")
		if err := os.Chown(anothers, 1, 1); err != nil {
			t.Fatal(err)
		}
		left = append(left, anothers)
	}
	gone := dead(t, base, prefix+"dead")
	inside := filepath.Join(gone, "link") // what a link leads to is not what is in the folder
	if err := os.Symlink(elsewhere, inside); err != nil {
		t.Fatal(err)
	}
	Sweep(prefix, base)
	for _, path := range left {
		if !isThere(filepath.Join(path, "token")) {
			t.Errorf("%s was swept", path)
		}
	}
	if !isThere(link) || !isThere(file) {
		t.Error("a link, or a file, was swept")
	}
	if isThere(gone) {
		t.Errorf("%s is still there", gone)
	}
}

// Whatever is in the place of the lock, nobody waits for it.
func TestSweepOfAPipe(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	path := filepath.Join(base, prefix+"pipe")
	if err := errors.Join(os.Mkdir(path, 0o700), syscall.Mkfifo(filepath.Join(path, runningName), 0o600)); err != nil {
		t.Fatal(err)
	}
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		Sweep(prefix, base)
	}()
	select {
	case <-swept:
	case <-time.After(30 * time.Second):
		t.Fatal("it waits for the pipe")
	}
	if isThere(path) {
		t.Error("it is still there")
	}
}

func TestSweepLeavesWhatTookAName(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	root, err := os.OpenRoot(base)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	seen, err := root.Lstat(filepath.Base(dead(t, base, prefix+"seen")))
	if err != nil {
		t.Fatal(err)
	}
	other := dead(t, base, prefix+"other")
	sweepThis(root, filepath.Base(other), seen)
	if !isThere(filepath.Join(other, "token")) {
		t.Error("another folder was swept than the one that was looked at")
	}
	sweepThis(root, prefix+"seen", seen)
	if isThere(filepath.Join(base, prefix+"seen")) {
		t.Error("it is still there")
	}
}

// Those who make folders and those who sweep do not get into each other's way.
func TestSweepWhileOthersMake(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	var makers, sweepers sync.WaitGroup
	over := make(chan struct{})
	for range 2 {
		sweepers.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
					Sweep(prefix, base)
				}
			}
		})
	}
	for range 4 {
		makers.Go(func() {
			for range 50 {
				f, err := NewFolder(prefix, base)
				if err != nil {
					t.Error(err)
					return
				}
				token := filepath.Join(f.Path, "token")
				if err := os.WriteFile(token, nil, 0o600); err != nil || !isThere(token) {
					t.Errorf("a folder in use was swept: %v", err)
				}
				f.Remove()
			}
		})
	}
	makers.Wait()
	close(over)
	sweepers.Wait()
	left, _ := os.ReadDir(base)
	if i := slices.IndexFunc(left, func(e os.DirEntry) bool { return strings.HasPrefix(e.Name(), prefix) }); i >= 0 {
		t.Errorf("%s is left", left[i].Name())
	}
}

func TestIsOwn(t *testing.T) {
	t.Parallel()
	f := t.TempDir()
	shared := filepath.Join(f, "shared")
	own := filepath.Join(f, "own")
	if err := os.Mkdir(own, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(shared, 0o750); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{own: true, shared: false, filepath.Join(f, "none"): false, "": false, ".": false} {
		if got := IsOwn(path); got != want {
			t.Errorf("IsOwn(%q) = %t", path, got)
		}
	}
}
