// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
)

// A Place is what a workload finds at the link-local addresses of the machine it runs on.
type Place struct {
	Metadata  http.Handler // 169.254.169.254 and metadata.google.internal: IMDS on AWS, the metadata server on Google Cloud
	Container http.Handler // 169.254.170.2: credentials and task metadata of ECS
	Agent     http.Handler // 169.254.170.23: credentials of EKS Pod Identity
}

// linkLocal are the names and addresses that a place answers for, over plain http.
var linkLocal = []string{"169.254.169.254", "metadata.google.internal", "169.254.170.2", "169.254.170.23"}

func (p *Place) handler(host string) (http.Handler, bool) {
	if p == nil {
		return nil, false
	}
	var h http.Handler
	switch host {
	case "169.254.169.254", "metadata.google.internal":
		h = p.Metadata
	case "169.254.170.2":
		h = p.Container
	case "169.254.170.23":
		h = p.Agent
	}
	return h, h != nil
}

// Network is the world's network as a workload at that place sees it, with no socket. A nil place has no link-local
// addresses. Names that neither cloud has do not resolve: nothing leaves the world.
func (w *World) Network(p *Place) http.RoundTripper { return network{w, p} }

type network struct {
	world *World
	place *Place
}

func (n network) RoundTrip(req *http.Request) (*http.Response, error) {
	host := req.URL.Hostname()
	h, ok := n.place.handler(host)
	if ok && req.URL.Scheme != "http" {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	}
	if !ok {
		if h, ok = n.world.handler(host); !ok {
			return nil, &net.DNSError{Err: "no such host in the lab", Name: host, IsNotFound: true}
		}
		if req.URL.Scheme != "https" {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused: the clouds answer https only")}
		}
	}
	return exchange(req, h)
}

// exchange lets h answer req as a server would have received it. The handler runs aside, so that a client's deadline
// holds against a handler that takes its time.
func exchange(req *http.Request, h http.Handler) (*http.Response, error) {
	received := asReceived(req)
	answer := httptest.NewRecorder()
	answer.Body.Grow(512)
	done := make(chan error, 1)
	go func() {
		done <- func() (err error) {
			defer func() {
				if p := recover(); p != nil {
					if p != http.ErrAbortHandler { //nolint:errorlint // what net/http panics with, compared as it does
						panic(p)
					}
					err = io.ErrUnexpectedEOF
				}
			}()
			h.ServeHTTP(answer, received)
			return nil
		}()
	}()
	select {
	case <-req.Context().Done():
		return nil, req.Context().Err()
	case err := <-done:
		if err != nil {
			return nil, err
		}
	}
	res := answer.Result()
	res.Request = req
	return res, nil
}

func asReceived(req *http.Request) *http.Request {
	received := req.Clone(req.Context())
	if received.Method == "" {
		received.Method = http.MethodGet // as net/http's own transport reads it
	}
	received.URL = &url.URL{Path: req.URL.Path, RawPath: req.URL.RawPath, RawQuery: req.URL.RawQuery}
	if received.URL.Path == "" {
		received.URL.Path = "/"
	}
	received.RequestURI = received.URL.RequestURI()
	received.RemoteAddr = "127.0.0.1:1"
	received.Host = req.Host
	if received.Host == "" {
		received.Host = req.URL.Host
	}
	if received.Body == nil {
		received.Body = http.NoBody
	}
	if req.URL.Scheme == "https" {
		received.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: req.URL.Hostname()}
	}
	return received
}
