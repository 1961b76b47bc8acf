// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile"
)

func TestListenRefuses(t *testing.T) {
	t.Parallel()
	h := says("hello")
	for want, listeners := range map[string][]Listener{
		"other machines could reach it":           {{Name: "a", Address: "0.0.0.0:0", Handler: h}},
		`address ":0": other machines`:            {{Name: "a", Address: ":0", Handler: h}},
		`address "[::]:0": other machines`:        {{Name: "a", Address: "[::]:0", Handler: h}},
		`address "169.254.169.254:80": other`:     {{Name: "a", Address: "169.254.169.254:80", Handler: h}},
		`"[::ffff:10.0.0.1]:80": other`:           {{Name: "a", Address: "[::ffff:10.0.0.1]:80", Handler: h}},
		"a name could come to mean":               {{Name: "a", Address: "stile.example:80", Handler: h}},
		`"LOCALHOST:80": a name`:                  {{Name: "a", Address: "LOCALHOST:80", Handler: h}},
		"want a host and a port":                  {{Name: "a", Address: "127.0.0.1", Handler: h}},
		"from 0 to 65535":                         {{Name: "a", Address: "127.0.0.1:65536", Handler: h}},
		`"127.0.0.1:http": the port is no`:        {{Name: "a", Address: "127.0.0.1:http", Handler: h}},
		"must be absolute":                        {{Name: "a", Address: "unix:sock", Handler: h}},
		`"unix:@stile": the path`:                 {{Name: "a", Address: "unix:@stile", Handler: h}},
		"no path of a file":                       {{Name: "a", Address: "unix:/tmp/", Handler: h}},
		"has at most 107 bytes, and this has 201": {{Name: "a", Address: "unix:/" + strings.Repeat("x", 200), Handler: h}},
		"nothing to answer with":                  {{Name: "a", Address: "127.0.0.1:0"}},
		`is called ""`:                            {{Address: "127.0.0.1:0", Handler: h}},
		"no two may share a name":                 {{Name: "a", Address: "127.0.0.1:0", Handler: h}, {Name: "a", Address: "127.0.0.1:0", Handler: h}},
		`"a" and "b" are both to listen on`:       {{Name: "a", Address: "127.0.0.1:9", Handler: h}, {Name: "b", Address: "127.0.0.1:9", Handler: h}},
		"only a Unix socket has a mode":           {{Name: "a", Address: "127.0.0.1:0", Handler: h, Mode: 0o600}},
		"not 0700":                                {{Name: "a", Address: "unix:/tmp/x", Handler: h, Mode: 0o700}},
		"shuts out its own user":                  {{Name: "a", Address: "unix:/tmp/x", Handler: h, Mode: 0o060}},
		"a certificate and its key":               {{Name: "a", Address: "127.0.0.1:0", Handler: h, TLS: &TLS{CertFile: "x"}}},
		"no hop limit: 256":                       {{Name: "a", Address: "127.0.0.1:0", Handler: h, HopLimit: 256}},
		"a bound is negative":                     {{Name: "a", Address: "127.0.0.1:0", Handler: h, Connections: -1}},
		`no host: "a/b"`:                          {{Name: "a", Address: "127.0.0.1:0", Handler: h, Hosts: []string{"a/b"}}},
		`no host: "a:80"`:                         {{Name: "a", Address: "127.0.0.1:0", Handler: h, Hosts: []string{"a:80"}}},
		"read the certificate of listener a":      {{Name: "a", Address: "127.0.0.1:0", Handler: h, TLS: &TLS{CertFile: "/nowhere", KeyFile: "/nowhere"}}},
	} {
		s := New(Options{})
		err := s.Listen(t.Context(), listeners)
		if !errors.Is(err, stile.ErrMisuse) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
		if e, ok := errors.AsType[*stile.Error](err); !ok || e.Hint == "" {
			t.Errorf("%s: no hint", want)
		}
		if len(s.Addresses()) != 0 {
			t.Errorf("%s: %v are open", want, s.Addresses())
		}
		_ = s.Close()
	}
}

func TestRemoteWhereAllowed(t *testing.T) {
	t.Parallel()
	s := start(t, Options{}, Listener{Name: "a", Address: "0.0.0.0:0", AllowRemote: true, Handler: says("hello")})
	_, port, _ := net.SplitHostPort(addressOf(s, "a"))
	if status, body := ask(t, "127.0.0.1:"+port, "/"); status != 200 || body != "hello" {
		t.Errorf("got %d %q", status, body)
	}
	if got := raw(t, "127.0.0.1:"+port, "GET / HTTP/1.1\r\nHost: 0.0.0.0:"+port+"\r\n\r\n"); got != 403 {
		t.Errorf("as 0.0.0.0: got %d", got)
	}
}

// A client may take either of localhost's addresses. If the other one were free, somebody else could take it.
func TestLocalhostIsBoth(t *testing.T) {
	t.Parallel()
	s := start(t, Options{}, Listener{Name: "a", Address: "localhost:0", Handler: says("hello")})
	addresses := s.Addresses()["a"]
	if len(addresses) != 2 {
		t.Skipf("no IPv6 here: %v", addresses)
	}
	for _, a := range addresses {
		if status, _ := ask(t, a.String(), "/"); status != 200 {
			t.Errorf("%s: got %d", a, status)
		}
	}
	_, four, _ := net.SplitHostPort(addresses[0].String())
	_, six, _ := net.SplitHostPort(addresses[1].String())
	if four != six {
		t.Errorf("two ports: %v", addresses)
	}
	// The second one taken is an error, and leaves the first closed.
	other, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	_, port, _ := net.SplitHostPort(other.Addr().String())
	again := New(Options{})
	defer func() { _ = again.Close() }()
	if err := again.Listen(t.Context(), []Listener{{Name: "a", Address: "localhost:" + port, Handler: says("x")}}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v", err)
	}
	if free, err := net.Listen("tcp", "127.0.0.1:"+port); err != nil {
		t.Errorf("the first socket stayed: %v", err)
	} else {
		_ = free.Close()
	}
}

// All listeners are open before any serves, and if one cannot be had, the others are given back.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	s := start(t, Options{}, Listener{Name: "stays", Address: "127.0.0.1:0", Handler: says("before")})
	path := t.TempDir() + "/s"
	err = s.Listen(t.Context(), []Listener{
		{Name: "stays", Address: "127.0.0.1:0", Handler: says("after")},
		{Name: "first", Address: "unix:" + path, Handler: says("x")},
		{Name: "imds", Address: taken.Addr().String(), Handler: says("x")},
	})
	e, ok := errors.AsType[*stile.Error](err)
	if !ok || !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "listen on "+taken.Addr().String()+" for imds") || !strings.Contains(e.Hint, "another address") {
		t.Errorf("got %v", err)
	}
	if _, err := net.Dial("unix", path); err == nil {
		t.Error("the one before it is still open")
	}
	if _, body := ask(t, addressOf(s, "stays"), "/"); body != "before" {
		t.Errorf("the one that stays has changed: %q", body)
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	reached, goOn := make(chan struct{}), make(chan struct{})
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(reached)
		<-goOn
		if r.Context().Err() != nil {
			t.Error("the request was cancelled")
		}
		give(w, r)
	})
	records := &memoryHandler{}
	s := New(Options{Audit: records})
	if err := s.Listen(t.Context(), []Listener{{Name: "a", Address: "127.0.0.1:0", Handler: slow}}); err != nil {
		t.Fatal(err)
	}
	stop := run(t, s)
	address := addressOf(s, "a")
	silent, idle := dial(t, address), dial(t, address)
	if _, err := io.WriteString(idle, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"); err != nil { // refused, and closed
		t.Fatal(err)
	}
	got := make(chan string)
	c := dial(t, address)
	go func() {
		answer, err := exchange(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if err != nil {
			got <- err.Error()
			return
		}
		body, _ := io.ReadAll(answer.Body)
		got <- string(body)
	}()
	<-reached
	ended := make(chan error)
	go func() { ended <- stop() }()
	until(t, "the listener closes", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	select {
	case err := <-ended:
		t.Fatalf("ended with a request under way: %v", err)
	default:
	}
	begin := time.Now()
	if _, err := silent.Read(make([]byte, 1)); err == nil || time.Since(begin) > 4*time.Second { // net/http would take 5
		t.Errorf("a silent connection ends after %s with %v", time.Since(begin), err)
	}
	close(goOn)
	if body := <-got; body != secret {
		t.Errorf("got %q", body)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := len(records.lines("credential handed out")); n != 1 {
		t.Errorf("the audit has %d of 1 lines", n)
	}
	if err := s.Listen(t.Context(), nil); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("listening after the end: %v", err)
	}
	if err := s.Serve(t.Context()); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("serving after the end: %v", err)
	}
}

func TestDrainEnds(t *testing.T) {
	t.Parallel()
	reached, ended := make(chan struct{}), make(chan struct{})
	s := New(Options{Drain: 50 * time.Millisecond, Audit: &memoryHandler{}})
	if err := s.Listen(t.Context(), []Listener{{Name: "a", Address: "127.0.0.1:0", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		close(reached)
		<-r.Context().Done()
		give(w, r) // after the audit's end: counted, and no panic
	})}}); err != nil {
		t.Fatal(err)
	}
	stop := run(t, s)
	if _, err := io.WriteString(dial(t, addressOf(s, "a")), "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-reached
	if err := stop(); err != nil {
		t.Error(err)
	}
	<-ended
}

func TestRequestTimeout(t *testing.T) {
	t.Parallel()
	s := start(t, Options{}, Listener{Name: "a", Address: "127.0.0.1:0", Timeout: 20 * time.Millisecond, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		w.WriteHeader(http.StatusServiceUnavailable)
	})})
	if status, _ := ask(t, addressOf(s, "a"), "/"); status != 503 {
		t.Errorf("got %d", status)
	}
}

// A client that sends its header by drops, or nothing at all, or stays on after its answer, is let go.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Header: 3 * time.Second, Idle: 2 * time.Second}, Listener{Name: "a", Address: "127.0.0.1:0", Handler: says("hello")})
	address := addressOf(s, "a")
	slow := dial(t, address)
	var gone sync.WaitGroup
	gone.Go(func() {
		for {
			if _, err := io.WriteString(slow, "X: y\r\n"); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	silent := make([]net.Conn, 2000)
	for i := range silent {
		silent[i] = dial(t, address)
	}
	// One after the other: whose question is not yet read counts as silent, and may have to make room.
	for range 1500 {
		c := dial(t, address)
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if answer, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || answer.StatusCode != 200 {
			t.Fatalf("got %v", err)
		}
	}
	if n := s.running[0].count.Load(); n > kept+kept+1 {
		t.Errorf("%d are kept", n)
	}
	until(t, "they are let go", func() bool { return s.endpoints()[0].Connections == 0 })
	gone.Wait()
	if status, _ := ask(t, address, "/"); status != 200 {
		t.Errorf("then: %d", status)
	}
}

// Whoever opens connections and asks nothing shuts out nobody else.
func TestSilentConnections(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Header: time.Minute}, Listener{Name: "a", Address: "127.0.0.1:0", Handler: says("hello")})
	var silent []net.Conn
	for range kept + 10 {
		silent = append(silent, dial(t, addressOf(s, "a")))
	}
	for _, c := range silent[:10] {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("the oldest are still there")
		}
	}
	until(t, "all others are there", func() bool { return s.running[0].count.Load() == kept })
	answer, err := exchange(silent[10], "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if err != nil || answer.StatusCode != 200 || answer.Close {
		t.Errorf("got %+v, %v", answer, err)
	}
	for range 10 {
		_ = dial(t, addressOf(s, "a"))
	}
	until(t, "they are there", func() bool { return s.running[0].silentCount() == kept })
	until(t, "one more is closed after its answer", func() bool {
		c := dial(t, addressOf(s, "a"))
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			return false
		}
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		return err == nil && answer.Close
	})
}

func (l *listener) silentCount() int {
	l.conns.Lock()
	defer l.conns.Unlock()
	return l.silent.Len()
}

// Deadlines are kept by whoever waits, and by whoever looks.
func TestAllowance(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		parent, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "v"))
		waits, looks := allow(parent, time.Second), allow(parent, time.Second)
		child, end := context.WithTimeout(waits, time.Minute)
		defer end()
		if until, ok := child.Deadline(); !ok || !until.Equal(time.Now().Add(time.Second)) || child.Value(key{}) != "v" || looks.Value(key{}) != "v" {
			t.Errorf("the child ends at %v, %t", until, ok)
		}
		if waits.Err() != nil || looks.Err() != nil || child.Err() != nil {
			t.Error("they ended at once")
		}
		<-child.Done()
		for _, ctx := range []context.Context{waits, looks, child} {
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				t.Errorf("got %v", ctx.Err())
			}
		}
		waits, looks = allow(parent, time.Second), allow(parent, time.Second)
		waits.Done()
		cancel()
		if !errors.Is(waits.Err(), context.Canceled) || !errors.Is(looks.Err(), context.Canceled) {
			t.Errorf("got %v and %v", waits.Err(), looks.Err())
		}
		waits = allow(context.Background(), time.Hour)
		done := waits.Done()
		waits.end()
		<-done
	})
}

func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	log := &memoryHandler{}
	s := start(t, Options{Log: newLog(log)}, Listener{Name: "a", Address: "127.0.0.1:0", Connections: 3, Handler: says("hello")})
	address := addressOf(s, "a")
	held := []net.Conn{dial(t, address), dial(t, address), dial(t, address)}
	until(t, "they are there", func() bool { return s.endpoints()[0].Connections == 3 })
	over := dial(t, address)
	if _, err := over.Read(make([]byte, 1)); err == nil {
		t.Error("a fourth one was let in")
	}
	if text := string(s.exposition()); !strings.Contains(text, `stile_connections_refused_total{listener="a"} 1`+"\n") {
		t.Error(text)
	}
	_ = held[0].Close()
	until(t, "there is room again", func() bool { return s.endpoints()[0].Connections < 3 })
	if status, _ := ask(t, address, "/"); status != 200 {
		t.Errorf("then: %d", status)
	}
	if n := len(log.lines("too many connections")); n != 1 {
		t.Errorf("said %d times", n)
	}
}

// All listeners share what the process may open.
func TestRoomIsShared(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	s.room.size = 2
	if err := s.Listen(t.Context(), []Listener{{Name: "a", Address: "127.0.0.1:0", Handler: says("x")}, {Name: "b", Address: "127.0.0.1:0", Handler: says("x")}}); err != nil {
		t.Fatal(err)
	}
	_ = run(t, s)
	first := dial(t, addressOf(s, "a"))
	dial(t, addressOf(s, "b"))
	until(t, "both are there", func() bool { return s.room.taken.Load() == 2 })
	if _, err := dial(t, addressOf(s, "b")).Read(make([]byte, 1)); err == nil {
		t.Error("a third one was let in")
	}
	_ = first.Close()
	until(t, "there is room again", func() bool { return s.room.taken.Load() < 2 })
	if status, _ := ask(t, addressOf(s, "b"), "/"); status != 200 {
		t.Errorf("then: %d", status)
	}
}

type closing struct {
	http.Handler
	closed *atomic.Int32
}

func (c *closing) Close() { c.closed.Add(1) }

// Handlers are replaced, and listeners come and go, while requests are made; those made where a listener stays all
// succeed.
func TestChangeUnderLoad(t *testing.T) {
	t.Parallel()
	var closed [3]atomic.Int32
	listener := func(i int) Listener {
		return Listener{Name: "stays", Address: "unix:" + t.TempDir() + "/s", Handler: &closing{says("hello"), &closed[i]}}
	}
	stays := listener(0)
	other := Listener{Name: "other", Address: "127.0.0.1:0", Handler: &closing{says("other"), &closed[1]}}
	s := start(t, Options{}, stays)
	path := addressOf(s, "stays")
	var stop atomic.Bool
	var clients sync.WaitGroup
	var requests atomic.Int64
	for range 4 {
		clients.Go(func() {
			transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", path)
			}}
			defer transport.CloseIdleConnections()
			for i := 0; !stop.Load(); i++ {
				r, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://localhost/", nil)
				r.Close = i%10 == 0
				answer, err := transport.RoundTrip(r)
				if err != nil {
					t.Error(err)
					return
				}
				body, _ := io.ReadAll(answer.Body)
				_ = answer.Body.Close()
				if answer.StatusCode != 200 || !strings.HasPrefix(string(body), "hello") {
					t.Errorf("got %d %q", answer.StatusCode, body)
				}
				requests.Add(1)
			}
		})
	}
	for i := range 100 {
		set := []Listener{stays, other}
		if i%2 == 0 {
			set = set[:1]
		}
		set[0].Handler = &closing{says("hello again"), &closed[2]}
		if i%3 == 0 {
			set[0].Handler = says("hello there")
		}
		if err := s.Listen(t.Context(), set); err != nil {
			t.Fatal(err)
		}
		if i%2 == 1 {
			if status, body := ask(t, addressOf(s, "other"), "/"); status != 200 || body != "other" {
				t.Errorf("got %d %q", status, body)
			}
		}
	}
	until(t, "some requests were made", func() bool { return requests.Load() > 100 || t.Failed() })
	stop.Store(true)
	clients.Wait()
	if closed[0].Load() != 1 || closed[1].Load() == 0 || closed[2].Load() == 0 {
		t.Errorf("closed %d, %d and %d times", closed[0].Load(), closed[1].Load(), closed[2].Load())
	}
}

// closingWell is what io.Closer is.
type closingWell struct{ closing }

func (c *closingWell) Close() error {
	c.closed.Add(1)
	return errors.New("nobody asked for that")
}

// A handler is closed once: when the last listener that has it goes over to another, or ends.
func TestHandlersAreClosed(t *testing.T) {
	t.Parallel()
	counts := map[string]*atomic.Int32{"ends": {}, "replaced": {}, "shared": {}}
	one := Listener{Name: "one", Address: "127.0.0.1:0", Handler: &closingWell{closing{says("x"), counts["replaced"]}}}
	two := Listener{Name: "two", Address: "127.0.0.1:0", Handler: &closing{says("x"), counts["shared"]}}
	s := New(Options{})
	stop := run(t, s)
	expect := func(want map[string]int32, listeners ...Listener) {
		t.Helper()
		if err := s.Listen(t.Context(), listeners); err != nil {
			t.Fatal(err)
		}
		for name, count := range counts {
			if count.Load() != want[name] {
				t.Errorf("%s: closed %d times, want %d", name, count.Load(), want[name])
			}
		}
	}
	expect(nil, one, two)
	expect(nil, one, two) // the same again
	one.Handler = two.Handler
	expect(map[string]int32{"replaced": 1}, one, two)
	expect(map[string]int32{"replaced": 1}, one)
	one.Handler = &closing{says("x"), counts["ends"]}
	expect(map[string]int32{"replaced": 1, "shared": 1}, one)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if n := counts["ends"].Load(); n != 1 {
		t.Errorf("at the end: closed %d times", n)
	}
}

func TestWhatCannotChange(t *testing.T) {
	t.Parallel()
	l := Listener{Name: "a", Address: "127.0.0.1:0", Handler: says("hello")}
	s := start(t, Options{}, l)
	before := addressOf(s, "a")
	l.Hosts, l.Handler = []string{"stile.example"}, says("changed")
	if err := s.Listen(t.Context(), []Listener{l}); err != nil {
		t.Fatal(err)
	}
	if got := raw(t, before, "GET / HTTP/1.1\r\nHost: stile.example\r\n\r\n"); got != 200 {
		t.Errorf("a host that was added: got %d", got)
	}
	l.Connections = 7
	if err := s.Listen(t.Context(), []Listener{l}); !errors.Is(err, stile.ErrMisuse) {
		t.Errorf("got %v", err)
	}
	if addressOf(s, "a") != before {
		t.Error("the port has changed")
	}
}

// A listener that breaks ends the server, and the error is told.
func TestBrokenListener(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	if err := s.Listen(t.Context(), []Listener{{Name: "a", Address: "127.0.0.1:0", Handler: says("x")}}); err != nil {
		t.Fatal(err)
	}
	_ = s.running[0].sockets[0].Close()
	if err := s.Serve(context.Background()); err == nil || !strings.Contains(err.Error(), "accept connections on 127.0.0.1:") || !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// Close ends what serves.
func TestClosedWhileItServes(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	if err := s.Listen(t.Context(), []Listener{{Name: "a", Address: "127.0.0.1:0", Handler: says("x")}}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(context.Background()) }()
	if status, _ := ask(t, addressOf(s, "a"), "/"); status != 200 {
		t.Errorf("got %d", status)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestClosedBeforeItServed(t *testing.T) {
	t.Parallel()
	s := New(Options{Audit: &memoryHandler{}})
	path := t.TempDir() + "/s"
	if err := s.Listen(t.Context(), []Listener{{Name: "a", Address: "127.0.0.1:0", Handler: says("x")}, {Name: "b", Address: "unix:" + path, Handler: says("x")}}); err != nil {
		t.Fatal(err)
	}
	address := addressOf(s, "a")
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if c, err := net.Dial("tcp", address); err == nil {
		_ = c.Close()
		t.Error("the socket is still open")
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	log := &memoryHandler{}
	s := start(t, Options{Log: newLog(log)}, Listener{Name: "a", Address: "127.0.0.1:0", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(secret) })})
	if answer, err := exchange(dial(t, addressOf(s, "a")), "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err == nil {
		t.Errorf("got %d", answer.StatusCode)
	}
	until(t, "it is logged", func() bool { return len(log.lines("a handler broke")) == 1 })
	if text := log.text(); strings.Contains(text, secret) {
		t.Error(text)
	}
}
