// SPDX-License-Identifier: Apache-2.0

package outlet_test

import (
	"bytes"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/outlet"
)

func TestEnvironment(t *testing.T) {
	t.Parallel()
	sessionVars := []outlet.Variable{
		{Name: "AWS_ACCESS_KEY_ID", Value: "ASIAEXAMPLE"}, {Name: "AWS_SECRET_ACCESS_KEY", Value: "secret/key+1"},
		{Name: "AWS_SESSION_TOKEN", Value: "session=token"}, {Name: "AWS_CREDENTIAL_EXPIRATION", Value: "2026-11-22T03:04:05Z"},
	}
	cases := map[string]struct {
		credential stile.Credential
		region     string
		want       []outlet.Variable
	}{
		"an AWS session": {session, "", sessionVars},
		"an AWS session and its region": {session, "eu-west-1", append(slices.Clone(sessionVars),
			outlet.Variable{Name: "AWS_REGION", Value: "eu-west-1"}, outlet.Variable{Name: "AWS_DEFAULT_REGION", Value: "eu-west-1"})},
		"an access token": {accessToken, "eu-west-1", []outlet.Variable{
			{Name: "CLOUDSDK_AUTH_ACCESS_TOKEN", Value: "ya29.token"}, {Name: "GOOGLE_OAUTH_ACCESS_TOKEN", Value: "ya29.token"}}},
		"an ID token": {idToken, "", []outlet.Variable{{Name: "STILE_ID_TOKEN", Value: "eyJ.a.b"}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, outlet.Environment(c.credential, c.region)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestShadowingIsNotSet: what is removed for a credential's sake must not be what carries it.
func TestShadowingIsNotSet(t *testing.T) {
	t.Parallel()
	for _, c := range []stile.Credential{session, accessToken, idToken} {
		for _, v := range outlet.Environment(c, "eu-west-1") {
			if slices.Contains(outlet.Shadowing(c.Kind), v.Name) {
				t.Errorf("%s: %s is both set and removed", c.Kind, v.Name)
			}
		}
	}
}

func TestScript(t *testing.T) {
	t.Parallel()
	hostile := []outlet.Variable{{Name: "A", Value: `it's $HOME ‘\n`}, {Name: "B", Value: "plain"}}
	cases := map[string]string{
		"posix":      "export A='it'\\''s $HOME ‘\\n'\nexport B='plain'\n",
		"fish":       "set -gx A 'it\\'s $HOME ‘\\\\n'\nset -gx B 'plain'\n",
		"powershell": "$Env:A = 'it''s $HOME ‘‘\\n'\n$Env:B = 'plain'\n",
	}
	if len(cases) != len(outlet.Shells) {
		t.Errorf("%d shells, %d cases", len(outlet.Shells), len(cases))
	}
	for shell, want := range cases {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			var got bytes.Buffer
			if err := outlet.Script(&got, shell, hostile); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got.String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// hostileValues would each do something else than be a value, if a shell read them.
var hostileValues = []string{
	"", " ", "'", "''", `\`, `\'`, `"`, "$(touch ran)", "`touch ran`", "${HOME}", "!!", "*", "~", "#", "; touch ran", "| cat", "& touch ran",
	"a\tb", "-n", "$'x'", "é ü 日本", "‘curly’", "%PATH%", "=x", strings.Repeat("'", 1000),
}

func TestScriptIsEvaluatedAsWritten(t *testing.T) {
	t.Parallel()
	for shell, read := range map[string][]string{
		"posix":      {"sh", "-c", `eval "$(cat)"; printf %s "$STILE_TEST"`},
		"fish":       {"fish", "-c", `source -; printf %s "$STILE_TEST"`},
		"powershell": {"pwsh", "-NoProfile", "-Command", `$input | Out-String | Invoke-Expression; [Console]::Out.Write($Env:STILE_TEST)`},
	} {
		path, err := exec.LookPath(read[0])
		if err != nil && shell != "posix" {
			continue // its golden test holds; a machine with that shell checks this as well
		}
		for _, value := range hostileValues {
			evaluated(t, shell, value, path, read[1:]...)
		}
	}
}

func evaluated(t *testing.T, shell, value, path string, args ...string) {
	t.Helper()
	var script bytes.Buffer
	if err := outlet.Script(&script, shell, []outlet.Variable{{Name: "STILE_TEST", Value: value}}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir, cmd.Stdin = t.TempDir(), &script
	got, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != value {
		t.Errorf("%s: got %q, want %q", shell, got, value)
	}
}

func TestScriptRefuses(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{"line feed": "a\nb", "carriage return": "a\rb", "zero byte": "a\x00b"} {
		for _, shell := range outlet.Shells {
			var got bytes.Buffer
			err := outlet.Script(&got, shell, []outlet.Variable{{Name: "GOOD", Value: "x"}, {Name: "SECRET", Value: value}})
			if err == nil || !strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), value) {
				t.Errorf("%s, %s: got %v, want an error that names the variable and not its value", shell, name, err)
			}
			if got.Len() != 0 {
				t.Errorf("%s, %s: half of the variables were written", shell, name)
			}
		}
	}
	if err := outlet.Script(&bytes.Buffer{}, "tcsh", nil); !errors.Is(err, stile.ErrMisuse) || !strings.Contains(err.Error(), "posix, fish, powershell") {
		t.Errorf("tcsh: got %v", err)
	}
}

// FuzzScript: whatever a value holds, a POSIX script of it is one line per variable and quotes balance.
func FuzzScript(f *testing.F) {
	for _, value := range append(slices.Clone(hostileValues), "a\nb") {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, shell := range outlet.Shells {
			var got bytes.Buffer
			err := outlet.Script(&got, shell, []outlet.Variable{{Name: "V", Value: value}})
			if refused := strings.ContainsAny(value, "\r\n\x00"); refused != (err != nil) {
				t.Fatalf("%s, %q: %v", shell, value, err)
			}
			if err == nil && strings.Count(got.String(), "\n") != 1 {
				t.Errorf("%s, %q: more than a line", shell, value)
			}
			if _, quoted, _ := strings.Cut(got.String(), "="); err == nil && shell == "posix" && unquoted(quoted) != value {
				t.Errorf("%q reads back as %q", value, unquoted(quoted))
			}
		}
	})
}

// unquoted reads a POSIX word made of single-quoted parts and escaped quotes, and nothing else.
func unquoted(word string) string {
	var b strings.Builder
	inside := false
	for i := 0; i < len(word)-1; i++ {
		switch c := word[i]; {
		case c == '\'':
			inside = !inside
		case !inside && c == '\\' && word[i+1] == '\'':
			b.WriteByte('\'')
			i++
		case !inside:
			return "something outside of quotes"
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
