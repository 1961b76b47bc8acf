// SPDX-License-Identifier: Apache-2.0

package issuers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"time"
)

// caLife is longer than any lab runs.
const caLife = 24 * time.Hour

// A clusterCA vouches for one cluster's API server, and for nothing else: pods trust it by ca.crt.
type clusterCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newClusterCA(cluster string, now time.Time) (*clusterCA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "kubernetes " + cluster},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(caLife),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &clusterCA{cert, key}, err
}

func (a *clusterCA) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

func (a *clusterCA) serve(names []string, addresses []net.IP) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "kube-apiserver"}, DNSNames: names, IPAddresses: addresses,
		NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	leaf := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return &tls.Config{Certificates: []tls.Certificate{leaf}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}, nil
}

// An APIServer is a cluster's API server on a port of 127.0.0.1, under the certificate that pods trust by ca.crt.
type APIServer struct {
	Address string // 127.0.0.1:PORT
	server  *http.Server
	done    chan struct{}
}

// Listen puts the API server on a port that the system picks. A pod reaches it with KUBERNETES_SERVICE_HOST and
// KUBERNETES_SERVICE_PORT set to that address.
func (s *ClusterServer) Listen() (*APIServer, error) {
	ca, err := s.ca()
	if err != nil {
		return nil, fmt.Errorf("make the CA of cluster %s: %w", s.cluster.Name, err)
	}
	config, err := ca.serve([]string{s.cluster.APIServer, "kubernetes.default.svc", "localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("make the certificate of cluster %s: %w", s.cluster.Name, err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen on loopback: %w", err)
	}
	a := &APIServer{Address: l.Addr().String(), done: make(chan struct{}), server: &http.Server{Handler: s,
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}}
	go func() {
		defer close(a.done)
		_ = a.server.Serve(tls.NewListener(l, config))
	}()
	return a, nil
}

// Close ends every connection and waits for the server to end.
func (a *APIServer) Close() {
	_ = a.server.Close()
	<-a.done
}
