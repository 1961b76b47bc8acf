// SPDX-License-Identifier: Apache-2.0

//go:build unix

package sidecar_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/sidecar"
)

// stranger is a user who is neither this one nor root.
const stranger = 4321

func onlyRootGivesAway(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
}

// plant puts a file of a stranger's where a token is to be.
func plant(t *testing.T, path string) {
	t.Helper()
	other := path + ".planted"
	if err := errors.Join(os.WriteFile(other, []byte("planted"), 0o644), os.Chown(other, stranger, stranger), os.Rename(other, path)); err != nil {
		t.Fatal(err)
	}
}

// What another user has put there before the start is no token.
func TestTokenThatWasPlanted(t *testing.T) {
	t.Parallel()
	named := func(*scene) string {
		return strings.Replace(oneECS, ", listen:", ", token_file: '~/sub/token', listen:", 1)
	}
	unnamed := func(*scene) string { return oneECS }
	runtime := func(s *scene) string { return s.options.Folder }
	sub := func(s *scene) string { return filepath.Join(s.folder, "sub") }
	for name, c := range map[string]struct {
		root         bool
		folder       func(*scene) string
		mode         fs.FileMode
		serves       func(*scene) string
		plant        func(t *testing.T, folder, token string)
		want, remedy string
	}{
		"a stranger's file, where everyone makes files": {true, sub, fs.ModeSticky | 0o777, named,
			func(t *testing.T, _, token string) { t.Helper(); plant(t, token) }, "belongs to user 4321", "or to root (chown)"},
		"a stranger's link that leads nowhere": {true, sub, fs.ModeSticky | 0o777, named, func(t *testing.T, _, token string) {
			t.Helper()
			if err := errors.Join(os.Symlink("none", token), os.Lchown(token, stranger, stranger)); err != nil {
				t.Fatal(err)
			}
		}, "is a link of user 4321", "or to root (chown)"},
		"one that everyone may write to": {false, sub, 0o700, named, func(t *testing.T, _, token string) {
			t.Helper()
			if err := errors.Join(os.WriteFile(token, []byte("planted"), 0o600), os.Chmod(token, 0o666)); err != nil {
				t.Fatal(err)
			}
		}, "everyone may write to", "chmod o-w"},
		"a stranger's runtime folder, as after su": {true, runtime, 0o755, unnamed, func(t *testing.T, folder, _ string) {
			t.Helper()
			if err := os.Chown(folder, stranger, stranger); err != nil {
				t.Fatal(err)
			}
		}, "belongs to another user", "set XDG_RUNTIME_DIR"},
		"a runtime folder that everyone may write to": {false, runtime, 0o777, unnamed, func(*testing.T, string, string) {}, "everyone may rename what is in", "token_file"},
		"a file in the runtime folder": {true, runtime, 0o770, unnamed,
			func(t *testing.T, _, token string) { t.Helper(); plant(t, token) }, "belongs to user 4321", "or to root (chown)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.root {
				onlyRootGivesAway(t)
			}
			s := newScene(t)
			folder := c.folder(s)
			if err := errors.Join(os.Mkdir(folder, 0o700), os.Chmod(folder, c.mode)); err != nil {
				t.Fatal(err)
			}
			p := plan(t, c.serves(s))
			token, err := s.options.TokenFile(p.Serve.Endpoints[0])
			if err != nil {
				t.Fatal(err)
			}
			c.plant(t, folder, token)
			err = s.sidecar.Apply(t.Context(), p)
			if !errors.Is(err, stile.ErrMisuse) || !strings.Contains(err.Error(), c.want) || !strings.Contains(sidecar.HintOf(err), c.remedy) {
				t.Errorf("got %v (%s), want %s (%s)", err, sidecar.HintOf(err), c.want, c.remedy)
			}
		})
	}
}

// The folders above count too: who owns one can put another in the place of what is in it.
func TestRuntimeFolderInAStrangers(t *testing.T) {
	t.Parallel()
	onlyRootGivesAway(t)
	s := newScene(t)
	theirs := filepath.Join(s.folder, "theirs")
	link := filepath.Join(s.folder, "link")
	if err := errors.Join(os.Mkdir(theirs, 0o755), os.Chown(theirs, stranger, stranger), os.Symlink(s.folder, link), os.Lchown(link, stranger, stranger)); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{filepath.Join(theirs, "not", "yet"), filepath.Join(link, "stile")} {
		o := s.options
		o.Folder = folder
		one := sidecar.New(o)
		if err := one.Apply(t.Context(), plan(t, oneECS)); err == nil || !strings.Contains(err.Error(), "belongs to another user") {
			t.Errorf("%s: %v", folder, err)
		}
		one.Close()
		if _, err := os.Lstat(folder); err == nil {
			t.Errorf("%s was made all the same", folder)
		}
	}
}

// An emptyDir of Kubernetes is open to all, and its links of Secrets are root's.
func TestTokenInAFolderOpenToAll(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	open := filepath.Join(s.folder, "open")
	if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	s.apply(strings.Replace(oneECS, ", listen:", ", token_file: '~/open/token', listen:", 1))
	s.run()
	s.until("ready", s.ready)
	address, token := s.at("ecs")
	if code, _, err := get("http://"+address+"/v1/credentials/images", "Authorization", token); code != 200 {
		t.Errorf("%d, %v", code, err)
	}
}

// A file that is put in the place of the token's while serve runs lets nobody in, and that is told.
func TestTokenThatAStrangerReplaces(t *testing.T) {
	t.Parallel()
	onlyRootGivesAway(t)
	for _, ours := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newScene(t)
			path := filepath.Join(s.folder, "token")
			if !ours {
				if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s.apply(strings.Replace(oneECS, ", listen:", ", token_file: '~/token', listen:", 1))
			s.fetching()
			time.Sleep(time.Minute + time.Second) // between two looks
			_, before := s.at("ecs")
			plant(t, path)
			time.Sleep(time.Minute)
			r := s.sidecar.Report()
			if r.Ready || !strings.Contains(r.Serves[0].Error, "another user may have put it there: "+path+" belongs to user 4321") || !strings.Contains(r.Serves[0].Hint, "chown") {
				t.Errorf("%+v", r)
			}
			if n := strings.Count(s.log.String(), `level=ERROR msg="nobody is let in" file=`+path+" error="); n != 1 {
				t.Errorf("logged %d times:\n%s", n, s.log)
			}
			if _, now := s.at("ecs"); now != "planted" {
				t.Error("serve took away what it did not make")
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if !ours {
				if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Minute)
			if _, now := s.at("ecs"); now != before || !s.ready() {
				t.Errorf("it is not the token of before: %+v", s.sidecar.Report())
			}
		})
	}
}
