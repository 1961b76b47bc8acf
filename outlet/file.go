// SPDX-License-Identifier: Apache-2.0

package outlet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stile-project/stile"
)

// OwnerOnly is the mode of files that say no other.
const OwnerOnly fs.FileMode = 0o600

// A File is a place on disk for a credential. Readers see the old content or the new one, whole, and never anything
// else: it is replaced, not written over, so the folder must be writable too. Of a symbolic link, what it leads to is
// replaced.
//
// A path that others could lead elsewhere is refused with [stile.ErrMisuse]: one with .. in it; through a folder that
// everyone may write to, unless its sticky bit is set; and on Unix through a symbolic link that is neither this user's nor
// root's, or through what belongs to another user in a folder that a group may write to and is not theirs. Folders of other
// users are taken, so that root can write into their homes: what is replaced there is theirs.
type File struct {
	Path string // required
	Form Form   // zero: the token alone
	// Profile is the name in a file of [FormProfile], of letters, digits and _/.%@:+-. Empty: default.
	Profile string
	// TokenType is what a file of [FormExecutable] says of its token. Empty: [stile.TokenTypeIDToken].
	TokenType stile.TokenType

	// Mode is who may read the file. Zero: [OwnerOnly]. A file of profiles that is there already keeps its own mode,
	// less what a Mode here has not, and on Linux its access control list; with none here, one that others than owner and
	// group may read is refused.
	Mode fs.FileMode
	// Group owns the file: a name or a number. Empty: that of the file of profiles that is there, or else what the system
	// gives to a new file: the folder's in one with the set-group-id bit, and on BSD and macOS, or else the process's.
	Group string
	// InsecureFolder takes folders that everyone or a group may write to: a volume that only containers of one pod see, which
	// Kubernetes makes so. Of links in there it takes no others.
	InsecureFolder bool
}

// Check looks at the path and the group, and at a file of profiles for what [File.Write] would refuse. It writes nothing.
func (f File) Check() error {
	if err := f.plain(); err != nil {
		return err
	}
	if err := knownGroup(f.Group); err != nil {
		return f.fail("check the file", err)
	}
	p, err := f.place()
	if err != nil {
		return f.fail("check the file", err)
	}
	if f.Form == FormProfile {
		old, before, err := p.read()
		if err == nil {
			_, err = p.mode(f, before)
		}
		if err == nil {
			_, err = setProfile(old, f.profile(), nil)
		}
		if err != nil {
			return f.fail("check the file", err)
		}
	}
	return nil
}

// Write puts the credential into the file, making its folder (mode 0700) where only that is missing. What is there
// already is not written again. It waits at most 10 seconds for others who write the same file with this package, and a
// file of profiles that other programs have just written must have rested for one.
//
// On failure the file is as it was. The error is an [*stile.Error]: [stile.ErrMisuse] for what the user must mend,
// [stile.ErrTemporary] for what the disk may take later.
func (f File) Write(ctx context.Context, c stile.Credential) error {
	_, _, err := f.write(ctx, c, stile.Credential{}, true)
	return err
}

// A change is what writing changed.
type change struct {
	wrote   bool // the file held something else before, or nothing
	foreign bool // that was not what this process had written either
}

// write tells how the file looked afterwards, and what changed. before is what was written last, of kind 0 for nothing.
func (f File) write(ctx context.Context, c, before stile.Credential, makeFolder bool) (fs.FileInfo, change, error) {
	var news change
	renew, err := f.renewal(c, before, &news)
	if err != nil {
		return nil, change{}, err
	}
	info, err := f.replace(ctx, renew, makeFolder)
	if err != nil {
		return nil, change{}, f.fail("write the credential to", err)
	}
	return info, news, nil
}

// renewal is how the content comes from the old one, and tells the news whenever it is asked.
func (f File) renewal(c, before stile.Credential, news *change) (func(old []byte) ([]byte, error), error) {
	if err := f.plain(); err != nil {
		return nil, err
	}
	content, err := f.change(c)
	if err != nil {
		return nil, f.fail("write the credential to", err)
	}
	return func(old []byte) ([]byte, error) {
		fresh, err := content(old)
		news.wrote = err == nil && !bytes.Equal(old, fresh)
		news.foreign = news.wrote && before.Kind != 0 && len(old) > 0 && !f.holds(old, before)
		return fresh, err
	}, nil
}

// holds reports whether the content is what the credential is written as.
func (f File) holds(content []byte, c stile.Credential) bool {
	same, err := f.change(c)
	if err != nil {
		return false
	}
	again, err := same(content)
	return err == nil && bytes.Equal(again, content)
}

// change is how the content comes from the old one.
func (f File) change(c stile.Credential) (func(old []byte) ([]byte, error), error) {
	if f.Form == FormProfile {
		settings, err := profileSettings(c)
		return func(old []byte) ([]byte, error) { return setProfile(old, f.profile(), settings) }, err
	}
	content, err := f.Form.content(c, f.TokenType)
	return func([]byte) ([]byte, error) { return content, nil }, err
}

// Put writes what is no credential and does not change, such as the external_account file that names a token file.
// Where there is something else already it fails with [stile.ErrMisuse] and leaves that as it is.
func (f File) Put(ctx context.Context, content []byte) error {
	if err := f.plain(); err != nil {
		return err
	}
	_, err := f.replace(ctx, func(old []byte) ([]byte, error) {
		if len(old) > 0 && !bytes.Equal(old, content) {
			return nil, hinted{fmt.Errorf("%w: something else is there", stile.ErrMisuse), "remove the file, or name another"}
		}
		return content, nil
	}, true)
	if err != nil {
		return f.fail("write the file", err)
	}
	return nil
}

// Remove takes the credential away: the file, or of a file of profiles what was written into it. Where wrote is not
// the zero credential and something else is there by now, that stays. A file that is not there is no error.
func (f File) Remove(ctx context.Context, wrote stile.Credential) error {
	if err := f.plain(); err != nil {
		return err
	}
	if err := f.remove(ctx, wrote); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return f.fail("remove the credential from", err)
	}
	return nil
}

func (f File) remove(ctx context.Context, wrote stile.Credential) error {
	if f.Form == FormProfile {
		_, err := f.replace(ctx, func(old []byte) ([]byte, error) { return dropProfile(old, f.profile(), wrote.Session.AccessKeyID) }, false)
		return err
	}
	p, err := f.place()
	if err != nil {
		return err
	}
	unlock, err := lock(ctx, p)
	if err != nil {
		return err
	}
	defer unlock()
	_ = os.Remove(p.beside("new")) // with a credential in it, left by a process that was killed
	if wrote.Kind != 0 {
		old, _, err := p.read()
		if err != nil {
			return err
		}
		if content, err := f.Form.content(wrote, f.TokenType); err != nil || !bytes.Equal(old, content) {
			return err
		}
	}
	return p.remove()
}

func (f File) profile() string {
	if f.Profile == "" {
		return "default"
	}
	return f.Profile
}

// plain holds what was asked for to the rules that need no disk.
func (f File) plain() error {
	var why string
	switch {
	case f.Path == "":
		why = "no path"
	case strings.ContainsRune(f.Path, 0):
		why = "a NUL byte in the path"
	case f.Path != filepath.Clean(f.Path) && hasParent(f.Path), hasParent(filepath.Clean(f.Path)):
		why = ".. in the path, which may lead where nobody meant"
	case strings.HasSuffix(filepath.ToSlash(f.Path), "/"):
		why = "the path names a folder"
	case f.Form < 0 || int(f.Form) >= len(formNames):
		why = "an unknown form"
	case f.Form == FormProfile && !isProfileName(f.profile()):
		why = "the profile's name: want letters, digits and _/.%@:+-"
	case f.Form != FormProfile && f.Profile != "":
		why = "a profile's name, but the form has no profiles"
	case f.Form == FormExecutable && !isExecutableType(f.TokenType):
		why = "the token type: an executable source hands out jwt, id_token and saml2 alone"
	case f.Mode&^0o777 != 0:
		why = "the mode: want permissions alone"
	case f.Mode != 0 && f.Mode&0o400 == 0:
		why = "the mode: the owner must be able to read the file"
	case f.Mode&0o022 != 0:
		why = "the mode: others than the owner could write the file"
	default:
		return nil
	}
	return f.fail("check the file", fmt.Errorf("%w: %s", stile.ErrMisuse, why))
}

func hasParent(path string) bool {
	for element := range strings.SplitSeq(filepath.ToSlash(path), "/") {
		if element == ".." {
			return true
		}
	}
	return false
}

// hinted is an error that knows the repair.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// fail is of an operation that ends in the file: "check the file".
func (f File) fail(op string, err error) error {
	e := &stile.Error{Op: op + " " + f.Path, Err: err}
	if f.Form == FormProfile {
		e.Op += ", profile " + f.profile()
	}
	if h, ok := errors.AsType[hinted](err); ok {
		e.Hint = h.hint
	} else if f.homeless(err) {
		e.Hint = "mkdir -p " + filepath.Dir(f.Path)
	}
	if !errors.Is(err, stile.ErrMisuse) && !errors.Is(err, context.Canceled) {
		e.Err = fmt.Errorf("%w: %w", stile.ErrTemporary, err)
	}
	return e
}

// homeless reports whether err is that a folder on the way to the file is missing.
func (f File) homeless(err error) bool {
	missing, ok := errors.AsType[*fs.PathError](err)
	path, failed := filepath.Abs(f.Path)
	return ok && failed == nil && errors.Is(missing, fs.ErrNotExist) && strings.HasPrefix(path, missing.Path+string(filepath.Separator))
}

// dead tells of a credential that must not be written.
func dead(c stile.Credential, now time.Time) bool { return !now.Before(c.Expires) }
