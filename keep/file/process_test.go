// SPDX-License-Identifier: Apache-2.0

//go:build unix

package file_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep/file"
)

// The test binary is also the processes that share a folder: see start.
func TestMain(m *testing.M) {
	if role, dir := os.Getenv("STILE_TEST_ROLE"), os.Getenv("STILE_TEST_DIR"); role != "" {
		if err := roles[role](dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

var roles = map[string]func(dir string) error{"exchange": exchange, "hold": hold, "write": write, "small": small}

// patience is how long a process of a test may take altogether.
const patience = time.Minute

// start runs a process that says "ready" once it is, and returns what it prints from then on.
func start(t *testing.T, role, dir string) (*exec.Cmd, io.WriteCloser, *bufio.Reader) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "STILE_TEST_ROLE="+role, "STILE_TEST_DIR="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	said := bufio.NewReader(out)
	if line, err := said.ReadString('\n'); line != "ready\n" {
		t.Fatalf("%s said %q, %v", role, line, err)
	}
	return cmd, in, said
}

func stdin() { _, _ = io.Copy(io.Discard, os.Stdin) }

// exchange does what a keeper does. Two exchanges at a time would both make the same file.
func exchange(dir string) error {
	s, err := file.Open(dir, file.WithKeyring(fileRing(dir+".ring"), patience))
	if err != nil {
		return err
	}
	ctx := context.Background()
	fmt.Println("ready")
	stdin()
	for end := time.Now().Add(patience); time.Now().Before(end); <-time.After(2 * time.Millisecond) {
		if r, err := s.Load(ctx, key); err == nil {
			fmt.Println(r.Credential.Principal)
			return nil
		}
		lease, err := s.Lease(ctx, key)
		if err != nil {
			return err
		}
		if lease == nil {
			continue
		}
		if _, err := s.Load(ctx, key); err == nil {
			if err := lease.Release(ctx); err != nil {
				return err
			}
			continue
		}
		if err := os.Mkdir(dir+".exchanging", 0o700); err != nil {
			return fmt.Errorf("two at a time: %w", err)
		}
		log, err := os.OpenFile(dir+".exchanges", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(log, os.Getpid())
		err = errors.Join(err, log.Close(), os.Remove(dir+".exchanging"), s.Save(ctx, key, record(fmt.Sprint("by ", os.Getpid()))), lease.Release(ctx))
		if err != nil {
			return err
		}
	}
	return errors.New("ran out of patience")
}

// fileRing is a keyring that processes share, and a slow one.
type fileRing string

func (f fileRing) Get() (stile.Secret, error) {
	<-time.After(time.Millisecond)
	text, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return stile.Secret{}, file.ErrNoKey
	}
	return stile.NewSecret(string(text)), err
}

func (f fileRing) Set(s stile.Secret) error {
	<-time.After(20 * time.Millisecond)
	if _, err := os.Stat(string(f)); err == nil {
		return errors.New("two processes made a key")
	}
	return os.WriteFile(string(f), []byte(s.Reveal()), 0o600)
}

func hold(dir string) error {
	s, err := file.Open(dir)
	if err != nil {
		return err
	}
	lease, err := s.Lease(context.Background(), key)
	if err != nil || lease == nil {
		return fmt.Errorf("no lease: %w", err)
	}
	fmt.Println("ready")
	stdin()
	return nil
}

// write saves until it is killed.
func write(dir string) error {
	s, err := file.Open(dir)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for i := 0; ; i++ {
		r := record(strings.Repeat("x", 40<<10))
		if err := s.Save(context.Background(), key, r); err != nil {
			return err
		}
	}
}

// small cannot write files of more than 100 bytes, as on a disk that is full.
func small(dir string) error {
	s, err := file.Open(dir)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 100, Max: 100}); err != nil {
		return err
	}
	if err := s.Save(context.Background(), key, record("new")); err == nil {
		return errors.New("saved what does not fit")
	}
	r, err := s.Load(context.Background(), key)
	fmt.Println(r.Credential.Principal)
	return err
}

func TestProcessesExchangeOnce(t *testing.T) {
	t.Parallel()
	n := 50
	if testing.Short() {
		n = 10
	}
	p := newPlace(t)
	p.open(t)
	ins, saids := make([]io.WriteCloser, n), make([]*bufio.Reader, n)
	for i := range n {
		_, ins[i], saids[i] = start(t, "exchange", p.dir)
	}
	var all sync.WaitGroup
	for _, in := range ins {
		all.Go(func() { in.Close() })
	}
	all.Wait()
	var first string
	for i, said := range saids {
		line, _ := said.ReadString('\n')
		if first == "" {
			first = line
		}
		if !strings.HasPrefix(line, "by ") || line != first {
			t.Errorf("process %d got %q, the first %q", i, line, first)
		}
	}
	if log, err := os.ReadFile(p.dir + ".exchanges"); err != nil || strings.Count(string(log), "\n") != 1 {
		t.Errorf("exchanges: %q, %v, want one", log, err)
	}
	if got := p.files(t); got != "KEY.lock KEY.sealed keyring.lock" {
		t.Errorf("the folder holds %s", got)
	}
}

func TestKilledHolderLetsGo(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	s := p.open(t)
	cmd, _, _ := start(t, "hold", p.dir)
	if l, err := s.Lease(t.Context(), key); l != nil || err != nil {
		t.Fatalf("got %v, %v while another process holds the lease", l, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	l, err := s.Lease(t.Context(), key) // once, with no waiting
	if l == nil || err != nil {
		t.Fatalf("got %v, %v after the holder was killed", l, err)
	}
	if err := l.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestKilledWriterLeavesAWholeRecord(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	s := p.open(t)
	save(t, s, "whole")
	for range 10 {
		cmd, _, _ := start(t, "write", p.dir)
		for range 200 {
			if _, err := s.Load(t.Context(), key); err != nil {
				t.Error(err)
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if _, err := s.Load(t.Context(), key); err != nil {
			t.Errorf("after the kill: %v", err)
		}
	}
	// What the dead left behind goes once it is old.
	half := filepath.Join(p.dir, key.String()+".1.new")
	old := time.Now().Add(-time.Hour)
	if err := errors.Join(os.WriteFile(half, []byte("{"), 0o600), os.Chtimes(half, old, old)); err != nil {
		t.Fatal(err)
	}
	save(t, p.open(t), "next")
	if _, err := os.Stat(half); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
	if p.log.Len() > 0 {
		t.Errorf("logged %s", p.log.String())
	}
}

func TestFullDiskLeavesTheOldRecord(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	save(t, p.open(t), "old")
	cmd, _, said := start(t, "small", p.dir)
	line, _ := said.ReadString('\n')
	if line != "old\n" {
		t.Errorf("got %q", line)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if got := p.files(t); got != "KEY.json" {
		t.Errorf("left behind: %s", got)
	}
}

func TestReadOnlyFolder(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 { // who may write anywhere
		asNobody(t)
		return
	}
	p := newPlace(t)
	s := p.open(t)
	save(t, s, "old")
	if err := os.Chmod(p.dir, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(p.dir, 0o700) })
	if err := s.Save(t.Context(), key, record("new")); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("saving: got %v", err)
	}
	if l, err := s.Lease(t.Context(), key); l != nil || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("leasing: got %v, %v", l, err)
	}
	wantLoads(t, s, "old")
}

// asNobody runs the test that calls it as a user without rights, from a copy of the program that this one may read.
func asNobody(t *testing.T) {
	t.Helper()
	const uid = 65534
	dir, err := os.MkdirTemp("", "stile-nobody-") //nolint:usetesting // t.TempDir lies in a folder that is its owner's alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	self, err := os.ReadFile(os.Args[0])
	program, temp := filepath.Join(dir, "program"), filepath.Join(dir, "temp")
	// What another test starts meanwhile would have the file open for writing until it runs: "text file busy".
	syscall.ForkLock.RLock()
	err = errors.Join(err, os.Chmod(dir, 0o755), os.WriteFile(program, self, 0o755), os.Mkdir(temp, 0o700), os.Chown(temp, uid, uid))
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.v", "-test.run=^"+t.Name()+"$")
	cmd.Dir, cmd.Env = "/", []string{"TMPDIR=" + temp, "HOME=" + temp}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
}
