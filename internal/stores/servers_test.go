// SPDX-License-Identifier: Apache-2.0

//go:build unix

package stores_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/keep/shared/storetest"
)

func redisServer(t *testing.T, more ...string) *storetest.Process {
	t.Helper()
	return storetest.Serve(t, "redis-server", func(port string) []string {
		return append([]string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"}, more...)
	})
}

// Two descriptions share exactly when engine, namespace and way of sharing are the same, and one of the keys opens what
// the other sealed.
func TestStoresShare(t *testing.T) {
	t.Parallel()
	old, current := keyFile(t), keyFile(t)
	urls := map[string]string{
		"Redis": "redis://" + redisServer(t).Address,
		"Memcached": "memcached://" + storetest.Serve(t, "memcached", func(port string) []string {
			args := []string{"-l", "127.0.0.1", "-p", port, "-U", "0"}
			if os.Geteuid() == 0 {
				args = append(args, "-u", "root")
			}
			return args
		}).Address,
	}
	for engine, url := range urls {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			key := stile.NewKey("test", t.Name())
			first := open(t, config.Store{URL: url, Key: old})
			if err := first.Save(t.Context(), key, record("kept")); err != nil {
				t.Fatal(err)
			}
			for name, test := range map[string]struct {
				d    config.Store
				want string
			}{
				"the same key":      {config.Store{URL: url, Key: old}, "kept"},
				"as a URL":          {config.Store{URL: url, Key: "file://" + old}, "kept"},
				"as an old key":     {config.Store{URL: url, Key: current, OldKeys: []string{old}}, "kept"},
				"another key":       {config.Store{URL: url, Key: current}, ""},
				"another old key":   {config.Store{URL: url, Key: current, OldKeys: []string{current}}, ""},
				"with its deadline": {config.Store{URL: url, Key: old, Deadline: config.Duration(time.Second)}, "kept"},
			} {
				if got := load(t, open(t, test.d), key); got != test.want {
					t.Errorf("%s: got %q, want %q", name, got, test.want)
				}
			}
		})
	}
}

type identified struct{ session string }

func (identified) SubjectToken(context.Context, string) (stile.SubjectToken, error) {
	return stile.SubjectToken{}, nil
}

func (i identified) Identity(_ context.Context, _ string, role bool) (stile.Key, error) {
	if role {
		return stile.NewKey("role"), nil
	}
	return stile.NewKey("session", i.session), nil
}

type target struct{}

func (target) Audience() string { return "a" }

func (target) CacheKey() stile.Key { return stile.NewKey("target") }

func (target) Exchange(context.Context, stile.SubjectToken) (stile.Credential, error) {
	return stile.Credential{}, nil
}

// Namespace and share reach the store: they decide the key.
func TestSharingDecidesTheKey(t *testing.T) {
	t.Parallel()
	secret := keyFile(t)
	keyOf := func(session, namespace, share string) stile.Key {
		s := open(t, config.Store{URL: "redis://127.0.0.1:1", Key: secret, Namespace: namespace, Share: share})
		key, err := s.Key(t.Context(), stile.Cross(identified{session}, target{}))
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	one := keyOf("one", "", "")
	for name, test := range map[string]struct {
		other stile.Key
		same  bool
	}{
		"the same":                  {keyOf("one", "", config.ShareIdentity), true},
		"the default namespace":     {keyOf("one", "stile", ""), true},
		"another session":           {keyOf("two", "", ""), false},
		"another namespace":         {keyOf("one", "other", ""), false},
		"another way":               {keyOf("one", "", config.ShareRole), false},
		"two sessions of one role":  {keyOf("two", "", config.ShareRole), false},
		"another namespace of role": {keyOf("one", "other", config.ShareRole), false},
	} {
		if got := test.other == one; got != test.same {
			t.Errorf("%s: the same key %t, want %t", name, got, test.same)
		}
	}
	if keyOf("one", "", config.ShareRole) != keyOf("two", "", config.ShareRole) {
		t.Error("two sessions of one role do not share, and were told to")
	}
}

func TestPasswordFileReachesRedis(t *testing.T) {
	t.Parallel()
	server := redisServer(t, "--requirepass", "open sesame")
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("open sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	key := stile.NewKey("test", t.Name())
	d := config.Store{URL: "redis://" + server.Address, Key: keyFile(t)}
	if err := open(t, d).Save(t.Context(), key, record("kept")); err == nil {
		t.Error("the server wants a password, and took none")
	}
	d.PasswordFile = password
	s := open(t, d)
	if err := s.Save(t.Context(), key, record("kept")); err != nil {
		t.Fatal(err)
	}
	if got := load(t, s, key); got != "kept" {
		t.Errorf("got %q", got)
	}
}

// What leaves this machine is sealed: the engine's own words for it hold no token and no principal.
func TestNothingLeavesUnsealed(t *testing.T) {
	t.Parallel()
	var seen bytes.Buffer
	done := make(chan struct{})
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		buffer := make([]byte, 64<<10)
		n, _ := conn.Read(buffer)
		seen.Write(buffer[:n])
	}()
	s := open(t, config.Store{URL: "memcached://" + l.Addr().String(), Key: keyFile(t)})
	_ = s.Save(t.Context(), stile.NewKey("test"), record("the token itself")) // nobody answers
	_ = l.Close()
	<-done
	if !bytes.HasPrefix(seen.Bytes(), []byte("set stile:{")) {
		t.Fatalf("Memcached was asked %.60q", seen.String())
	}
	if bytes.Contains(seen.Bytes(), []byte("the token itself")) {
		t.Error("the token was sent unsealed")
	}
}
