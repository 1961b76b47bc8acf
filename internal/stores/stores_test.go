// SPDX-License-Identifier: Apache-2.0

package stores_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/stores"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/keep/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// around is a process whose cache folder is below dir.
func around(dir string) stores.Surroundings {
	return stores.Surroundings{Log: slog.New(slog.DiscardHandler), Lookup: func(name string) (string, bool) {
		return map[string]string{"XDG_CACHE_HOME": dir}[name], name == "XDG_CACHE_HOME"
	}}
}

// keyFile writes a new key.
func keyFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(seal.NewLocalKey().Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, d config.Store) keep.Store {
	t.Helper()
	store, closeStore, err := stores.Open(t.Context(), d, around(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := closeStore(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func record(token string) keep.Record {
	now := time.Now().Truncate(time.Second)
	return keep.Record{Obtained: now, Credential: stile.Credential{Kind: stile.KindAccessToken, Token: stile.NewSecret(token), Expires: now.Add(time.Hour), Principal: "p"}}
}

// load gives the token that is kept, and "" for none.
func load(t *testing.T, s keep.Store, key stile.Key) string {
	t.Helper()
	r, err := s.Load(t.Context(), key)
	if err != nil && !errors.Is(err, keep.ErrAbsent) {
		t.Fatal(err)
	}
	return r.Credential.Token.Reveal()
}

func TestOpenFilesAndNothing(t *testing.T) {
	t.Parallel()
	if s := open(t, config.Store{URL: config.StoreNone}); s != nil {
		t.Errorf("none gave %T", s)
	}
	key, folder := stile.NewKey("test", t.Name()), t.TempDir()
	for _, d := range []config.Store{{}, {Deadline: config.Duration(time.Second)}} {
		s, _, err := stores.Open(t.Context(), d, around(folder))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Save(t.Context(), key, record("kept")); err != nil {
			t.Fatal(err)
		}
		if got := load(t, s, key); got != "kept" {
			t.Errorf("got %q", got)
		}
	}
	if files, err := filepath.Glob(filepath.Join(folder, "stile", key.String()+".*")); err != nil || len(files) == 0 {
		t.Errorf("nothing is in the cache folder: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	good := keyFile(t)
	readable := keyFile(t)
	if err := os.Chmod(readable, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		d        config.Store
		want     string
		unixOnly bool
	}{
		"no key":           {d: config.Store{URL: "redis://cache", Key: "/no/such/key"}, want: "stile.yaml:3:8: read the local key"},
		"an open key":      {d: config.Store{URL: "redis://cache", Key: readable}, want: "others may read or write", unixOnly: true},
		"no old key":       {d: config.Store{URL: "redis://cache", Key: good, OldKeys: []string{"file:///no/such/key"}}, want: "read the local key"},
		"no such service":  {d: config.Store{URL: "redis://cache", Key: "azurekeyvault://hush"}, want: "stile.yaml:3:8: "},
		"no such engine":   {d: config.Store{URL: "mysql://hush", Key: good}, want: "its URL is of no kind that is known"},
		"a bad address":    {d: config.Store{URL: "redis://hush!", Key: good}, want: "is no HOST:PORT"},
		"a bad database":   {d: config.Store{URL: "redis://cache/hush", Key: good}, want: "number of a database"},
		"a bad server":     {d: config.Store{URL: "memcached://hush!", Key: good}, want: "is no HOST:PORT"},
		"no CA":            {d: config.Store{URL: "rediss://cache", Key: good, CAFile: "/no/such.pem"}, want: "read the certificate authorities"},
		"no CA, Memcached": {d: config.Store{URL: "memcached+tls://cache", Key: good, CAFile: "/no/such.pem"}, want: "read the certificate authorities"},
	} {
		if test.unixOnly && runtime.GOOS == "windows" {
			continue
		}
		test.d.Place = "stile.yaml:3:8"
		store, closeStore, err := stores.Open(t.Context(), test.d, around(t.TempDir()))
		if store != nil || closeStore != nil || !errors.Is(err, stile.ErrMisuse) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "stile.yaml:3:8") {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: the URL is shown: %v", name, err)
		}
	}
}

func TestLinked(t *testing.T) {
	t.Parallel()
	links := stores.Linked()
	lean, full := "file redis memcached; keyring file", "file redis memcached firestore datastore dynamodb; keyring file awskms gcpkms hashivault"
	got := strings.Join(links.Stores, " ") + "; " + strings.Join(links.Keys, " ")
	if want := map[string]string{"lean": lean, "full": full}[links.Build]; got != want {
		t.Errorf("%s build: got %q, want %q", links.Build, got, want)
	}
}
