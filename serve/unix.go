// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/stile-project/stile"
)

// errElsewhere is what keeps a second server from a socket.
var errElsewhere = errors.New("another program answers on this socket")

// openUnix opens w's socket. One that nobody answers on was left by a program that died, and is replaced.
func (l *listener) openUnix(ctx context.Context, w site) error {
	path := w.addr.path
	fail := func(hint string, err error) error {
		return &stile.Error{Op: "listen on " + w.addr.text + " for " + w.Name, Hint: hint, Err: err}
	}
	folder, err := os.Stat(filepath.Dir(path))
	switch {
	case err != nil:
		return fail("make the folder first, for the user that runs this", err)
	case !folder.IsDir():
		return fail("choose another path", fmt.Errorf("%s is no folder", filepath.Dir(path)))
	case folder.Mode().Perm()&0o002 != 0 && folder.Mode()&fs.ModeSticky == 0:
		return fail("chmod o-w "+filepath.Dir(path), fmt.Errorf("everyone may write to %s, and could put a socket of their own in this one's place", filepath.Dir(path)))
	}
	// Two servers that start at once would each take the other's new socket for a dead one.
	unlock, err := lockFolder(ctx, filepath.Dir(path))
	if err != nil {
		return fail("see who holds a lock on the folder: fuser "+filepath.Dir(path), err)
	}
	defer unlock()
	if hint, err := clearPath(ctx, path); err != nil {
		return fail(hint, err)
	}
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error { return setMode(raw, uint32(w.Mode)) }}
	socket, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return fail("check who may write to "+filepath.Dir(path), err)
	}
	if u, ok := socket.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // by then another server's socket may have the path
	}
	l.sockets = []net.Listener{socket}
	l.forget = forgetter(path)
	if err := os.Chmod(path, w.Mode); err != nil {
		l.abandon()
		return fail("choose a folder whose files have permissions", err)
	}
	return nil
}

// clearPath makes sure that nothing is at path.
func clearPath(ctx context.Context, path string) (hint string, err error) {
	there, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "check who may read " + filepath.Dir(path), err
	case there.Mode()&fs.ModeSymlink != 0:
		return "name the socket's own path", fmt.Errorf("%s is a symbolic link, and is not followed", path)
	case there.Mode()&fs.ModeSocket == 0:
		return "choose another path, or remove what is there", fmt.Errorf("%s is no socket", path)
	}
	const wait = time.Second
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	other, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err == nil {
		_ = other.Close()
		return "end the other one, or give this listener another path", fmt.Errorf("%w: another serve is running there", errElsewhere)
	}
	// Anything but a refusal comes from a living program: too busy to take us in, or another user's.
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return "end the other program, or give this listener another path", fmt.Errorf("%s is a socket, and it cannot be told that nobody uses it: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "remove it: a program that died left it", err
	}
	return "", nil
}

// forgetter removes path, if what is there is what was put there now.
func forgetter(path string) func() {
	ours, err := os.Lstat(path)
	return func() {
		if there, now := os.Lstat(path); err == nil && now == nil && os.SameFile(ours, there) {
			_ = os.Remove(path) // the next server takes it for a dead one's
		}
	}
}
