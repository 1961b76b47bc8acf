// SPDX-License-Identifier: Apache-2.0

//go:build unix

package outlet_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/outlet"
)

// The test binary is also the other processes of a test: see start.
func TestMain(m *testing.M) {
	if role := os.Getenv("STILE_TEST_ROLE"); role != "" {
		if err := roles[role](os.Getenv("STILE_TEST_FILE")); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

var roles = map[string]func(path string) error{"profiles": profiles, "tokens": tokens, "full": fullDisk, "readonly": readonly}

func start(t *testing.T, role, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "STILE_TEST_ROLE="+role, "STILE_TEST_FILE="+path)
	return cmd
}

// profiles writes a profile of its own, several times.
func profiles(path string) error {
	f := outlet.File{Path: path, Form: outlet.FormProfile, Profile: "p" + strconv.Itoa(os.Getpid())}
	for i := range 10 {
		if err := f.Write(context.Background(), numbered(stile.KindAWSSession, i)); err != nil {
			return err
		}
	}
	fmt.Print(os.Getpid())
	return nil
}

// tokens writes until it is killed.
func tokens(path string) error {
	for i := 0; ; i++ {
		if err := (outlet.File{Path: path}).Write(context.Background(), numbered(stile.KindIDToken, i)); err != nil {
			return err
		}
	}
}

// fullDisk is a process whose files must not grow beyond 100 bytes, as on a full disk.
func fullDisk(path string) error {
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 100, Max: 100}); err != nil {
		return err
	}
	err := outlet.File{Path: path}.Write(context.Background(), numbered(stile.KindIDToken, 96))
	if !errors.Is(err, stile.ErrTemporary) || !errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("got %w, want a temporary failure", err)
	}
	return nil
}

// readonly is a process that may not write to the folder.
func readonly(path string) error {
	err := outlet.File{Path: path}.Write(context.Background(), numbered(stile.KindIDToken, 2))
	told, ok := errors.AsType[*stile.Error](err)
	if !ok || !errors.Is(err, stile.ErrTemporary) || !errors.Is(err, fs.ErrPermission) || !strings.Contains(told.Hint, "folder must be writable") {
		return fmt.Errorf("got %w, want a temporary failure", err)
	}
	return nil
}

func TestProcessesShareAFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "credentials")
	const others = "# mine\n[mine]\naws_access_key_id = AKIAMINE\n"
	if err := os.WriteFile(path, []byte(others), 0o600); err != nil {
		t.Fatal(err)
	}
	longAgo(t, path)
	type said struct {
		out []byte
		err error
	}
	all := make(chan said)
	for range 4 {
		cmd := start(t, "profiles", path)
		go func() {
			out, err := cmd.CombinedOutput()
			all <- said{out, err}
		}()
	}
	var names []string
	for range 4 {
		s := <-all
		if s.err != nil {
			t.Errorf("%v: %s", s.err, s.out)
		}
		names = append(names, "p"+string(s.out))
	}
	content, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(content), others) {
		t.Fatalf("the other profile is not as it was: %v", err)
	}
	for _, name := range names {
		if got := settingIn(content, name, "aws_access_key_id"); got != "9" {
			t.Errorf("profile %s has %q, want its last", name, got)
		}
	}
	alone(t, filepath.Dir(path), "credentials")
}

func TestKilledWriter(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	f := outlet.File{Path: path}
	if err := f.Write(t.Context(), numbered(stile.KindIDToken, 0)); err != nil {
		t.Fatal(err)
	}
	left := 0
	for i := range 30 {
		before, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		cmd := start(t, "tokens", path)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for { // until it writes
			now, err := os.Stat(path)
			if err == nil && !os.SameFile(now, before) {
				break
			}
			if t.Context().Err() != nil {
				t.Fatal("the writer writes nothing")
			}
		}
		<-time.After(time.Duration(i) * 100 * time.Microsecond)
		_, _ = cmd.Process.Kill(), cmd.Wait()
		content, err := os.ReadFile(path)
		if err == nil {
			err = wholeToken(string(content))
		}
		if err != nil {
			t.Fatal(err)
		}
		if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) > 1 {
			left++
		}
	}
	t.Logf("%d of 30 killed processes left something behind", left)
	for _, name := range []string{".token.stile-new", ".token.stile-lock"} { // at worst
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Write(t.Context(), numbered(stile.KindIDToken, 1)); err != nil {
		t.Fatal(err)
	}
	alone(t, filepath.Dir(path), "token")
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	if err := (outlet.File{Path: path}).Write(t.Context(), numbered(stile.KindIDToken, 1)); err != nil {
		t.Fatal(err)
	}
	if out, err := start(t, "full", path).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if content, err := os.ReadFile(path); err != nil || !strings.HasPrefix(string(content), "1.") || wholeToken(string(content)) != nil {
		t.Errorf("the old token is not as it was: %q, %v", content, err)
	}
	alone(t, filepath.Dir(path), "token")
}

func TestReadOnlyFolder(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("/tmp", "stile-readonly-") //nolint:usetesting // another user must come to it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "token")
	if err := (outlet.File{Path: path, Mode: 0o644}).Write(t.Context(), numbered(stile.KindIDToken, 1)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	cmd := start(t, "readonly", path)
	if os.Geteuid() == 0 {
		nobody(t, cmd, dir)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if content, err := os.ReadFile(path); err != nil || wholeToken(string(content)) != nil {
		t.Errorf("the old token is not as it was: %q, %v", content, err)
	}
	alone(t, dir, "token")
}

// nobody has the command run as a user without rights, from a copy of the program that this one may read.
func nobody(t *testing.T, cmd *exec.Cmd, dir string) {
	t.Helper()
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	copied := dir + ".program"
	t.Cleanup(func() { _ = os.Remove(copied) })
	// What another test starts meanwhile would have the file open for writing until it runs: "text file busy".
	syscall.ForkLock.RLock()
	err = os.WriteFile(copied, program, 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Path, cmd.Dir = copied, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534, NoSetGroups: false}}
}

func TestModes(t *testing.T) {
	t.Parallel()
	const absent = 0
	for name, c := range map[string]struct {
		form                 outlet.Form
		mode, before, want   fs.FileMode
		refused, wrongFolder bool
	}{
		"new token":                      {form: outlet.FormToken, want: 0o600},
		"token for a group":              {form: outlet.FormToken, mode: 0o640, want: 0o640},
		"token for all":                  {form: outlet.FormToken, mode: 0o444, want: 0o444},
		"token that was open":            {form: outlet.FormToken, before: 0o666, want: 0o600},
		"token that was closed":          {form: outlet.FormToken, before: 0o400, mode: 0o640, want: 0o640},
		"new profile":                    {form: outlet.FormProfile, want: 0o600},
		"new profile for a group":        {form: outlet.FormProfile, mode: 0o640, want: 0o640},
		"profile":                        {form: outlet.FormProfile, before: 0o600, want: 0o600},
		"profile that only reads":        {form: outlet.FormProfile, before: 0o400, want: 0o400},
		"profile of a group":             {form: outlet.FormProfile, before: 0o640, want: 0o640},
		"profile is never widened":       {form: outlet.FormProfile, before: 0o600, mode: 0o644, want: 0o600},
		"profile is narrowed":            {form: outlet.FormProfile, before: 0o644, mode: 0o640, want: 0o640},
		"profile for all, as was said":   {form: outlet.FormProfile, before: 0o644, mode: 0o644, want: 0o644},
		"profile for all":                {form: outlet.FormProfile, before: 0o644, refused: true, want: 0o644},
		"profile that a group may write": {form: outlet.FormProfile, before: 0o660, refused: true, want: 0o660},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := outlet.File{Path: filepath.Join(t.TempDir(), "file"), Form: c.form, Mode: c.mode}
			if c.before != absent {
				if err := os.WriteFile(f.Path, []byte("# x\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(f.Path, c.before); err != nil {
					t.Fatal(err)
				}
				longAgo(t, f.Path)
			}
			cred := accessToken
			if c.form == outlet.FormProfile {
				cred = session
			}
			if err := f.Write(t.Context(), cred); c.refused != errors.Is(err, stile.ErrMisuse) || !c.refused && err != nil {
				t.Errorf("got %v", err)
			}
			if err := f.Check(); c.refused != (err != nil) {
				t.Errorf("check: %v", err)
			}
			info, err := os.Stat(f.Path)
			if err != nil || info.Mode() != c.want {
				t.Errorf("mode %v, %v, want %v", info.Mode(), err, c.want)
			}
		})
	}
}

func TestGroup(t *testing.T) {
	t.Parallel()
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	gid := os.Getegid()
	if len(groups) > 0 {
		gid = groups[len(groups)-1]
	}
	if os.Geteuid() == 0 {
		gid = 12345
	}
	f := outlet.File{Path: filepath.Join(t.TempDir(), "token"), Mode: 0o640, Group: strconv.Itoa(gid)}
	if err := f.Write(t.Context(), accessToken); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(f.Path)
	if err != nil || info.Mode() != 0o640 || int(info.Sys().(*syscall.Stat_t).Gid) != gid {
		t.Errorf("%v, %v", info, err)
	}
	f.Group = "no-such-group-here"
	if err := f.Write(t.Context(), idToken); !errors.Is(err, stile.ErrMisuse) {
		t.Errorf("got %v", err)
	}
	alone(t, filepath.Dir(f.Path), "token")
}

// Whoever gives a folder a group and the set-group-id bit means it for the files in there, and a Group goes before.
func TestFolderWithAGroup(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give folders to any group")
	}
	dir := t.TempDir()
	if err := errors.Join(os.Chown(dir, -1, 12345), os.Chmod(dir, 0o750|fs.ModeSetgid)); err != nil {
		t.Fatal(err)
	}
	for group, want := range map[string]uint32{"": 12345, "0": 0} {
		f := outlet.File{Path: filepath.Join(dir, "token"+group), Mode: 0o640, Group: group}
		if err := f.Write(t.Context(), accessToken); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(f.Path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Sys().(*syscall.Stat_t).Gid; got != want || info.Mode() != 0o640 {
			t.Errorf("group %q: %d, %v, want %d", group, got, info.Mode(), want)
		}
	}
}

// A file of profiles that root writes for somebody stays theirs.
func TestProfilesKeepTheirOwner(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	f := outlet.File{Path: filepath.Join(t.TempDir(), "credentials"), Form: outlet.FormProfile}
	if err := os.WriteFile(f.Path, []byte("# theirs\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	longAgo(t, f.Path)
	if err := os.Chown(f.Path, 65534, 12345); err != nil {
		t.Fatal(err)
	}
	if err := f.Write(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	if stat := info.Sys().(*syscall.Stat_t); stat.Uid != 65534 || stat.Gid != 12345 || info.Mode() != 0o600 {
		t.Errorf("%d:%d %v", stat.Uid, stat.Gid, info.Mode())
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, folder := range []string{"real", "other"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"direct": "real/a", "absolute": filepath.Join(dir, "real", "b"), "chain": "other/back", "other/back": "../real/c", "folder": "real",
		"loop": "loop", "root": "/", "dangling": "nowhere/at/all"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for path, real := range map[string]string{"direct": "a", "absolute": "b", "chain": "c", "folder/d": "d"} {
		f := outlet.File{Path: filepath.Join(dir, path)}
		for _, c := range []stile.Credential{accessToken, idToken} {
			if err := f.Write(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(filepath.Join(dir, "real", real)); err != nil || string(got) != "eyJ.a.b" {
			t.Errorf("%s: %s, %v", path, got, err)
		}
		if info, err := os.Lstat(filepath.Join(dir, path)); err != nil || path != "folder/d" && info.Mode().Type() != fs.ModeSymlink {
			t.Errorf("%s is no link any more: %v, %v", path, info, err)
		}
	}
	for _, path := range []string{"loop", "root", "dangling"} {
		if err := (outlet.File{Path: filepath.Join(dir, path)}).Write(t.Context(), idToken); err == nil {
			t.Errorf("%s was written", path)
		}
	}
	alone(t, filepath.Join(dir, "real"), "a", "b", "c", "d")
}

func TestFoldersOfEveryone(t *testing.T) {
	t.Parallel()
	made := func(name string, mode fs.FileMode) string {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.MkdirAll(filepath.Join(dir, "inner"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	open, sticky := made("open", 0o777), made("sticky", 0o777|fs.ModeSticky)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(open, "x"), link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{filepath.Join(open, "x"): false, filepath.Join(open, "inner", "x"): false, link: false,
		filepath.Join(sticky, "x"): true, filepath.Join(sticky, "inner", "x"): true} {
		f := outlet.File{Path: path}
		if err := f.Write(t.Context(), idToken); want != (err == nil) || !want && !errors.Is(err, stile.ErrMisuse) {
			t.Errorf("%s: %v", path, err)
		}
		if err := f.Check(); want != (err == nil) {
			t.Errorf("check %s: %v", path, err)
		}
	}
	if err := (outlet.File{Path: filepath.Join(open, "x"), InsecureFolder: true}).Write(t.Context(), idToken); err != nil {
		t.Error(err)
	}
	if os.Geteuid() != 0 {
		return
	}
	for name, plant := range map[string]func(string) error{
		"a file":   func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"a link":   func(path string) error { return os.Symlink("inner/theirs", path) },
		"a folder": func(path string) error { return os.Mkdir(path, 0o755) },
	} {
		path := filepath.Join(sticky, name)
		if err := errors.Join(plant(path), os.Lchown(path, 65534, 65534)); err != nil {
			t.Fatal(err)
		}
		if name == "a folder" {
			path = filepath.Join(path, "x")
		}
		if err := (outlet.File{Path: path}).Write(t.Context(), idToken); !errors.Is(err, stile.ErrMisuse) || !strings.Contains(err.Error(), "another user") {
			t.Errorf("%s of somebody else: %v", name, err)
		}
	}
}

// Root writes where users may: they lead it nowhere else, and get no credential that was for another.
func TestOthersFolders(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	const app, other, group = 65534, 65533, 12345
	for name, c := range map[string]struct {
		folder fs.FileMode
		owner  int
		plant  func(path, secret string) error // at path, where the file is to be, or its folder
		form   outlet.Form
		below  bool // the file is in what was planted
		taken  bool
		unsafe bool // taken if the folder is said to be safe
		want   string
	}{
		"nothing, in a home":           {folder: 0o755, owner: app, taken: true, unsafe: true},
		"a file, in a home":            {folder: 0o755, owner: app, plant: file(app), taken: true, unsafe: true},
		"profiles, in a home":          {folder: 0o700, owner: app, plant: file(app), form: outlet.FormProfile, taken: true, unsafe: true},
		"profiles, private group":      {folder: 0o775, owner: app, plant: file(app), form: outlet.FormProfile, taken: true, unsafe: true},
		"a folder, in a home":          {folder: 0o775, owner: app, plant: folder(app), below: true, taken: true, unsafe: true},
		"a link, in a home":            {folder: 0o755, owner: app, plant: link(app), want: "link of another user"},
		"a link to a folder":           {folder: 0o755, owner: app, plant: linkToFolder(app), below: true, want: "link of another user"},
		"root's link, in a home":       {folder: 0o755, owner: app, plant: link(0), taken: true, unsafe: true},
		"root's link, with two names":  {folder: 0o755, owner: app, plant: linkTwice, want: "second name"},
		"the same, in root's folder":   {folder: 0o755, owner: 0, plant: linkTwice, taken: true, unsafe: true},
		"a link, in a group's folder":  {folder: 0o775 | fs.ModeSetgid, owner: 0, plant: link(app), want: "link of another user"},
		"a file, in a group's folder":  {folder: 0o775 | fs.ModeSetgid, owner: 0, plant: file(app), taken: true, unsafe: true},
		"profiles, in a group's":       {folder: 0o775 | fs.ModeSetgid, owner: 0, plant: file(app), form: outlet.FormProfile, unsafe: true, want: "its group may write to"},
		"a folder, in a group's":       {folder: 0o775, owner: other, plant: folder(app), below: true, unsafe: true, want: "its group may write to"},
		"another's profiles":           {folder: 0o755, owner: other, plant: file(app), form: outlet.FormProfile, unsafe: true, want: "another user than its folder"},
		"root's file by a second name": {folder: 0o755, owner: app, plant: func(path, secret string) error { return os.Link(secret, path) }, taken: true, unsafe: true},
	} {
		for _, insecure := range []bool{false, true} {
			t.Run(fmt.Sprint(name, insecure), func(t *testing.T) {
				t.Parallel()
				root := t.TempDir()
				dir, secret := filepath.Join(root, "dir"), filepath.Join(root, "secret", "root-only.conf")
				if err := errors.Join(os.Mkdir(dir, 0o700), os.Mkdir(filepath.Dir(secret), 0o700), os.WriteFile(secret, []byte("# root's"), 0o640),
					os.Chown(dir, c.owner, group), os.Chmod(dir, c.folder)); err != nil {
					t.Fatal(err)
				}
				before, err := os.Stat(secret)
				if err != nil {
					t.Fatal(err)
				}
				path, cred := filepath.Join(dir, "file"), idToken
				if c.plant != nil {
					if err := c.plant(path, secret); err != nil {
						t.Fatal(err)
					}
				}
				if c.below {
					path = filepath.Join(path, "root-only.conf")
				}
				if c.form == outlet.FormProfile {
					cred = session
					longAgo(t, path)
				}
				f := outlet.File{Path: path, Form: c.form, InsecureFolder: insecure}
				want := c.taken && !insecure || c.unsafe && insecure
				err = f.Write(t.Context(), cred)
				if want != (err == nil) || !want && (!errors.Is(err, stile.ErrMisuse) || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("got %v, want %q", err, c.want)
				}
				if told, ok := errors.AsType[*stile.Error](err); ok && told.Hint == "" {
					t.Errorf("%v, without a hint", err)
				}
				if strings.Contains(name, "root's link") || strings.HasPrefix(name, "the same") {
					return // that is where it was to go
				}
				after, failed := os.Stat(secret)
				content, unread := os.ReadFile(secret)
				if failed != nil || unread != nil || string(content) != "# root's" || after.Mode() != before.Mode() || after.Sys().(*syscall.Stat_t).Uid != 0 || !os.SameFile(after, before) {
					t.Errorf("root's file is %q, %v: %v, %v", content, after, failed, unread)
				}
			})
		}
	}
}

func file(owner int) func(string, string) error {
	return func(path, _ string) error {
		return errors.Join(os.WriteFile(path, []byte("# theirs\n"), 0o600), os.Chown(path, owner, -1))
	}
}

func folder(owner int) func(string, string) error {
	return func(path, _ string) error { return errors.Join(os.Mkdir(path, 0o755), os.Chown(path, owner, -1)) }
}

func link(owner int) func(string, string) error {
	return func(path, secret string) error {
		return errors.Join(os.Symlink(secret, path), os.Lchown(path, owner, -1))
	}
}

func linkToFolder(owner int) func(string, string) error {
	return func(path, secret string) error {
		return errors.Join(os.Symlink(filepath.Dir(secret), path), os.Lchown(path, owner, -1))
	}
}

func linkTwice(path, secret string) error {
	first := filepath.Join(filepath.Dir(secret), "link")
	return errors.Join(os.Symlink(secret, first), os.Link(first, path))
}

// What keeps a file from being written for ever is named, and so are its owner and the repair.
func TestLockOfSomebodyElse(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "sticky")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777|fs.ModeSticky)); err != nil {
		t.Fatal(err)
	}
	lockOf := func(name string) string { return filepath.Join(dir, "."+name+".stile-lock") }
	held := func(path string) error {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
		if err == nil {
			t.Cleanup(func() { _ = file.Close() })
			err = errors.Join(syscall.Flock(int(file.Fd()), syscall.LOCK_EX), file.Chown(65534, -1))
		}
		return err
	}
	for name, c := range map[string]struct {
		plant func(path string) error
		root  bool
		want  string
	}{
		"link":   {func(path string) error { return os.Symlink("/nowhere/at/all", path) }, false, "in the place of the lock file"},
		"folder": {func(path string) error { return os.Mkdir(path, 0o700) }, false, "in the place of the lock file"},
		"theirs": {held, true, "belongs to user "},
	} {
		if c.root && os.Geteuid() != 0 {
			continue // only root can give files away
		}
		if err := c.plant(lockOf(name)); err != nil {
			t.Fatal(err)
		}
		f := outlet.File{Path: filepath.Join(dir, name)}
		for what, err := range map[string]error{"write": f.Write(t.Context(), idToken), "remove": f.Remove(t.Context(), idToken)} {
			told, ok := errors.AsType[*stile.Error](err)
			if !ok || !errors.Is(err, stile.ErrMisuse) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), lockOf(name)) ||
				!strings.Contains(err.Error(), "user ") || !strings.Contains(told.Hint, lockOf(name)) {
				t.Errorf("%s, %s: %v, hint %q", name, what, err, told.Hint)
			}
		}
		if err := os.Remove(lockOf(name)); err != nil {
			t.Fatal(err)
		}
		if err := f.Write(t.Context(), idToken); err != nil {
			t.Errorf("%s, once it is away: %v", name, err)
		}
	}
}

func TestOddFilesStay(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, "/dev/null"} {
		if err := (outlet.File{Path: path}).Write(t.Context(), idToken); !errors.Is(err, stile.ErrMisuse) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
