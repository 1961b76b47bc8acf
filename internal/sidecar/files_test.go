// SPDX-License-Identifier: Apache-2.0

package sidecar_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stile-project/stile/internal/sidecar"
)

func TestFilesAreAsThePlanSays(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	open := filepath.Join(s.folder, "open")
	for _, err := range []error{os.Mkdir(open, 0o700), os.Chmod(open, 0o777)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []string{"crossing: images, aws_profile:", "crossing: visa, token:"} {
		s.refuses(plan(t, "  files: [{ "+kind+" { path: '~/open/f' } }]\n"), "open")
	}
	s.apply(`  files:
    - { crossing: images, aws_profile: { path: '~/open/creds', mode: '0640', insecure_folder: true } }
    - { crossing: visa, token: { path: '~/open/visa', form: json, insecure_folder: true } }
`)
	s.run()
	if err := s.sidecar.FilesWritten(t.Context()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(open, "creds")); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info, err)
	}
	if data, err := os.ReadFile(filepath.Join(open, "visa")); err != nil || !json.Valid(data) {
		t.Errorf("%v: no JSON", err)
	}
	for _, want := range []string{`level=INFO msg="file written" file=` + filepath.Join(open, "creds") + " state=current profile=default expires=", "file=" + filepath.Join(open, "visa") + " state=current expires="} {
		s.until("logged: "+want, func() bool { return strings.Contains(s.log.String(), want) })
	}
	if strings.Contains(s.log.String(), "waiting") {
		t.Error("that a file is waited for is no news")
	}
	for i, f := range s.sidecar.Report().Files {
		if want := []string{"images in creds", "visa in visa"}[i]; f.Crossing+" in "+filepath.Base(f.Path) != want {
			t.Errorf("told of %+v, want %s", f, want)
		}
	}
}

// An unknown group is known at once, and where it stands.
func TestFilesOfNoGroup(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for _, kind := range []string{"crossing: images, aws_profile:", "crossing: visa, token:"} {
		p := plan(t, "  files:\n    - { "+kind+" { path: '~/f', group: no-such-group } }\n")
		s.refuses(p, p.Serve.Files[0].Place+": ")
		s.refuses(p, "no group \"no-such-group\"")
	}
}

// blocked keeps a file from being written, also by root: what should be its lock is a folder.
func (s *scene) blocked(name string) (free func()) {
	s.t.Helper()
	lock := filepath.Join(s.folder, "."+name+".stile-lock")
	if err := os.MkdirAll(filepath.Join(lock, "x"), 0o700); err != nil {
		s.t.Fatal(err)
	}
	return func() {
		if err := os.RemoveAll(lock); err != nil {
			s.t.Error(err)
		}
	}
}

func TestFilesThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.blocked("creds")
	s.blocked("visa")
	s.apply(`  files:
    - { crossing: images, aws_profile: { path: '~/creds' } }
    - { crossing: visa, token: { path: '~/visa' } }
`)
	s.run()
	s.until("told", func() bool {
		for _, f := range s.sidecar.Report().Files {
			if !strings.Contains(f.Error, "stile-lock") || f.State != "absent" || f.Ready {
				return false
			}
		}
		return true
	})
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, errTooLong)
	defer cancel()
	if err := s.sidecar.FilesWritten(ctx); err == nil || !strings.Contains(err.Error(), "stile-lock") {
		t.Errorf("got %v", err)
	}
	for _, name := range []string{"creds", "visa"} {
		want := fmt.Sprintf(`level=ERROR msg="file not written" file=%s state=absent`, filepath.Join(s.folder, name))
		s.until("logged: "+want, func() bool {
			_, rest, ok := strings.Cut(s.log.String(), want)
			line, _, _ := strings.Cut(rest, "\n")
			return ok && strings.Contains(line, "stile-lock")
		})
	}
}

// Before Run nothing is written, and waiting for it ends with the caller's patience.
func TestFilesAreWaitedFor(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.apply("  files: [{ crossing: visa, token: { path: '~/visa' } }]\n")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errTooLong)
	if err := s.sidecar.FilesWritten(ctx); err != errTooLong { //nolint:errorlint // as it was given
		t.Errorf("got %v", err)
	}
	s.apply(oneECS)
	if err := s.sidecar.FilesWritten(ctx); err != nil {
		t.Errorf("there are none: %v", err)
	}
}

// Run may begin just when another plan is gone over to, with the files of before in its hand.
func TestFilesThatWereStoppedNeverStart(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.apply("  files: [{ crossing: visa, token: { path: '~/visa' } }]\n")
	before := s.sidecar.Writer()
	s.apply("  files: [{ crossing: visa, token: { path: '~/moved' } }]\n")
	s.run()
	if err := s.sidecar.FilesWritten(t.Context()); err != nil {
		t.Fatal(err)
	}
	sidecar.Start(t.Context(), before)
	if sidecar.Writes(before) {
		t.Error("two write the files of two plans")
	}
	now := s.sidecar.Writer()
	sidecar.Start(t.Context(), now)
	if !sidecar.Writes(now) {
		t.Error("nothing writes")
	}
}
