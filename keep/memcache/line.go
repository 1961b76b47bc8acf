// SPDX-License-Identifier: Apache-2.0

package memcache

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/keep/shared"
)

// The answers that are no failure (doc/protocol.txt, "Storage commands").
const (
	stored    = "STORED"
	notStored = "NOT_STORED"
	exists    = "EXISTS"
	notFound  = "NOT_FOUND"
)

// item is what stands under a name.
type item struct {
	value []byte
	cas   uint64 // changes with every change
	found bool
}

// refused is a server's own word that it did not do its work.
type refused struct{ why string }

func (r refused) Error() string { return r.why }

// errTooLong: what stands under a name is none of ours.
var errTooLong = errors.New("longer than anything that was put there")

// refusal tells what the server said of itself, in our words: it may have echoed what it was sent.
func refusal(op, engine string, err error) error {
	var r refused
	switch {
	case errors.Is(err, errTooLong):
		return &stile.Error{Op: op, Cloud: engine, Err: fmt.Errorf("%w: %w", keep.ErrAbsent, err)}
	case errors.As(err, &r):
		return &stile.Error{Op: op, Cloud: engine, Err: fmt.Errorf("%w: %w", stile.ErrTemporary, r)}
	}
	return nil
}

// words are what servers say of themselves, and are repeated. (memcached.c, proto_text.c)
var words = []string{"out of memory", "object too large for cache", "too many open connections"}

// said makes an error of an answer that is none of the wanted ones.
func said(answer string) error {
	kind, text, _ := strings.Cut(answer, " ")
	switch kind {
	case "SERVER_ERROR", "CLIENT_ERROR", "ERROR":
		for _, w := range words {
			if strings.HasPrefix(text, w) {
				return refused{kind + ": " + w}
			}
		}
		return refused{kind}
	}
	return errors.New("an answer of no known kind")
}

// A line is one connection.
type line struct {
	conn net.Conn
	in   *bufio.Reader
	out  *bufio.Writer
	kept time.Time // when it was last put aside
}

// get asks for what stands under name.
func (l *line) get(name string) (item, error) {
	_, _ = fmt.Fprintf(l.out, "gets %s\r\n", name) // Flush tells
	if err := l.out.Flush(); err != nil {
		return item{}, err
	}
	return readItem(l.in, name)
}

// readItem reads VALUE NAME FLAGS BYTES CAS, that many bytes and END; or END alone.
func readItem(in *bufio.Reader, name string) (item, error) {
	answer, err := readAnswer(in)
	if err != nil || answer == "END" {
		return item{}, err
	}
	part := strings.Split(answer, " ")
	if len(part) != 5 || part[0] != "VALUE" || part[1] != name {
		return item{}, said(answer)
	}
	n, err := strconv.ParseUint(part[3], 10, 32)
	if err != nil {
		return item{}, said(answer)
	}
	cas, err := strconv.ParseUint(part[4], 10, 64)
	if err != nil {
		return item{}, said(answer)
	}
	if n > shared.MaxValue {
		return item{}, errTooLong
	}
	const after = "\r\nEND\r\n"
	value := make([]byte, int(n)+len(after))
	if _, err := io.ReadFull(in, value); err != nil {
		return item{}, err
	}
	value, ended := bytes.CutSuffix(value, []byte(after))
	if !ended {
		return item{}, said("")
	}
	return item{value: value, cas: cas, found: true}, nil
}

// store puts a value under a name by one of the storage commands, and returns which of the wanted answers came.
// cas is for the command of that name. Expiry is in seconds from now; what is negative ends at once.
func (l *line) store(command, name string, value []byte, expiry int64, cas uint64, want ...string) (string, error) {
	_, _ = fmt.Fprintf(l.out, "%s %s 0 %d %d", command, name, expiry, len(value))
	if command == "cas" {
		_, _ = fmt.Fprintf(l.out, " %d", cas)
	}
	_, _ = l.out.WriteString("\r\n")
	_, _ = l.out.Write(value)
	_, _ = l.out.WriteString("\r\n")
	if err := l.out.Flush(); err != nil { // also what failed before it
		return "", err
	}
	answer, err := readAnswer(l.in)
	if err == nil && !slices.Contains(want, answer) {
		return "", said(answer)
	}
	return answer, err
}

// readAnswer reads one line of at most the reader's buffer.
func readAnswer(in *bufio.Reader) (string, error) {
	text, err := in.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	answer, ended := bytes.CutSuffix(text, []byte("\r\n"))
	if !ended {
		return "", said("")
	}
	return string(answer), nil
}

const (
	idleLines = 2
	// idleTime is how long a connection is put aside for: long enough for the calls of one exchange, and too short for
	// servers and firewalls that drop idle connections.
	idleTime = 5 * time.Second
	// longestCall bounds a call whose context does not, counted as keep.Patience does.
	longestCall = 5 * time.Second
)

// lines are the connections to all servers.
type lines struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu     sync.Mutex
	idle   map[string][]*line
	closed bool
	using  sync.WaitGroup
}

// with lends a connection for work, until ctx ends. One on which work failed is closed: nobody knows what is still to
// come on it.
func (ls *lines) with(ctx context.Context, address string, work func(*line) error) error {
	ctx, cancel := keep.Patience(ctx, longestCall)
	defer cancel()
	l, err := ls.borrow(ctx, address)
	if err != nil {
		return err
	}
	defer ls.using.Done()
	deadline, _ := ctx.Deadline() // none: the connection has none either, until ctx ends
	err = l.conn.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { _ = l.conn.SetDeadline(time.Unix(1, 0)) })
	if err == nil {
		err = work(l)
	}
	// Once it has begun, what the end of ctx does to the connection may come at any time.
	if !stop() || err != nil || l.in.Buffered() > 0 || !ls.put(address, l) {
		_ = l.conn.Close()
	}
	return err
}

// borrow gives a connection that was put aside a moment ago, or a new one. Where it fails, nothing is in use.
func (ls *lines) borrow(ctx context.Context, address string) (*line, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l, err := ls.take(address)
	if l != nil || err != nil {
		return l, err
	}
	conn, err := ls.dial(ctx, "tcp", address)
	if err != nil {
		ls.using.Done()
		return nil, err
	}
	return &line{conn: conn, in: bufio.NewReader(conn), out: bufio.NewWriter(conn)}, nil
}

// take gives what was put aside, if anything, and counts one in use where it does not fail.
func (ls *lines) take(address string) (*line, error) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
		return nil, net.ErrClosed
	}
	ls.using.Add(1)
	for n := len(ls.idle[address]); n > 0; n = len(ls.idle[address]) {
		l := ls.idle[address][n-1]
		ls.idle[address] = ls.idle[address][:n-1]
		if time.Since(l.kept) < idleTime {
			return l, nil
		}
		_ = l.conn.Close()
	}
	return nil, nil
}

// put reports whether the connection was put aside.
func (ls *lines) put(address string, l *line) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed || len(ls.idle[address]) >= idleLines {
		return false
	}
	l.kept = time.Now()
	ls.idle[address] = append(ls.idle[address], l)
	return true
}

// close closes what is put aside, has nothing more put aside or lent, and waits for what is lent.
func (ls *lines) close() {
	ls.mu.Lock()
	ls.closed = true
	for _, all := range ls.idle {
		for _, l := range all {
			_ = l.conn.Close()
		}
	}
	ls.idle = nil
	ls.mu.Unlock()
	ls.using.Wait()
}
