// SPDX-License-Identifier: Apache-2.0

package fromoidc_test

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stile-project/stile"
	fromoidc "github.com/stile-project/stile/from/oidc"
)

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFileGivesItsToken(t *testing.T) {
	t.Parallel()
	good := token(nil)
	hour := noon.Add(time.Hour)
	cases := map[string]struct {
		content string
		file    fromoidc.File
		raw     string
		subject string
		expires time.Time
	}{
		"text":                       {good, fromoidc.File{}, good, "workload", hour},
		"trailing newline":           {good + "\n", fromoidc.File{}, good, "workload", hour},
		"white space all around":     {"\r\n\t " + good + " \r\n", fromoidc.File{}, good, "workload", hour},
		"JSON":                       {`{"token_type":"x","access_token":"` + good + `\n"}`, fromoidc.File{Field: "access_token"}, good, "workload", hour},
		"e-mail":                     {token(map[string]any{"email": "a@example.com"}), fromoidc.File{}, token(map[string]any{"email": "a@example.com"}), "a@example.com", hour},
		"one audience of several":    {token(map[string]any{"aud": []string{"x", audience}}), fromoidc.File{}, token(map[string]any{"aud": []string{"x", audience}}), "workload", hour},
		"Google's https spelling":    {token(map[string]any{"aud": "https:" + audience}), fromoidc.File{}, token(map[string]any{"aud": "https:" + audience}), "workload", hour},
		"an allowed audience":        {token(map[string]any{"aud": "api://x"}), fromoidc.File{Audience: "api://x"}, token(map[string]any{"aud": "api://x"}), "workload", hour},
		"any audience":               {token(map[string]any{"aud": "x"}), fromoidc.File{InsecureSkipAudience: true}, token(map[string]any{"aud": "x"}), "workload", hour},
		"opaque":                     {"hunter2\n", fromoidc.File{InsecureSkipAudience: true}, "hunter2", "", time.Time{}},
		"no expiry":                  {token(map[string]any{"exp": nil}), fromoidc.File{}, token(map[string]any{"exp": nil}), "workload", time.Time{}},
		"a second before it expires": {token(map[string]any{"exp": noon.Add(time.Second).Unix()}), fromoidc.File{}, token(map[string]any{"exp": noon.Add(time.Second).Unix()}), "workload", noon.Add(time.Second)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.file.Path, c.file.Clock = write(t, c.content), clock
			got, err := c.file.SubjectToken(t.Context(), audience)
			isToken(t, got, err, c.raw, c.subject, c.expires)
			if got.Type != stile.TokenTypeJWT {
				t.Errorf("type %q", got.Type)
			}
		})
	}
}

func TestFileSaysItsType(t *testing.T) {
	t.Parallel()
	file := &fromoidc.File{Path: write(t, token(nil)), Type: stile.TokenTypeIDToken, Clock: clock}
	if got, err := file.SubjectToken(t.Context(), audience); err != nil || got.Type != stile.TokenTypeIDToken {
		t.Errorf("got type %q, %v", got.Type, err)
	}
}

func TestFileRefuses(t *testing.T) {
	t.Parallel()
	secretJWT := token(map[string]any{"sub": "s3cr3t-subject"})
	payload := strings.Split(secretJWT, ".")[1]
	cases := map[string]struct {
		content string
		file    fromoidc.File
		kind    error
		words   string
	}{
		"empty":                 {"", fromoidc.File{}, stile.ErrNoIdentity, "the token is empty"},
		"white space only":      {" \n\t", fromoidc.File{}, stile.ErrNoIdentity, "the token is empty"},
		"not a token":           {"hunter2", fromoidc.File{}, stile.ErrNoIdentity, "InsecureSkipAudience"},
		"not UTF-8":             {"hunter2\xff\xfe", fromoidc.File{}, stile.ErrNoIdentity, "no JWT"},
		"not UTF-8, opaque":     {"hunter2\xff", fromoidc.File{InsecureSkipAudience: true}, stile.ErrNoIdentity, "no JWT"},
		"two words, opaque":     {"hunter2 twice", fromoidc.File{InsecureSkipAudience: true}, stile.ErrNoIdentity, "no JWT"},
		"byte order mark":       {"\xef\xbb\xbf" + secretJWT, fromoidc.File{}, stile.ErrNoIdentity, "byte order mark"},
		"UTF-16":                {"\xff\xfeh\x00u\x00", fromoidc.File{}, stile.ErrNoIdentity, "byte order mark"},
		"two lines":             {secretJWT + "\n" + secretJWT, fromoidc.File{}, stile.ErrNoIdentity, "no JWT"},
		"JSON unannounced":      {`{"access_token":"hunter2"}`, fromoidc.File{}, stile.ErrNoIdentity, "which member holds the token"},
		"not JSON":              {"hunter2", fromoidc.File{Field: "access_token"}, stile.ErrNoIdentity, "not a JSON object"},
		"JSON null":             {"null", fromoidc.File{Field: "access_token"}, stile.ErrNoIdentity, "not a JSON object"},
		"JSON without it":       {`{"id_token":"hunter2"}`, fromoidc.File{Field: "access_token"}, stile.ErrNoIdentity, `without "access_token"`},
		"JSON in another case":  {`{"Access_Token":"hunter2"}`, fromoidc.File{Field: "access_token"}, stile.ErrNoIdentity, `without "access_token"`},
		"JSON number":           {`{"access_token":1}`, fromoidc.File{Field: "access_token"}, stile.ErrNoIdentity, "not a JSON string"},
		"JSON null member":      {`{"access_token":null}`, fromoidc.File{Field: "access_token"}, stile.ErrNoIdentity, "not a JSON string"},
		"JSON empty member":     {`{"access_token":""}`, fromoidc.File{Field: "access_token"}, stile.ErrNoIdentity, "empty"},
		"too long":              {strings.Repeat("x", 1<<20), fromoidc.File{}, stile.ErrNoIdentity, "longer than"},
		"too long, opaque":      {strings.Repeat("x", 100<<10), fromoidc.File{InsecureSkipAudience: true}, stile.ErrNoIdentity, "longer than"},
		"another audience":      {token(map[string]any{"aud": "sts.amazonaws.com"}), fromoidc.File{}, stile.ErrMisuse, `made out to "sts.amazonaws.com", not to "` + audience},
		"many audiences":        {token(map[string]any{"aud": []string{"a", "b", "c", "d", "e"}}), fromoidc.File{}, stile.ErrMisuse, `"a", "b", "c", 2 more`},
		"no audience":           {token(map[string]any{"aud": nil}), fromoidc.File{}, stile.ErrMisuse, "made out to nobody"},
		"not what Audience is":  {token(nil), fromoidc.File{Audience: "api://x"}, stile.ErrMisuse, `not to "api://x"`},
		"expired":               {token(map[string]any{"exp": noon.Add(-time.Minute).Unix()}), fromoidc.File{}, stile.ErrTemporary, "1m0s ago"},
		"expires now":           {token(map[string]any{"exp": noon.Unix()}), fromoidc.File{}, stile.ErrTemporary, "0s ago"},
		"expired, any audience": {token(map[string]any{"exp": 1}), fromoidc.File{InsecureSkipAudience: true}, stile.ErrTemporary, "ago"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.file.Path, c.file.Clock = write(t, c.content), clock
			_, err := c.file.SubjectToken(t.Context(), audience)
			isRefusal(t, err, c.kind, c.words, payload)
			if !strings.Contains(err.Error(), c.file.Path) {
				t.Errorf("the error does not name the file: %v", err)
			}
		})
	}
}

func TestFileThatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	loop, below := filepath.Join(dir, "loop"), filepath.Join(write(t, "x"), "below")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct{ path, words string }{
		"none":            {filepath.Join(dir, "none"), "there is none"},
		"a directory":     {dir, "it is a directory"},
		"a loop of links": {loop, "too many"},
		"below a file":    {below, "not a directory"},
		"a device":        {os.DevNull, "no regular file"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := (&fromoidc.File{Path: c.path}).SubjectToken(t.Context(), audience)
			isRefusal(t, err, stile.ErrNoIdentity, c.words)
			if strings.Count(err.Error(), c.path) != 1 {
				t.Errorf("want the path once: %v", err)
			}
		})
	}
}

func TestFileMisused(t *testing.T) {
	t.Parallel()
	_, err := (&fromoidc.File{}).SubjectToken(t.Context(), audience)
	isRefusal(t, err, stile.ErrMisuse, "no path")
	_, err = (&fromoidc.File{Path: "x"}).SubjectToken(t.Context(), "")
	isRefusal(t, err, stile.ErrMisuse, "no audience")
}

func TestFileIsReadEachTime(t *testing.T) {
	t.Parallel()
	path := write(t, token(nil))
	file := &fromoidc.File{Path: path, Clock: clock}
	if _, err := file.SubjectToken(t.Context(), audience); err != nil {
		t.Fatal(err)
	}
	next := token(map[string]any{"sub": "next"})
	if err := os.WriteFile(path, []byte(next), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := file.SubjectToken(t.Context(), audience)
	isToken(t, got, err, next, "next", noon.Add(time.Hour))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err = file.SubjectToken(t.Context(), audience)
	isRefusal(t, err, stile.ErrNoIdentity, "there is none")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v does not show what the system said", err)
	}
}

// A writer replaces the file as the kubelet does, by renaming; every reader sees one whole version.
func TestFileReplacedWhileRead(t *testing.T) {
	t.Parallel()
	path := write(t, token(map[string]any{"sub": "0"}))
	file := &fromoidc.File{Path: path, Clock: clock}
	written := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		defer close(written)
		for i := range 60 {
			// Long enough for several reads, and of a different length each time.
			filler := strings.Repeat(string(rune('a'+i%26)), 8000+i*10)
			content := token(map[string]any{"sub": strconv.Itoa(i), "filler": filler})
			if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
				t.Error(err)
				return
			}
			if err := os.Rename(path+".new", path); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 4 {
		all.Go(func() {
			for last := -1; ; {
				got, err := file.SubjectToken(t.Context(), audience)
				if err != nil {
					t.Errorf("a version that is no token: %v", err)
					return
				}
				n, err := strconv.Atoi(got.Subject)
				if err != nil || n < last || mixed(got.Value.Reveal()) {
					t.Errorf("version %q came after %d, or is a mix", got.Subject, last)
					return
				}
				last = n
				select {
				case <-written:
					return
				default:
				}
			}
		})
	}
	all.Wait()
}

// mixed reports whether the token's filler is of two versions.
func mixed(raw string) bool {
	claims, err := base64.RawURLEncoding.DecodeString(strings.Split(raw, ".")[1])
	if err != nil {
		return true
	}
	_, filler, ok := strings.Cut(string(claims), `"filler":"`)
	if !ok {
		return false // the first version has none
	}
	filler, _, _ = strings.Cut(filler, `"`)
	return strings.Trim(filler, filler[:1]) != ""
}

func TestFileKeys(t *testing.T) {
	t.Parallel()
	a, b := write(t, `{"f":"x","g":"x"}`), write(t, `{"f":"x","g":"x"}`)
	files := map[string]*fromoidc.File{
		"path": {Path: a}, "other path": {Path: b}, "field": {Path: a, Field: "f"}, "type": {Path: a, Type: stile.TokenTypeIDToken},
		"audience": {Path: a, Audience: "a"}, "any audience": {Path: a, InsecureSkipAudience: true},
	}
	distinct(t, files)
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if (&fromoidc.File{Path: "file_test.go"}).CacheKey() != (&fromoidc.File{Path: filepath.Join(wd, "file_test.go")}).CacheKey() {
		t.Error("one file has two keys")
	}
}

// distinct fails unless every source has a key of its own, the same each time.
func distinct[S stile.Keyed](t *testing.T, sources map[string]S) {
	t.Helper()
	seen := map[stile.Key]string{}
	for name, s := range sources {
		key := s.CacheKey()
		if key.IsZero() || key != s.CacheKey() {
			t.Errorf("%s: no key that stays", name)
		}
		if other, ok := seen[key]; ok {
			t.Errorf("%s and %s share a key", name, other)
		}
		seen[key] = name
	}
}
