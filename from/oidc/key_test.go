// SPDX-License-Identifier: Apache-2.0

package fromoidc_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stile-project/stile"
	fromoidc "github.com/stile-project/stile/from/oidc"
)

// podToken is one of a pod's tokens: all that changes when the kubelet renews it is when.
func podsToken(pod string, when int64) string {
	return token(map[string]any{"sub": "system:serviceaccount:jobs:etl", "exp": noon.Unix() + 3600 + when, "iat": when, "nbf": when, "jti": when,
		"kubernetes.io": map[string]any{"namespace": "jobs", "pod": map[string]any{"name": pod, "uid": pod}, "warnafter": when}})
}

// put replaces a file.
func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// differ fails unless both keys are there, and differ.
func differ(t *testing.T, one, two stile.Key) {
	t.Helper()
	if one.IsZero() || two.IsZero() || one == two {
		t.Errorf("keys %s and %s: want two, or what is kept for one identity is given to the other", one, two)
	}
}

func agree(t *testing.T, one, two stile.Key) {
	t.Helper()
	if one.IsZero() || one != two {
		t.Errorf("keys %s and %s: want one", one, two)
	}
}

func TestTwoPodsWithOneTokenPathDoNotShare(t *testing.T) {
	t.Parallel()
	dir := mount(t, nil)
	path := filepath.Join(dir, "token")
	for name, source := range map[string]stile.Keyed{
		"file":            &fromoidc.File{Path: path},
		"Kubernetes file": &fromoidc.KubernetesFile{Path: path},
		"TokenRequest":    &fromoidc.TokenRequest{Dir: dir, Lookup: inPod("10.0.0.1", "443")},
	} {
		put(t, path, podsToken("a", 1)+"\n")
		before := source.CacheKey()
		put(t, path, podsToken("a", 2))
		agree(t, before, source.CacheKey())
		put(t, path, podsToken("b", 2))
		differ(t, before, source.CacheKey())
		put(t, path, "opaque")
		opaque := source.CacheKey()
		differ(t, before, opaque)
		put(t, path, "another")
		differ(t, opaque, source.CacheKey())
		for _, empty := range []string{"", " \n"} {
			put(t, path, empty)
			if !source.CacheKey().IsZero() {
				t.Errorf("%s: an empty file has a key", name)
			}
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if !source.CacheKey().IsZero() {
			t.Errorf("%s: there is no token, and there is a key", name)
		}
	}
}

func TestFileKeyIsOfTheMemberThatHoldsTheToken(t *testing.T) {
	t.Parallel()
	path := write(t, `{"token":"`+podsToken("a", 1)+`","written":1}`)
	source := &fromoidc.File{Path: path, Field: "token"}
	before := source.CacheKey()
	put(t, path, `{"written":2,"token":"`+podsToken("a", 2)+`"}`)
	agree(t, before, source.CacheKey())
	put(t, path, `{"written":2,"token":"`+podsToken("b", 2)+`"}`)
	differ(t, before, source.CacheKey())
	put(t, path, `{"other":"`+podsToken("b", 2)+`"}`)
	if !source.CacheKey().IsZero() {
		t.Error("there is no such member, and there is a key")
	}
}

func TestTwoJobsWithOneVariableDoNotShare(t *testing.T) {
	t.Parallel()
	key := func(claims map[string]any) stile.Key {
		return (&fromoidc.GitLabCI{Lookup: environment(map[string]string{"GITLAB_OIDC_TOKEN": token(claims)})}).CacheKey()
	}
	agree(t, key(map[string]any{"job_id": "1", "jti": "1"}), key(map[string]any{"job_id": "1", "jti": "2", "exp": noon.Unix()}))
	differ(t, key(map[string]any{"job_id": "1"}), key(map[string]any{"job_id": "2"}))
	for _, value := range []string{"", "  "} {
		if !(&fromoidc.Environment{Name: "A", Lookup: environment(map[string]string{"A": value})}).CacheKey().IsZero() {
			t.Error("there is no token, and there is a key")
		}
	}
}

func TestExecutableKeyCoversItsSurroundings(t *testing.T) {
	t.Setenv("TEST_TENANT", "one")
	t.Setenv("SHLVL", "1")
	t.Setenv("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", "mine")
	source := &fromoidc.Executable{Command: []string{"a"}, Allowed: true}
	before := source.CacheKey()
	t.Setenv("SHLVL", "2")
	t.Setenv("_", "/bin/stile")
	t.Setenv("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", "another") // the program does not see it
	agree(t, before, source.CacheKey())
	t.Setenv("TEST_TENANT", "two")
	tenant := source.CacheKey()
	differ(t, before, tenant)
	forbidden := &fromoidc.Executable{Command: []string{"a"}}
	differ(t, tenant, forbidden.CacheKey())
	own := os.Getenv("PWD")
	t.Chdir(t.TempDir())
	t.Setenv("PWD", own) // nobody has to tell
	differ(t, tenant, source.CacheKey())
}

func TestExecutableKeyTakesTheEnvironmentInAnyOrder(t *testing.T) {
	t.Parallel()
	key := func(environ ...string) stile.Key {
		return (&fromoidc.Executable{Command: []string{"a"}, Environ: environ}).CacheKey()
	}
	agree(t, key("A=1", "B=2"), key("B=2", "A=1"))
	differ(t, key("A=1", "A=2"), key("A=2", "A=1"))
	differ(t, key("A=1", "B=2"), key("A=1 B=2"))
}

func TestExecutableKeyCoversWhatTheProgramLeft(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "output")
	source := &fromoidc.Executable{Command: []string{"a"}, Environ: []string{}, OutputFile: file}
	none := source.CacheKey()
	if none.IsZero() {
		t.Error("the program has not run yet, and there is no key")
	}
	put(t, file, response(podsToken("a", 1), nil))
	before := source.CacheKey()
	differ(t, none, before)
	put(t, file, response(podsToken("a", 2), map[string]any{"expiration_time": noon.Unix() + 900}))
	agree(t, before, source.CacheKey())
	put(t, file, response(podsToken("b", 2), nil))
	differ(t, before, source.CacheKey())
	put(t, file, response("", map[string]any{"id_token": nil, "saml_response": "x"}))
	differ(t, before, source.CacheKey())
	if !(&fromoidc.Executable{Command: []string{"a"}, OutputFile: t.TempDir()}).CacheKey().IsZero() {
		t.Error("the output file cannot be read, and there is a key")
	}
}

// The agent goes by the program that asks, so what one program was given is not for another of the same user.
func TestTwoProgramsWithOneSPIFFESocketDoNotShare(t *testing.T) {
	t.Parallel()
	own, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other.exe")
	if err := os.WriteFile(other, own, 0o700); err != nil {
		t.Fatal(err)
	}
	key := func(program string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program)
		cmd.Env = append(os.Environ(), "TEST_PROGRAM=key")
		out, err := cmd.Output()
		if err != nil || len(out) != 64 {
			t.Fatalf("%s, %v", out, err)
		}
		return string(out)
	}
	if one := key(os.Args[0]); one != key(os.Args[0]) || one == key(other) {
		t.Error("two programs have one key, or one has two")
	}
}
