// SPDX-License-Identifier: Apache-2.0

//go:build unix

package memcache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/keep/shared"
	"github.com/stile-project/stile/keep/shared/storetest"
)

func memcached(t *testing.T, more ...string) *storetest.Process {
	t.Helper()
	return storetest.Serve(t, "memcached", func(port string) []string {
		return append([]string{"-l", "127.0.0.1", "-p", port, "-U", "0", "-u", "nobody", "-t", "2"}, more...)
	})
}

func open(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func at(addresses ...string) Options { return Options{Addresses: addresses} }

// within gives a context that ends soon, and checks that what it was for did not take much longer.
func within(t *testing.T, d time.Duration, call func(context.Context) error) error {
	t.Helper()
	return bounded(t, context.WithTimeout, d, call)
}

// bounds are how a call's time is counted: by the clock, or as a Memory does it.
var bounds = map[string]func(context.Context, time.Duration) (context.Context, context.CancelFunc){"the clock": context.WithTimeout, "patience": keep.Patience}

func bounded(t *testing.T, bound func(context.Context, time.Duration) (context.Context, context.CancelFunc), d time.Duration, call func(context.Context) error) error {
	t.Helper()
	ctx, cancel := bound(t.Context(), d)
	defer cancel()
	began := time.Now()
	err := call(ctx)
	if took := time.Since(began); took > d+2*time.Second {
		t.Errorf("it took %v, and had %v", took, d)
	}
	return err
}

func get(c *Client, name string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := c.Get(ctx, name)
		return err
	}
}

// calls are all that can be asked.
func calls(c *Client, name string, value []byte) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Get": get(c, name),
		"Set": func(ctx context.Context) error { return c.Set(ctx, name, value, time.Hour) },
		"Add": func(ctx context.Context) error {
			_, err := c.Add(ctx, name, "holder", time.Hour)
			return err
		},
		"Extend": func(ctx context.Context) error {
			_, err := c.Extend(ctx, name, "holder", time.Hour)
			return err
		},
		"Remove": func(ctx context.Context) error { return c.Remove(ctx, name, "holder") },
	}
}

func wantFault(t *testing.T, what string, err, want error) {
	t.Helper()
	var told *stile.Error
	if !errors.As(err, &told) || !errors.Is(err, want) || errors.Is(err, keep.ErrAbsent) {
		t.Errorf("%s: got %v; want a *stile.Error that is %v", what, err, want)
	}
}

func TestContract(t *testing.T) {
	t.Parallel()
	t.Run("one server", func(t *testing.T) {
		t.Parallel()
		server := memcached(t)
		storetest.Run(t, func(t *testing.T) shared.Backend { return open(t, at(server.Address)) })
	})
	t.Run("three servers", func(t *testing.T) {
		t.Parallel()
		a, b, c := memcached(t), memcached(t), memcached(t)
		storetest.Run(t, func(t *testing.T) shared.Backend { return open(t, at(a.Address, b.Address, c.Address)) })
	})
	t.Run("TLS", func(t *testing.T) {
		t.Parallel()
		files := storetest.Certificates(t)
		server := memcached(t, "-Z", "-o", "ssl_chain_cert="+files.CertFile+",ssl_key="+files.KeyFile+",ssl_ca_cert="+files.CAFile+",ssl_verify_mode=2")
		storetest.Run(t, func(t *testing.T) shared.Backend {
			return open(t, Options{Addresses: []string{server.Address}, TLS: &files})
		})
		wrong := storetest.Certificates(t)
		for what, o := range map[string]*shared.TLS{"another authority": &wrong, "no certificate": {CAFile: files.CAFile}, "the system's authorities": {}, "no TLS": nil} {
			wantFault(t, what, within(t, 2*time.Second, get(open(t, Options{Addresses: []string{server.Address}, TLS: o}), "name")), stile.ErrTemporary)
		}
		_, port, _ := net.SplitHostPort(server.Address)
		named := open(t, Options{Addresses: []string{net.JoinHostPort("localhost", port)}, TLS: &files})
		wantFault(t, "a certificate for another host", within(t, 2*time.Second, get(named, "name")), stile.ErrTemporary)
		stranger := open(t, Options{Addresses: []string{server.Address}, TLS: &shared.TLS{CAFile: wrong.CAFile, CertFile: files.CertFile, KeyFile: files.KeyFile}})
		wantFault(t, "a server of another authority", within(t, 2*time.Second, get(stranger, "name")), stile.ErrTemporary)
	})
}

func TestKilledAndRestarted(t *testing.T) {
	t.Parallel()
	server := memcached(t)
	c := open(t, at(server.Address))
	if err := c.Set(t.Context(), "name", []byte("value"), time.Hour); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	for range 3 {
		wantFault(t, "killed", within(t, time.Second, get(c, "name")), stile.ErrTemporary)
	}
	server.Start()
	if _, err := c.Get(t.Context(), "name"); !errors.Is(err, keep.ErrAbsent) {
		t.Errorf("after a restart: got %v; want ErrAbsent", err)
	}
	if added, err := c.Add(t.Context(), "lease", "holder", time.Hour); !added || err != nil {
		t.Errorf("after a restart: got %v, %v; want the lease", added, err)
	}
}

func TestFrozen(t *testing.T) {
	t.Parallel()
	server := memcached(t)
	c := open(t, at(server.Address))
	if _, err := c.Add(t.Context(), "lease", "holder", time.Hour); err != nil {
		t.Fatal(err)
	}
	server.Freeze()
	for op, call := range calls(c, "name", []byte("value")) {
		for by, bound := range bounds {
			wantFault(t, op+", by "+by, bounded(t, bound, 200*time.Millisecond, call), context.DeadlineExceeded)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	began := time.Now()
	wantFault(t, "cancelled", get(c, "name")(ctx), context.Canceled)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("one who had gone was kept for %v", took)
	}
	server.Thaw()
	if held, err := c.Extend(t.Context(), "lease", "other", time.Hour); held || err != nil {
		t.Errorf("after the thaw: got %v, %v", held, err)
	}
}

func TestFull(t *testing.T) {
	t.Parallel()
	server := memcached(t, "-m", "1", "-I", "512k")
	c := open(t, at(server.Address))
	if err := c.Set(t.Context(), "first", make([]byte, 60000), time.Hour); err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		if err := c.Set(t.Context(), fmt.Sprint("more", i), make([]byte, 60000), time.Hour); err != nil {
			t.Fatal(i, err)
		}
	}
	if _, err := c.Get(t.Context(), "first"); !errors.Is(err, keep.ErrAbsent) {
		t.Errorf("what had to make room: got %v; want ErrAbsent", err)
	}
}

func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	server := memcached(t, "-m", "1", "-I", "512k", "-M")
	c := open(t, at(server.Address))
	var err error
	for i := 0; err == nil && i < 500; i++ {
		err = c.Set(t.Context(), fmt.Sprint("more", i), make([]byte, 60000), time.Hour)
	}
	wantFault(t, "no room", err, stile.ErrTemporary)
	if want := "SERVER_ERROR: out of memory"; err != nil && !bytes.Contains([]byte(err.Error()), []byte(want)) {
		t.Errorf("got %v; want it to say %s", err, want)
	}
}

// raw says something to the server, and gives the first line of its answer.
func raw(t *testing.T, address, text string) string {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 100)
	n, err := conn.Read(answer)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer[:n])
}

func TestFlushedAndFoul(t *testing.T) {
	t.Parallel()
	server := memcached(t)
	c := open(t, at(server.Address))
	if err := c.Set(t.Context(), "name", []byte("value"), time.Hour); err != nil {
		t.Fatal(err)
	}
	raw(t, server.Address, "flush_all\r\n")
	if _, err := c.Get(t.Context(), "name"); !errors.Is(err, keep.ErrAbsent) {
		t.Errorf("flushed: got %v; want ErrAbsent", err)
	}
	raw(t, server.Address, "set lease 0 0 4\r\njunk\r\n")
	if added, err := c.Add(t.Context(), "lease", "holder", time.Hour); !added || err != nil {
		t.Errorf("garbage without an end for a lease: got %v, %v; want it replaced", added, err)
	}
	if added, err := c.Add(t.Context(), "lease", "other", time.Hour); added || err != nil {
		t.Errorf("a second holder: got %v, %v", added, err)
	}
	long := bytes.Repeat([]byte("x"), shared.MaxValue+1)
	raw(t, server.Address, fmt.Sprintf("set name 0 0 %d\r\n%s\r\n", len(long), long))
	if v, err := c.Get(t.Context(), "name"); !errors.Is(err, keep.ErrAbsent) {
		t.Errorf("what is too long to be ours: got %d bytes, %v; want ErrAbsent", len(v), err)
	}
	if err := c.Set(t.Context(), "name", long, time.Hour); err == nil || !bytes.Contains([]byte(err.Error()), fmt.Append(nil, len(long))) {
		t.Errorf("setting what is too long: got %v; want an error that says %d", err, len(long))
	}
	if err := c.Set(t.Context(), "name", []byte("value"), 999*time.Millisecond); !errors.Is(err, stile.ErrMisuse) {
		t.Errorf("setting for less than a second: got %v; want ErrMisuse", err)
	}
}

// Past 30 days Memcached takes a number of seconds for a date, which would be long ago.
func TestLongerThanAMonth(t *testing.T) {
	t.Parallel()
	c := open(t, at(memcached(t).Address))
	if err := c.Set(t.Context(), "name", []byte("value"), 31*24*time.Hour); err != nil {
		t.Fatal(err)
	}
	if v, err := c.Get(t.Context(), "name"); err != nil || string(v) != "value" {
		t.Errorf("got %q, %v", v, err)
	}
	if added, err := c.Add(t.Context(), "lease", "holder", 40*24*time.Hour); !added || err != nil {
		t.Fatal(added, err)
	}
	if added, err := c.Add(t.Context(), "lease", "other", time.Hour); added || err != nil {
		t.Errorf("a lease of forty days: another got it at once: %v, %v", added, err)
	}
}

func TestCutMidAnswer(t *testing.T) {
	t.Parallel()
	server := memcached(t)
	proxy := storetest.NewProxy(t, server.Address)
	c := open(t, at(proxy.Address))
	want := bytes.Repeat([]byte("v"), 3000)
	if err := c.Set(t.Context(), "name", want, time.Hour); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int64{0, 1, 10, 25, 1000, 3020} {
		proxy.CutAfter(n)
		wantFault(t, fmt.Sprintf("cut after %d bytes", n), within(t, 5*time.Second, get(c, "name")), stile.ErrTemporary)
		proxy.CutAfter(-1)
		if v, err := c.Get(t.Context(), "name"); err != nil || !bytes.Equal(v, want) {
			t.Errorf("after a cut at %d bytes: got %d bytes, %v", n, len(v), err)
		}
	}
}

func TestGarbage(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	for _, answer := range []string{"\r\n", "\x00\x00\x00\x00\r\n", "+OK\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n", "VALUE name 0 4294967295 1\r\n", "VALUE name 0 5 1\r\n",
		"SERVER_ERROR " + secret + "\r\n", "CLIENT_ERROR " + secret + "\r\n", secret + "\r\n", "ERROR\r\n"} {
		c := open(t, at(storetest.Babbler(t, []byte(answer))))
		for op, call := range calls(c, "name", []byte(secret)) {
			if err := within(t, 200*time.Millisecond, call); err == nil || bytes.Contains([]byte(err.Error()), []byte(secret)) {
				t.Errorf("%s, answered %q: got %v", op, answer, err)
			}
		}
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	c := open(t, at(memcached(t).Address))
	if err := c.Set(t.Context(), "name", []byte("value"), time.Hour); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	wantFault(t, "closed", get(c, "name")(t.Context()), stile.ErrTemporary)
}

func TestAbsent(t *testing.T) {
	t.Parallel()
	storetest.Absent(t, func() string { return memcached(t).Address }, func(t *testing.T, address string) shared.Backend {
		t.Helper()
		return open(t, at(address))
	})
}
