// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestDeadlineReachesTheSocket where it is needed, and never later than was wanted, or sooner by more than the slack.
func TestDeadlineReachesTheSocket(t *testing.T) {
	t.Parallel()
	at := func(seconds float64) time.Time {
		return time.Unix(1_000_000, 0).Add(time.Duration(seconds * float64(time.Second)))
	}
	var given []time.Time
	d := &deadline{slack: time.Second, since: at(0), set: func(t time.Time) error {
		given = append(given, t)
		return nil
	}}
	for _, wanted := range [][]time.Time{ // before something is read or written
		{{}},
		{at(5), {}, at(64)},
		{{}, at(64.9)},
		{at(65)}, // a second later than what was set
		{at(60)}, {at(60.5)},
		{{}}, {{}}, {at(60.5)},
	} {
		for _, one := range wanted {
			if err := d.want(one); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.begin(); err != nil {
			t.Fatal(err)
		}
		d.end()
	}
	if want := []time.Time{at(64), at(65), at(60), {}, at(60.5)}; !slices.Equal(given, want) {
		t.Errorf("got %v\nwant %v", given, want)
	}
	given = nil
	if err := errors.Join(d.want(at(-1)), d.begin()); !errors.Is(err, os.ErrDeadlineExceeded) || given != nil {
		t.Errorf("one that has passed: got %v, and the socket %v", err, given)
	}
}

// A broken socket keeps nobody's place, so that later deadlines do not reach it before they are needed.
func TestDeadlineCannotBeSet(t *testing.T) {
	t.Parallel()
	asked := 0
	d := &deadline{slack: time.Second, set: func(time.Time) error {
		asked++
		return net.ErrClosed
	}}
	if err := errors.Join(d.want(time.Now()), d.begin()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if err := d.want(time.Now().Add(time.Hour)); err != nil || asked != 1 {
		t.Errorf("got %v, asked %d times", err, asked)
	}
}

// Who reads or writes already is told at once.
func TestDeadlineOfWhoWaits(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]func(c net.Conn) error{
		"reading": func(c net.Conn) error { _, err := c.Read(make([]byte, 1)); return err },
		"writing": func(c net.Conn) error { _, err := c.Write([]byte("x")); return err },
	} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			defer func() { _ = far.Close() }()
			s := New(Options{})
			l := &listener{server: s, open: map[*conn]bool{}, http: &http.Server{ReadHeaderTimeout: time.Minute, IdleTimeout: time.Minute, WriteTimeout: time.Minute}}
			l.now.Store(&site{Listener: Listener{Name: "a", Connections: 1}})
			c, _ := l.admit(near)
			defer func() { _ = c.Close() }()
			set := map[string]func(time.Time) error{"reading": c.SetReadDeadline, "writing": c.SetWriteDeadline}[name]
			for _, how := range []func(time.Time) error{set, c.SetDeadline} {
				began := time.Now()
				if err := set(began.Add(time.Hour)); err != nil {
					t.Fatal(err)
				}
				ended := make(chan error)
				go func() { ended <- wait(c) }()
				synctest.Wait()
				if err := how(began.Add(10 * time.Second)); err != nil {
					t.Fatal(err)
				}
				if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != 10*time.Second {
					t.Errorf("%s: got %v after %v", name, err, time.Since(began))
				}
				go func() { ended <- wait(c) }()
				if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != 10*time.Second {
					t.Errorf("%s once more: got %v after %v", name, err, time.Since(began))
				}
				go func() { // with none, it waits for as long as it takes
					if err := how(time.Time{}); err != nil {
						t.Error(err)
					}
					ended <- wait(c)
				}()
				time.Sleep(24 * time.Hour)
				synctest.Wait()
				if err := how(time.Unix(1, 0)); err != nil { // as net/http ends what it need not wait for
					t.Fatal(err)
				}
				if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%s, interrupted: got %v", name, err)
				}
			}
			if mine, ok := c.(*conn); !ok || mine.reading.users+mine.writing.users != 0 {
				t.Errorf("%s: somebody still does", name)
			}
		})
	}
}

// A client that reads nothing of its answer is let go.
func TestClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	s := start(t, Options{Header: time.Second}, Listener{Name: "a", Address: "127.0.0.1:0", Timeout: 100 * time.Millisecond, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
				ended <- err
				return
			}
		}
	})})
	c := dial(t, addressOf(s, "a"))
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// A connection that was let in under one name is not under another, nor once that name is no longer allowed.
func TestHostOfLaterRequests(t *testing.T) {
	t.Parallel()
	l := Listener{Name: "a", Address: "127.0.0.1:0", Handler: says("ok"), Hosts: []string{"stile.default.svc"}}
	s := start(t, Options{}, l)
	one, other := dial(t, addressOf(s, "a")), dial(t, addressOf(s, "a"))
	ask := func(c net.Conn, host string) int {
		t.Helper()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		_, _ = io.Copy(io.Discard, answer.Body)
		return answer.StatusCode
	}
	for range 2 {
		for _, c := range []net.Conn{one, other} {
			if status := ask(c, "stile.default.svc"); status != 200 {
				t.Errorf("allowed: %d", status)
			}
		}
	}
	if status := ask(one, "evil.example"); status != 403 {
		t.Errorf("under another name: %d", status)
	}
	l.Hosts = nil
	if err := s.Listen(t.Context(), []Listener{l}); err != nil {
		t.Fatal(err)
	}
	if status := ask(other, "stile.default.svc"); status != 403 {
		t.Errorf("no longer allowed: %d", status)
	}
}
