// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/sidecar"
)

// A printing is one stile serve --print-env images of a configuration with an ECS endpoint at a fixed port, in a shell
// whose runtime folder is not that of the running serve.
type printing struct {
	folder string // of this test
	admin  string
	files  []config.KeptFile
	report sidecar.Report // what answers at the admin address; zero: no endpoint
}

func newPrinting(t *testing.T) *printing {
	t.Helper()
	return &printing{folder: t.TempDir()}
}

func (g *printing) endpoint() config.Endpoint {
	return config.Endpoint{ECS: []string{"images"}, Listen: "127.0.0.1:9912"}
}

// expected is the token's file by the shell's own environment.
func (g *printing) expected(t *testing.T) string {
	t.Helper()
	path, err := sidecar.Options{Folder: filepath.Join(g.folder, "shell", "stile")}.TokenFile(g.endpoint())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func (g *printing) serves(token string) {
	e := g.endpoint()
	g.report.Serves = []sidecar.Served{{Kind: "ecs", Listen: e.Listen, Addresses: []string{e.Listen}, Crossings: e.ECS, TokenFile: token}}
}

func (g *printing) answer(t *testing.T, h http.HandlerFunc) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	g.admin = server.Listener.Addr().String()
}

func (g *printing) answerReport(t *testing.T) {
	t.Helper()
	g.answer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/status" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		_ = json.NewEncoder(w).Encode(g.report)
	})
}

func (g *printing) print(t *testing.T) (vars map[string]string, stderr string) {
	t.Helper()
	env := map[string]string{
		"XDG_RUNTIME_DIR":             filepath.Join(g.folder, "shell"),
		"AWS_SHARED_CREDENTIALS_FILE": filepath.Join(g.folder, "none"), "AWS_CONFIG_FILE": filepath.Join(g.folder, "none"),
	}
	var out, told bytes.Buffer
	p := &program{stdout: &out, stderr: &told, env: func(name string) string { return env[name] }, timeout: time.Minute}
	plan := sidecar.Plan{
		Crossings: map[string]config.Crossing{"images": {Name: "images", To: config.To{AWS: &config.ToAWS{Region: "eu-west-1"}}}},
		Serve:     config.Serve{Admin: g.admin, Endpoints: []config.Endpoint{g.endpoint()}, Files: g.files},
	}
	if err := p.printEnv(t.Context(), &serving{printEnv: "images", format: "json"}, plan); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), &vars); err != nil {
		t.Fatalf("%v: %q", err, out.String())
	}
	if vars["AWS_CONTAINER_CREDENTIALS_FULL_URI"] != "http://127.0.0.1:9912/v1/credentials/images" {
		t.Errorf("the endpoint is %q", vars["AWS_CONTAINER_CREDENTIALS_FULL_URI"])
	}
	return vars, told.String()
}

func (g *printing) want(t *testing.T, token string, says ...string) {
	t.Helper()
	vars, stderr := g.print(t)
	if got := vars["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]; got != token {
		t.Errorf("the token's file is %q, want %q", got, token)
	}
	for _, text := range says {
		if !strings.Contains(stderr, text) {
			t.Errorf("standard error is %q, want %q in it", stderr, text)
		}
	}
	if got := strings.Count(stderr, "\n"); got != len(says) {
		t.Errorf("%d lines on standard error, want %d: %q", got, len(says), stderr)
	}
}

func written(t *testing.T, path string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("token"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPrintEnvSaysWhatTheRunningServeSays(t *testing.T) {
	t.Parallel()
	g := newPrinting(t)
	token := written(t, filepath.Join(g.folder, "run", "stile", filepath.Base(g.expected(t))))
	g.serves(token)
	g.answerReport(t)
	g.want(t, token)
}

func TestPrintEnvTellsOfATokenThatThisCommandDoesNotSee(t *testing.T) {
	t.Parallel()
	g := newPrinting(t)
	token := filepath.Join(g.folder, "run", filepath.Base(g.expected(t)))
	g.serves(token)
	g.answerReport(t)
	g.want(t, token, token+" is where serve has it, and is not there for this command")
}

func TestPrintEnvWithoutAnAdminAddress(t *testing.T) {
	t.Parallel()
	g := newPrinting(t)
	g.want(t, g.expected(t), "is not there: serve makes it when it starts, and one with another $RUNTIME_DIRECTORY")
	written(t, g.expected(t))
	g.want(t, g.expected(t))
}

func TestPrintEnvWhereServeCannotBeAsked(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"hangs": func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(4 * askWithin):
				t.Error("serve is still waited for")
			}
		},
		"another": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) },
		"away":    nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newPrinting(t)
			if g.admin = "unix:" + filepath.Join(g.folder, "no.sock"); answer != nil {
				g.answer(t, answer)
			}
			written(t, g.expected(t))
			g.want(t, g.expected(t), "what is printed is how serve would have it in the environment of this command")
		})
	}
}

// TestPrintEnvTakesNoOtherFile holds that who answers at the admin address in place of serve cannot have programs present
// what is in a file of the user's.
func TestPrintEnvTakesNoOtherFile(t *testing.T) {
	t.Parallel()
	for name, told := range map[string]string{
		"another name": "/home/me/.netrc", "a relative path": "x/BASE", "a path of two lines": "/run\nLD_PRELOAD=x/BASE",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newPrinting(t)
			written(t, g.expected(t))
			g.serves(strings.Replace(told, "BASE", filepath.Base(g.expected(t)), 1))
			g.answerReport(t)
			g.want(t, g.expected(t), "names a file that does not go with this configuration")
		})
	}
}

// TestPrintEnvTakesNoPathOfOthers holds the same of a file of the right name, which leads to another, or may at any time.
func TestPrintEnvTakesNoPathOfOthers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lead  func(g *printing, path, secret string) error
		taken bool
	}{
		"their own": {func(_ *printing, path, secret string) error { return os.Rename(secret, path) }, true},
		"a link":    {func(_ *printing, path, secret string) error { return os.Symlink(secret, path) }, false},
		"a folder":  {func(_ *printing, path, _ string) error { return os.Mkdir(path, 0o700) }, false},
		"in an open folder": {func(_ *printing, path, secret string) error {
			return errors.Join(os.Rename(secret, path), os.Chmod(filepath.Dir(path), 0o777))
		}, false},
		"in an open folder, and not there yet": {func(_ *printing, path, _ string) error { return os.Chmod(filepath.Dir(path), 0o777) }, false},
		"below an open folder": {func(g *printing, path, secret string) error {
			return errors.Join(os.Rename(secret, path), os.Chmod(filepath.Join(g.folder, "elsewhere"), 0o777))
		}, false},
		"by a link of ours": {func(g *printing, path, secret string) error {
			away := filepath.Join(g.folder, "away")
			return errors.Join(os.Rename(filepath.Dir(path), away), os.Symlink(away, filepath.Dir(path)), os.Rename(secret, path))
		}, true},
		"by a link to an open folder": {func(g *printing, path, secret string) error {
			away := filepath.Join(g.folder, "away")
			return errors.Join(os.Rename(filepath.Dir(path), away), os.Symlink(away, filepath.Dir(path)), os.Rename(secret, path), os.Chmod(away, 0o777))
		}, false},
		"another user's file": {func(_ *printing, path, secret string) error {
			return errors.Join(os.Rename(secret, path), os.Chown(path, 54321, 0))
		}, false},
		"another user's folder": {func(_ *printing, path, secret string) error {
			return errors.Join(os.Rename(secret, path), os.Chown(filepath.Dir(path), 54321, 0))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if runtime.GOOS == "windows" || strings.HasPrefix(name, "another user") && os.Geteuid() != 0 {
				t.Skip("only root can give files away")
			}
			g := newPrinting(t)
			written(t, g.expected(t))
			secret := written(t, filepath.Join(g.folder, "secret"))
			path := filepath.Join(g.folder, "elsewhere", "stile", filepath.Base(g.expected(t)))
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), c.lead(g, path, secret)); err != nil {
				t.Fatal(err)
			}
			g.serves(path)
			g.answerReport(t)
			if c.taken {
				g.want(t, path)
			} else {
				g.want(t, g.expected(t), "which others can have lead to any file")
			}
		})
	}
}

func TestPrintEnvWhereServeHasAnotherConfiguration(t *testing.T) {
	t.Parallel()
	g := newPrinting(t)
	written(t, g.expected(t))
	g.answerReport(t)
	g.want(t, g.expected(t), "is another configuration, and has no such endpoint at 127.0.0.1:9912")
}

func TestPrintEnvTellsOfATokenThatIsNotForThisUser(t *testing.T) {
	t.Parallel()
	g := newPrinting(t)
	if err := os.Chmod(written(t, g.expected(t)), 0); err != nil {
		t.Fatal(err)
	}
	if readable(g.expected(t)) == nil {
		t.Skip("this user reads every file")
	}
	g.want(t, g.expected(t), "cannot be read by this user: permission denied")
}

// TestPrintEnvTakesNoOtherProfile: a profile may name a program to run.
func TestPrintEnvTakesNoOtherProfile(t *testing.T) {
	t.Parallel()
	configured, told := "/home/me/.aws/credentials", "/tmp/.aws/credentials"
	var stderr bytes.Buffer
	f := &finding{
		program: &program{stderr: &stderr},
		asked:   true, report: sidecar.Report{Files: []sidecar.FileReport{{Crossing: "images", Path: told, Profile: "images"}}},
	}
	got := f.fileOf(config.KeptFile{Crossing: "images", AWSProfile: &config.KeptAWSProfile{Path: configured, Profile: "images"}})
	if got != configured || !strings.Contains(stderr.String(), "keeps the profile in "+told+", and not in "+configured) {
		t.Errorf("got %q, said %q", got, stderr.String())
	}
}
