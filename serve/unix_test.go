// SPDX-License-Identifier: Apache-2.0

//go:build unix

package serve

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stile-project/stile"
)

func sock(path string) Listener {
	return Listener{Name: "sock", Address: "unix:" + path, Handler: says("hello")}
}

func TestSocketPermissions(t *testing.T) {
	t.Parallel()
	for _, mode := range []fs.FileMode{0, 0o600, 0o660, 0o666} {
		l := sock(t.TempDir() + "/s")
		l.Mode = mode
		s := start(t, Options{}, l)
		info, err := os.Lstat(addressOf(s, "sock"))
		if err != nil {
			t.Fatal(err)
		}
		if want := max(mode, 0o600) | fs.ModeSocket; info.Mode() != want {
			t.Errorf("got %s, want %s", info.Mode(), want)
		}
		if status, _ := ask(t, addressOf(s, "sock"), "/"); status != 200 {
			t.Errorf("got %d", status)
		}
	}
}

func TestSocketIsRemoved(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/s"
	s := New(Options{})
	if err := s.Listen(t.Context(), []Listener{sock(path)}); err != nil {
		t.Fatal(err)
	}
	if err := run(t, s)(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

// What came to be there later is somebody else's.
func TestOnlyTheOwnSocketIsRemoved(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/s"
	s := New(Options{})
	if err := s.Listen(t.Context(), []Listener{sock(path)}); err != nil {
		t.Fatal(err)
	}
	stop := run(t, s)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	next := start(t, Options{}, sock(path))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if status, _ := ask(t, addressOf(next, "sock"), "/"); status != 200 {
		t.Errorf("got %d", status)
	}
}

func TestSocketOfTheDead(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/s"
	dead, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = dead.Close()
	s := start(t, Options{}, sock(path))
	if status, _ := ask(t, addressOf(s, "sock"), "/"); status != 200 {
		t.Errorf("got %d", status)
	}
}

func TestSecondServer(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/s"
	first := start(t, Options{}, sock(path))
	second := New(Options{})
	defer func() { _ = second.Close() }()
	err := second.Listen(t.Context(), []Listener{sock(path)})
	if !errors.Is(err, errElsewhere) || !strings.Contains(err.Error(), "another serve is running there") || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	if status, _ := ask(t, addressOf(first, "sock"), "/"); status != 200 {
		t.Errorf("the first one: %d", status)
	}
}

// Of many that start at once over a dead one's socket, one wins, and answers.
func TestServersThatStartAtOnce(t *testing.T) {
	t.Parallel()
	for range 20 {
		path := t.TempDir() + "/s"
		dead, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		dead.(*net.UnixListener).SetUnlinkOnClose(false)
		_ = dead.Close()
		var all [8]*Server
		var errs [8]error
		var starting sync.WaitGroup
		for i := range all {
			all[i] = New(Options{})
			starting.Go(func() { errs[i] = all[i].Listen(t.Context(), []Listener{sock(path)}) })
		}
		starting.Wait()
		won := 0
		for i, err := range errs {
			if err == nil {
				won++
				_ = run(t, all[i])
			} else if !errors.Is(err, errElsewhere) {
				t.Error(err)
			}
		}
		if status, _ := ask(t, path, "/"); won != 1 || status != 200 {
			t.Fatalf("%d won, and it answered %d", won, status)
		}
		for _, s := range all {
			_ = s.Close()
		}
	}
}

func TestPathsThatAreRefused(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	write := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write(os.WriteFile(folder+"/file", []byte("precious"), 0o600))
	write(os.Symlink(folder+"/elsewhere", folder+"/dangling"))
	write(os.Symlink(folder+"/file", folder+"/link"))
	write(os.Mkdir(folder+"/open", 0o700))
	write(os.Chmod(folder+"/open", 0o777))
	write(os.Mkdir(folder+"/sticky", 0o700))
	write(os.Chmod(folder+"/sticky", 0o777|fs.ModeSticky))
	target, err := net.Listen("unix", folder+"/living")
	write(err)
	defer func() { _ = target.Close() }()
	write(os.Symlink(folder+"/living", folder+"/tosocket"))
	for name, want := range map[string]string{
		"file": "is no socket", "dangling": "is not followed", "link": "is not followed", "tosocket": "is not followed",
		"open/s": "could put a socket of their own", "none/s": "no such file or directory", "file/s": "is no folder", "living": "another serve",
	} {
		s := New(Options{})
		err := s.Listen(t.Context(), []Listener{sock(filepath.Join(folder, name))})
		if e, ok := errors.AsType[*stile.Error](err); !ok || e.Hint == "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", name, err)
		}
		_ = s.Close()
	}
	if b, err := os.ReadFile(folder + "/file"); err != nil || string(b) != "precious" {
		t.Errorf("the file: %q, %v", b, err)
	}
	if _, err := os.Lstat(folder + "/elsewhere"); err == nil {
		t.Error("a link was followed")
	}
	start(t, Options{}, sock(folder+"/sticky/s"))
}

func TestFolderThatStaysLocked(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	f, err := os.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	s := New(Options{})
	defer func() { _ = s.Close() }()
	if err := s.Listen(t.Context(), []Listener{sock(folder + "/s")}); err == nil || !strings.Contains(err.Error(), "locked for 2 seconds") {
		t.Errorf("got %v", err)
	}
}
