// SPDX-License-Identifier: Apache-2.0

package sidecar_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stile-project/stile/internal/sidecar"
)

// certificate writes a certificate for 127.0.0.1 and its key.
func certificate(t *testing.T, folder string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	if err := errors.Join(os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)); err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// taken is an address at loopback that nobody has just now.
func taken(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// What cannot change at a listener that is open has the whole plan refused, with how to mend that: it is not passed over
// in silence, and what was served goes on.
func TestWhatCannotChangeIsTold(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	cert, key := certificate(t, s.folder)
	const again = "start anew to change these"
	socket := "unix:" + filepath.Join(s.folder, "s")
	secure := "tls: { cert: '" + cert + "', key: '" + key + "' }"
	moved := "tls: { cert: '" + cert + "', key: '" + cert + "2' }"
	at := func(extra string) string {
		return "  endpoints: [{ ecs: [images], listen: '127.0.0.1:0'" + extra + " }]\n"
	}
	unix := func(extra string) string {
		return "  endpoints: [{ ecs: [images], listen: '" + socket + "'" + extra + " }]\n"
	}
	ec2 := func(extra string) string {
		return "  endpoints: [{ imds: images, listen: '127.0.0.1:0'" + extra + " }]\n"
	}
	admin := "  admin: '" + taken(t) + "'\n"
	for _, test := range []struct{ what, before, after string }{
		{"TLS is added", at(""), at(", " + secure)},
		{"TLS is taken away", at(", " + secure), at("")},
		{"the certificate is elsewhere", at(", " + secure), at(", " + moved)},
		{"a socket's mode", unix(", mode: '0600'"), unix(", mode: '0660'")},
		{"a hop limit", ec2(", hop_limit: 2"), ec2("")},
		{"the admin's TLS is added", oneECS + admin, oneECS + admin + "  admin_tls: { cert: '" + cert + "', key: '" + key + "' }\n"},
	} {
		if runtime.GOOS != "linux" && strings.Contains(test.before, "hop_limit") {
			continue
		}
		s.apply("  endpoints: [{ gce: warehouse, listen: '127.0.0.1:0' }]\n")
		if err := s.sidecar.Apply(t.Context(), plan(t, test.before)); err != nil {
			t.Errorf("%s: %v", test.what, err)
			continue
		}
		before := s.sidecar.Report().Serves
		after := plan(t, test.after)
		after.Serve.Files = plan(t, "  files: [{ crossing: visa, token: { path: '~/visa' } }]\n").Serve.Files
		s.refuses(after, "stay as they are while it listens")
		if err := s.sidecar.Apply(t.Context(), after); err == nil || !strings.Contains(sidecar.HintOf(err), again) {
			t.Errorf("%s: %v", test.what, err)
		}
		now := s.sidecar.Report()
		if len(now.Serves) != len(before) || now.Serves[0].Addresses[0] != before[0].Addresses[0] || len(now.Files) != 0 {
			t.Errorf("%s: was %+v, is %+v", test.what, before, now)
		}
	}
}

// What can change does: the admin's address, who may ask, and under which names.
func TestWhatCanChangeDoes(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	first, second := filepath.Join(s.folder, "one"), filepath.Join(s.folder, "two")
	s.apply(oneECS + "  admin: 'unix:" + first + "'\n")
	s.run()
	s.until("ready", s.ready)
	s.apply(oneECS + "  admin: 'unix:" + second + "'\n  hosts: [stile.default.svc]\n")
	if got := overUnix(t, second, "/healthz"); !strings.HasPrefix(got, "200 ") {
		t.Error(got)
	}
	s.until("closed", func() bool {
		_, err := os.Stat(first)
		return errors.Is(err, os.ErrNotExist)
	})
	address, token := s.at("ecs")
	req, err := http.NewRequest(http.MethodGet, "http://"+address+"/v1/credentials/images", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "stile.default.svc"
	req.Header.Set("Authorization", token)
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Error(res.Status)
	}
}
