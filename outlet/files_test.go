// SPDX-License-Identifier: Apache-2.0

package outlet_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/outlet"
)

// A desk is a supplier that a test tells what to say.
type desk struct {
	mu    sync.Mutex
	cred  stile.Credential
	err   error
	asked int
}

func (d *desk) Credential(context.Context) (stile.Credential, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	return d.cred, d.err
}

func (d *desk) say(c stile.Credential, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cred, d.err = c, err
}

func (d *desk) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked
}

// A log is what was reported, in short.
type log struct {
	mu   sync.Mutex
	said []string
}

func (l *log) report(s outlet.Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := filepath.Base(s.Path) + " " + s.State.String()
	if s.Wrote {
		line += " wrote"
	}
	if s.Foreign {
		line += " over another's"
	}
	if s.Err != nil {
		line += fmt.Sprintf(" disk=%v", s.Disk)
	}
	l.said = append(l.said, line)
}

func (l *log) is(t *testing.T, want ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if diff := cmp.Diff(want, l.said); diff != "" {
		t.Errorf("reported (-want +got):\n%s", diff)
	}
	l.said = nil
}

// run begins to run the files, and gives what ends that.
func run(t *testing.T, opts outlet.Options, kept ...outlet.Kept) (*outlet.Files, func() error) {
	t.Helper()
	files, err := outlet.NewFiles(kept, opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- files.Run(ctx) }()
	var once sync.Once
	var failed error
	end := func() error {
		once.Do(func() {
			cancel()
			failed = <-ended
		})
		return failed
	}
	t.Cleanup(func() { _ = end() })
	return files, end
}

func contentOf(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(content)
}

// turn lets the clock run, and what it started come to rest.
func turn(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func tokenUntil(text string, d time.Duration) stile.Credential {
	return stile.Credential{Kind: stile.KindIDToken, Token: stile.NewSecret(text), Expires: time.Now().Add(d)}
}

func TestFilesAreKeptFresh(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	synctest.Test(t, func(t *testing.T) {
		var told log
		supplier := &desk{cred: tokenUntil("one", time.Hour)}
		files, end := run(t, outlet.Options{Report: told.report}, outlet.Kept{File: outlet.File{Path: path}, Supplier: supplier})
		<-files.Written()
		if got := contentOf(t, path); got != "one" {
			t.Errorf("got %s", got)
		}
		first, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		turn(time.Minute)
		if n := supplier.count(); n != 7 {
			t.Errorf("asked %d times in a minute, want 7", n)
		}
		if now, err := os.Stat(path); err != nil || !os.SameFile(first, now) {
			t.Errorf("what had not changed was written again: %v", err)
		}
		supplier.say(tokenUntil("two", time.Hour), nil)
		turn(outlet.DefaultEvery)
		if got := contentOf(t, path); got != "two" {
			t.Errorf("got %s", got)
		}
		status := files.Status()[0]
		if status.State != outlet.StateCurrent || status.Written.Sub(start) < time.Minute || time.Until(status.Expires) < 59*time.Minute {
			t.Errorf("status %+v", status)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		turn(outlet.DefaultEvery)
		if got := contentOf(t, path); got != "two" {
			t.Errorf("a file that vanished was not written again: %q", got)
		}
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		turn(outlet.DefaultEvery)
		if got := contentOf(t, path); got != "two" {
			t.Errorf("a file that somebody changed was not written again: %q", got)
		}
		told.is(t, "token current wrote", "token current wrote", "token current wrote", "token current wrote over another's")
		if err := end(); err != nil {
			t.Error(err)
		}
		if got := contentOf(t, path); got != "two" {
			t.Errorf("the file did not stay: %q", got)
		}
	})
}

func TestFileOutlivesItsSource(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	synctest.Test(t, func(t *testing.T) {
		var told log
		supplier := &desk{err: stile.ErrTemporary}
		files, _ := run(t, outlet.Options{Report: told.report}, outlet.Kept{File: outlet.File{Path: path}, Supplier: supplier})
		turn(0)
		told.is(t, "token absent disk=false")
		turn(63 * time.Second) // at 0, 1, 3, 7, 15, 31, 63
		if n := supplier.count(); n != 7 {
			t.Errorf("asked %d times, want 7", n)
		}
		select {
		case <-files.Written():
			t.Error("said to be written")
		default:
		}
		told.is(t)
		supplier.say(tokenUntil("one", 95*time.Second), nil)
		turn(time.Minute)
		told.is(t, "token current wrote")
		supplier.say(stile.Credential{}, stile.ErrTemporary)
		turn(10 * time.Second)
		told.is(t, "token behind disk=false")
		turn(24*time.Second + 999*time.Millisecond)
		told.is(t)
		turn(time.Millisecond)
		told.is(t, "token expired disk=false")
		if s := files.Status()[0]; s.State != outlet.StateExpired || s.Failures < 4 || !errors.Is(s.Err, stile.ErrTemporary) {
			t.Errorf("status %+v", s)
		}
		supplier.say(tokenUntil("dead", 0), nil)
		turn(2 * time.Minute)
		if got := contentOf(t, path); got != "one" {
			t.Errorf("an expired credential was written: %q", got)
		}
		told.is(t)
		supplier.say(tokenUntil("two", time.Hour), nil)
		turn(time.Minute)
		told.is(t, "token current wrote")
	})
}

// A supplier that gives what is about to end, and nothing else, is no reason to say that the file is current.
func TestEndIsToldAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	synctest.Test(t, func(t *testing.T) {
		var told log
		files, _ := run(t, outlet.Options{Report: told.report, Every: time.Hour},
			outlet.Kept{File: outlet.File{Path: path}, Supplier: &desk{cred: tokenUntil("one", time.Minute)}})
		turn(time.Minute - 1)
		told.is(t, "token current wrote")
		turn(1)
		told.is(t, "token expired disk=false")
		if s := files.Status()[0]; !strings.Contains(fmt.Sprint(s.Err), "has expired") {
			t.Errorf("status %+v", s)
		}
	})
}

func TestVanishedFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "folder")
	path := filepath.Join(dir, "token")
	synctest.Test(t, func(t *testing.T) {
		var told log
		files, _ := run(t, outlet.Options{Report: told.report}, outlet.Kept{File: outlet.File{Path: path}, Supplier: &desk{cred: tokenUntil("one", time.Hour)}})
		<-files.Written()
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		turn(5 * time.Minute)
		told.is(t, "token current wrote", "token absent disk=true")
		if s := files.Status()[0]; !errors.Is(s.Err, os.ErrNotExist) || !errors.Is(s.Err, stile.ErrTemporary) {
			t.Errorf("status %+v", s)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		turn(time.Minute)
		told.is(t, "token current wrote")
		if got := contentOf(t, path); got != "one" {
			t.Errorf("got %q", got)
		}
	})
}

func TestOneFileDoesNotHoldUpAnother(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var told log
		slow := supplierFunc(func(ctx context.Context) (stile.Credential, error) {
			<-ctx.Done()
			return stile.Credential{}, context.Cause(ctx)
		})
		good := &desk{cred: tokenUntil("one", time.Hour)}
		_, end := run(t, outlet.Options{Report: told.report}, outlet.Kept{File: outlet.File{Path: filepath.Join(dir, "slow")}, Supplier: slow},
			outlet.Kept{File: outlet.File{Path: filepath.Join(dir, "good")}, Supplier: good})
		turn(50 * time.Second)
		told.is(t, "good current wrote")
		turn(11 * time.Second)
		told.is(t, "slow absent disk=false")
		before := time.Now()
		if err := end(); err != nil || time.Since(before) > 0 {
			t.Errorf("ended after %s with %v", time.Since(before), err)
		}
	})
}

type supplierFunc func(context.Context) (stile.Credential, error)

func (f supplierFunc) Credential(ctx context.Context) (stile.Credential, error) { return f(ctx) }

func TestFilesRemoveAtEnd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	credentials := filepath.Join(dir, "credentials")
	if err := os.WriteFile(credentials, []byte("[mine]\nregion = x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		token, sessions := &desk{cred: tokenUntil("one", time.Hour)}, &desk{cred: numbered(stile.KindAWSSession, 1)}
		files, end := run(t, outlet.Options{},
			outlet.Kept{File: outlet.File{Path: filepath.Join(dir, "token")}, Supplier: token, RemoveAtEnd: true},
			outlet.Kept{File: outlet.File{Path: filepath.Join(dir, "kept")}, Supplier: token},
			outlet.Kept{File: outlet.File{Path: credentials, Form: outlet.FormProfile, Profile: "a"}, Supplier: sessions, RemoveAtEnd: true},
			outlet.Kept{File: outlet.File{Path: credentials, Form: outlet.FormProfile, Profile: "b"}, Supplier: sessions})
		<-files.Written()
		if err := end(); err != nil {
			t.Error(err)
		}
		if err := files.Run(t.Context()); !errors.Is(err, stile.ErrMisuse) {
			t.Errorf("ran twice: %v", err)
		}
	})
	alone(t, dir, "credentials", "kept")
	content := contentOf(t, credentials)
	if !strings.HasPrefix(content, "[mine]\nregion = x\n") || strings.Contains(content, "[a]") || settingIn([]byte(content), "b", "aws_access_key_id") != "1" {
		t.Errorf("left:\n%s", content)
	}
}

func TestNewFilesRefuses(t *testing.T) {
	t.Parallel()
	s := &desk{}
	path := filepath.Join(t.TempDir(), "file")
	for name, kept := range map[string][]outlet.Kept{
		"no supplier":       {{File: outlet.File{Path: path}}},
		"a parent":          {{File: outlet.File{Path: "../x"}, Supplier: s}},
		"one place":         {{File: outlet.File{Path: path}, Supplier: s}, {File: outlet.File{Path: filepath.Dir(path) + "/./file"}, Supplier: s}},
		"one profile":       {{File: outlet.File{Path: path, Form: outlet.FormProfile}, Supplier: s}, {File: outlet.File{Path: path, Form: outlet.FormProfile, Profile: "default"}, Supplier: s}},
		"token and profile": {{File: outlet.File{Path: path, Form: outlet.FormProfile}, Supplier: s}, {File: outlet.File{Path: path}, Supplier: s}},
		"profile and token": {{File: outlet.File{Path: path}, Supplier: s}, {File: outlet.File{Path: path, Form: outlet.FormProfile}, Supplier: s}},
	} {
		if _, err := outlet.NewFiles(kept, outlet.Options{}); !errors.Is(err, stile.ErrMisuse) {
			t.Errorf("%s: %v", name, err)
		}
	}
	files, err := outlet.NewFiles(nil, outlet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	<-files.Written()
}

func TestFilesCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "credentials")
	if err := os.WriteFile(path, []byte("[p]\naws_access_key_id = AKIAMINE\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := outlet.NewFiles([]outlet.Kept{{File: outlet.File{Path: path, Form: outlet.FormProfile, Profile: "p"}, Supplier: &desk{}},
		{File: outlet.File{Path: path, Form: outlet.FormProfile, Profile: "q"}, Supplier: &desk{}}}, outlet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = files.Check()
	if !errors.Is(err, stile.ErrMisuse) || !strings.Contains(err.Error(), "profile p has credentials that are not stile's") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
	alone(t, dir, "credentials")
}

func TestManyFiles(t *testing.T) {
	t.Parallel()
	const many = 1000
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		cred := tokenUntil("one", time.Hour)
		supplier := supplierFunc(func(context.Context) (stile.Credential, error) {
			asked.Add(1)
			return cred, nil
		})
		kept := make([]outlet.Kept, many)
		for i := range kept {
			kept[i] = outlet.Kept{File: outlet.File{Path: filepath.Join(dir, fmt.Sprint(i))}, Supplier: supplier, RemoveAtEnd: true}
		}
		files, end := run(t, outlet.Options{}, kept...)
		<-files.Written()
		before := asked.Load()
		turn(outlet.DefaultEvery)
		if n := asked.Load() - before; n < many*9/10 || n > many*11/10 {
			t.Errorf("asked %d times in one round of %d", n, many)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	alone(t, dir)
}
