// SPDX-License-Identifier: Apache-2.0

package fromoidc_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stile-project/stile"
	fromoidc "github.com/stile-project/stile/from/oidc"
)

const idToken = "urn:ietf:params:oauth:token-type:id_token"

// running is an Executable that plays the part of mode, with some more variables.
func running(mode string, variables ...string) *fromoidc.Executable {
	// What a Go program needs to start anywhere; the rest of this process's environment is not the test's business.
	environ := append([]string{"TEST_PROGRAM=" + mode, "SYSTEMROOT=" + os.Getenv("SYSTEMROOT")}, variables...)
	return &fromoidc.Executable{Command: []string{os.Args[0]}, Environ: environ, Allowed: true, Clock: clock}
}

// response is a program's answer that gives raw, with what changes says. A nil change takes a member out.
func response(raw string, changes map[string]any) string {
	members := map[string]any{"version": 1, "success": true, "token_type": idToken, "id_token": raw, "expiration_time": noon.Unix() + 600}
	for name, value := range changes {
		members[name] = value
		if value == nil {
			delete(members, name)
		}
	}
	text, err := json.Marshal(members)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func TestExecutableIsToldWhatTheProtocolSays(t *testing.T) {
	t.Parallel()
	output := filepath.Join(t.TempDir(), "output")
	source := running("tell", "OTHER=x", "GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE=stale", "GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL=stale", "GOOGLE_X=y")
	source.Command = append(source.Command, "--flag", "two words; $HOME `id`")
	source.OutputFile = output
	got, err := source.SubjectToken(t.Context(), audience)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"iss": "https://issuer.example", "sub": "workload", "aud": audience, "exp": float64(noon.Add(time.Hour).Unix()),
		"args": []any{"--flag", "two words; $HOME `id`"}, "stdin": "", "OTHER": "x", "GOOGLE_X": "y",
		"GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE": audience, "GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE": "urn:ietf:params:oauth:token-type:jwt",
		"GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE": "0", "GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE": output}
	if diff := cmp.Diff(want, claimsOf(t, got)); diff != "" {
		t.Errorf("what the program was told (-want +got):\n%s", diff)
	}
	if got.Type != stile.TokenTypeIDToken || got.Subject != "workload" || !got.Expires.Equal(noon.Add(10*time.Minute)) {
		t.Errorf("got a %s of %s until %s, want what the answer says, until the sooner of both ends", got.Type, got.Subject, got.Expires)
	}

	source.OutputFile, source.Impersonated, source.Type, source.Audience = "", "a@b.iam.gserviceaccount.com", idToken, "api://x"
	got, err = source.SubjectToken(t.Context(), audience)
	if err != nil {
		t.Fatal(err)
	}
	claims := claimsOf(t, got)
	if claims["aud"] != "api://x" || claims["GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL"] != "a@b.iam.gserviceaccount.com" ||
		claims["GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE"] != idToken || claims["GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE"] != nil {
		t.Errorf("the program was told %v", claims)
	}
}

func claimsOf(t *testing.T, got stile.SubjectToken) map[string]any {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(got.Value.Reveal(), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestExecutableInheritsTheEnvironment(t *testing.T) {
	t.Setenv("TEST_PROGRAM", "tell")
	t.Setenv("OTHER", "inherited")
	source := &fromoidc.Executable{Command: []string{os.Args[0]}, Allowed: true, Clock: clock}
	got, err := source.SubjectToken(t.Context(), audience)
	if err != nil || claimsOf(t, got)["OTHER"] != "inherited" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestExecutableAnswers(t *testing.T) {
	t.Parallel()
	good := token(nil)
	later := noon.Add(time.Hour)
	cases := map[string]struct {
		text    string
		raw     string
		typ     stile.TokenType
		expires time.Time
	}{
		"id_token":           {response(good, nil), good, stile.TokenTypeIDToken, noon.Add(10 * time.Minute)},
		"jwt":                {response(good, map[string]any{"token_type": "urn:ietf:params:oauth:token-type:jwt"}), good, stile.TokenTypeJWT, noon.Add(10 * time.Minute)},
		"no expiration_time": {response(good, map[string]any{"expiration_time": nil}), good, stile.TokenTypeIDToken, later},
		"later than its exp": {response(good, map[string]any{"expiration_time": noon.Unix() + 7200}), good, stile.TokenTypeIDToken, later},
		"white space":        {"\n " + response(good, nil) + "\n", good, stile.TokenTypeIDToken, noon.Add(10 * time.Minute)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := running("print", "TEST_PRINT="+c.text).SubjectToken(t.Context(), audience)
			isToken(t, got, err, c.raw, "workload", c.expires)
			if got.Type != c.typ {
				t.Errorf("type %s, want %s", got.Type, c.typ)
			}
		})
	}
	saml := response("", map[string]any{"id_token": nil, "token_type": fromoidc.TokenTypeSAML2, "saml_response": "PHNhbWw+"})
	source := running("print", "TEST_PRINT="+saml)
	_, err := source.SubjectToken(t.Context(), audience)
	isRefusal(t, err, stile.ErrTemporary, "InsecureSkipAudience")
	source.InsecureSkipAudience = true
	got, err := source.SubjectToken(t.Context(), audience)
	isToken(t, got, err, "PHNhbWw+", "", noon.Add(10*time.Minute))
	if got.Type != fromoidc.TokenTypeSAML2 {
		t.Errorf("type %s", got.Type)
	}
}

func TestExecutableAnswersThatAreNoToken(t *testing.T) {
	t.Parallel()
	good := token(nil)
	cases := map[string]struct {
		mode, text string
		kind       error
		words      string
	}{
		"nothing":              {"print", "", stile.ErrNoIdentity, "it wrote nothing to its standard output, and "},
		"only complaints":      {"complain", "hunter2", stile.ErrNoIdentity, " bytes to its standard error"},
		"exit code":            {"fail", response(good, nil), stile.ErrNoIdentity, "exit status 3, having written "},
		"too much":             {"flood", "", stile.ErrNoIdentity, "it printed more than"},
		"not JSON":             {"print", "hunter2", stile.ErrTemporary, "not the JSON of the protocol"},
		"white space":          {"print", "\n", stile.ErrTemporary, "not the JSON of the protocol"},
		"two answers":          {"print", response(good, nil) + response(good, nil), stile.ErrTemporary, "not the JSON of the protocol"},
		"version as text":      {"print", response(good, map[string]any{"version": "hunter2"}), stile.ErrTemporary, "not the JSON of the protocol"},
		"no version":           {"print", response(good, map[string]any{"version": nil}), stile.ErrTemporary, "no version"},
		"version 2":            {"print", response(good, map[string]any{"version": 2}), stile.ErrTemporary, "version 2, want 1"},
		"no success":           {"print", response(good, map[string]any{"success": nil}), stile.ErrTemporary, "no success"},
		"failure":              {"print", response(good, map[string]any{"success": false, "code": "401", "message": "not logged\nin"}), stile.ErrNoIdentity, "failed with code 401: not logged in"},
		"failure without why":  {"print", response(good, map[string]any{"success": false}), stile.ErrNoIdentity, "said no code and message"},
		"no token_type":        {"print", response(good, map[string]any{"token_type": nil}), stile.ErrTemporary, "no token_type"},
		"AWS request":          {"print", response(good, map[string]any{"token_type": "urn:ietf:params:aws:token-type:aws4_request"}), stile.ErrTemporary, "none of the protocol's"},
		"no id_token":          {"print", response(good, map[string]any{"id_token": nil}), stile.ErrTemporary, "no id_token"},
		"no saml_response":     {"print", response(good, map[string]any{"token_type": fromoidc.TokenTypeSAML2}), stile.ErrTemporary, "no saml_response"},
		"expired":              {"print", response(good, map[string]any{"expiration_time": noon.Unix()}), stile.ErrTemporary, "its token has expired"},
		"negative expiry":      {"print", response(good, map[string]any{"expiration_time": -1}), stile.ErrTemporary, "negative"},
		"token expired":        {"print", response(token(map[string]any{"exp": 1}), nil), stile.ErrTemporary, "the token expired"},
		"token is none":        {"print", response("hunter2", nil), stile.ErrTemporary, "no JWT"},
		"for another audience": {"print", response(token(map[string]any{"aud": "x"}), nil), stile.ErrMisuse, "hint: the program is told the audience in GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := running(c.mode, "TEST_PRINT="+c.text)
			source.Command = append(source.Command, "--password=hunter2")
			_, err := source.SubjectToken(t.Context(), audience)
			isRefusal(t, err, c.kind, c.words, strings.Split(good, ".")[1])
			if !strings.Contains(err.Error(), source.Command[0]) || strings.ContainsAny(err.Error(), "\n") {
				t.Errorf("the error does not name the program on one line: %v", err)
			}
		})
	}
}

func TestExecutableMisused(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(*fromoidc.Executable)
		words  string
	}{
		"not allowed":      {func(e *fromoidc.Executable) { e.Allowed = false }, "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1"},
		"no command":       {func(e *fromoidc.Executable) { e.Command = nil }, "no command"},
		"empty command":    {func(e *fromoidc.Executable) { e.Command = []string{"", "hunter2"} }, "no command"},
		"short timeout":    {func(e *fromoidc.Executable) { e.Timeout = 4999 * time.Millisecond }, "want 5s to 2m0s"},
		"long timeout":     {func(e *fromoidc.Executable) { e.Timeout = 121 * time.Second }, "want 5s to 2m0s"},
		"negative timeout": {func(e *fromoidc.Executable) { e.Timeout = -1 }, "want 5s to 2m0s"},
		"no such program":  {func(e *fromoidc.Executable) { e.Command = []string{"/none/such", "hunter2"} }, "it cannot be started: no such file"},
		"not in the path":  {func(e *fromoidc.Executable) { e.Command = []string{"none-such-program", "hunter2"} }, "it cannot be started"},
		"a directory":      {func(e *fromoidc.Executable) { e.Command = []string{os.TempDir(), "hunter2"} }, "it cannot be started"},
		"NUL":              {func(e *fromoidc.Executable) { e.Audience = "a\x00b" }, "it cannot be started"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := running("tell")
			c.change(source)
			_, err := source.SubjectToken(t.Context(), audience)
			isRefusal(t, err, stile.ErrMisuse, c.words)
		})
	}
	_, err := running("tell").SubjectToken(t.Context(), "")
	isRefusal(t, err, stile.ErrMisuse, "no audience")
}

// A kept answer that is good is taken without running the program, which would fail here.
func TestExecutableOutputFile(t *testing.T) {
	t.Parallel()
	good, made := token(nil), token(map[string]any{"sub": "made anew"})
	failure := `{"version":1,"success":false,"code":"401","message":"not logged in"}`
	kept := map[string]string{
		"a good answer":       response(good, nil),
		"one with a line end": response(good, nil) + "\n",
	}
	for name, content := range kept {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := running("fail")
			source.OutputFile = write(t, content)
			got, err := source.SubjectToken(t.Context(), audience)
			isToken(t, got, err, good, "workload", noon.Add(10*time.Minute))
		})
	}
	anew := map[string]string{
		"empty":                    "",
		"white space":              " \n",
		"expired":                  response(good, map[string]any{"expiration_time": noon.Unix() - 1}),
		"about to expire":          response(good, map[string]any{"expiration_time": noon.Unix() + 59}),
		"token expired":            response(token(map[string]any{"exp": noon.Unix() + 59}), nil),
		"a failure":                failure,
		"a failure with no reason": `{"version":1,"success":false}`,
		"for another audience":     response(token(map[string]any{"aud": "x"}), nil),
	}
	for name, content := range anew {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := running("print", "TEST_PRINT="+response(made, nil))
			source.OutputFile = write(t, content)
			got, err := source.SubjectToken(t.Context(), audience)
			isToken(t, got, err, made, "made anew", noon.Add(10*time.Minute))
		})
	}
	malformed := map[string]struct{ content, words string }{
		"not JSON":           {"hunter2", "not the JSON of the protocol"},
		"no version":         {response(good, map[string]any{"version": nil}), "no version"},
		"no expiration_time": {response(good, map[string]any{"expiration_time": nil}), "no expiration_time, which an output file needs"},
		"another token_type": {response(good, map[string]any{"token_type": "hunter2"}), "none of the protocol's"},
		"too long":           {strings.Repeat(" ", 1<<20), "longer than"},
	}
	for name, c := range malformed {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := running("print", "TEST_PRINT="+response(made, nil))
			source.OutputFile = write(t, c.content)
			_, err := source.SubjectToken(t.Context(), audience)
			isRefusal(t, err, stile.ErrMisuse, c.words)
		})
	}
}

func TestExecutableOutputFileNeedsAnExpiry(t *testing.T) {
	t.Parallel()
	source := running("print", "TEST_PRINT="+response(token(nil), map[string]any{"expiration_time": nil}))
	source.OutputFile = filepath.Join(t.TempDir(), "none")
	_, err := source.SubjectToken(t.Context(), audience)
	isRefusal(t, err, stile.ErrTemporary, "no expiration_time, which an output file needs")
	source.OutputFile = t.TempDir()
	_, err = source.SubjectToken(t.Context(), audience)
	isRefusal(t, err, stile.ErrMisuse, "it is a directory")
	source.Allowed, source.OutputFile = false, write(t, response(token(nil), nil))
	_, err = source.SubjectToken(t.Context(), audience)
	isRefusal(t, err, stile.ErrMisuse, "not allowed")
}

// reports waits for n programs to say that they are there, and gives their connections, which close with them.
func reports(t *testing.T, listener net.Listener, n int) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, n)
	for i := range conns {
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.ReadFull(conn, make([]byte, len("here"))); err != nil {
			t.Fatal(err)
		}
		conns[i] = conn
	}
	return conns
}

// meanwhile runs f beside the test, which takes its error from the channel.
func meanwhile(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

// ended fails unless whoever is at the other end of each connection ends soon.
func ended(t *testing.T, conns []net.Conn) {
	t.Helper()
	for _, conn := range conns {
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("a process that the program started outlived it")
		}
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

func TestExecutableLeavesNoOrphan(t *testing.T) {
	t.Parallel()
	t.Run("its caller gives up", func(t *testing.T) {
		t.Parallel()
		listener := listen(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		err := meanwhile(func() error {
			_, err := running("wait with a child", "TEST_REPORT="+listener.Addr().String()).SubjectToken(ctx, audience)
			return err
		})
		conns := reports(t, listener, 2)
		cancel(context.Canceled)
		isRefusal(t, <-err, context.Canceled, "gave up waiting")
		ended(t, conns)
	})
	t.Run("it ends and leaves one behind", func(t *testing.T) {
		t.Parallel()
		listener := listen(t)
		err := meanwhile(func() error {
			_, err := running("leave a child", "TEST_REPORT="+listener.Addr().String()).SubjectToken(t.Context(), audience)
			return err
		})
		conns := reports(t, listener, 1)
		isRefusal(t, <-err, stile.ErrNoIdentity, "left a process behind")
		ended(t, conns)
	})
}

func TestExecutableTimeout(t *testing.T) {
	t.Parallel()
	source := running("wait", "TEST_REPORT="+listen(t).Addr().String())
	source.Timeout = fromoidc.MinTimeout
	_, err := source.SubjectToken(t.Context(), audience)
	isRefusal(t, err, stile.ErrTemporary, "it did not end within 5s")
}

func TestExecutableManyAtOnce(t *testing.T) {
	t.Parallel()
	source := running("tell")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			wanted := fmt.Sprintf("audience %d", i)
			got, err := source.SubjectToken(t.Context(), wanted)
			if err != nil || claimsOf(t, got)["aud"] != wanted {
				t.Errorf("asked for %s: %v, %v", wanted, got, err)
			}
		})
	}
	all.Wait()
}

func TestSplitCommand(t *testing.T) {
	t.Parallel()
	for line, want := range map[string][]string{
		"/usr/bin/mint --aud x":   {"/usr/bin/mint", "--aud", "x"},
		" \tmint\n a  ":           {"mint", "a"},
		`C:\bin\mint.exe --a=$b;`: {`C:\bin\mint.exe`, "--a=$b;"},
	} {
		if got, err := fromoidc.SplitCommand(line); err != nil || !slices.Equal(got, want) {
			t.Errorf("SplitCommand(%q) = %q, %v, want %q", line, got, err, want)
		}
	}
	for _, line := range []string{"", " \n", `mint "a b"`, "mint 'a b'", "mint `id`", "mint \x00"} {
		if got, err := fromoidc.SplitCommand(line); !errors.Is(err, stile.ErrMisuse) {
			t.Errorf("SplitCommand(%q) = %q, %v, want misuse", line, got, err)
		}
	}
}

func TestExecutableKeys(t *testing.T) {
	t.Parallel()
	a := []string{"a"}
	distinct(t, map[string]*fromoidc.Executable{
		"one": {Command: a}, "argument": {Command: []string{"a", "b"}}, "one word": {Command: []string{"a b"}}, "output file": {Command: a, OutputFile: "o"},
		"type": {Command: a, Type: "t"}, "impersonated": {Command: a, Impersonated: "i"}, "environment": {Command: a, Environ: []string{"A=1"}},
		"audience": {Command: a, Audience: "x"}, "any audience": {Command: a, InsecureSkipAudience: true},
	})
}

func TestExecutableIsNoShell(t *testing.T) {
	t.Parallel()
	mark := filepath.Join(t.TempDir(), "mark")
	source := running("tell")
	source.Command = append(source.Command, ";", "touch", mark, ">", mark, "&&", "$(touch "+mark+")")
	got, err := source.SubjectToken(t.Context(), audience)
	if err != nil {
		t.Fatal(err)
	}
	if args, ok := claimsOf(t, got)["args"].([]any); !ok || len(args) != 7 {
		t.Errorf("the program got %v", args)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("a shell ran")
	}
}
