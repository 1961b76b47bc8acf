// SPDX-License-Identifier: Apache-2.0

package outlet_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/outlet"
)

// blocked keeps the file from being written, also by root: what should be its lock is a folder.
func blocked(t *testing.T, path string) (free func()) {
	t.Helper()
	lock := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".stile-lock")
	if err := os.MkdirAll(filepath.Join(lock, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.RemoveAll(lock); err != nil {
			t.Error(err)
		}
	}
}

// A file that cannot be renewed is behind while it holds what was written, and absent once it does not.
func TestBehindOrGone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(path string) error
		want  outlet.State
	}{
		"left alone":  {func(string) error { return nil }, outlet.StateBehind},
		"touched":     {func(path string) error { return os.Chtimes(path, time.Time{}, time.Now()) }, outlet.StateBehind},
		"removed":     {os.Remove, outlet.StateAbsent},
		"emptied":     {func(path string) error { return os.Truncate(path, 0) }, outlet.StateAbsent},
		"overwritten": {func(path string) error { return os.WriteFile(path, []byte("[x]\n"), 0o600) }, outlet.StateAbsent},
		"a folder":    {func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }, outlet.StateAbsent},
	} {
		for form, cred := range map[outlet.Form]stile.Credential{outlet.FormToken: tokenUntil("one", time.Hour), outlet.FormProfile: numbered(stile.KindAWSSession, 1)} {
			t.Run(name+"/"+form.String(), func(t *testing.T) {
				t.Parallel()
				path := filepath.Join(t.TempDir(), "token")
				synctest.Test(t, func(t *testing.T) {
					cred, next := cred, cred
					cred.Expires, next.Expires = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
					supplier := &desk{cred: cred}
					files, _ := run(t, outlet.Options{}, outlet.Kept{File: outlet.File{Path: path, Form: form}, Supplier: supplier})
					<-files.Written()
					free := blocked(t, path)
					if err := c.spoil(path); err != nil {
						t.Fatal(err)
					}
					supplier.say(next, nil)
					turn(outlet.DefaultEvery)
					s := files.Status()[0]
					if s.State != c.want || s.Expires.IsZero() != (c.want == outlet.StateAbsent) || !s.Disk {
						t.Errorf("%s until %s (%v), want %s", s.State, s.Expires, s.Err, c.want)
					}
					free()
					if c.want == outlet.StateAbsent && name == "a folder" {
						_ = os.Remove(path)
					}
					turn(2 * time.Minute)
					if s := files.Status()[0]; s.State != outlet.StateCurrent || !s.Expires.Equal(next.Expires) {
						t.Errorf("%s until %s (%v) once it can be written", s.State, s.Expires, s.Err)
					}
				})
			})
		}
	}
}

// What is gone and comes back by itself holds what it held.
func TestGoneAndBack(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	synctest.Test(t, func(t *testing.T) {
		cred := tokenUntil("one", time.Hour)
		files, _ := run(t, outlet.Options{}, outlet.Kept{File: outlet.File{Path: path}, Supplier: &desk{cred: cred}})
		<-files.Written()
		blocked(t, path)
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
		turn(outlet.DefaultEvery)
		if s := files.Status()[0]; s.State != outlet.StateAbsent {
			t.Errorf("%s", s.State)
		}
		if err := os.Rename(path+".away", path); err != nil {
			t.Fatal(err)
		}
		turn(2 * time.Minute)
		if s := files.Status()[0]; s.State != outlet.StateCurrent || !s.Expires.Equal(cred.Expires) {
			t.Errorf("%s until %s", s.State, s.Expires)
		}
	})
}

// Every write is told of, and so is whoever else writes; what is there already is not written.
func TestWritesAreTold(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "credentials")
	synctest.Test(t, func(t *testing.T) {
		var told log
		supplier := &desk{cred: numbered(stile.KindAWSSession, 1)}
		kept := outlet.Kept{File: outlet.File{Path: path, Form: outlet.FormProfile, Profile: "a"}, Supplier: supplier}
		files, end := run(t, outlet.Options{Report: told.report}, kept)
		<-files.Written()
		synctest.Wait()
		told.is(t, "credentials current wrote")
		// Others' profiles are no business of ours.
		content := contentOf(t, path)
		if err := os.WriteFile(path, []byte("[mine]\nregion = x\n"+content), 0o600); err != nil {
			t.Fatal(err)
		}
		turn(outlet.DefaultEvery)
		told.is(t)
		for range 2 {
			if err := os.WriteFile(path, []byte(strings.Replace(contentOf(t, path), "aws_session_token", "#", 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			turn(outlet.DefaultEvery)
			told.is(t, "credentials absent disk=true") // until it has rested
			turn(time.Second)
			told.is(t, "credentials current wrote over another's")
		}
		supplier.say(numbered(stile.KindAWSSession, 2), nil)
		turn(outlet.DefaultEvery)
		told.is(t, "credentials current wrote")
		if err := end(); err != nil {
			t.Error(err)
		}
		again, _ := run(t, outlet.Options{Report: told.report}, kept)
		<-again.Written()
		synctest.Wait()
		told.is(t, "credentials current")
	})
}

// Of the disk's failures, another one is news.
func TestAnotherFailureOfTheDiskIsTold(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	path := filepath.Join(dir, "token")
	synctest.Test(t, func(t *testing.T) {
		var told log
		files, _ := run(t, outlet.Options{Report: told.report}, outlet.Kept{File: outlet.File{Path: path}, Supplier: &desk{cred: tokenUntil("one", time.Hour)}})
		turn(5 * time.Minute)
		told.is(t, "token absent disk=true")
		if e, ok := errors.AsType[*stile.Error](files.Status()[0].Err); !ok || e.Hint != "mkdir -p "+dir {
			t.Errorf("got %v, with another hint", files.Status()[0].Err)
		}
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		turn(5 * time.Minute)
		told.is(t, "token absent disk=true")
	})
}

func TestCheckTellsWhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "token"), link); err != nil {
		t.Skip(err)
	}
	if err := os.Symlink(dir, filepath.Join(dir, "folder")); err != nil {
		t.Fatal(err)
	}
	file := func(path string) outlet.File { return outlet.File{Path: filepath.Join(dir, path)} }
	profile := func(path, name string) outlet.File {
		return outlet.File{Path: filepath.Join(dir, path), Form: outlet.FormProfile, Profile: name}
	}
	grouped := file("grouped")
	grouped.Group = "no-such-group"
	for name, c := range map[string]struct {
		files []outlet.File
		want  string // in the error; "": none
		hint  string
		is    error
	}{
		"a link to the other":        {[]outlet.File{file("token"), file("link")}, "given twice", "", stile.ErrMisuse},
		"through a link to a folder": {[]outlet.File{file("token"), file("folder/token")}, "given twice", "", stile.ErrMisuse},
		"one profile by a link":      {[]outlet.File{profile("token", "a"), profile("link", "a")}, "given twice", "", stile.ErrMisuse},
		"two profiles by a link":     {[]outlet.File{profile("token", "a"), profile("link", "b")}, "", "", nil},
		"an unknown group":           {[]outlet.File{file("token"), grouped}, "group", "", stile.ErrMisuse},
		"folders that are missing":   {[]outlet.File{file("token"), file("no/such/token")}, "no such file", "mkdir -p " + filepath.Join(dir, "no/such"), stile.ErrTemporary},
		"one folder that is missing": {[]outlet.File{file("token"), file("no/token")}, "", "", nil},
	} {
		kept := []outlet.Kept{{File: c.files[0], Supplier: &desk{}, Place: "stile.yaml:1:1"}, {File: c.files[1], Supplier: &desk{}, Place: "stile.yaml:2:1"}}
		files, err := outlet.NewFiles(kept, outlet.Options{})
		if err == nil {
			err = files.Check()
		}
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if runtime.GOOS == "windows" && c.want == "no such file" {
			c.want = "cannot find"
		}
		e, _ := errors.AsType[*stile.Error](err)
		if !errors.Is(err, c.is) || !strings.HasPrefix(err.Error(), "stile.yaml:2:1: ") || !strings.Contains(err.Error(), c.want) || c.hint != "" && e.Hint != c.hint {
			t.Errorf("%s: %v (hint %q)", name, err, e.Hint)
		}
	}
	two := []outlet.Kept{{File: file("token"), Supplier: &desk{}}, {File: file("token"), Supplier: &desk{}, Place: "stile.yaml:2:1"}}
	if _, err := outlet.NewFiles(two, outlet.Options{}); err == nil || !strings.HasPrefix(err.Error(), "stile.yaml:2:1: ") {
		t.Errorf("got %v", err)
	}
}
