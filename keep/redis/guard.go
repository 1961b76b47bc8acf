// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"errors"
	"net"
	"strconv"
	"syscall"

	"github.com/stile-project/stile/keep/shared"
)

const (
	longestValue  = shared.MaxValue + 1 // that one more tells what is too long
	mostElements  = 1 << 16             // a cluster's slots are the longest list
	longestHeader = 4 << 10             // as errors are, and all that is no counted string
)

// errUnbounded is not told: it is one of the answers that are none of such a server's.
var errUnbounded = errors.New("an answer says that it is longer than any can be")

// A guard follows what a server sends, and ends the connection before an answer that promises to be too long: go-redis
// takes memory for what the answer says of itself, and there is no telling it otherwise.
// The protocol is https://redis.io/docs/latest/develop/reference/protocol-spec/.
type guard struct {
	net.Conn
	state
}

// state is where in the stream of answers the guard stands.
type state struct {
	header []byte // of the answer that has begun, so far
	skip   int    // bytes of a counted string, with the line's end, that are still to come
	failed bool
}

// Read reads, and looks at what was read. One reader at a time, as go-redis does it.
func (g *guard) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if !g.follow(p[:n]) {
		_ = g.Close()
		return 0, errUnbounded
	}
	return n, err
}

// follow reports whether all that came so far is bounded.
func (s *state) follow(p []byte) bool {
	for len(p) > 0 && !s.failed {
		if s.skip > 0 {
			n := min(s.skip, len(p))
			s.skip, p = s.skip-n, p[n:]
			continue
		}
		s.header, p = append(s.header, p[0]), p[1:]
		if s.header[len(s.header)-1] == '\n' {
			s.failed = !s.begun()
			s.header = s.header[:0]
		} else if len(s.header) > longestHeader {
			s.failed = true
		}
	}
	return !s.failed
}

// begun looks at a header, and says whether what it announces is bounded.
func (s *state) begun() bool {
	var most int
	switch s.header[0] {
	case '$', '=', '!': // strings, verbatim strings and long errors
		most = longestValue
	case '*', '%', '~', '>', '|': // lists, maps, sets, what was not asked for, and attributes
		most = mostElements
	default:
		return true
	}
	n, err := strconv.Atoi(string(trimLine(s.header[1:])))
	if err != nil || n > most || n < -1 {
		return false
	}
	if most == longestValue && n >= 0 {
		s.skip = n + len("\r\n")
	}
	return true
}

func trimLine(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return b
}

// A bareGuard also lets go-redis look whether the server has closed an idle connection. Under TLS it cannot.
type bareGuard struct {
	*guard
	bare syscall.Conn
}

func (g bareGuard) SyscallConn() (syscall.RawConn, error) { return g.bare.SyscallConn() }

func guarded(conn net.Conn) net.Conn {
	g := &guard{Conn: conn}
	if bare, ok := conn.(syscall.Conn); ok {
		return bareGuard{g, bare}
	}
	return g
}
