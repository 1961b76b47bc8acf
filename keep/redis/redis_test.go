// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep/shared"
)

func TestMain(m *testing.M) {
	Quiet()
	goleak.VerifyTestMain(m)
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		raw  string
		want Options
		tls  bool
	}{
		{raw: "redis://cache", want: Options{Addresses: []string{"cache:6379"}}},
		{raw: "redis://cache:1/", want: Options{Addresses: []string{"cache:1"}}},
		{raw: "rediss://stile@[::1]:1/15", want: Options{Addresses: []string{"[::1]:1"}, Username: "stile", Database: 15}, tls: true},
		{raw: "redis://:p%40ss%3A%2F+@cache", want: Options{Addresses: []string{"cache:6379"}, Password: stile.NewSecret("p@ss:/+")}},
		{raw: "redis://a%3Ab:c:d@cache", want: Options{Addresses: []string{"cache:6379"}, Username: "a:b", Password: stile.NewSecret("c:d")}},
		{raw: "redis+cluster://a,b:1", want: Options{Kind: Cluster, Addresses: []string{"a:6379", "b:1"}}},
		{raw: "rediss+cluster://u:p@a", want: Options{Kind: Cluster, Addresses: []string{"a:6379"}, Username: "u", Password: stile.NewSecret("p")}, tls: true},
		{raw: "redis+sentinel://a,b:1/my%2Fmaster/3", want: Options{Kind: Sentinel, Addresses: []string{"a:26379", "b:1"}, Master: "my/master", Database: 3}},
		{raw: "rediss+sentinel://a/7?master=main", want: Options{Kind: Sentinel, Addresses: []string{"a:26379"}, Master: "main", Database: 7}, tls: true},
	} {
		got, err := Parse(c.raw)
		if err != nil || told(got) != told(c.want) || (got.TLS != nil) != c.tls {
			t.Errorf("%s: got %s, TLS %v, %v; want %s", c.raw, told(got), got.TLS != nil, err, told(c.want))
		}
	}
}

func told(o Options) string {
	return fmt.Sprint(o.Kind, o.Addresses, o.Master, o.Username, o.Password.Reveal(), o.Database)
}

// secret is what no error may show.
const secret = "hunter2%"

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"", secret, "redis:", "redis:" + secret, "redis://", "http://a", "redis+://a", "redis+x://a", "redisss://a", "redis+cluster+x://a",
		"redis://u:" + secret + "@a", "redis://u:x/" + secret + "@a", "redis://u:#" + secret + "@a", "redis://u@" + secret, "redis://a/" + secret, "redis://a/-1", "redis://a/1/2",
		"redis://a/99999", "redis://a?db=1", "redis://a?" + secret, "redis://a?master=x", "redis://a,b", "redis+cluster://a/1", "redis+cluster://a?master=m",
		"redis+sentinel://a", "redis+sentinel://a/" + secret, "redis+sentinel://a/m/x", "redis+sentinel://a?master=x&master=y", "redis://::1", "redis://a:x"} {
		o, err := Parse(raw)
		if !errors.Is(err, stile.ErrMisuse) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, %v; want ErrMisuse, without the password", raw, o, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, raw := range []string{"redis://u:p@a:1/2", "rediss+cluster://a,[::1]:2", "redis+sentinel://a/m/1", "redis+sentinel://a?master=m"} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		o, err := Parse(raw)
		switch {
		case err != nil && !errors.Is(err, stile.ErrMisuse):
			t.Errorf("%q: got %v; want ErrMisuse", raw, err)
		case err == nil:
			if err := o.check(); err != nil {
				t.Errorf("%q was read, and cannot be opened: %v", raw, err)
			}
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	one := []string{"127.0.0.1:1"}
	for name, o := range map[string]Options{
		"no server":                    {},
		"no such kind":                 {Kind: 7, Addresses: one},
		"two standalone servers":       {Addresses: []string{"a:1", "b:1"}},
		"sentinels without a master":   {Kind: Sentinel, Addresses: one},
		"a master without sentinels":   {Addresses: one, Master: "m"},
		"a cluster's other database":   {Kind: Cluster, Addresses: one, Database: 1},
		"a negative database":          {Addresses: one, Database: -1},
		"two passwords":                {Addresses: one, Password: stile.NewSecret("x"), PasswordFile: "x"},
		"authorities that are not":     {Addresses: one, TLS: &shared.TLS{CAFile: "/nowhere"}},
		"a certificate without a key":  {Addresses: one, TLS: &shared.TLS{CertFile: "/nowhere"}},
		"a certificate that is absent": {Addresses: one, TLS: &shared.TLS{CertFile: "/nowhere", KeyFile: "/nowhere"}},
	} {
		if c, err := Open(o); !errors.Is(err, stile.ErrMisuse) {
			t.Errorf("%s: got %v, %v; want ErrMisuse", name, c, err)
		}
	}
}

func TestPasswordFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "password")
	for text, want := range map[string]string{"word": "word", "word\n": "word", "word\r\n": "word", " word \n": " word ",
		"": "", "\n": "", "word\nmore": "", "word\n\n": "", strings.Repeat("x", longestPassword+1): ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		user, got, err := (&Options{Username: "stile", PasswordFile: path}).credentials(t.Context())
		if got != want || (err == nil) != (want != "") || err == nil && user != "stile" || err != nil && (!errors.Is(err, stile.ErrMisuse) || strings.Contains(err.Error(), "word\n")) {
			t.Errorf("%.20q: got %q, %.20q, %v; want %q", text, user, got, err, want)
		}
	}
	for _, absent := range []string{path + "x", filepath.Dir(path)} {
		if _, _, err := (&Options{PasswordFile: absent}).credentials(t.Context()); !errors.Is(err, stile.ErrMisuse) {
			t.Errorf("%s: got %v; want ErrMisuse", absent, err)
		}
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]bool{
		"":                                   true,
		"+OK\r\n:1\r\n-ERR no\r\n":           true,
		"$3\r\n*9\r\r\n+OK\r\n":              true,
		"$-1\r\n*-1\r\n$0\r\n\r\n":           true,
		"*2\r\n$1\r\na\r\n:2\r\n":            true,
		"%1\r\n+a\r\n_\r\n":                  true,
		"$65537\r\n":                         true,
		"$65538\r\n":                         false,
		"$9223372036854775807\r\n":           false,
		"$99999999999999999999\r\n":          false,
		"$-2\r\n":                            false,
		"$?\r\n":                             false,
		"=70000\r\n":                         false,
		"!70000\r\n":                         false,
		"*65536\r\n":                         true,
		"*65537\r\n":                         false,
		"%65537\r\n":                         false,
		"~65537\r\n":                         false,
		">65537\r\n":                         false,
		"$1\r\na\r\n$70000\r\n":              false,
		"+" + strings.Repeat("x", 4000):      true,
		"+" + strings.Repeat("x", 5000):      false,
		"$5000\r\n" + strings.Repeat("x", 5): true,
	} {
		var whole, bytewise state
		passed := true
		for i := range len(answer) {
			passed = bytewise.follow([]byte{answer[i]}) && passed
		}
		if got := whole.follow([]byte(answer)); got != want || passed != want {
			t.Errorf("%.30q: passed %v, and byte by byte %v; want %v", answer, got, passed, want)
		}
	}
}

func FuzzGuard(f *testing.F) {
	f.Add([]byte("$3\r\nabc\r\n*2\r\n:1\r\n+OK\r\n"), uint8(3))
	f.Add([]byte("%1\r\n$99999\r\n"), uint8(0))
	f.Fuzz(func(t *testing.T, answer []byte, at uint8) {
		var whole, split state
		cut := min(int(at), len(answer))
		passed := split.follow(answer[:cut])
		passed = split.follow(answer[cut:]) && passed
		if got := whole.follow(answer); got != passed || !bytes.Equal(whole.header, split.header) && got || whole.skip != split.skip && got {
			t.Errorf("%q, cut at %d: passed %v, and whole %v", answer, cut, passed, got)
		}
		if whole.skip > longestValue+2 || len(whole.header) > longestHeader+1 {
			t.Errorf("%q: follows %d bytes, and holds %d", answer, whole.skip, len(whole.header))
		}
	})
}
