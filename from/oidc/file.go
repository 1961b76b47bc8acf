// SPDX-License-Identifier: Apache-2.0

package fromoidc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/stile-project/stile"
)

// maxContent is the longest file or answer that a token is looked for in, in bytes.
const maxContent = 256 << 10

// File is a [stile.Source] that reads a token from a file, anew for each exchange: whatever writes the file may replace
// it at any time. It cannot choose the audience, so it checks it. White space around the token is dropped.
// Source: AIP-4117, file-sourced credentials.
type File struct {
	// Path is the file's. Required.
	Path string
	// Field is the member of a JSON object that holds the token. Empty: the whole file is the token.
	Field string
	// Type is what the token is presented as. Empty: [stile.TokenTypeJWT].
	Type stile.TokenType
	// Audience is whom the token is made out to, where that is another name than the target's own. Empty: the target's.
	Audience string
	// InsecureSkipAudience takes a token whatever it is made out to, and one that is no JWT. The far side still checks.
	InsecureSkipAudience bool
	// Clock tells whether the token is still good. Nil: time.Now.
	Clock func() time.Time
}

// CacheKey covers the path, the claims of the token that is there less those that change when it is renewed (all of it
// where it is no JWT), and how it is read and presented. Two pods find different tokens under one path. Without a token
// it is the zero Key.
func (f *File) CacheKey() stile.Key {
	path, err := filepath.Abs(f.Path)
	if err != nil {
		return stile.Key{}
	}
	content, err := readFile(path)
	if err != nil {
		return stile.Key{}
	}
	token, ok := stableIn(content, f.Field)
	if !ok {
		return stile.Key{}
	}
	return stile.NewKey("from/oidc file", path, token, f.Field, string(f.Type), f.Audience, strconv.FormatBool(f.InsecureSkipAudience))
}

// SubjectToken reads the file and checks that its token is for audience.
func (f *File) SubjectToken(_ context.Context, audience string) (stile.SubjectToken, error) {
	return f.subjectToken(audience, "have the token issued for that audience, or say as the source's audience what the far side allows")
}

func (f *File) subjectToken(audience, hint string) (stile.SubjectToken, error) {
	p := proof{op: "read the token file", from: "the file " + f.Path, audience: cmp.Or(f.Audience, audience), skip: f.InsecureSkipAudience,
		typ: f.Type, now: now(f.Clock), kinds: found, hint: hint}
	switch {
	case f.Path == "":
		return stile.SubjectToken{}, &stile.Error{Op: p.op, Err: fmt.Errorf("%w: no path", stile.ErrMisuse), Hint: "name the file that holds the token"}
	case p.audience == "":
		return stile.SubjectToken{}, noAudience(p.op)
	}
	content, err := readFile(f.Path)
	if err != nil {
		return stile.SubjectToken{}, p.fail(stile.ErrNoIdentity, "name the file that holds the token, readable for this process", err)
	}
	raw, err := member(content, f.Field)
	if err != nil {
		return stile.SubjectToken{}, p.fail(stile.ErrNoIdentity, "", err)
	}
	return p.subjectToken(raw)
}

// readFile reads one version of a small file. Its errors name no path and quote nothing.
func readFile(path string) ([]byte, error) {
	// A pipe without a writer would be waited for without end, and could be read only once.
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, plain(err)
	case info.IsDir():
		return nil, errors.New("it is a directory")
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no regular file")
	}
	// One open file is one version: to replace the name leaves it as it was.
	file, err := os.Open(path)
	if err != nil {
		return nil, plain(err)
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxContent+1))
	if err != nil {
		return nil, plain(err)
	}
	if len(content) > maxContent {
		return nil, fmt.Errorf("it is longer than %d bytes", maxContent)
	}
	return content, nil
}

// plain says why a file could not be read, without repeating its path. fs.ErrNotExist shows through.
func plain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is none: %w", fs.ErrNotExist)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("this process may not read it: %w", fs.ErrPermission)
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	return err
}
