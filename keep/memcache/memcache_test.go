// SPDX-License-Identifier: Apache-2.0

package memcache

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep/shared"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		raw, want string
		tls       bool
	}{
		{raw: "memcached://cache", want: "cache:11211"},
		{raw: "memcached://cache:1/", want: "cache:1"},
		{raw: "memcached+tls://a.example:2,10.0.0.1,[::1]:3", want: "a.example:2 10.0.0.1:11211 [::1]:3", tls: true},
	} {
		o, err := Parse(c.raw)
		if got := strings.Join(o.Addresses, " "); err != nil || got != c.want || (o.TLS != nil) != c.tls {
			t.Errorf("%s: got %s, TLS %v, %v; want %s", c.raw, got, o.TLS != nil, err, c.want)
		}
	}
	for _, raw := range []string{"", "cache", "memcached", "memcached:cache", "memcached://", "memcached://a,", "memcached://a:b", "memcached://a:0",
		"memcached://a:65536", "memcached://user:hunter2@a", "memcached://a/b", "memcached://a?b", "memcached://[::1", "memcached://::1", "redis://a"} {
		if o, err := Parse(raw); !errors.Is(err, stile.ErrMisuse) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, %v; want ErrMisuse", raw, o, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"no server":            {},
		"a CA file not there":  {Addresses: []string{"a:1"}, TLS: &shared.TLS{CAFile: "/nowhere"}},
		"a key without a cert": {Addresses: []string{"a:1"}, TLS: &shared.TLS{KeyFile: "/nowhere"}},
	} {
		if c, err := Open(o); !errors.Is(err, stile.ErrMisuse) {
			t.Errorf("%s: got %v, %v; want ErrMisuse", name, c, err)
		}
	}
}

func TestNamesThatCannotBe(t *testing.T) {
	t.Parallel()
	c, err := Open(Options{Addresses: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "a b", "a\r\nflush_all", "ä", strings.Repeat("a", 251)} {
		if _, err := c.Get(t.Context(), name); !errors.Is(err, stile.ErrMisuse) {
			t.Errorf("%q: got %v; want ErrMisuse", name, err)
		}
	}
}

// A name stays with its server in whatever order the servers are named, its lease with it, and a server that is added
// takes names over but has none move between the others.
func TestKeepers(t *testing.T) {
	t.Parallel()
	three := &Client{addresses: []string{"a:1", "b:1", "c:1"}}
	turned := &Client{addresses: []string{"c:1", "a:1", "b:1"}}
	four := &Client{addresses: []string{"a:1", "b:1", "c:1", "d:1"}}
	count := map[string]int{}
	for i := range 1000 {
		tag := fmt.Sprintf("stile:{%d}:", i)
		at := three.keeper(tag + "credential")
		count[at]++
		if got := three.keeper(tag + "lease"); got != at {
			t.Errorf("%s: the lease is at %s, and the credential at %s", tag, got, at)
		}
		if got := turned.keeper(tag + "credential"); got != at {
			t.Errorf("%s: in another order it is at %s, not %s", tag, got, at)
		}
		if got := four.keeper(tag + "credential"); got != at && got != "d:1" {
			t.Errorf("%s: moved from %s to %s", tag, at, got)
		}
	}
	for at, n := range count {
		if len(count) != 3 || n < 250 {
			t.Errorf("%s keeps %d of 1000 names; want about a third", at, n)
		}
	}
}

func TestReadItemRefuses(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"nothing":         "",
		"no line's end":   "END\n",
		"another name":    "VALUE other 0 1 1\r\nx\r\nEND\r\n",
		"no cas":          "VALUE name 0 1\r\nx\r\nEND\r\n",
		"a sign":          "VALUE name 0 -1 1\r\nx\r\nEND\r\n",
		"too long":        "VALUE name 0 4294967295 1\r\n",
		"far too long":    "VALUE name 0 99999999999999999999 1\r\n",
		"cut short":       "VALUE name 0 5 1\r\nx",
		"more than said":  "VALUE name 0 1 1\r\nxy\r\nEND\r\n",
		"no end":          "VALUE name 0 1 1\r\nx\r\nOOPS\r",
		"an endless line": "VALUE " + strings.Repeat("x", 10000),
		"an error":        "SERVER_ERROR out of memory reading request\r\n",
	} {
		it, err := readItem(bufio.NewReader(strings.NewReader(answer)), "name")
		if err == nil || it.found {
			t.Errorf("%s: got %v", name, it)
		}
	}
}

func FuzzReadItem(f *testing.F) {
	for _, answer := range []string{"END\r\n", "VALUE name 0 3 7\r\nabc\r\nEND\r\n", "SERVER_ERROR out of memory\r\n", "VALUE name 0 70000 1\r\n"} {
		f.Add([]byte(answer))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		it, err := readItem(bufio.NewReader(bytes.NewReader(answer)), "name")
		if err == nil && it.found {
			again := fmt.Sprintf("VALUE name 0 %d %d\r\n%s\r\nEND\r\n", len(it.value), it.cas, it.value)
			if got, err := readItem(bufio.NewReader(strings.NewReader(again)), "name"); err != nil || !bytes.Equal(got.value, it.value) || got.cas != it.cas {
				t.Errorf("%q reads as %q, %d, and that as %q, %d, %v", answer, it.value, it.cas, got.value, got.cas, err)
			}
		}
		if len(it.value) > shared.MaxValue {
			t.Errorf("a value of %d bytes", len(it.value))
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, raw := range []string{"memcached://a:1,b", "memcached+tls://[::1]:2", "memcached://user:password@a"} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		o, err := Parse(raw)
		if err != nil && !errors.Is(err, stile.ErrMisuse) {
			t.Errorf("%q: got %v; want ErrMisuse", raw, err)
		}
		if err == nil {
			if _, err := Open(o); err != nil {
				t.Errorf("%q was read, and cannot be opened: %v", raw, err)
			}
		}
	})
}
