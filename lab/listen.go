// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// A Server is a world on loopback: one port that is both a CONNECT proxy to the clouds' https hosts and, for clients
// sent there by a hosts file, those hosts themselves; and a plain-http port for each place.
type Server struct {
	// Proxy is "http://127.0.0.1:PORT", for HTTPS_PROXY.
	Proxy string
	// HTTPS is "127.0.0.1:PORT", where the clouds' hosts answer for clients that resolve them there.
	HTTPS string
	// CA is the certificate to trust, in PEM.
	CA []byte

	world   *World
	tls     *tls.Config
	inner   *queue
	servers []*http.Server
	served  sync.WaitGroup
}

// Listen puts the world on ports of 127.0.0.1 that the system picks.
func (w *World) Listen() (*Server, error) {
	authority, err := newAuthority(w.clock(), func(host string) bool { _, ok := w.handler(host); return ok })
	if err != nil {
		return nil, fmt.Errorf("make the lab's certificate authority: %w", err)
	}
	s := &Server{world: w, CA: authority.pem(), inner: newQueue(),
		tls: &tls.Config{GetCertificate: authority.certificate, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}}
	s.serve(s.inner, http.HandlerFunc(s.cloud))
	direct, err := s.listen(tlsListener(s.tls), http.HandlerFunc(s.cloud))
	if err != nil {
		s.Close()
		return nil, err
	}
	proxy, err := s.listen(nil, http.HandlerFunc(s.connect))
	if err != nil {
		s.Close()
		return nil, err
	}
	s.HTTPS, s.Proxy = direct, "http://"+proxy
	return s, nil
}

// ServePlain puts a handler on a plain-http port of 127.0.0.1 and returns its address: a place's metadata has one.
func (s *Server) ServePlain(h http.Handler) (string, error) { return s.listen(nil, h) }

// Close ends every connection and waits for the servers to end.
func (s *Server) Close() {
	for _, server := range s.servers {
		_ = server.Close()
	}
	_ = s.inner.Close()
	s.served.Wait()
}

func tlsListener(config *tls.Config) func(net.Listener) net.Listener {
	return func(l net.Listener) net.Listener { return tls.NewListener(l, config) }
}

func (s *Server) listen(wrap func(net.Listener) net.Listener, h http.Handler) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listen on loopback: %w", err)
	}
	address := l.Addr().String()
	if wrap != nil {
		l = wrap(l)
	}
	s.serve(l, h)
	return address, nil
}

func (s *Server) serve(l net.Listener, h http.Handler) {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: log.New(io.Discard, "", 0)} // clients that distrust the CA are theirs to report
	s.servers = append(s.servers, server)
	s.served.Go(func() { _ = server.Serve(l) })
}

// cloud routes by Host, as the clouds' front ends do.
func (s *Server) cloud(w http.ResponseWriter, r *http.Request) {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	h, ok := s.world.handler(host)
	if !ok {
		http.Error(w, fmt.Sprintf("the lab has no host %q", host), http.StatusMisdirectedRequest)
		return
	}
	h.ServeHTTP(w, r)
}

// connect is a proxy that leads nowhere but into the lab.
func (s *Server) connect(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "the lab's proxy takes CONNECT to the clouds' https hosts, and nothing leaves this machine", http.StatusForbidden)
		return
	}
	host, port, err := net.SplitHostPort(r.Host)
	if _, ok := s.world.handler(host); err != nil || port != "443" || !ok {
		http.Error(w, fmt.Sprintf("the lab has no host %q, and nothing leaves this machine", r.Host), http.StatusBadGateway)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil || buffered.Reader.Buffered() > 0 {
		_ = conn.Close() // no client speaks before it is told to
		return
	}
	s.inner.add(tls.Server(conn, s.tls))
}

// Client is an HTTP client for a workload at a place, in this process: it trusts the lab's CA, and resolves the clouds'
// hosts and the place's link-local addresses to loopback. A nil place has no link-local addresses.
func (s *Server) Client(p *Place) (*http.Client, error) {
	plain := map[string]string{}
	for _, name := range linkLocal {
		handler, ok := p.handler(name)
		if !ok {
			continue
		}
		address, err := s.ServePlain(handler)
		if err != nil {
			return nil, err
		}
		plain[name+":80"] = address
	}
	return &http.Client{Transport: s.transport(plain)}, nil
}

func (s *Server) transport(plain map[string]string) *http.Transport {
	config := &tls.Config{RootCAs: s.pool(), MinVersion: tls.VersionTLS12}
	return &http.Transport{
		TLSClientConfig: config,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			dial := (&net.Dialer{}).DialContext
			if real, ok := plain[address]; ok {
				return dial(ctx, network, real)
			}
			host, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			if _, ok := s.world.handler(host); !ok || port != "443" {
				return nil, &net.DNSError{Err: "no such host in the lab", Name: host, IsNotFound: true}
			}
			return dial(ctx, network, s.HTTPS)
		},
	}
}

func (s *Server) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.CA)
	return pool
}

// queue is a listener fed by the proxy.
type queue struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newQueue() *queue { return &queue{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (q *queue) add(c net.Conn) {
	select {
	case q.conns <- c:
	case <-q.closed:
		_ = c.Close()
	}
}

func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.closed:
		return nil, net.ErrClosed
	}
}

func (q *queue) Close() error {
	q.once.Do(func() { close(q.closed) })
	return nil
}

func (q *queue) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
