// SPDX-License-Identifier: Apache-2.0

package outlet

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile"
)

// The aws CLI writes the file and takes no lock.
func TestOtherWritersAreSeen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, before := range map[string]string{"changed": "[a]\n", "new": "", "removed": "[a]\n", "new and empty": ""} {
		synctest.Test(t, func(t *testing.T) {
			f := File{Path: filepath.Join(dir, name), Form: FormProfile, Profile: "p"}
			if before != "" {
				if err := os.WriteFile(f.Path, []byte(before), OwnerOnly); err != nil {
					t.Fatal(err)
				}
			}
			look := 1 // at which somebody writes: where there is a file, the first is not believed
			if before != "" {
				look = 2
			}
			want, looks, meanwhile := "[b]\n", 0, time.Time{}
			if name == "removed" || name == "new and empty" {
				want = ""
			}
			_, err := f.replace(t.Context(), func(old []byte) (_ []byte, err error) {
				if looks++; looks == look {
					meanwhile = time.Now()
					if name == "removed" {
						err = os.Remove(f.Path)
					} else {
						err = os.WriteFile(f.Path, []byte(want), OwnerOnly)
					}
				}
				return append(old, "[p]\n"...), err
			}, false)
			if got, failed := os.ReadFile(f.Path); err != nil || failed != nil || string(got) != want+"[p]\n" {
				t.Errorf("%s: got %q, %v, %v", name, got, err, failed)
			}
			if rested := time.Since(meanwhile); name != "removed" && rested < recent {
				t.Errorf("%s: replaced %s after somebody had written it", name, rested)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		f := File{Path: filepath.Join(dir, "restless"), Form: FormProfile, Profile: "p"}
		_, err := f.replace(t.Context(), func(old []byte) ([]byte, error) {
			return append(old, "[p]\n"...), os.WriteFile(f.Path, append(old, '\n'), OwnerOnly)
		}, false)
		if got, failed := os.ReadFile(f.Path); err == nil || failed != nil || len(bytes.Trim(got, "\n")) > 0 {
			t.Errorf("a file that never rests: %q, %v, %v", got, err, failed)
		}
	})
}

// A program that empties the file, and writes it in pieces with pauses, loses nothing: it has the file open, and would write
// into nowhere if another took its place.
func TestSlowWritersLoseNothing(t *testing.T) {
	t.Parallel()
	const long = "[mine]\naws_access_key_id = AKIAMINE\naws_secret_access_key = theirs\n"
	dir := t.TempDir()
	for name, kept := range map[string]bool{"one write": false, "kept": true} {
		for which, pieces := range map[string][]string{
			"empty":                     {"", long},
			"in pieces":                 {"", long[:9], long[9:]},
			"in the midst of [p":        {"[x]\n[p", "]\nregion = x\n", long},
			"without ours":              {"[other]\nregion = x\n", long},
			"longer than before":        {"# " + strings.Repeat("x", 2000) + "\n", long},
			"in the midst of a setting": {"[p]\nregi", "on = x\n", long},
		} {
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(dir, name+which)
				if err := os.WriteFile(path, []byte(long), OwnerOnly); err != nil {
					t.Fatal(err)
				}
				f := File{Path: path, Form: FormProfile, Profile: "p"}
				c := sessionOf("ASIA1")
				c.Expires = time.Now().Add(time.Hour)
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				var files *Files
				if kept {
					var err error
					files, err = NewFiles([]Kept{{File: f, Supplier: always(c)}}, Options{Every: time.Second})
					if err != nil {
						t.Fatal(err)
					}
					go func() { ended <- files.Run(ctx) }()
					<-files.Written()
				}
				theirs, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
				if err != nil {
					t.Fatal(err)
				}
				if !kept {
					go func() { ended <- f.Write(ctx, c) }()
				}
				for _, piece := range pieces {
					if _, err := theirs.WriteString(piece); err != nil {
						t.Fatal(err)
					}
					pauseFor(recent - time.Millisecond)
				}
				if err := theirs.Close(); err != nil {
					t.Fatal(err)
				}
				pauseFor(4 * time.Second)
				got, err := os.ReadFile(path)
				if err != nil || !bytes.Contains(got, []byte(long)) || !bytes.Contains(got, []byte("aws_access_key_id = ASIA1\n")) {
					t.Errorf("%s, %s: %v:\n%s", name, which, err, got)
				}
				if kept {
					if s := files.Status()[0]; s.State != StateCurrent {
						t.Errorf("%s, %s: %s (%v)", name, which, s.State, s.Err)
					}
				}
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func pauseFor(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// A file that is meant to be empty is written once that is clear, also where it was ours.
func TestEmptyFileIsWrittenInTheEnd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(dir, "credentials")
		if err := os.WriteFile(path, nil, OwnerOnly); err != nil {
			t.Fatal(err)
		}
		c := sessionOf("ASIA1")
		c.Expires = time.Now().Add(time.Hour)
		files, err := NewFiles([]Kept{{File: File{Path: path, Form: FormProfile}, Supplier: always(c)}}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		began := time.Now()
		go func() { ended <- files.Run(ctx) }()
		<-files.Written()
		if took := time.Since(began); took < recent || took > 2*recent {
			t.Errorf("took %s", took)
		}
		synctest.Wait()
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
		pauseFor(DefaultEvery)
		if s := files.Status()[0]; s.State != StateAbsent || !s.Disk {
			t.Errorf("%s, %v", s.State, s.Err)
		}
		pauseFor(recent)
		if s := files.Status()[0]; s.State != StateCurrent {
			t.Errorf("%s, %v", s.State, s.Err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// always is a supplier of one credential.
type always stile.Credential

func (a always) Credential(context.Context) (stile.Credential, error) {
	return stile.Credential(a), nil
}

// What a disk says of the time is believed where it cannot do harm.
func TestWatch(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "credentials")
	now := time.Now()
	look := func(content string, age time.Duration) ([]byte, os.FileInfo) {
		if err := os.WriteFile(path, []byte(content), OwnerOnly); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, now.Add(-age).Truncate(time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return []byte(content), info
	}
	_, ours := look("[p]\n", 5*time.Hour)
	for name, c := range map[string]struct {
		watch   watch
		content string
		age     time.Duration
		want    bool // it must rest
	}{
		"old":                 {watch{}, "[a]\n", time.Hour, false},
		"new":                 {watch{}, "[a]\n", 0, true},
		"of the future":       {watch{}, "[a]\n", -time.Hour, true},
		"empty":               {watch{}, "\n", time.Hour, true},
		"as we left it":       {watch{known: ours}, "[p]\n", 5 * time.Hour, false},
		"not as we left it":   {watch{known: ours}, "[p]\n", time.Hour, true},
		"shorter than it was": {watch{known: ours}, "[", 5 * time.Hour, true},
	} {
		content, info := look(c.content, c.age)
		w := c.watch
		if got := w.wait(content, info, now); (got > 0) != c.want || got > recent {
			t.Errorf("%s: %s", name, got)
		}
		if got := w.wait(content, info, now.Add(recent)); got > 0 {
			t.Errorf("%s, later: %s", name, got)
		}
	}
	if err := mark(path); err != nil {
		t.Fatal(err)
	}
	signed, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if wait := new(watch).wait(nil, signed, now); wait > 0 {
		t.Skipf("this disk keeps no fractions of times: %s", signed.ModTime())
	}
}
