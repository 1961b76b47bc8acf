// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// client asks the clouds. Proxies come from the environment, as everywhere.
func (p *program) client() (*http.Client, error) {
	more, err := p.moreCAs()
	if err != nil {
		return nil, err
	}
	certificates, err := p.certificates()
	if err != nil || (more == nil && certificates == nil) {
		return http.DefaultClient, err
	}
	return &http.Client{Transport: &late{build: sync.OnceValue(func() http.RoundTripper {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.TLSClientConfig = &tls.Config{RootCAs: withSystem(more), Certificates: certificates, MinVersion: tls.VersionTLS12}
		return t
	})}}, nil
}

// late is built by its first request: reading the system's certificates takes longer than all else that a command does
// which finds its credential kept.
type late struct{ build func() http.RoundTripper }

// RoundTrip leaves the request to what is built.
func (l *late) RoundTrip(req *http.Request) (*http.Response, error) { return l.build().RoundTrip(req) }

// certificates are what --client-cert presents; nil without one.
func (p *program) certificates() ([]tls.Certificate, error) {
	const op = "read the client certificate"
	switch {
	case p.certFile == "" && p.keyFile == "":
		return nil, nil
	case p.certFile == "" || p.keyFile == "":
		return nil, misuse(op, "--client-cert and --client-key go together")
	}
	pair, err := tls.LoadX509KeyPair(p.certFile, p.keyFile)
	if err != nil {
		return nil, misuse(op, "%s with %s: %w", p.certFile, p.keyFile, err)
	}
	return []tls.Certificate{pair}, nil
}

// awsClient is the same for the AWS SDK, which insists on a client that it can add AWS_CA_BUNDLE to.
func (p *program) awsClient() (*awshttp.BuildableClient, error) {
	more, err := p.moreCAs()
	if err != nil || more == nil {
		return awshttp.NewBuildableClient(), err
	}
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.TLSClientConfig = &tls.Config{RootCAs: withSystem(more), MinVersion: tls.VersionTLS12}
	}), nil
}

// bounded reads no more of an answer than one of STS can have: the AWS SDK would read all of whatever comes.
type bounded struct{ aws.HTTPClient }

const answerLimit = 1 << 20 // bytes

func (b bounded) Do(req *http.Request) (*http.Response, error) {
	res, err := b.HTTPClient.Do(req)
	if err != nil {
		return res, err
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(res.Body, answerLimit), res.Body}
	return res, nil
}

// moreCAs are the certificates of --ca-file, checked; nil without one.
func (p *program) moreCAs() ([]byte, error) {
	if p.caFile == "" {
		return nil, nil
	}
	data, err := readCAs(p.caFile)
	if err != nil {
		return nil, misuse("read the CA file", "%w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(data) {
		return nil, misuse("read the CA file", "%s holds no PEM certificate", p.caFile)
	}
	return data, nil
}

// withSystem are the system's certificates, and more; nil, which is the system's, without more.
func withSystem(more []byte) *x509.CertPool {
	if more == nil {
		return nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	pool.AppendCertsFromPEM(more)
	return pool
}

// caLimit is the most that a CA file may hold, in bytes: a system's whole bundle is a quarter of it.
const caLimit = 1 << 20

func readCAs(path string) ([]byte, error) {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s is a folder", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, caLimit+1))
	if len(data) > caLimit {
		return nil, fmt.Errorf("%s: longer than %d bytes: not a CA file", path, caLimit)
	}
	return data, err
}

// checkProxy reports a proxy that is no URL, which Go would take for none, and does not repeat its password.
func (p *program) checkProxy() error {
	raw := cmp.Or(p.env("HTTPS_PROXY"), p.env("https_proxy"))
	if raw == "" {
		return nil
	}
	if !strings.Contains(raw, "://") {
		raw = "http://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		return misuse("find the proxy", "HTTPS_PROXY is not a proxy's URL: want http://HOST:PORT")
	}
	return nil
}
