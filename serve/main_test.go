// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/serve/offer"
)

// asClient makes the test's own program a client, which another user can run: it asks once and prints the status.
const asClient = "STILE_TEST_CLIENT"

func TestMain(m *testing.M) {
	if address := os.Getenv(asClient); address != "" {
		os.Exit(client(address))
	}
	goleak.VerifyTestMain(m)
}

func client(address string) int {
	network := "tcp"
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	c, err := net.Dial(network, address)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	answer, err := exchange(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(answer.StatusCode)
	return 0
}

// exchange sends text as it is and reads one answer.
func exchange(c net.Conn, text string) (*http.Response, error) {
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(c, text); err != nil {
		return nil, err
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	answer.Body = io.NopCloser(strings.NewReader(string(body)))
	return answer, err
}

func dial(t testing.TB, address string) net.Conn {
	t.Helper()
	network := "tcp"
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// raw is the status of what is answered to text, which may be anything.
func raw(t testing.TB, address, text string) int {
	t.Helper()
	answer, err := exchange(dial(t, address), text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return answer.StatusCode
}

// ask is the status and the body of GET path.
func ask(t testing.TB, address, path string) (int, string) {
	t.Helper()
	answer, err := exchange(dial(t, address), "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// start serves until the test ends, and finds that nothing went wrong.
func start(t testing.TB, o Options, listeners ...Listener) *Server {
	t.Helper()
	s := New(o)
	if err := s.Listen(t.Context(), listeners); err != nil {
		_ = s.Close()
		t.Fatal(err)
	}
	stop := run(t, s)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// run serves until stop is called, which says how it ended; also the second time.
func run(t testing.TB, s *Server) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	var err error
	go func() {
		defer close(ended)
		err = s.Serve(ctx)
	}()
	stop = func() error {
		cancel()
		<-ended
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

func addressOf(s *Server, name string) string { return s.Addresses()[name][0].String() }

// until waits for what will come true.
func until(t testing.TB, what string, true func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !true(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited 20 s for: " + what)
		}
	}
}

const secret = "wJalrXUtnFEMI/SECRET"

// give hands out a secret and notes it, as endpoints do; /refused and /broken refuse one.
var give = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	note := offer.Handed{Endpoint: "ecs", Crossing: "images", What: "AWS session"}
	switch r.URL.Path {
	case "/refused":
		note.Err = &stile.Error{Op: "assume the role", Cloud: "AWS STS", Status: 403, Code: "AccessDenied", Message: secret, Err: stile.ErrRefused}
	case "/broken":
		note.Err = errors.New("it said " + secret)
	default:
		note.Expires = time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)
	}
	offer.Note(r, note)
	if note.Err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, secret)
})

func says(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
}
