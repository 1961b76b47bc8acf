// SPDX-License-Identifier: Apache-2.0

//go:build unix

package ecs_test

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stile-project/stile/serve/ecs"
)

// stranger is a user who is neither this one nor root.
const stranger = 4321

// A folder is where a test has token files, with the token in each.
type folder struct {
	t    *testing.T
	path string
}

func (f folder) at(name string) string { return filepath.Join(f.path, name) }

func (f folder) must(errs ...error) {
	f.t.Helper()
	if err := errors.Join(errs...); err != nil {
		f.t.Fatal(err)
	}
}

func (f folder) file(name string) string {
	f.must(os.WriteFile(f.at(name), []byte(bearer), 0o600))
	return f.at(name)
}

func (f folder) link(to, name string) string {
	f.must(os.Symlink(to, f.at(name)))
	return f.at(name)
}

// TestTokenFileOfAnother: nobody is let in by a file that another user may have put there.
func TestTokenFileOfAnother(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		root bool                  // only root can have it so
		make func(f folder) string // gives the path
		says func(f folder) string // empty: it is taken
	}{
		"its own": {make: func(f folder) string { return f.file("token") }},
		"everyone may write to it": {
			make: func(f folder) string { f.must(os.Chmod(f.file("token"), 0o602)); return f.at("token") },
			says: func(f folder) string { return "everyone may write to " + f.at("token") },
		},
		"its group may": {make: func(f folder) string { f.must(os.Chmod(f.file("token"), 0o660)); return f.at("token") }},
		"a stranger's": {root: true,
			make: func(f folder) string { f.must(os.Chown(f.file("token"), stranger, stranger)); return f.at("token") },
			says: func(f folder) string { return f.at("token") + " belongs to user 4321" },
		},
		"a stranger's link": {root: true,
			make: func(f folder) string {
				f.file("mine")
				f.must(os.Lchown(f.link("mine", "token"), stranger, stranger))
				return f.at("token")
			},
			says: func(f folder) string { return f.at("token") + " is a link of user 4321" },
		},
		"a stranger's link on the way": {root: true,
			make: func(f folder) string {
				f.must(os.Mkdir(f.at("data"), 0o700))
				f.file("data/mine")
				f.link("../way/mine", "data/token")
				f.must(os.Lchown(f.link(f.at("data"), "way"), stranger, stranger))
				return f.at("data/token")
			},
			says: func(f folder) string { return f.at("way") + " is a link of user 4321" },
		},
		// Kubernetes mounts a Secret so, and replaces ..data.
		"links of one's own": {make: func(f folder) string {
			f.must(os.Mkdir(f.at("..2026"), 0o700))
			f.file("..2026/token")
			f.link("..2026", "..data")
			return f.link("..data/token", "token")
		}},
		"a link from the root on": {make: func(f folder) string { return f.link(f.file("mine"), "token") }},
		"links without end": {
			make: func(f folder) string { f.link("token", "other"); return f.link("other", "token") },
			says: func(folder) string { return "too many levels of symbolic links" },
		},
		"a folder": {
			make: func(f folder) string { f.must(os.Mkdir(f.at("token"), 0o700)); return f.at("token") },
			says: func(folder) string { return "it is not a regular file" },
		},
		"two names": {make: func(f folder) string { f.must(os.Link(f.file("mine"), f.at("token"))); return f.at("token") }},
		"two names where everyone makes files": {
			make: func(f folder) string {
				f.must(os.Link(f.file("mine"), f.at("token")), os.Chmod(f.path, fs.ModeSticky|0o777))
				return f.at("token")
			},
			says: func(f folder) string { return f.at("token") + " has another name too" },
		},
		"one name where everyone makes files": {make: func(f folder) string { f.must(os.Chmod(f.path, 0o777)); return f.file("token") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.root && os.Geteuid() != 0 {
				t.Skip("only root can give a file away")
			}
			base, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			f := folder{t, base}
			path := c.make(f)
			h := newHandler(t, ecs.Options{TokenFile: path})
			got, _, _ := ask(h, http.MethodGet, ecs.Path("good"), authorized())
			file, err := ecs.OpenTokenFile(path)
			if c.says == nil {
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = file.Close() }()
				if data, err := io.ReadAll(file); string(data) != bearer || got.status != http.StatusOK {
					t.Errorf("%v, %d: want it taken", err, got.status)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.says(f)) || got.status != http.StatusServiceUnavailable {
				t.Errorf("%v, %d: want nobody let in, since %s", err, got.status, c.says(f))
			}
			if strange := strings.Contains(name, "stranger") || strings.Contains(name, "everyone"); errors.Is(err, ecs.ErrForeign) != strange {
				t.Errorf("%v: may be another's: want %t", err, strange)
			}
		})
	}
}

// TestTokenFileThatIsReplacedByAnother: what was right is so no more once a stranger has put a file in its place.
func TestTokenFileThatIsReplacedByAnother(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	f := folder{t, t.TempDir()}
	h := newHandler(t, ecs.Options{TokenFile: f.file("token")})
	if got, _, err := ask(h, http.MethodGet, ecs.Path("good"), authorized()); err != nil || got.status != http.StatusOK {
		t.Fatal(got.status, err)
	}
	planted := f.at("planted")
	f.must(os.WriteFile(planted, []byte("planted"), 0o644), os.Chown(planted, stranger, stranger), os.Rename(planted, f.at("token")))
	for _, sent := range []string{"planted", "guessed"} {
		if got, _, _ := ask(h, http.MethodGet, ecs.Path("good"), http.Header{"Authorization": {sent}}); got.status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d, want nobody let in", sent, got.status)
		}
	}
}
