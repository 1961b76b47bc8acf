// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"testing"
	"time"
)

// certify writes a certificate with this number, and the key it belongs to.
func certify(t *testing.T, files TLS, number int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(number), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, files.CertFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	put(t, files.KeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// put replaces a file as programs that rotate certificates do.
func put(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path+".new", b, 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	files := TLS{CertFile: folder + "/cert.pem", KeyFile: folder + "/key.pem"}
	certify(t, files, 1)
	log := &memoryHandler{}
	records := &memoryHandler{}
	s := start(t, Options{Log: newLog(log), Audit: records}, Listener{Name: "a", Address: "127.0.0.1:0", TLS: &files, Handler: give})
	address := addressOf(s, "a")
	number := func() int64 {
		c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		state := c.ConnectionState()
		if state.NegotiatedProtocol != "http/1.1" {
			t.Errorf("speaks %q", state.NegotiatedProtocol)
		}
		answer, err := exchange(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if err != nil || answer.StatusCode != 200 {
			t.Fatalf("got %v, %v", answer, err)
		}
		return state.PeerCertificates[0].SerialNumber.Int64()
	}
	if got := number(); got != 1 {
		t.Errorf("got number %d", got)
	}
	certify(t, files, 2)
	if got := number(); got != 2 {
		t.Errorf("rotated: got number %d", got)
	}
	put(t, files.KeyFile, []byte("half of a "+secret))
	for range 3 {
		if got := number(); got != 2 {
			t.Errorf("with a bad key: got number %d", got)
		}
	}
	if n := len(log.lines("the new certificate is no good")); n != 1 {
		t.Errorf("said %d times", n)
	}
	if err := os.Remove(files.KeyFile); err != nil {
		t.Fatal(err)
	}
	if got := number(); got != 2 {
		t.Errorf("with no key: got number %d", got)
	}
	certify(t, files, 3)
	if got := number(); got != 3 {
		t.Errorf("mended: got number %d", got)
	}
	if status := raw(t, address, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); status != 400 {
		t.Errorf("without TLS: got %d", status)
	}
	if _, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("it speaks TLS 1.1")
	}
	until(t, "the audit tells", func() bool { return len(records.lines("credential handed out")) > 6 })
}
