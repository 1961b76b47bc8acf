// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

func TestGuardedRequests(t *testing.T) {
	t.Parallel()
	s := start(t, Options{}, Listener{Name: "a", Address: "127.0.0.1:0", Handler: give, Hosts: []string{"Stile.Example", "192.0.2.7"}})
	address := addressOf(s, "a")
	get := func(headers ...string) string {
		return "GET / HTTP/1.1\r\n" + strings.Join(headers, "\r\n") + "\r\n\r\n"
	}
	const good = "Host: 127.0.0.1"
	for text, want := range map[string]int{
		// names that a web page can have, or have let point here
		get("Host: evil.example"): 403, get("Host: evil.example:80"): 403, get("Host: localhost.evil.example"): 403,
		get("Host: 127.0.0.1.evil.example"): 403, get("Host: evil.example#127.0.0.1"): 400, get("Host: 127.0.0.1@evil.example"): 400,
		get("Host: 10.0.0.1"): 403, get("Host: 0.0.0.0"): 403, get("Host: [::]"): 403, get("Host: 2130706433"): 403, get("Host: 0x7f.1"): 403,
		get("Host: 127.1"): 403, get("Host: [::ffff:10.0.0.1]"): 403, get("Host: [fe80::1%25lo]"): 403, get("Host: "): 403,
		get("Host: localhost:x"): 403, get("Host: localhost:99999"): 403, get("Host: localhost..:80"): 403, get("Host: sub.stile.example"): 403,
		get("Host: 192.0.2.8"): 403, get("Host: metadata.google.internal.evil.example"): 403, get("Host: metadata.google"): 403,
		// the listener's own, loopback's, the clouds', and what was configured
		get(good): 200, get("Host: " + address): 200, get("Host: 127.0.0.1:"): 200, get("Host: 127.0.0.53:1"): 200, get("Host: localhost"): 200,
		get("Host: LOCALHOST.:81"): 200, get("Host: [::1]"): 200, get("Host: [::1]:9"): 200, get("Host: [::ffff:127.0.0.1]:9"): 200,
		get("Host: 169.254.169.254"): 200, get("Host: 169.254.170.2"): 200, get("Host: 169.254.170.23"): 200, get("Host: [fd00:ec2::23]:80"): 200,
		get("Host: [fd00:ec2::254]"): 200, get("Host: metadata.google.internal"): 200, get("Host: metadata.google.internal.:80"): 200, get("Host: metadata"): 200,
		get("Host: stile.example:8443"): 200, get("Host: STILE.example."): 200, get("Host: 192.0.2.7"): 200,
		// none, or more than one
		get("X: y"): 400, get(good, good): 400, get("Host: evil.example", good): 400, "GET / HTTP/1.0\r\n\r\n": 403, "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n": 200,
		// what came through something
		get(good, "X-Forwarded-For: 10.0.0.1"): 403, get(good, "x-forwarded-for:"): 403, get(good, "X-FORWARDED-FOR: ::1"): 403, get(good, "Forwarded: for=1"): 403,
		get(good, "X-Forwarded-Host: localhost"): 403, get(good, "X-Forwarded-Proto: https"): 403, get(good, "X-Real-IP: 1"): 403, get(good, "Via: 1.1 proxy"): 403,
		get(good, "X-Forwarded-For : 1"): 400,
		// what a browser sends
		get(good, "Origin: http://127.0.0.1"): 403, get(good, "Origin: null"): 403, get(good, "Sec-Fetch-Site: none"): 403, get(good, "Sec-Fetch-Dest: document"): 403,
		get(good, "Sec-Fetch-User: ?1"): 403, get(good, "Sec-Fetch-Mode: cors"): 200, // Node's own fetch
		// other forms and methods
		"GET http://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n":                                        400,
		"GET http://evil.example/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n":                                     400,
		"CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n":                                         400,
		"CONNECT / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n":                                                    400,
		"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n":                                                    400,
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":                                                                 400,
		"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n": 200,
		"GET / HTTP/2.0\r\nHost: 127.0.0.1\r\n\r\n":                                                        505,
		// bodies
		"PUT / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\n\r\nx":                                       413,
		"PUT / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n":         413,
		"PUT / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":                      413,
		"PUT / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n":                                        200,
		"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": 413,
		// size
		get(good, "X: "+strings.Repeat("x", 12<<10)): 200,
	} {
		if got := raw(t, address, text); got != want {
			t.Errorf("%.200q: got %d, want %d", text, got, want)
		}
	}
	// What is left unread when the connection is closed may take the answer along.
	if answer, err := exchange(dial(t, address), get(good, "X: "+strings.Repeat("x", 24<<10))); err == nil && answer.StatusCode != 431 {
		t.Errorf("a large header: got %d", answer.StatusCode)
	}
}

func TestRefusalIsNoPage(t *testing.T) {
	t.Parallel()
	s := start(t, Options{}, Listener{Name: "a", Address: "127.0.0.1:0", Handler: give})
	answer, err := exchange(dial(t, addressOf(s, "a")), "GET /x HTTP/1.1\r\nHost: <evil>.example\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != 400 && answer.StatusCode != 403 {
		t.Errorf("got %d", answer.StatusCode)
	}
	if kind := answer.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/plain") {
		t.Errorf("a browser would take %s for a page", kind)
	}
}

// Whoever is turned away is to hold no connection either.
func TestRefusalEndsTheConnection(t *testing.T) {
	t.Parallel()
	s := start(t, Options{}, Listener{Name: "a", Address: "127.0.0.1:0", Handler: give})
	for header, want := range map[string]bool{"Host: localhost": false, "Host: evil.example": true, "Host: localhost\r\nVia: 1.1 proxy": true} {
		answer, err := exchange(dial(t, addressOf(s, "a")), "GET / HTTP/1.1\r\n"+header+"\r\n\r\n")
		if err != nil || answer.Close != want {
			t.Errorf("%q: %v; told to close: %t, want %t", header, err, answer != nil && answer.Close, want)
		}
	}
}

// Some clients tell who answers by a header.
func TestRefusalsBearHeaders(t *testing.T) {
	t.Parallel()
	s := start(t, Options{}, Listener{Name: "a", Address: "127.0.0.1:0", Handler: give, Refusals: http.Header{"Metadata-Flavor": {"Google"}}})
	for host, want := range map[string]string{"evil.example": "Google", "localhost": ""} {
		answer, err := exchange(dial(t, addressOf(s, "a")), "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
		if err != nil || answer.Header.Get("Metadata-Flavor") != want {
			t.Errorf("%s: got %v, %v; want %q", host, answer, err, want)
		}
	}
}

// Whoever announces a body and keeps it back is not waited for.
func TestRefusalWaitsForNoBody(t *testing.T) {
	t.Parallel()
	s := start(t, Options{}, Listener{Name: "a", Address: "127.0.0.1:0", Handler: give}, Listener{Name: "u", Address: "unix:" + t.TempDir() + "/s", Handler: give})
	for _, name := range []string{"a", "u"} {
		for header, want := range map[string]int{
			"Host: localhost\r\nContent-Length: 3":                            413,
			"Host: localhost\r\nContent-Length: 100000\r\n\r\nbegun":          413,
			"Host: localhost\r\nTransfer-Encoding: chunked":                   413,
			"Host: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab":    413,
			"Host: localhost\r\nContent-Length: 3\r\nExpect: 100-continue":    413,
			"Host: evil.example\r\nContent-Length: 3":                         403,
			"Host: localhost\r\nX-Forwarded-Port: 80\r\nContent-Length: 3":    403,
			"Host: localhost\r\nTrue-Client-IP: 1.1.1.1\r\nContent-Length: 3": 403,
		} {
			c := dial(t, addressOf(s, name))
			if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(c, "GET / HTTP/1.1\r\n"+header+"\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			all, err := io.ReadAll(c)
			if errors.Is(err, os.ErrDeadlineExceeded) || !strings.HasPrefix(string(all), fmt.Sprintf("HTTP/1.1 %d ", want)) {
				t.Errorf("%s, %q: got %q, %v; want %d, and the end", name, header, all, err, want)
			}
		}
	}
}

// The address that a connection came in at is no name that anybody could have let point elsewhere.
func TestOwnAddressOfAnyListener(t *testing.T) {
	t.Parallel()
	s := &site{}
	local := netip.MustParseAddr("10.1.2.3")
	for host, want := range map[string]bool{"10.1.2.3": true, "10.1.2.3:80": true, "10.1.2.4": false, "pod.example": false, "[::ffff:10.1.2.3]": true, "": false} {
		if got := s.answersTo(host, local); got != want {
			t.Errorf("%q: got %t", host, got)
		}
	}
	if s.answersTo("", netip.Addr{}) || s.answersTo("[]", netip.Addr{}) {
		t.Error("a Unix socket answers to no name")
	}
}

// What parses is an address or a plain name, and reads the same again.
func FuzzHost(f *testing.F) {
	for _, seed := range []string{"localhost", "LOCALHOST.:80", "[::1]:9", "127.0.0.1:", "[fe80::1%lo]", "::1", "a:b:c", "evil.example", "[", "]:", "169.254.169.254", "0.0.0.0.", "0.0.0.0..", "a.."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, ok := parseHost(text)
		if !ok {
			if (&site{}).answersTo(text, netip.MustParseAddr("127.0.0.1")) {
				t.Fatalf("%q answers", text)
			}
			return
		}
		again := h.name
		if h.ip.IsValid() {
			again = h.ip.String()
			if h.name != "" || h.ip.Zone() != "" || h.ip.Is4In6() {
				t.Fatalf("%q: %+v", text, h)
			}
		} else if h.name == "" || strings.ContainsAny(h.name, ":/@[]%\\ ") || strings.ToLower(h.name) != h.name {
			t.Fatalf("%q: name %q", text, h.name)
		}
		if second, ok := parseHost(again); !ok || second != h {
			t.Fatalf("%q: %+v, and then %+v", text, h, second)
		}
		for _, known := range []string{"localhost", "metadata", "metadata.goog", "metadata.google.internal"} {
			if h.name == known && !strings.Contains(strings.ToLower(text), known) {
				t.Fatalf("%q became %s", text, known)
			}
		}
	})
}

// However a header is spelled: if net/http takes the request, and it was forwarded or comes from a page, it is refused.
func FuzzForwarded(f *testing.F) {
	for _, seed := range []string{"X-Forwarded-For: 1", "x-forwarded-FOR:\t", "Forwarded:", "oRigin: null", "X_Forwarded_For: 1", "X-Forwarded-For : 1", " X-Forwarded-For: 1", "X-ForwArdeD- :"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET / HTTP/1.1\r\nHost: localhost\r\nA: b\r\n" + line + "\r\n\r\n")))
		if err != nil || r.Host != "localhost" {
			return
		}
		marked := false
		for name := range r.Header {
			marked = marked || strings.HasPrefix(strings.ToLower(name), "x-forwarded-")
			for known := range foreign {
				marked = marked || strings.EqualFold(name, known)
			}
		}
		why := (&site{}).refuse(r, &conn{})
		if marked && why == nil {
			t.Fatalf("%q is let in", line)
		}
		if !marked && why != nil && why != withBody {
			t.Fatalf("%q is refused: %s", line, why.reason)
		}
	})
}

func request(t *testing.T) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	return r
}
