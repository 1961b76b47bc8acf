// SPDX-License-Identifier: Apache-2.0

package sidecar_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile/internal/sidecar"
	"github.com/stile-project/stile/serve"
)

// admin is what the admin's address answers.
func (s *scene) admin(path string) string {
	s.t.Helper()
	return strings.Join(strings.Fields(overUnix(s.t, filepath.Join(s.folder, "admin"), path)), " ")
}

// counts is what was told without the times.
func (s *standings) counts() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, told := range s.told {
		count, _, _ := strings.Cut(told, " ")
		all = append(all, count)
	}
	return strings.Join(all, " ")
}

// A program that needs only the file must not be started without it.
func TestNotReadyWithoutItsFile(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	told := standing(s)
	free := s.blocked("creds")
	s.apply("  files: [{ crossing: images, aws_profile: { path: '~/creds', profile: p } }]\n  admin: 'unix:" + filepath.Join(s.folder, "admin") + "'\n")
	s.run()
	path := filepath.Join(s.folder, "creds")
	s.until("told why", func() bool {
		return strings.Contains(s.admin("/readyz"), "503 images: the file "+path+" [p] is absent: ")
	})
	if s.ready() || strings.Contains(told.String(), "0/1") {
		t.Errorf("ready without the file; told %s", told)
	}
	labels := fmt.Sprintf(`{crossing="images",file=%q,profile="p"}`, path)
	if got := s.admin("/metrics"); !strings.Contains(got, "stile_file_ready"+labels+" 0 ") || strings.Contains(got, "stile_file_expires_in_seconds{") || strings.Contains(got, "stile_file_failures"+labels+" 0 ") {
		t.Errorf("%s", got)
	}
	free()
	s.until("ready", func() bool {
		return strings.HasPrefix(s.admin("/readyz"), "200") && strings.Contains(told.String(), "0/1")
	})
	if got := s.admin("/metrics"); !strings.Contains(got, "stile_file_ready"+labels+" 1 ") || !strings.Contains(got, "stile_file_expires_in_seconds"+labels) || !strings.Contains(got, "stile_file_failures"+labels+" 0 ") {
		t.Errorf("%s", got)
	}
	if got := s.admin("/metrics"); !strings.Contains(got, `stile_credentials_total{endpoint="file",result="ok"} 1 `) {
		t.Errorf("%s", got)
	}
}

// Before the first write, and once a file is gone or its credential dead; not while what it holds is good.
func TestReadyAsLongAsTheFileIsGood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		told := standing(s)
		s.apply("  files: [{ crossing: images, aws_profile: { path: '~/creds' } }]\n")
		s.fetching()
		time.Sleep(time.Minute)
		if got, want := told.String(), "[1/1 at 0s]"; got != want {
			t.Errorf("nobody writes: told %s, want %s", got, want)
		}
		if files := s.sidecar.Report().Files; files[0].State != "waiting" || files[0].Ready || s.ready() {
			t.Errorf("%+v", files)
		}
		sidecar.Start(t.Context(), s.sidecar.Writer())
		time.Sleep(time.Minute)
		if got, want := told.String(), "[1/1 at 0s 0/1 at 1m0s]"; got != want {
			t.Errorf("told %s, want %s", got, want)
		}
		free := s.blocked("creds")
		s.down.Store(true)
		time.Sleep(50 * time.Minute) // an hour is what the session lives
		if f := s.sidecar.Report().Files[0]; !f.Ready || !s.ready() {
			t.Errorf("not ready with what is still good: %+v", f)
		}
		s.down.Store(false)
		time.Sleep(5 * time.Minute)
		if f := s.sidecar.Report().Files[0]; f.State != "behind" || !f.Ready || !s.ready() || f.Error == "" {
			t.Errorf("not ready with what is still good: %+v", f)
		}
		time.Sleep(10 * time.Minute)
		if f := s.sidecar.Report().Files[0]; f.State != "expired" || f.Ready || s.ready() {
			t.Errorf("ready with what is dead: %+v", f)
		}
		free()
		time.Sleep(2 * time.Minute)
		if !s.ready() {
			t.Fatal("not ready once it can be written again")
		}
		s.blocked("creds")
		if err := os.Remove(filepath.Join(s.folder, "creds")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(12 * time.Second)
		if f := s.sidecar.Report().Files[0]; f.State != "absent" || f.Ready || s.ready() || !f.Expires.IsZero() {
			t.Errorf("ready without a file: %+v", f)
		}
		if got, want := told.counts(), "1/1 0/1 1/1 0/1 1/1"; got != want {
			t.Errorf("told %s, want %s", got, want)
		}
		sidecar.Stop(s.sidecar.Writer())
	})
}

// Another file in the plan takes nothing from those that are written.
func TestFilesStayReadyOverAReload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		const one = "  files:\n    - { crossing: images, aws_profile: { path: '~/creds' } }\n"
		s.apply(one)
		s.fetching()
		sidecar.Start(t.Context(), s.sidecar.Writer())
		time.Sleep(time.Minute)
		s.apply(one + "    - { crossing: visa, token: { path: '~/visa' } }\n")
		files := s.sidecar.Report().Files
		if !files[0].Ready || files[0].State != "current" || files[1].Ready || files[1].State != "waiting" {
			t.Errorf("%+v", files)
		}
		time.Sleep(2 * time.Hour) // nobody writes
		if files := s.sidecar.Report().Files; files[0].Ready || files[0].State != "waiting" {
			t.Errorf("ready with what is dead: %+v", files)
		}
	})
}

// Each write is a line in the log, and one in the audit.
func TestEachWriteIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		audit := &locked{}
		s.options.Audit = serve.JSON(audit)
		s.sidecar = sidecar.New(s.options)
		t.Cleanup(s.sidecar.Close)
		s.apply("  files:\n    - { crossing: images, aws_profile: { path: '~/creds', profile: p } }\n    - { crossing: visa, token: { path: '~/visa' } }\n")
		end := s.runUntil()
		if err := s.sidecar.FilesWritten(t.Context()); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(s.folder, "creds")
		synctest.Wait()
		told := func(writes, warnings int) {
			t.Helper()
			synctest.Wait()
			line := `"msg":"credential handed out","endpoint":"file","crossing":"images","what":"AWS session","expires":"`
			if got := strings.Count(audit.String(), line); got != writes || strings.Count(audit.String(), `"path":"`+path+`","profile":"p"}`) != writes {
				t.Errorf("%d lines of audit, want %d:\n%s", got, writes, audit)
			}
			if got := strings.Count(s.log.String(), `msg="file written" file=`+path); got != writes {
				t.Errorf("%d lines of log, want %d:\n%s", got, writes, s.log)
			}
			if got := strings.Count(s.log.String(), `level=WARN msg="something else writes this file too" file=`+path); got != warnings {
				t.Errorf("%d warnings, want %d:\n%s", got, warnings, s.log)
			}
		}
		told(1, 0)
		if !strings.Contains(audit.String(), `"crossing":"visa","what":"subject token for a","expires":"`) {
			t.Error(audit)
		}
		time.Sleep(50 * time.Minute) // renewed once
		told(2, 0)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Second)
		told(3, 0)
		for i := range 2 {
			if err := os.WriteFile(path, []byte("[p]\nx_managed_by = stile\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(11 * time.Second)
			told(4+i, 1)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
		for _, text := range []string{audit.String(), s.log.String()} {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(data)) {
				if key, value, ok := strings.Cut(strings.TrimSpace(line), " = "); ok && strings.HasPrefix(key, "aws_s") && strings.Contains(text, value) {
					t.Errorf("%s is told", key)
				}
			}
		}
	})
}

// What mends it is told with what is wrong.
func TestHintsAreTold(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.apply("  files: [{ crossing: visa, token: { path: '~/no/visa' } }, { crossing: images, aws_profile: { path: '~/creds' } }]\n")
	if err := os.WriteFile(filepath.Join(s.folder, "creds"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" {
		if err := os.Chmod(filepath.Join(s.folder, "creds"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.run()
	const hint = "or say which mode it may have"
	s.until("told", func() bool { return strings.Contains(s.sidecar.Report().Files[1].Hint, hint) })
	s.until("logged", func() bool {
		for line := range strings.Lines(s.log.String()) {
			if strings.Contains(line, `msg="file not written"`) && strings.Contains(line, "hint=") && strings.Contains(line, hint) {
				return true
			}
		}
		return false
	})
	err := s.sidecar.Apply(t.Context(), plan(t, "  files: [{ crossing: visa, token: { path: '~/not/here/visa' } }]\n"))
	if err == nil || sidecar.HintOf(err) != "mkdir -p "+filepath.Join(s.folder, "not/here") {
		t.Errorf("%v (hint %q)", err, sidecar.HintOf(err))
	}
}

// Two entries that reach one file would write it in turns.
func TestFilesThatAreOne(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	if err := os.Symlink(filepath.Join(s.folder, "visa"), filepath.Join(s.folder, "link")); err != nil {
		t.Skip(err)
	}
	p := plan(t, "  files:\n    - { crossing: visa, token: { path: '~/visa' } }\n    - { crossing: visa, token: { path: '~/link' } }\n")
	s.refuses(p, p.Serve.Files[1].Place+": ")
	s.refuses(p, "given twice")
	p = plan(t, "  files:\n    - { crossing: visa, token: { path: '~/visa' } }\n    - { crossing: visa, token: { path: '"+s.folder+"/visa' } }\n")
	s.refuses(p, p.Serve.Files[1].Place+": ")
}

// A bearer token that serve made comes back, whoever took it away; meanwhile the endpoint is not ready.
func TestTokenComesBack(t *testing.T) {
	t.Parallel()
	for _, named := range []bool{false, true} {
		for how, spoil := range map[string]func(path string) error{
			"removed": os.Remove,
			"emptied": func(path string) error { return os.Truncate(path, 0) },
			"cleaned": func(path string) error { return os.RemoveAll(filepath.Dir(path)) },
		} {
			t.Run(fmt.Sprintf("%s/%t", how, named), func(t *testing.T) {
				t.Parallel()
				s := newScene(t)
				serves := oneECS
				if named {
					serves = strings.Replace(serves, ", listen:", ", token_file: '~/sub/token', listen:", 1)
				}
				s.apply(serves)
				s.run()
				s.until("ready", s.ready)
				address, token := s.at("ecs")
				path := s.sidecar.Report().Serves[0].TokenFile
				for range 2 {
					if err := spoil(path); err != nil {
						t.Fatal(err)
					}
					s.until("let in again", func() bool {
						code, _, err := get("http://"+address+"/v1/credentials/images", "Authorization", token)
						_, now := s.at("ecs")
						return err == nil && code == 200 && now == token && s.ready()
					})
				}
				if n := strings.Count(s.log.String(), `level=WARN msg="the bearer token's file was missing or empty, and was written again with the same token" file=`+path); n != 2 {
					t.Errorf("logged %d times, want 2:\n%s", n, s.log)
				}
				if err := spoil(path); err != nil {
					t.Fatal(err)
				}
				s.apply(serves) // as SIGHUP does
				s.until("the same token", func() bool {
					_, now := s.at("ecs")
					return now == token
				})
				if strings.Contains(s.log.String(), token) {
					t.Error("the token is logged")
				}
				if all, err := os.ReadDir(filepath.Dir(path)); err != nil || len(all) != 1 {
					t.Errorf("%v, %v: want the token's file alone", all, err)
				}
			})
		}
	}
}

// The user's own token is the user's: serve says that nobody is let in, and waits.
func TestTokenOfTheUser(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		told := standing(s)
		path := filepath.Join(s.folder, "token")
		if err := os.WriteFile(path, []byte("mine\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.apply(strings.Replace(oneECS, ", listen:", ", token_file: '~/token', listen:", 1))
		s.fetching()
		time.Sleep(time.Minute + time.Second) // between two looks
		for i, spoil := range []func() error{
			func() error { return os.Remove(path) },
			func() error { return os.WriteFile(path, nil, 0o600) },
			func() error { return os.WriteFile(path, []byte("tw\no\n"), 0o600) },
			func() error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
		} {
			if err := spoil(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute + 100*time.Millisecond)
			if r := s.sidecar.Report(); r.Ready || r.Serves[0].Error == "" || r.Serves[0].Hint == "" {
				t.Errorf("%d: %+v", i, r)
			}
			if n := strings.Count(s.log.String(), `level=ERROR msg="nobody is let in" file=`+path+" error="); n != i+1 {
				t.Errorf("%d: logged %d times:\n%s", i, n, s.log)
			}
		}
		if err := errors.Join(os.Remove(path), os.WriteFile(path, []byte("other"), 0o600)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if r := s.sidecar.Report(); !r.Ready || r.Serves[0].Error != "" {
			t.Errorf("%+v", r)
		}
		if got, want := told.String(), "[1/1 at 0s 0/1 at 0s 1/1 at 1m2s 0/1 at 5m1.5s]"; got != want {
			t.Errorf("told %s, want %s", got, want)
		}
		if !strings.Contains(s.log.String(), "is good again") {
			t.Error(s.log)
		}
	})
}

// What it cannot write again is told once, and written when it can be.
func TestTokenThatCannotComeBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.apply(oneECS)
		s.fetching()
		time.Sleep(time.Minute + time.Second) // between two looks
		_, token := s.at("ecs")
		folder := s.options.Folder
		if err := errors.Join(os.RemoveAll(folder), os.WriteFile(folder, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if n := strings.Count(s.log.String(), "nobody is let in"); n != 1 || s.ready() {
			t.Errorf("told %d times, want once:\n%s", n, s.log)
		}
		letsIn := func(want string) {
			t.Helper()
			w := httptest.NewRecorder()
			s.sidecar.Admin().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
			if got := w.Body.String(); !strings.Contains(got, "\nstile_endpoint_ready{listener=\"ecs\",endpoint=\"ecs\"} "+want+"\n") {
				t.Errorf("want %s: %s", want, got)
			}
		}
		letsIn("0")
		if one := s.sidecar.Report().Serves[0]; one.Error == "" || one.Hint == "" {
			t.Errorf("status does not say why: %+v", one)
		}
		if err := os.Remove(folder); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		letsIn("1")
		if _, now := s.at("ecs"); now != token || !s.ready() {
			t.Errorf("it did not come back: %+v", s.sidecar.Report())
		}
	})
}

// A user who changes the token means it: the last one comes back.
func TestTokenThatWasReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.apply(oneECS)
		s.fetching()
		time.Sleep(time.Minute + time.Second) // between two looks
		path := s.sidecar.Report().Serves[0].TokenFile
		if err := os.WriteFile(path, []byte("other"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if _, token := s.at("ecs"); token != "other" {
			t.Error("another token came back than the last")
		}
	})
}

// A plan that is not gone over to leaves no token's file behind, and takes none away.
func TestTokenOfAPlanThatFailed(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for _, wrong := range []string{
		"    - { ecs: [other], listen: '127.0.0.1:1', token_file: '~/no-folder' }\n    - { imds: images, listen: 'unix:" + s.folder + "/no/such' }\n",
		"  files: [{ crossing: visa, token: { path: '~/not/here/visa' } }]\n",
	} {
		s.refuses(plan(t, oneECS+wrong), "")
		if all, err := os.ReadDir(s.options.Folder); err != nil && !errors.Is(err, syscall.ENOENT) || len(all) != 0 {
			t.Errorf("%v, %v", all, err)
		}
		if _, err := os.Stat(filepath.Join(s.folder, "no-folder")); err == nil {
			t.Error("a named token's file stays")
		}
	}
	s.apply(oneECS)
	_, token := s.at("ecs")
	s.refuses(plan(t, oneECS+"  files: [{ crossing: visa, token: { path: '~/not/here/visa' } }]\n"), "")
	if _, now := s.at("ecs"); now != token {
		t.Error("the token of what is served is gone")
	}
	if err := os.Remove(s.sidecar.Report().Serves[0].TokenFile); err != nil {
		t.Fatal(err)
	}
	s.refuses(plan(t, oneECS+"  files: [{ crossing: visa, token: { path: '~/not/here/visa' } }]\n"), "")
	if _, now := s.at("ecs"); now != token {
		t.Error("the token of what is served is gone, or another")
	}
}
