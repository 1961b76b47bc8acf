// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/stile-project/stile/lab"
)

const discovery = "https://accounts.google.com/.well-known/openid-configuration"

func get(t *testing.T, client *http.Client, where string) (int, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, where, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, string(body), err
}

func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello from metadata") }

func TestNetworkRoutesByHost(t *testing.T) {
	t.Parallel()
	w := lab.New(lab.Options{})
	place := &lab.Place{Metadata: http.HandlerFunc(hello)}
	cases := map[string]struct {
		place *lab.Place
		url   string
		want  string // in the body, or in the error when it starts with "error: "
	}{
		"Google":                   {nil, discovery, `"issuer"`},
		"AWS":                      {nil, "https://sts.eu-west-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15", "MissingAuthenticationToken"},
		"upper case":               {nil, "https://ACCOUNTS.google.com/.well-known/openid-configuration", `"issuer"`},
		"no such host":             {nil, "https://example.com/", "error: no such host"},
		"clouds have no http":      {nil, "http://accounts.google.com/", "error: https only"},
		"metadata at its place":    {place, "http://169.254.169.254/x", "hello from metadata"},
		"metadata by name":         {place, "http://metadata.google.internal/x", "hello from metadata"},
		"metadata elsewhere":       {nil, "http://169.254.169.254/x", "error: no such host"},
		"metadata has no https":    {place, "https://169.254.169.254/x", "error: refused"},
		"no container at a place":  {place, "http://169.254.170.2/x", "error: no such host"},
		"a cloud from some place":  {place, discovery, `"issuer"`},
		"real but not in this lab": {place, "https://login.microsoftonline.com/", "error: no such host"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, body, err := get(t, &http.Client{Transport: w.Network(c.place)}, c.url)
			if words, fails := strings.CutPrefix(c.want, "error: "); fails {
				if err == nil || !strings.Contains(err.Error(), words) {
					t.Errorf("got %q, %v, want an error with %q", body, err, words)
				}
				return
			}
			if err != nil || !strings.Contains(body, c.want) {
				t.Errorf("got %q, %v, want %q", body, err, c.want)
			}
		})
	}
}

func TestListenAnswersUnderRealNames(t *testing.T) {
	defer goleak.VerifyNone(t)
	w := lab.New(lab.Options{})
	server, err := w.Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(server.CA) {
		t.Fatal("the CA is no PEM certificate")
	}
	proxy, err := url.Parse(server.Proxy)
	if err != nil {
		t.Fatal(err)
	}
	through := &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer through.CloseIdleConnections()
	direct, err := server.Client(&lab.Place{Metadata: http.HandlerFunc(hello)})
	if err != nil {
		t.Fatal(err)
	}
	defer direct.CloseIdleConnections()
	for name, client := range map[string]*http.Client{"by the proxy": {Transport: through}, "by the hosts' own port": direct} {
		if status, body, err := get(t, client, discovery); err != nil || status != http.StatusOK || !strings.Contains(body, `"issuer"`) {
			t.Errorf("%s: %d %q %v", name, status, body, err)
		}
		if _, _, err := get(t, client, "https://example.com/"); err == nil {
			t.Errorf("%s: a host outside the lab was reached", name)
		}
	}
	if _, body, err := get(t, direct, "http://169.254.169.254/x"); err != nil || body != "hello from metadata" {
		t.Errorf("metadata: %q %v", body, err)
	}
	if _, _, err := get(t, &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy), DisableKeepAlives: true}}, discovery); err == nil {
		t.Error("a client that does not trust the CA was served")
	}
}

func TestProxyLeadsNowhereElse(t *testing.T) {
	defer goleak.VerifyNone(t)
	server, err := lab.New(lab.Options{}).Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	address := strings.TrimPrefix(server.Proxy, "http://")
	for name, c := range map[string]struct{ request, status string }{
		"another host":    {"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", "502"},
		"another port":    {"CONNECT sts.googleapis.com:22 HTTP/1.1\r\nHost: sts.googleapis.com:22\r\n\r\n", "502"},
		"loopback":        {"CONNECT 127.0.0.1:443 HTTP/1.1\r\nHost: 127.0.0.1:443\r\n\r\n", "502"},
		"plain http":      {"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n", "403"},
		"not HTTP":        {"\x16\x03\x01\r\n\r\n", "400"},
		"a cloud's host":  {"CONNECT sts.googleapis.com:443 HTTP/1.1\r\nHost: sts.googleapis.com:443\r\n\r\n", "200"},
		"host with a dot": {"CONNECT sts.googleapis.com.:443 HTTP/1.1\r\nHost: sts.googleapis.com.:443\r\n\r\n", "200"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if _, err := io.WriteString(conn, c.request); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil || !strings.Contains(line, " "+c.status+" ") {
				t.Errorf("got %q, %v, want %s", line, err, c.status)
			}
		})
	}
}

func TestFaultsStrikeWhatTheyMatch(t *testing.T) {
	t.Parallel()
	w := lab.New(lab.Options{})
	client := &http.Client{Transport: w.Network(nil)}
	status := func(where string) int {
		code, _, err := get(t, client, where)
		if err != nil {
			return 0
		}
		return code
	}
	lift := w.Faults.Add(lab.Fault{Host: "accounts.google.com", Path: "/.well-known/", Status: http.StatusTeapot})
	if got := status(discovery); got != http.StatusTeapot {
		t.Errorf("what matches: %d", got)
	}
	if got := status("https://accounts.google.com/other"); got == http.StatusTeapot {
		t.Errorf("another path: %d", got)
	}
	if got := status("https://sts.googleapis.com/.well-known/"); got == http.StatusTeapot {
		t.Errorf("another host: %d", got)
	}
	lift()
	if got := status(discovery); got != http.StatusOK {
		t.Errorf("lifted: %d", got)
	}
	w.Faults.Add(lab.Fault{Host: "accounts.google.com", Times: 2, Cut: true})
	for i, want := range []int{0, 0, http.StatusOK} {
		if got := status(discovery); got != want {
			t.Errorf("request %d of a fault that strikes twice: %d, want %d", i+1, got, want)
		}
	}
}

func TestDelayIsTheClientsToEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := lab.New(lab.Options{})
		w.Faults.Add(lab.Fault{Delay: time.Minute})
		client := &http.Client{Transport: w.Network(nil)}
		started := time.Now()
		if status, _, err := get(t, client, discovery); err != nil || status != http.StatusOK || time.Since(started) != time.Minute {
			t.Errorf("after %s: %d %v", time.Since(started), status, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, discovery, nil)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := client.Do(req); !errors.Is(err, context.DeadlineExceeded) {
			if err == nil {
				_ = res.Body.Close()
			}
			t.Errorf("got %v, want the client's own deadline", err)
		}
	})
}

func TestManyAtOnce(t *testing.T) {
	defer goleak.VerifyNone(t)
	server, err := lab.New(lab.Options{}).Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	client, err := server.Client(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	var all sync.WaitGroup
	for _, host := range []string{"sts.googleapis.com", "sts.eu-west-1.amazonaws.com", "accounts.google.com", "storage.googleapis.com", "s3.eu-west-1.amazonaws.com"} {
		for range 10 {
			all.Go(func() {
				if _, _, err := get(t, client, "https://"+host+"/"); err != nil {
					t.Errorf("%s: %v", host, err)
				}
			})
		}
	}
	all.Wait()
}
