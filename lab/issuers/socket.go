// SPDX-License-Identifier: Apache-2.0

package issuers

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// A Socket is a Workload API on a Unix socket.
type Socket struct {
	path   string
	server *http.Server
	done   chan struct{}
}

// Listen puts the Workload API on a Unix socket at path, which must not exist.
func (a *Agent) Listen(path string) (*Socket, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for workloads: %w", err)
	}
	protocols := &http.Protocols{}
	protocols.SetUnencryptedHTTP2(true)
	s := &Socket{path: path, done: make(chan struct{}), server: &http.Server{Handler: a, Protocols: protocols,
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}}
	go func() {
		defer close(s.done)
		_ = s.server.Serve(l)
	}()
	return s, nil
}

// Variables are what a workload finds that is to use this socket.
// Source: SPIFFE Workload Endpoint, section 4.
func (s *Socket) Variables() Variables {
	return Variables{"SPIFFE_ENDPOINT_SOCKET": "unix://" + s.path}
}

// Close ends every connection, waits for the server to end and removes the socket.
func (s *Socket) Close() {
	_ = s.server.Close()
	<-s.done
}
