// SPDX-License-Identifier: Apache-2.0

package ecs

import (
	"crypto/subtle"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stile-project/stile"
)

// maxToken is the most bytes that a bearer token may have.
const maxToken = 8 << 10

// settled is how long a file must have been left alone for its size and times to tell whether it changed: two writes
// within one tick of the file system's clock look like one.
const settled = 2 * time.Second

// trusted is how long the token that was right is taken again before the file is looked at, which costs more than all
// the rest of an answer. Another token has the file looked at right away.
const trusted = 100 * time.Millisecond

const (
	// lookPatience is how long a request waits for the file: SDKs wait a second or two for an answer. A file system on a
	// network may never answer, and nothing ends the call, which holds a thread.
	lookPatience = time.Second
	// looksAtOnce is how many calls may do so.
	looksAtOnce = 4
)

// A bearer knows the token that callers present, given or in a file.
type bearer struct {
	value string
	file  string
	clock func() time.Time
	stat  func(string) (os.FileInfo, error)
	looks chan struct{} // those under way
	last  atomic.Pointer[reading]
	look  atomic.Int64 // when the file was last seen to hold what was read last, in nanoseconds since 1970
}

// A reading is what the file was when it was read.
type reading struct {
	info  os.FileInfo
	at    time.Time
	value string
}

func newBearer(o Options) (*bearer, error) {
	b := &bearer{value: o.Token.Reveal(), file: o.TokenFile, clock: o.Clock, stat: os.Stat, looks: make(chan struct{}, looksAtOnce)}
	switch {
	case b.value == "" && b.file == "":
		return nil, misuse("give a token or a file that holds one", "the endpoint has no bearer token")
	case b.value != "" && b.file != "":
		return nil, misuse("give one of the two", "the endpoint has a bearer token and a file for one")
	case b.value != "":
		return b, wellFormed(b.value)
	}
	return b, nil
}

// admits reports whether the request presents the token. It fails where the token cannot be known.
func (b *bearer) admits(r *http.Request) (bool, error) {
	got := r.Header["Authorization"]
	if last := b.last.Load(); last != nil && same(got, last.value) {
		if since := b.clock().UnixNano() - b.look.Load(); since >= 0 && since < int64(trusted) {
			return true, nil
		}
	}
	want, err := b.current()
	if err != nil {
		return false, err
	}
	return same(got, want), nil
}

func same(got []string, want string) bool {
	return len(got) == 1 && want != "" && subtle.ConstantTimeCompare([]byte(got[0]), []byte(want)) == 1
}

var errHangs = fmt.Errorf("the file system does not answer within %s", lookPatience)

// current is the token as of now. The file is looked at, and read whenever it is not surely the one that was read last.
// Where that takes too long, nobody is let in: the token may be another by now.
func (b *bearer) current() (string, error) {
	if b.file == "" {
		return b.value, nil
	}
	type answer struct {
		reading *reading
		err     error
	}
	timer := time.NewTimer(lookPatience)
	defer timer.Stop()
	select {
	case b.looks <- struct{}{}:
	case <-timer.C:
		return "", b.unreadable(errHangs)
	}
	answered, at := make(chan answer, 1), b.clock()
	go func() {
		now, err := b.lookAt(at)
		<-b.looks
		answered <- answer{now, err}
	}()
	var got answer
	select {
	case got = <-answered:
	case <-timer.C: // what comes yet is not taken: others may have looked since
		got.err = errHangs
	}
	if got.err != nil {
		return "", b.unreadable(got.err)
	}
	b.last.Store(got.reading)
	b.look.Store(at.UnixNano())
	return got.reading.value, nil
}

// lookAt gives what was read last if it is surely still so.
func (b *bearer) lookAt(at time.Time) (*reading, error) {
	info, err := b.stat(b.file)
	if err != nil {
		return nil, err
	}
	if last := b.last.Load(); last != nil && last.stillIs(info) {
		return last, nil
	}
	return b.read(at)
}

func (l *reading) stillIs(info os.FileInfo) bool {
	return os.SameFile(l.info, info) && l.info.Size() == info.Size() && l.info.ModTime().Equal(info.ModTime()) &&
		l.info.ModTime().Add(settled).Before(l.at)
}

func (b *bearer) read(at time.Time) (*reading, error) {
	f, err := OpenTokenFile(b.file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxToken+3)) // one too many, with a line break
	if err != nil {
		return nil, err
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	return &reading{info, at, value}, wellFormed(value)
}

func (b *bearer) unreadable(err error) error {
	return &stile.Error{Op: "read the bearer token from " + b.file, Hint: "nobody is let in until the file holds a token",
		Err: fmt.Errorf("%w: %w", stile.ErrTemporary, err)}
}

// wellFormed wants what an HTTP header can carry unchanged, and what SDKs agree to send: none sends a line break.
func wellFormed(token string) error {
	const hint = "make the token one line of printable ASCII"
	switch {
	case token == "":
		return misuse(hint, "the bearer token is empty")
	case len(token) > maxToken:
		return misuse(hint, fmt.Sprintf("the bearer token has more than %d bytes", maxToken))
	case token != strings.Trim(token, " "):
		return misuse(hint, "the bearer token begins or ends with a space")
	case strings.ContainsFunc(token, func(c rune) bool { return c < ' ' || c > '~' }):
		return misuse(hint, "the bearer token has characters that a header cannot carry")
	}
	return nil
}

func misuse(hint, what string) error {
	return &stile.Error{Op: "serve container credentials", Hint: hint, Err: fmt.Errorf("%w: %s", stile.ErrMisuse, what)}
}
