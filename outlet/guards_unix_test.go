// SPDX-License-Identifier: Apache-2.0

//go:build unix

package outlet

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile"
)

// What holds against somebody who puts a file in the way between two steps.
func TestReadGuards(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.WriteFile(at("secret"), []byte("secret"), OwnerOnly), os.Symlink(at("secret"), at("link")), syscall.Mkfifo(at("pipe"), 0o600),
		os.WriteFile(at("largest"), nil, OwnerOnly), os.Truncate(at("largest"), maxSize), os.WriteFile(at("larger"), nil, OwnerOnly), os.Truncate(at("larger"), maxSize+1)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{"secret": nil, "largest": nil, "larger": stile.ErrMisuse, "pipe": stile.ErrMisuse, "link": syscall.ELOOP, "nothing": nil} {
		content, info, err := place{path: at(name)}.read()
		if !errors.Is(err, want) || (name == "nothing") != (err == nil && info == nil) {
			t.Errorf("%s: %d bytes, %v, %v", name, len(content), info, err)
		}
	}
}

func TestPrepareGuards(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.WriteFile(at("secret"), []byte("secret"), OwnerOnly), os.Symlink(at("secret"), at("link")), os.Symlink(at("nowhere"), at("dangling"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"secret", "link", "dangling"} {
		if err := (File{}).prepare(at(name), at("old"), []byte("token"), OwnerOnly, nil); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := os.ReadFile(at("secret")); string(got) != "secret" {
		t.Errorf("%q, %v", got, err)
	}
	// Until it has its group nobody else may read it.
	err := File{Group: "no-such-group-here"}.prepare(at("new"), at("old"), []byte("token"), 0o640, nil)
	if info, failed := os.Stat(at("new")); err == nil || failed != nil || info.Mode() != OwnerOnly {
		t.Errorf("%v, %v, %v", info.Mode(), err, failed)
	}
}

// A file that others may read by now is closed again, whoever opened it.
func TestModeIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cred := stile.Credential{Kind: stile.KindIDToken, Token: stile.NewSecret("one")}
	synctest.Test(t, func(t *testing.T) {
		cred.Expires = time.Now().Add(time.Hour)
		f := File{Path: filepath.Join(dir, "token")}
		is := func() {
			t.Helper()
			if info, err := os.Stat(f.Path); err != nil || info.Mode() != OwnerOnly {
				t.Errorf("%v, %v", info, err)
			}
		}
		if err := os.WriteFile(f.Path, []byte("one"), OwnerOnly); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(f.Path, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := f.Write(t.Context(), cred); err != nil {
			t.Fatal(err)
		}
		is()
		files, err := NewFiles([]Kept{{File: f, Supplier: always(cred)}}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- files.Run(ctx) }()
		<-files.Written()
		synctest.Wait()
		if err := os.Chmod(f.Path, 0o644); err != nil {
			t.Fatal(err)
		}
		pauseFor(DefaultEvery)
		is()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
