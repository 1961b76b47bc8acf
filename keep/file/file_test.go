// SPDX-License-Identifier: Apache-2.0

package file_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/keep/file"
	"github.com/stile-project/stile/keep/seal"
)

const secret = "ya29.c.EXAMPLE-access-token"

var key = stile.NewKey("test", "one")

func record(principal string) keep.Record {
	now := time.Now().UTC()
	return keep.Record{Obtained: now, Credential: stile.Credential{
		Kind: stile.KindAccessToken, Token: stile.NewSecret(secret), Expires: now.Add(time.Hour), Principal: principal,
	}}
}

// ring is a keyring in memory.
type ring struct {
	mu   sync.Mutex
	text stile.Secret
	sets int
	err  error
	hang chan struct{} // nil, or what Get waits for
}

func (r *ring) Get() (stile.Secret, error) {
	if r.hang != nil {
		<-r.hang
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil && r.text.IsZero() {
		return r.text, file.ErrNoKey
	}
	return r.text, r.err
}

func (r *ring) Set(text stile.Secret) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text = text
	r.sets++
	return nil
}

type place struct {
	dir string
	log bytes.Buffer
}

func newPlace(t testing.TB) *place { return &place{dir: filepath.Join(t.TempDir(), "stile")} }

func (p *place) open(t testing.TB, opts ...file.Option) *file.Store {
	t.Helper()
	s, err := file.Open(p.dir, append(opts, file.WithLogger(slog.New(slog.NewTextHandler(&p.log, nil))))...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (p *place) path(end string) string { return filepath.Join(p.dir, key.String()+end) }

func save(t testing.TB, s *file.Store, principal string) {
	t.Helper()
	if err := s.Save(t.Context(), key, record(principal)); err != nil {
		t.Fatal(err)
	}
}

func wantLoads(t testing.TB, s *file.Store, principal string) {
	t.Helper()
	r, err := s.Load(t.Context(), key)
	if err != nil || r.Credential.Principal != principal || r.Credential.Token.Reveal() != secret {
		t.Errorf("got principal %q, error %v, want %q", r.Credential.Principal, err, principal)
	}
}

func wantAbsent(t testing.TB, s *file.Store) {
	t.Helper()
	if _, err := s.Load(t.Context(), key); !errors.Is(err, keep.ErrAbsent) {
		t.Errorf("got error %v, want ErrAbsent", err)
	}
}

// files are the names in the folder, with the key's own shortened.
func (p *place) files(t testing.TB) string {
	t.Helper()
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.Replace(e.Name(), key.String(), "KEY", 1))
	}
	return strings.Join(names, " ")
}

func onUnix(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has ACLs instead")
	}
}

func TestSaveAndLoad(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	s, other := p.open(t), p.open(t)
	wantAbsent(t, s)
	save(t, s, "first")
	wantLoads(t, other, "first")
	save(t, other, "second")
	wantLoads(t, s, "second")
	if got := p.files(t); got != "KEY.json" {
		t.Errorf("the folder holds %s", got)
	}
	info, err := os.Stat(p.path(".json"))
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, error %v", info.Mode(), err)
	}
	if info, err = os.Stat(p.dir); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		t.Errorf("folder: mode %v, error %v", info.Mode(), err)
	}
	if err := os.RemoveAll(p.dir); err != nil { // while the store is in use
		t.Fatal(err)
	}
	wantAbsent(t, s)
	save(t, s, "third")
	wantLoads(t, s, "third")
	if err := os.RemoveAll(p.dir); err != nil {
		t.Fatal(err)
	}
	if l, err := s.Lease(t.Context(), key); l == nil || err != nil {
		t.Errorf("lease in a folder that went: %v, %v", l, err)
	} else if err := l.Release(t.Context()); err != nil {
		t.Error(err)
	}
	if p.log.Len() > 0 {
		t.Errorf("logged %s", p.log.String())
	}
}

func TestLoadIgnoresExpired(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	now := time.Now()
	s := p.open(t, file.WithClock(func() time.Time { return now }))
	r := record("one")
	if err := s.Save(t.Context(), key, r); err != nil {
		t.Fatal(err)
	}
	now = r.Credential.Expires.Add(-1)
	wantLoads(t, s, "one")
	now = r.Credential.Expires
	wantAbsent(t, s)
}

func TestCancelledContext(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	s := p.open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, load := s.Load(ctx, key)
	lease, held := s.Lease(ctx, key)
	_, cleared := s.Clear(ctx)
	for name, err := range map[string]error{"load": load, "save": s.Save(ctx, key, record("x")), "lease": held} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if lease != nil || cleared != nil || p.files(t) != "" {
		t.Errorf("something was done: %v %v %s", lease, cleared, p.files(t))
	}
}

func TestFolderIsRefused(t *testing.T) {
	t.Parallel()
	onUnix(t)
	cases := map[string]struct {
		make       func(dir string) error
		want, hint string
	}{
		"readable by the group": {func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o750)) }, "others", "chmod 700 DIR"},
		"writable by others":    {func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o702)) }, "others", "chmod 700 DIR"},
		"a link":                {func(dir string) error { return errors.Join(os.Mkdir(dir+"x", 0o700), os.Symlink(dir+"x", dir)) }, "link", "link"},
		"a dangling link":       {func(dir string) error { return os.Symlink(dir+"x", dir) }, "DIR", ""},
		"a file":                {func(dir string) error { return os.WriteFile(dir, nil, 0o600) }, "DIR", ""},
		"another's":             {func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, 12345, 12345)) }, "another user", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "stile")
			if err := c.make(dir); errors.Is(err, fs.ErrPermission) {
				t.Skip("only root gives files away")
			} else if err != nil {
				t.Fatal(err)
			}
			_, err := file.Open(dir)
			told, ok := errors.AsType[*stile.Error](err)
			if !ok || !errors.Is(err, stile.ErrMisuse) || !strings.Contains(err.Error(), strings.ReplaceAll(c.want, "DIR", dir)) ||
				!strings.Contains(err.Error(), dir) || !strings.Contains(told.Hint, strings.ReplaceAll(c.hint, "DIR", dir)) {
				t.Errorf("got %v (%+v)", err, told)
			}
		})
	}
	if _, err := file.Open(""); !errors.Is(err, stile.ErrMisuse) {
		t.Errorf("no folder: got %v", err)
	}
}

// Whatever stands where a record should is passed over with a warning, and the next Save mends it.
func TestWhatIsNotOursIsReplaced(t *testing.T) {
	t.Parallel()
	good, err := seal.Marshal(key, record("forged"))
	if err != nil {
		t.Fatal(err)
	}
	others, err := seal.Marshal(stile.NewKey("test", "two"), record("other"))
	if err != nil {
		t.Fatal(err)
	}
	write := func(content []byte, mode fs.FileMode) func(string) error {
		return func(path string) error { return errors.Join(os.WriteFile(path, content, 0o600), os.Chmod(path, mode)) }
	}
	cases := map[string]func(path string) error{
		"empty":       write(nil, 0o600),
		"garbage":     write([]byte("\x00\xff"), 0o600),
		"truncated":   write(good[:len(good)-1], 0o600),
		"another's":   write(others, 0o600),
		"10 MB":       write(make([]byte, 10<<20), 0o600),
		"a folder":    func(path string) error { return os.Mkdir(path, 0o700) },
		"sealed text": write(bytes.Repeat([]byte{1}, 200), 0o600),
	}
	if runtime.GOOS != "windows" {
		cases["readable by others"] = write(good, 0o604)
		cases["writable by the group"] = write(good, 0o620)
		cases["a link"] = func(path string) error {
			return errors.Join(os.WriteFile(path+"x", good, 0o600), os.Symlink(path+"x", path))
		}
		cases["a dangling link"] = func(path string) error { return os.Symlink(path+"x", path) }
		cases["not ours"] = func(path string) error { return errors.Join(write(good, 0o600)(path), os.Chown(path, 12345, 12345)) }
		if os.Geteuid() != 0 {
			cases["not readable"] = write(good, 0)
		}
	}
	for name, plant := range cases {
		for _, end := range []string{".json", ".sealed"} {
			t.Run(name+end, func(t *testing.T) {
				t.Parallel()
				p := newPlace(t)
				var opts []file.Option
				if end == ".sealed" {
					opts = append(opts, file.WithKeyring(&ring{}, time.Minute))
				}
				s := p.open(t, opts...)
				if err := plant(p.path(end)); errors.Is(err, fs.ErrPermission) {
					t.Skip("only root gives files away")
				} else if err != nil {
					t.Fatal(err)
				}
				wantAbsent(t, s)
				wantAbsent(t, s)
				if n := strings.Count(p.log.String(), "level=WARN"); n != 1 || strings.Contains(p.log.String(), secret) {
					t.Errorf("warned %d times: %s", n, p.log.String())
				}
				entries, err := s.List(t.Context())
				if name != "a folder" && (err != nil || len(entries) != 1 || entries[0].Problem == "" || entries[0].Kind != 0) {
					t.Errorf("listed as %+v, error %v", entries, err)
				}
				save(t, s, "mended")
				wantLoads(t, s, "mended")
				if info, err := os.Lstat(p.path(end)); err != nil || !info.Mode().IsRegular() || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
					t.Errorf("what replaced it: %v, %v", info, err)
				}
			})
		}
	}
}

func TestFullFolderInTheWay(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	s := p.open(t)
	if err := os.MkdirAll(filepath.Join(p.path(".json"), "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), key, record("x")); err == nil || !strings.Contains(err.Error(), p.path(".json")) || strings.Contains(err.Error(), secret) {
		t.Errorf("got %v", err)
	}
	if got := p.files(t); got != "KEY.json" {
		t.Errorf("left behind: %s", got)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	dir := newPlace(t).dir
	keyed, another := stile.Cross(source("a"), target("b")), stile.Cross(source("a"), target("c"))
	alice := file.Owner{User: "1000", Host: "laptop", Boot: "x"}
	of := func(o file.Owner, c stile.Crossing) stile.Key {
		s, err := file.Open(dir, file.WithOwner(o))
		if err != nil {
			t.Fatal(err)
		}
		k, err := s.Key(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	if of(alice, keyed) != of(alice, stile.Cross(source("a"), target("b"))) {
		t.Error("equal crossings of one owner have two keys")
	}
	seen := map[stile.Key]string{keyed.Key(): "the crossing itself"}
	for name, k := range map[string]stile.Key{
		"alice":    of(alice, keyed),
		"bob":      of(file.Owner{User: "1001", Host: "laptop", Boot: "x"}, keyed),
		"desktop":  of(file.Owner{User: "1000", Host: "desktop", Boot: "x"}, keyed),
		"restart":  of(file.Owner{User: "1000", Host: "laptop", Boot: "y"}, keyed),
		"crossing": of(alice, another),
	} {
		if seen[k] != "" {
			t.Errorf("%s and %s have one key", name, seen[k])
		}
		seen[k] = name
	}
	s, err := file.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	plain := stile.SourceFunc(func(context.Context, string) (stile.SubjectToken, error) { return stile.SubjectToken{}, nil })
	if _, err := s.Key(t.Context(), stile.Cross(plain, target("b"))); !errors.Is(err, stile.ErrMisuse) {
		t.Errorf("a crossing without a key: got %v", err)
	}
	this, err := file.ThisOwner()
	if err != nil || this.User == "" || this.Host == "" || runtime.GOOS == "linux" && len(this.Boot) != 36 {
		t.Errorf("this owner: %+v, %v", this, err)
	}
	if got, err := s.Key(t.Context(), keyed); err != nil || got != of(this, keyed) {
		t.Error("the default owner is not this one")
	}
}

type source string

func (source) SubjectToken(context.Context, string) (stile.SubjectToken, error) {
	return stile.SubjectToken{}, nil
}
func (s source) CacheKey() stile.Key { return stile.NewKey("source", string(s)) }

type target string

func (target) Audience() string { return "" }
func (target) Exchange(context.Context, stile.SubjectToken) (stile.Credential, error) {
	return stile.Credential{}, nil
}
func (s target) CacheKey() stile.Key { return stile.NewKey("target", string(s)) }

func TestDefaultDir(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	at := func(elements ...string) string { return filepath.Join(append([]string{root}, elements...)...) }
	home := map[string][]string{"windows": {"stile"}, "darwin": {"Library", "Caches", "stile"}}[runtime.GOOS]
	if home == nil {
		home = []string{".cache", "stile"}
	}
	for name, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"XDG":          {map[string]string{"XDG_CACHE_HOME": at("c"), "HOME": root, "LocalAppData": root}, at("c", "stile")},
		"our own":      {map[string]string{"STILE_CACHE_DIR": at("s"), "XDG_CACHE_HOME": at("c")}, at("s")},
		"relative XDG": {map[string]string{"XDG_CACHE_HOME": "c", "HOME": root, "LocalAppData": root}, at(home...)},
		"no XDG":       {map[string]string{"HOME": root, "LocalAppData": root}, at(home...)},
		"nothing":      {nil, ""},
		"all relative": {map[string]string{"XDG_CACHE_HOME": "c", "HOME": "h", "LocalAppData": "l"}, ""},
	} {
		got, err := file.DefaultDir(func(name string) (string, bool) { v, ok := c.env[name]; return v, ok })
		if got != c.want || (err != nil) != (c.want == "") || err != nil && !errors.Is(err, stile.ErrMisuse) {
			t.Errorf("%s: got %q, error %v, want %q", name, got, err, c.want)
		}
	}
}

func TestLeasesExclude(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	s, other := p.open(t), p.open(t)
	first, err := s.Lease(t.Context(), key)
	if err != nil || first == nil {
		t.Fatalf("got %v, %v", first, err)
	}
	if first.Term() != 0 || first.Extend(t.Context()) != nil {
		t.Error("a lease that lasts with the process has a term")
	}
	for name, store := range map[string]*file.Store{"the same store": s, "another store": other} {
		if second, err := store.Lease(t.Context(), key); second != nil || err != nil {
			t.Errorf("%s: got %v, %v while the lease is held", name, second, err)
		}
		if l, err := store.Lease(t.Context(), stile.NewKey("another")); l == nil || err != nil {
			t.Errorf("%s: another key is locked: %v", name, err)
		} else if err := l.Release(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := first.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	next, err := other.Lease(t.Context(), key)
	if err != nil || next == nil {
		t.Fatalf("after the release: got %v, %v", next, err)
	}
	if err := first.Release(t.Context()); err != nil { // again, when another has it
		t.Error(err)
	}
	if l, _ := s.Lease(t.Context(), key); l != nil {
		t.Error("a second release took the lease from another")
	}
	if _, err := other.Clear(t.Context()); err != nil {
		t.Error(err)
	}
	if l, _ := s.Lease(t.Context(), key); l != nil {
		t.Error("clearing took the lease away")
	}
	if err := next.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

// Lock files are removed all the while, and still no two hold the lease.
func TestLeasesExcludeWhileLockFilesGo(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	var holders, most, taken int
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 4 {
		s := p.open(t)
		all.Go(func() {
			for range 300 {
				l, err := s.Lease(t.Context(), key)
				if err != nil {
					t.Error(err)
				}
				if l == nil {
					continue
				}
				mu.Lock()
				holders++
				taken++
				most = max(most, holders)
				mu.Unlock()
				runtime.Gosched()
				mu.Lock()
				holders--
				mu.Unlock()
				if err := l.Release(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
		all.Go(func() {
			for range 300 {
				if _, err := s.Clear(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if most != 1 || taken == 0 {
		t.Errorf("%d held the lease at once, %d in all", most, taken)
	}
}

func TestKeyringSeals(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	shared := &ring{}
	s := p.open(t, file.WithKeyring(shared, time.Minute))
	if save(t, p.open(t), "plain"); p.files(t) != "KEY.json" {
		t.Errorf("the folder holds %s", p.files(t))
	}
	wantLoads(t, s, "plain") // from before there was a keyring
	if shared.sets != 0 {
		t.Error("the keyring was asked for a file that is not encrypted")
	}
	save(t, s, "sealed")
	if got := p.files(t); got != "KEY.sealed keyring.lock" {
		t.Errorf("the folder holds %s", got)
	}
	content, err := os.ReadFile(p.path(".sealed"))
	if err != nil || bytes.Contains(content, []byte(secret)) || bytes.Contains(content, []byte("principal")) {
		t.Errorf("the sealed file shows its content, or %v", err)
	}
	wantLoads(t, p.open(t, file.WithKeyring(shared, time.Minute)), "sealed")
	wantAbsent(t, p.open(t))
	wantAbsent(t, p.open(t, file.WithKeyring(&ring{}, time.Minute))) // another key
	if shared.sets != 1 {
		t.Errorf("%d keys were made, want 1", shared.sets)
	}
	save(t, p.open(t), "plain again")
	if got := p.files(t); got != "KEY.json keyring.lock" {
		t.Errorf("the folder holds %s", got)
	}
}

func TestKeyringThatFails(t *testing.T) {
	t.Parallel()
	hung := make(chan struct{})
	t.Cleanup(func() { close(hung) })
	for name, c := range map[string]struct {
		ring  *ring
		warns int
	}{
		"none":           {&ring{err: file.ErrNoKeyring}, 0},
		"broken":         {&ring{err: errors.New("locked")}, 1},
		"hangs":          {&ring{hang: hung}, 1},
		"set, not found": {&ring{err: file.ErrNoKey}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			s := p.open(t, file.WithKeyring(c.ring, 20*time.Millisecond))
			save(t, s, "one")
			save(t, s, "two")
			wantLoads(t, s, "two")
			if n := strings.Count(p.log.String(), "keyring not used"); n != c.warns {
				t.Errorf("warned %d times, want %d: %s", n, c.warns, p.log.String())
			}
			if !strings.HasPrefix(p.files(t), "KEY.json") {
				t.Errorf("the folder holds %s", p.files(t))
			}
		})
	}
}

func TestHungKeyringLeavesTheCallersContext(t *testing.T) {
	t.Parallel()
	hung := make(chan struct{})
	t.Cleanup(func() { close(hung) })
	s := newPlace(t).open(t, file.WithKeyring(&ring{hang: hung}, time.Hour))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Save(ctx, key, record("x")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestGarbageInTheKeyringIsReplaced(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := &ring{text: stile.NewSecret("not a key")}
	s := p.open(t, file.WithKeyring(r, time.Minute))
	save(t, s, "x")
	wantLoads(t, p.open(t, file.WithKeyring(r, time.Minute)), "x")
	if r.sets != 1 {
		t.Errorf("%d keys were made, want 1", r.sets)
	}
}

func TestListAndClear(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := &ring{}
	s := p.open(t, file.WithKeyring(r, time.Minute))
	save(t, s, "sealed")
	two, three := stile.NewKey("two"), stile.NewKey("three")
	if err := p.open(t).Save(t.Context(), two, record("plain")); err != nil {
		t.Fatal(err)
	}
	foreign := []string{"notes.json", "x.lock", key.String() + ".json.bak", strings.ToUpper(key.String()) + ".sealed", key.String() + ".a.new", "README"}
	for _, name := range append(foreign, three.String()+".json", two.String()+".12345.new", two.String()+".lock") {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := s.List(t.Context())
	if err != nil || len(entries) != 3 {
		t.Fatalf("got %+v, %v", entries, err)
	}
	for _, e := range entries {
		switch strings.TrimSuffix(filepath.Base(e.Path), filepath.Ext(e.Path)) {
		case key.String():
			if !e.Sealed || e.Principal != "sealed" || e.Kind != stile.KindAccessToken || e.Problem != "" || time.Until(e.Expires) < time.Minute || e.Obtained.IsZero() {
				t.Errorf("got %+v", e)
			}
		case two.String():
			if e.Sealed || e.Principal != "plain" || e.Problem != "" {
				t.Errorf("got %+v", e)
			}
		default:
			if e.Problem == "" || e.Kind != 0 {
				t.Errorf("got %+v", e)
			}
		}
		if strings.Contains(fmt.Sprintf("%+v", e), secret) {
			t.Errorf("shows a secret: %+v", e)
		}
	}
	if entries, err := p.open(t).List(t.Context()); err != nil || len(entries) != 3 || !strings.Contains(fmt.Sprint(entries), "the keyring with its key is not at hand") {
		t.Errorf("without the keyring: %+v, %v", entries, err)
	}
	n, err := s.Clear(t.Context())
	if err != nil || n != 3 {
		t.Errorf("cleared %d, %v, want 3", n, err)
	}
	left, err := os.ReadDir(p.dir)
	want := len(foreign)
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		want = len(left) // the file in capitals is the other's where names do not tell them apart
	}
	if err != nil || len(left) != want {
		t.Errorf("left: %v, %v", left, err)
	}
	if err := os.RemoveAll(p.dir); err != nil {
		t.Fatal(err)
	}
	if entries, err := s.List(t.Context()); err != nil || len(entries) != 0 {
		t.Errorf("no folder: %v, %v", entries, err)
	}
	if n, err := s.Clear(t.Context()); err != nil || n != 0 {
		t.Errorf("no folder: %v, %v", n, err)
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	s := p.open(t)
	now := time.Now()
	other, held := stile.NewKey("other").String(), stile.NewKey("held")
	for name, age := range map[string]time.Duration{
		other + ".json": 49 * time.Hour, other + ".sealed": 47 * time.Hour, other + ".1.new": 11 * time.Minute, other + ".2.new": 9 * time.Minute,
		other + ".lock": 49 * time.Hour, held.String() + ".lock": 49 * time.Hour, "notes": 99 * time.Hour,
	} {
		path := filepath.Join(p.dir, name)
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chtimes(path, now, now.Add(-age))); err != nil {
			t.Fatal(err)
		}
	}
	l, err := s.Lease(t.Context(), held)
	if err != nil || l == nil {
		t.Fatal(l, err)
	}
	defer l.Release(t.Context()) //nolint:errcheck // the test is over
	save(t, s, "x")
	got := strings.NewReplacer(other, "OTHER", held.String(), "HELD").Replace(p.files(t))
	for _, want := range []string{"KEY.json", "OTHER.sealed", "OTHER.2.new", "HELD.lock", "notes"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s was swept: %s", want, got)
		}
	}
	for _, gone := range []string{"OTHER.json", "OTHER.1.new", "OTHER.lock"} {
		if strings.Contains(got, gone) {
			t.Errorf("%s was left: %s", gone, got)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	for _, name := range []string{"plain", "sealed"} {
		b.Run(name, func(b *testing.B) {
			var opts []file.Option
			if name == "sealed" {
				opts = append(opts, file.WithKeyring(&ring{}, time.Minute))
			}
			s := newPlace(b).open(b, opts...)
			save(b, s, "x")
			for b.Loop() {
				if _, err := s.Load(b.Context(), key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
