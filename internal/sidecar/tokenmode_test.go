// SPDX-License-Identifier: Apache-2.0

//go:build unix

package sidecar_test

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stile-project/stile"
)

// aGroup is one that this user may give files to, other than its own where there is one.
func aGroup(t *testing.T) int {
	t.Helper()
	if os.Geteuid() == 0 {
		return 12345
	}
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	if len(groups) > 0 {
		return groups[len(groups)-1]
	}
	return os.Getegid()
}

const oneToken = "  endpoints: [{ ecs: [images], listen: '127.0.0.1:0'"

// Programs of other users may read the token where the endpoint says so, and from the moment on that it says so.
func TestTokenOfAGroup(t *testing.T) {
	t.Parallel()
	s, group := newScene(t), aGroup(t)
	path := filepath.Join(s.folder, "token")
	looks := func(mode fs.FileMode, gid int) string {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		stat, _ := info.Sys().(*syscall.Stat_t)
		if info.Mode() != mode || gid >= 0 && int(stat.Gid) != gid {
			t.Errorf("%v of group %d, want %v of %d", info.Mode(), stat.Gid, mode, gid)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	plain := oneToken + ", token_file: " + path
	s.apply(plain + " }]\n")
	token := looks(0o600, -1)
	for _, step := range []struct {
		words string
		mode  fs.FileMode
	}{{", token_mode: '0640', token_group: '" + strconv.Itoa(group) + "'", 0o640}, {", token_mode: '0440'", 0o440}, {"", 0o440}, {", token_mode: '0600'", 0o600}} {
		s.apply(plain + step.words + " }]\n")
		if again := looks(step.mode, group); again != token {
			t.Error("it is another token")
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.apply(plain + ", token_mode: '0640', token_group: '" + strconv.Itoa(group) + "' }]\n")
	if looks(0o640, group) != token {
		t.Error("it is another token than the one that was removed, which programs have")
	}
	if all, err := filepath.Glob(path + "*"); err != nil || len(all) != 1 {
		t.Errorf("%q, %v: want the token's file alone", all, err)
	}
}

// In the folder that has the token without a name, too.
func TestTokenOfAGroupInTheRuntimeFolder(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.run()
	s.apply(oneToken + ", token_mode: '0644' }]\n")
	info, err := os.Stat(s.sidecar.Report().Serves[0].TokenFile)
	if err != nil || info.Mode() != 0o644 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	address, token := s.at("ecs")
	if code, _, err := get("http://"+address+"/v1/credentials/images", "Authorization", token); err != nil || code != http.StatusOK {
		t.Errorf("%d, %v", code, err)
	}
}

func TestTokenThatCannotBeGiven(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	file, link, folder := filepath.Join(s.folder, "file"), filepath.Join(s.folder, "link"), filepath.Join(s.folder, "sub")
	if err := errors.Join(os.WriteFile(file, []byte("secret"), 0o600), os.Symlink(file, link), os.Mkdir(folder, 0o700)); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ words, want, hint string }{
		"no group":  {"token_file: " + file + ", token_mode: '0640', token_group: no-such-group", "no-such-group", "name a group of this machine, or its number: token_group"},
		"a link":    {"token_file: " + link + ", token_mode: '0644'", link + " is no regular file", "leave token_mode and token_group out, or name the file itself"},
		"a folder":  {"token_file: " + folder + ", token_mode: '0644'", folder + ": misused: it is a folder", "name a file in it: token_file"},
		"no mode":   {"token_file: " + folder, "stile.yaml:12:15: read the bearer token from " + folder + ": misused: it is a folder", "name a file in it: token_file"},
		"new, none": {"token_file: " + file + "2, token_mode: '0640', token_group: no-such-group", "no-such-group", "name a group of this machine, or its number: token_group"},
	} {
		err := s.sidecar.Apply(t.Context(), plan(t, oneToken+", "+test.words+" }]\n"))
		e, ok := errors.AsType[*stile.Error](err)
		if !ok || !errors.Is(err, stile.ErrMisuse) || !strings.Contains(err.Error(), test.want) || e.Hint != test.hint {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
	for path, mode := range map[string]fs.FileMode{file: 0o600, folder: fs.ModeDir | 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	}
	if all, err := filepath.Glob(file + "*"); err != nil || len(all) != 1 {
		t.Errorf("%q, %v: want no file left of what failed", all, err)
	}
}

// A user who is not in the group is told what to do.
func TestTokenOfAGroupThatIsNotOurs(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root may give files to any group")
	}
	s := newScene(t)
	err := s.sidecar.Apply(t.Context(), plan(t, oneToken+", token_mode: '0640', token_group: '54321' }]\n"))
	if e, ok := errors.AsType[*stile.Error](err); !ok || !strings.Contains(e.Hint, "SupplementaryGroups=54321") {
		t.Errorf("got %v", err)
	}
}
