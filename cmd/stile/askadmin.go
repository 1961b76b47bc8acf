// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/stile-project/stile"
)

const askingServe = "ask stile serve"

// An adminPlace is where a running serve answers for itself.
type adminPlace struct {
	address     string // HOST:PORT or unix:/PATH
	secure      bool   // TLS is spoken there
	certificate string // of serve, where the configuration names it: then this one is trusted, and no name counts
	program     *program
}

// ask gets what is at a path. One that is not there is told apart from one that does not get round to answering.
func (a adminPlace) ask(ctx context.Context, path string) (code int, body []byte, err error) {
	network, host := "unix", "localhost"
	address, isSocket := strings.CutPrefix(a.address, "unix:")
	if !isSocket {
		name, port, err := net.SplitHostPort(a.address)
		if err != nil || port == "0" {
			return 0, nil, misuse(askingServe, "its admin address is %.100q, and nobody can tell where that is: want HOST:PORT or unix:/PATH", a.address)
		}
		network, address = "tcp", reachable(name, port)
		host = address
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	scheme := "http://"
	var connected atomic.Bool
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		connected.Store(err == nil)
		return conn, err
	}}
	if a.secure {
		scheme = "https://"
		if transport.TLSClientConfig, err = a.tls(); err != nil {
			return 0, nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+host+path, nil)
	if err != nil {
		return 0, nil, misuse(askingServe, "%w", err)
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return 0, nil, a.unanswered(err, connected.Load())
	}
	defer func() { _ = res.Body.Close() }()
	const most = 64 << 20 // bytes
	if body, err = io.ReadAll(io.LimitReader(res.Body, most)); err != nil {
		return 0, nil, a.unanswered(err, true)
	}
	return res.StatusCode, body, nil
}

// unanswered says what that means for whoever asked.
func (a adminPlace) unanswered(err error, connected bool) error {
	e := &stile.Error{Op: askingServe + " at " + a.address, Err: fmt.Errorf("%w: %w", stile.ErrTemporary, err), Hint: "is it running? stile serve"}
	var slow net.Error
	switch late := errors.Is(err, context.DeadlineExceeded) || errors.As(err, &slow) && slow.Timeout(); {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, fs.ErrPermission):
		e.Hint = "the socket is for the user who runs stile serve"
	case connected && late:
		e.Err = fmt.Errorf("%w: it is running, but did not answer in time: %w", stile.ErrTemporary, err)
		e.Hint = "it has much to do, as while ten thousand crossings are fetched: give it longer with --timeout"
	case connected:
		e.Hint = "something listens there, and does not answer as stile serve does: is the address right, and does it speak TLS? --admin https://HOST:PORT"
	}
	return e
}

// tls trusts whom the user trusts; or, where the configuration says which certificate serve has, that one, under the name
// that it is for: this asks on the same machine, at an address that the certificate need not know.
func (a adminPlace) tls() (*tls.Config, error) {
	more, err := a.program.moreCAs()
	if err != nil {
		return nil, err
	}
	c := &tls.Config{RootCAs: withSystem(more), MinVersion: tls.VersionTLS12}
	if a.certificate == "" {
		return c, nil
	}
	home, _ := os.UserHomeDir() // without one, no path may begin with ~/
	leaf := readLeaf(a.certificate, home)
	if leaf == nil { // whoever may not read it goes by name and authority
		return c, nil
	}
	c.RootCAs = x509.NewCertPool()
	c.RootCAs.AddCert(leaf)
	c.ServerName = nameIn(leaf)
	return c, nil
}

// readLeaf is the certificate that a listener shows, or nil where it cannot be read.
func readLeaf(path, home string) *x509.Certificate {
	if rest, ok := strings.CutPrefix(path, "~/"); ok && home != "" {
		path = filepath.Join(home, rest)
	}
	data, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return nil
	}
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return nil
		}
		if block.Type == "CERTIFICATE" { // one file may hold the key too
			leaf, _ := x509.ParseCertificate(block.Bytes) // serve says what is wrong with it
			return leaf
		}
	}
}

// nameIn is a name that a certificate is for.
func nameIn(leaf *x509.Certificate) string {
	name := ""
	if len(leaf.IPAddresses) > 0 {
		name = leaf.IPAddresses[0].String()
	}
	if len(leaf.DNSNames) > 0 {
		name = strings.Replace(leaf.DNSNames[0], "*", "any", 1)
	}
	return cmp.Or(name, "localhost")
}
