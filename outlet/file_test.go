// SPDX-License-Identifier: Apache-2.0

package outlet_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/outlet"
)

// numbered are credentials that tell each other apart, of lengths that differ.
func numbered(kind stile.Kind, i int) stile.Credential {
	text := fmt.Sprintf("%d.%s.%d", i, strings.Repeat("x", i%97*50), i)
	c := stile.Credential{Kind: kind, Expires: time.Now().Add(time.Hour), Token: stile.NewSecret(text)}
	if kind == stile.KindAWSSession {
		c.Token = stile.Secret{}
		c.Session = stile.Session{AccessKeyID: fmt.Sprint(i), SecretAccessKey: stile.NewSecret(text), SessionToken: stile.NewSecret(text)}
	}
	return c
}

// wholeToken checks what numbered made.
func wholeToken(text string) error {
	first, rest, ok := strings.Cut(text, ".")
	middle, last, more := strings.Cut(rest, ".")
	if !ok || !more || first != last || strings.Trim(middle, "x") != "" {
		return fmt.Errorf("%d bytes that are no token", len(text))
	}
	return nil
}

// longAgo has the files rest: others' files that are new are left alone for a while.
func longAgo(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
}

func settingIn(content []byte, profile, key string) string {
	_, section, _ := strings.Cut(string(content), "["+profile+"]\n")
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "[") {
			break
		}
		if k, v, ok := strings.Cut(line, " = "); ok && k == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func TestReadersSeeWholeFiles(t *testing.T) {
	t.Parallel()
	const others = "# mine\n[mine]\naws_access_key_id = AKIAMINE\n\n"
	for name, c := range map[string]struct {
		file  outlet.File
		kind  stile.Kind
		whole func([]byte) error
	}{
		"token": {outlet.File{}, stile.KindIDToken, func(b []byte) error { return wholeToken(string(b)) }},
		"JSON": {outlet.File{Form: outlet.FormJSON}, stile.KindAccessToken, func(b []byte) error {
			var v struct {
				Token string `json:"access_token"`
			}
			return errors.Join(json.Unmarshal(b, &v), wholeToken(v.Token))
		}},
		"profile": {outlet.File{Form: outlet.FormProfile, Profile: "p"}, stile.KindAWSSession, func(b []byte) error {
			if !bytes.HasPrefix(b, []byte(others)) {
				return errors.New("the other profile is not as it was")
			}
			secret, token := settingIn(b, "p", "aws_secret_access_key"), settingIn(b, "p", "aws_session_token")
			if secret != token {
				return errors.New("the parts of two sessions")
			}
			return wholeToken(token)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := c.file
			f.Path = filepath.Join(t.TempDir(), "file")
			if f.Form == outlet.FormProfile {
				if err := os.WriteFile(f.Path, []byte(others), 0o600); err != nil {
					t.Fatal(err)
				}
				longAgo(t, f.Path)
			}
			if err := f.Write(t.Context(), numbered(c.kind, 0)); err != nil {
				t.Fatal(err)
			}
			replacements := 50
			if f.Form == outlet.FormToken && !testing.Short() {
				replacements = 1000
			}
			end := make(chan struct{})
			var readers sync.WaitGroup
			for range 4 {
				readers.Go(func() {
					reads := 0
					for ; ; reads++ {
						select {
						case <-end:
							return
						default:
						}
						content, err := os.ReadFile(f.Path)
						if err == nil {
							err = c.whole(content)
						}
						if err != nil {
							t.Errorf("read %d: %v", reads, err)
							return
						}
					}
				})
			}
			for i := range replacements {
				if err := f.Write(t.Context(), numbered(c.kind, i+1)); err != nil {
					t.Error(err)
					break
				}
			}
			close(end)
			readers.Wait()
			alone(t, filepath.Dir(f.Path), "file")
		})
	}
}

// alone checks what is in a folder.
func alone(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("in the folder (-want +got):\n%s", diff)
	}
}

func TestForms(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		form outlet.Form
		cred stile.Credential
		want string
	}{
		"token":          {outlet.FormToken, accessToken, "ya29.token"},
		"line":           {outlet.FormLine, idToken, "eyJ.a.b\n"},
		"access token":   {outlet.FormJSON, accessToken, `{"access_token":"ya29.token","expires_at":1795316645}`},
		"ID token":       {outlet.FormJSON, idToken, `{"id_token":"eyJ.a.b","expires_at":1795316645}`},
		"session":        {outlet.FormJSON, session, `{"Version":1,"AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"secret/key+1","SessionToken":"session=token","Expiration":"2026-11-22T03:04:05Z","AccountId":"111122223333"}` + "\n"},
		"for executable": {outlet.FormExecutable, idToken, `{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:id_token","id_token":"eyJ.a.b","expiration_time":1795316645}` + "\n"},
		"profile": {outlet.FormProfile, session, "[default]\naws_access_key_id = ASIAEXAMPLE\naws_secret_access_key = secret/key+1\naws_session_token = session=token\naws_account_id = 111122223333\n" +
			"x_security_token_expires = 2026-11-22T03:04:05Z\nx_managed_by = stile\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := outlet.File{Path: filepath.Join(t.TempDir(), "made", "file"), Form: c.form}
			if err := f.Write(t.Context(), c.cred); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(f.Path)
			if err != nil || string(got) != c.want {
				t.Errorf("got %s, %v, want %s", got, err, c.want)
			}
			if form, err := outlet.ParseForm(c.form.String()); err != nil || form != c.form {
				t.Errorf("%s is read as %s, %v", c.form, form, err)
			}
			if err := f.Remove(t.Context(), c.cred); err != nil {
				t.Error(err)
			}
			if c.form != outlet.FormProfile {
				alone(t, filepath.Dir(f.Path))
			}
			if err := f.Remove(t.Context(), c.cred); err != nil {
				t.Errorf("to remove what is not there: %v", err)
			}
		})
	}
}

func TestFileMisused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file outlet.File
		cred stile.Credential
		want string
	}{
		"no path":              {outlet.File{}, idToken, "no path"},
		"parent":               {outlet.File{Path: "DIR/a/../b"}, idToken, ".. in the path"},
		"NUL":                  {outlet.File{Path: "DIR/a\x00"}, idToken, "NUL"},
		"folder's name":        {outlet.File{Path: "DIR/a/"}, idToken, "names a folder"},
		"folder":               {outlet.File{Path: "DIR"}, idToken, "is a folder"},
		"session as token":     {outlet.File{Path: "DIR/a"}, session, "holds no AWS session"},
		"token as profile":     {outlet.File{Path: "DIR/a", Form: outlet.FormProfile}, idToken, "holds an AWS session"},
		"access as executable": {outlet.File{Path: "DIR/a", Form: outlet.FormExecutable}, accessToken, "holds no access token"},
		"signed request":       {outlet.File{Path: "DIR/a", Form: outlet.FormExecutable, TokenType: stile.TokenTypeAWS4Request}, idToken, "saml2 alone"},
		"profile's name":       {outlet.File{Path: "DIR/a", Form: outlet.FormProfile, Profile: "a]b"}, session, "profile's name"},
		"Python's DEFAULT":     {outlet.File{Path: "DIR/a", Form: outlet.FormProfile, Profile: "DEFAULT"}, session, "profile's name"},
		"profile of a token":   {outlet.File{Path: "DIR/a", Profile: "p"}, idToken, "no profiles"},
		"unknown form":         {outlet.File{Path: "DIR/a", Form: 99}, idToken, "unknown form"},
		"others write":         {outlet.File{Path: "DIR/a", Mode: 0o666}, idToken, "could write"},
		"nobody reads":         {outlet.File{Path: "DIR/a", Mode: 0o040}, idToken, "owner must"},
		"set user id":          {outlet.File{Path: "DIR/a", Mode: os.ModeSetuid | 0o600}, idToken, "permissions alone"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			f := c.file
			f.Path = strings.Replace(f.Path, "DIR", dir, 1)
			err := f.Write(t.Context(), c.cred)
			if told, ok := errors.AsType[*stile.Error](err); !ok || !errors.Is(err, stile.ErrMisuse) || !strings.Contains(told.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			alone(t, dir)
		})
	}
}

func TestPutLeavesOthers(t *testing.T) {
	t.Parallel()
	f := outlet.File{Path: filepath.Join(t.TempDir(), "adc.json")}
	for _, content := range []string{"one", "one"} {
		if err := f.Put(t.Context(), []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Put(t.Context(), []byte("two")); !errors.Is(err, stile.ErrMisuse) {
		t.Errorf("got %v, want a refusal", err)
	}
	if got, err := os.ReadFile(f.Path); string(got) != "one" {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestRemoveLeavesOthers(t *testing.T) {
	t.Parallel()
	f := outlet.File{Path: filepath.Join(t.TempDir(), "token")}
	if err := f.Write(t.Context(), numbered(stile.KindIDToken, 1)); err != nil {
		t.Fatal(err)
	}
	if err := f.Remove(t.Context(), numbered(stile.KindIDToken, 2)); err != nil {
		t.Error(err)
	}
	alone(t, filepath.Dir(f.Path), "token")
	if err := f.Remove(t.Context(), stile.Credential{}); err != nil {
		t.Error(err)
	}
	alone(t, filepath.Dir(f.Path))
}

// What a killed process was about to put in place is a credential too.
func TestRemoveTakesWhatWasLeft(t *testing.T) {
	t.Parallel()
	for name, there := range map[string]bool{"beside the file": true, "alone": false} {
		for _, form := range []outlet.Form{outlet.FormToken, outlet.FormProfile} {
			dir := t.TempDir()
			f := outlet.File{Path: filepath.Join(dir, "file"), Form: form}
			cred := numbered(stile.KindIDToken, 1)
			var left []string
			if form == outlet.FormProfile {
				cred = numbered(stile.KindAWSSession, 1)
				left = []string{"file"} // without the profile
			}
			if there {
				if err := f.Write(t.Context(), cred); err != nil {
					t.Fatal(err)
				}
			} else {
				left = nil
			}
			if err := os.WriteFile(filepath.Join(dir, ".file.stile-new"), []byte("ey"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := f.Remove(t.Context(), cred); err != nil {
				t.Errorf("%s, %s: %v", name, form, err)
			}
			alone(t, dir, left...)
		}
	}
}

func TestLockIsWaitedFor(t *testing.T) {
	t.Parallel()
	f := outlet.File{Path: filepath.Join(t.TempDir(), "credentials"), Form: outlet.FormProfile, Profile: "p"}
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			f := f
			f.Profile = fmt.Sprint("p", i)
			if err := f.Write(t.Context(), numbered(stile.KindAWSSession, i)); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	content, err := os.ReadFile(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		if got := settingIn(content, fmt.Sprint("p", i), "aws_access_key_id"); got != fmt.Sprint(i) {
			t.Errorf("profile p%d has %q", i, got)
		}
	}
	alone(t, filepath.Dir(f.Path), "credentials")
}

func TestCancelledWriteChangesNothing(t *testing.T) {
	t.Parallel()
	f := outlet.File{Path: filepath.Join(t.TempDir(), "credentials"), Form: outlet.FormProfile}
	if err := os.WriteFile(f.Path, []byte("[a]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	longAgo(t, f.Path)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Write(ctx, session); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	alone(t, filepath.Dir(f.Path), "credentials")
}
