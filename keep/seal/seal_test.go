// SPDX-License-Identifier: Apache-2.0

package seal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/keep/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	here  = stile.NewKey("test", "here")
	there = stile.NewKey("test", "there")
	at    = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
)

const (
	secretKey    = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	sessionToken = "IQoJb3JpZ2luX2VjEXAMPLE<&>"
	accessToken  = "ya29.c.EXAMPLE-access-token"
)

func session() keep.Record {
	return keep.Record{Obtained: at, Credential: stile.Credential{
		Kind: stile.KindAWSSession, Expires: at.Add(time.Hour), Principal: "arn:aws:sts::111122223333:assumed-role/reader/ünï",
		Session: stile.Session{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: stile.NewSecret(secretKey), SessionToken: stile.NewSecret(sessionToken), AccountID: "111122223333"},
	}}
}

func token(kind stile.Kind) keep.Record {
	return keep.Record{Obtained: at, Credential: stile.Credential{Kind: kind, Expires: at.Add(time.Hour), Token: stile.NewSecret(accessToken)}}
}

// revealed compares records with their secrets.
func revealed(r keep.Record) string {
	c := r.Credential
	return fmt.Sprintf("%d %q %q %q %q %q %q %v %v", c.Kind, c.Session.AccessKeyID, c.Session.SecretAccessKey.Reveal(), c.Session.SessionToken.Reveal(),
		c.Session.AccountID, c.Token.Reveal(), c.Principal, c.Expires, r.Obtained)
}

func mustSeal(t testing.TB, s seal.Sealer, key stile.Key, r keep.Record) []byte {
	t.Helper()
	sealed, err := s.Seal(t.Context(), key, r)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func wantOpens(t *testing.T, s seal.Sealer, key stile.Key, sealed []byte, want keep.Record) {
	t.Helper()
	got, err := s.Open(t.Context(), key, sealed)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(revealed(want), revealed(got)); diff != "" {
		t.Error(diff)
	}
}

func wantAbsent(t *testing.T, s seal.Sealer, key stile.Key, sealed []byte, what string) {
	t.Helper()
	r, err := s.Open(t.Context(), key, sealed)
	if !errors.Is(err, keep.ErrAbsent) {
		t.Errorf("%s: got error %v, want one that wraps ErrAbsent", what, err)
	}
	if r != (keep.Record{}) {
		t.Errorf("%s: a record came with the error", what)
	}
	for _, secret := range []string{secretKey, sessionToken, accessToken} {
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error repeats a secret", what)
		}
	}
}

// kms is a key service in memory: XOR with a number is enough where nobody attacks it.
type kms struct {
	name     string
	pad      byte
	fail     atomic.Pointer[error]
	encrypts atomic.Int64
	decrypts atomic.Int64
	gate     chan struct{} // nil, or what a call waits for
}

func (k *kms) crypt(ctx context.Context, b []byte) ([]byte, error) {
	if k.gate != nil {
		select {
		case <-k.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if fail := k.fail.Load(); fail != nil {
		return nil, *fail
	}
	out := make([]byte, len(b))
	for i := range b {
		out[i] = b[i] ^ k.pad
	}
	return out, nil
}

func (k *kms) Encrypt(ctx context.Context, b []byte) ([]byte, error) {
	k.encrypts.Add(1)
	out, err := k.crypt(ctx, b)
	return append(out, k.pad), err
}

func (k *kms) Decrypt(ctx context.Context, b []byte) ([]byte, error) {
	k.decrypts.Add(1)
	if b[len(b)-1] != k.pad {
		return nil, fmt.Errorf("%w: another key wrapped it", keep.ErrAbsent)
	}
	return k.crypt(ctx, b[:len(b)-1])
}

type namedKMS struct{ *kms }

func (k namedKMS) Name() string { return k.name }

func localKey(t testing.TB) seal.Wrapper {
	t.Helper()
	w, err := seal.ParseLocalKey(seal.NewLocalKey())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestSealersGiveBackEveryField(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]seal.Sealer{"plain": seal.Plain, "local": seal.Envelope(localKey(t)), "kms": seal.Envelope(&kms{pad: 7})} {
		for _, r := range []keep.Record{session(), token(stile.KindAccessToken), token(stile.KindIDToken)} {
			t.Run(name+"/"+r.Credential.Kind.String(), func(t *testing.T) {
				t.Parallel()
				wantOpens(t, s, here, mustSeal(t, s, here, r), r)
			})
		}
	}
}

func TestTimesComeBackInUTC(t *testing.T) {
	t.Parallel()
	r := token(stile.KindIDToken)
	r.Obtained = r.Obtained.In(time.FixedZone("far", 5*3600))
	r.Credential.Expires = time.Now().Add(time.Hour) // with a monotonic reading
	got, err := seal.Plain.Open(t.Context(), here, mustSeal(t, seal.Plain, here, r))
	if err != nil || !got.Obtained.Equal(r.Obtained) || !got.Credential.Expires.Equal(r.Credential.Expires) || got.Obtained.Location() != time.UTC {
		t.Errorf("got %v %v, error %v", got.Obtained, got.Credential.Expires, err)
	}
}

func TestMarshalIsStable(t *testing.T) {
	t.Parallel()
	const want = `{"version":"1","key":"%s","kind":"access-token","obtained":"2026-03-01T12:00:00.123456789Z","expires":"2026-03-01T13:00:00.123456789Z","token":"ya29.c.EXAMPLE-access-token"}`
	if got := string(mustSeal(t, seal.Plain, here, token(stile.KindAccessToken))); got != fmt.Sprintf(want, here) {
		t.Errorf("got %s", got)
	}
}

func TestMarshalRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*keep.Record){
		"no kind":             func(r *keep.Record) { r.Credential.Kind = 0 },
		"unknown kind":        func(r *keep.Record) { r.Credential.Kind = 4 },
		"no expiry":           func(r *keep.Record) { r.Credential.Expires = time.Time{} },
		"not obtained":        func(r *keep.Record) { r.Obtained = time.Time{} },
		"expired before":      func(r *keep.Record) { r.Credential.Expires = r.Obtained },
		"year 10000":          func(r *keep.Record) { r.Credential.Expires = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"no access key":       func(r *keep.Record) { r.Credential.Session.AccessKeyID = "" },
		"no secret key":       func(r *keep.Record) { r.Credential.Session.SecretAccessKey = stile.Secret{} },
		"no session token":    func(r *keep.Record) { r.Credential.Session.SessionToken = stile.Secret{} },
		"token and session":   func(r *keep.Record) { r.Credential.Token = stile.NewSecret(accessToken) },
		"session for a token": func(r *keep.Record) { r.Credential.Kind = stile.KindIDToken },
		"not UTF-8":           func(r *keep.Record) { r.Credential.Session.SessionToken = stile.NewSecret("\xff") },
		"too long": func(r *keep.Record) {
			r.Credential.Session.SessionToken = stile.NewSecret(strings.Repeat("x", seal.MaxSize))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := session()
			change(&r)
			for _, s := range []seal.Sealer{seal.Plain, seal.Envelope(localKey(t))} {
				if sealed, err := s.Seal(t.Context(), here, r); err == nil || sealed != nil || strings.Contains(err.Error(), secretKey) {
					t.Errorf("got %d bytes, error %v", len(sealed), err)
				}
			}
		})
	}
	if _, err := seal.Marshal(stile.Key{}, session()); err == nil {
		t.Error("sealed under the zero key")
	}
}

func TestUnmarshalIsStrict(t *testing.T) {
	t.Parallel()
	good := string(mustSeal(t, seal.Plain, here, session()))
	replace := func(old, to string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the record", old)
		}
		return strings.Replace(good, old, to, 1)
	}
	for name, text := range map[string]string{
		"empty":             "",
		"null":              "null",
		"list":              "[]",
		"empty object":      "{}",
		"bare":              `"x"`,
		"unknown version":   replace(`"version":"1"`, `"version":"2"`),
		"version a number":  replace(`"version":"1"`, `"version":1`),
		"no version":        replace(`"version":"1",`, ``),
		"unknown kind":      replace(`aws-session`, `aws-sessions`),
		"other kind":        replace(`aws-session`, `id-token`),
		"unknown name":      replace(`{`, `{"colour":"red",`),
		"name twice":        replace(`{`, `{"version":"1",`),
		"name in capitals":  replace(`"version"`, `"Version"`),
		"empty secret":      replace(secretKey, ``),
		"secret null":       replace(`"`+secretKey+`"`, `null`),
		"secret nested":     replace(`"`+secretKey+`"`, `{"a":"b"}`),
		"no expiry":         replace(`"expires":"2026-03-01T13:00:00.123456789Z",`, ``),
		"no obtained":       replace(`"obtained":"2026-03-01T12:00:00.123456789Z",`, ``),
		"expiry not UTC":    replace(`13:00:00.123456789Z`, `14:00:00.123456789+01:00`),
		"expiry no time":    replace(`2026-03-01T13:00:00.123456789Z`, `tomorrow`),
		"zero expiry":       replace(`2026-03-01T13:00:00.123456789Z`, `0001-01-01T00:00:00Z`),
		"something follows": good + "{}",
		"a byte follows":    good + "x",
		"another key":       replace(here.String(), there.String()),
		"not UTF-8":         replace(`reader`, "\xff"),
		"too long":          good + strings.Repeat(" ", seal.MaxSize),
	} {
		wantAbsent(t, seal.Plain, here, []byte(text), name)
	}
	wantOpens(t, seal.Plain, here, []byte(good), session())
}

func TestDamageIsAbsence(t *testing.T) {
	t.Parallel()
	service := &kms{pad: 9}
	for name, s := range map[string]seal.Sealer{"local": seal.Envelope(localKey(t)), "kms": seal.Envelope(service), "plain": seal.Plain} {
		sealed := mustSeal(t, s, here, session())
		for n := range sealed {
			wantAbsent(t, s, here, sealed[:n], fmt.Sprintf("%s: the first %d bytes", name, n))
		}
		wantAbsent(t, s, here, append(bytes.Clone(sealed), 0), name+": a byte more")
		wantAbsent(t, s, here, make([]byte, seal.MaxSize+1), name+": too long")
		if name == "plain" {
			continue // a letter of a principal may be another one
		}
		for i := range sealed {
			for bit := range 8 {
				flipped := bytes.Clone(sealed)
				flipped[i] ^= 1 << bit
				wantAbsent(t, s, here, flipped, fmt.Sprintf("%s: byte %d, bit %d", name, i, bit))
			}
		}
	}
	if n := service.decrypts.Load(); n != 0 {
		t.Errorf("the key service was asked %d times about damaged bytes", n)
	}
}

func TestMovedBytesDoNotOpen(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]seal.Sealer{"local": seal.Envelope(localKey(t)), "plain": seal.Plain} {
		sealed := mustSeal(t, s, here, session())
		wantAbsent(t, s, there, sealed, name)
		wantOpens(t, s, here, sealed, session())
	}
}

func TestEnvelopeShowsNoSecret(t *testing.T) {
	t.Parallel()
	sealed := mustSeal(t, seal.Envelope(localKey(t)), here, session())
	for _, s := range []string{secretKey, sessionToken, "ASIAEXAMPLE", "111122223333", "reader", "expires"} {
		if bytes.Contains(sealed, []byte(s)) {
			t.Errorf("%q is in the sealed bytes", s)
		}
	}
	if again := mustSeal(t, seal.Envelope(localKey(t)), here, session()); bytes.Equal(sealed, again) {
		t.Error("sealed twice, the bytes are the same")
	}
}

func TestWrongKeyIsAbsence(t *testing.T) {
	t.Parallel()
	named := func(name string, pad byte) seal.Wrapper { return namedKMS{&kms{name: name, pad: pad}} }
	for name, pair := range map[string][2]seal.Wrapper{
		"local keys":             {localKey(t), localKey(t)},
		"named":                  {named("a", 1), named("b", 2)},
		"unnamed":                {&kms{pad: 1}, &kms{pad: 2}},
		"one name, another key":  {named("a", 1), named("a", 2)},
		"unnamed, then named":    {&kms{pad: 1}, named("a", 1)},
		"none":                   {localKey(t), nil},
		"a wrapper gone nowhere": {localKey(t), &kms{pad: 2}},
	} {
		sealed := mustSeal(t, seal.Envelope(pair[0]), here, session())
		wantAbsent(t, seal.Envelope(pair[1]), here, sealed, name)
	}
	if _, err := seal.Envelope(nil).Seal(t.Context(), here, session()); !errors.Is(err, stile.ErrMisuse) {
		t.Errorf("without a wrapper: got %v", err)
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	for name, pair := range map[string][2]seal.Wrapper{
		"local keys": {localKey(t), localKey(t)},
		"unnamed":    {&kms{pad: 1}, &kms{pad: 2}},
		"named":      {namedKMS{&kms{name: "a", pad: 1}}, namedKMS{&kms{name: "b", pad: 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before, during, after := seal.Envelope(pair[0]), seal.Envelope(pair[1], pair[0]), seal.Envelope(pair[1])
			old := mustSeal(t, before, here, session())
			wantOpens(t, during, here, old, session())
			renewed := mustSeal(t, during, here, session())
			wantOpens(t, during, here, renewed, session())
			wantOpens(t, after, here, renewed, session())
			wantAbsent(t, before, here, renewed, "the old one alone")
			wantAbsent(t, after, here, old, "what only the old one can open")
		})
	}
}

func TestUnreachableServiceIsNotAbsence(t *testing.T) {
	t.Parallel()
	service, other := &kms{pad: 1}, &kms{pad: 2}
	sealed := mustSeal(t, seal.Envelope(service), here, session())
	down := errors.New("connection refused")
	service.fail.Store(&down)
	for name, s := range map[string]seal.Sealer{"alone": seal.Envelope(service), "after another that knows it is not its own": seal.Envelope(other, service)} {
		if _, err := s.Open(t.Context(), here, sealed); !errors.Is(err, down) || errors.Is(err, keep.ErrAbsent) {
			t.Errorf("%s: got %v", name, err)
		}
		service.fail.Store(nil)
		wantOpens(t, s, here, sealed, session()) // a failure is not remembered
		service.fail.Store(&down)
	}
	if _, err := seal.Envelope(service).Seal(t.Context(), here, session()); !errors.Is(err, down) || errors.Is(err, keep.ErrAbsent) {
		t.Errorf("sealing: got %v", err)
	}
}

type brokenWrapper []byte

func (b brokenWrapper) Encrypt(context.Context, []byte) ([]byte, error) { return b, nil }
func (b brokenWrapper) Decrypt(context.Context, []byte) ([]byte, error) { return b, nil }

func TestBrokenWrapper(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 16<<10 + 1, seal.MaxSize} {
		if _, err := seal.Envelope(make(brokenWrapper, n)).Seal(t.Context(), here, session()); err == nil {
			t.Errorf("a wrapped key of %d bytes was taken", n)
		}
	}
	for _, n := range []int{0, 16, 31, 32, 33} {
		sealed := mustSeal(t, seal.Envelope(make(brokenWrapper, n+1)), here, session())
		wantAbsent(t, seal.Envelope(make(brokenWrapper, n)), here, sealed, fmt.Sprintf("an unwrapped key of %d bytes", n))
	}
}

func TestServiceIsAskedOncePerDataKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		service := &kms{pad: 3, gate: gate}
		writer, reader := seal.Envelope(service), seal.Envelope(service)
		var sealed [100][]byte
		var all sync.WaitGroup
		for i := range sealed {
			all.Go(func() { sealed[i] = mustSeal(t, writer, here, session()) })
		}
		synctest.Wait()
		gate <- struct{}{}
		all.Wait()
		for i := range sealed {
			all.Go(func() { wantOpens(t, reader, here, sealed[i], session()) })
		}
		synctest.Wait()
		gate <- struct{}{}
		all.Wait()
		wantOpens(t, writer, here, sealed[0], session()) // its own data key it knows
		if e, d := service.encrypts.Load(), service.decrypts.Load(); e != 1 || d != 1 {
			t.Errorf("the service wrapped %d times and unwrapped %d times, want 1 and 1", e, d)
		}
	})
}

func TestWhoGivesUpFailsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		service := &kms{pad: 3, gate: gate}
		s := seal.Envelope(service)
		hasty, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := s.Seal(hasty, here, session()); !errors.Is(err, context.Canceled) {
				t.Errorf("the one who gave up got %v", err)
			}
		})
		synctest.Wait()
		all.Go(func() { mustSeal(t, s, here, session()) })
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(gate)
		all.Wait()
		if n := service.encrypts.Load(); n != 1 {
			t.Errorf("%d calls, want 1", n)
		}
	})
}

func TestHungServiceEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := seal.Envelope(&kms{gate: make(chan struct{})})
		start := time.Now()
		if _, err := s.Seal(t.Context(), here, session()); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > time.Minute {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
	})
}

func TestDataKeyWearsOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := &kms{pad: 5}
		s := seal.Envelope(service)
		first := mustSeal(t, s, here, session())
		time.Sleep(24*time.Hour - 1)
		mustSeal(t, s, here, session())
		if n := service.encrypts.Load(); n != 1 {
			t.Errorf("%d data keys within a day, want 1", n)
		}
		time.Sleep(time.Nanosecond)
		mustSeal(t, s, here, session())
		if n := service.encrypts.Load(); n != 2 {
			t.Errorf("%d data keys after a day, want 2", n)
		}
		wantOpens(t, s, here, first, session())
		if n := service.decrypts.Load(); n != 0 {
			t.Errorf("its own old key was unwrapped %d times", n)
		}
	})
}

func TestUnwrappedKeysAreBounded(t *testing.T) {
	t.Parallel()
	service := &kms{pad: 5}
	reader := seal.Envelope(service)
	var sealed [65][]byte
	open := func(i int, wantCalls int64) {
		t.Helper()
		before := service.decrypts.Load()
		wantOpens(t, reader, here, sealed[i], session())
		if got := service.decrypts.Load() - before; got != wantCalls {
			t.Errorf("opening %d asked the service %d times, want %d", i, got, wantCalls)
		}
	}
	for i := range sealed {
		sealed[i] = mustSeal(t, seal.Envelope(service), here, session())
	}
	for i := range 64 {
		open(i, 1)
	}
	open(0, 0)  // still held, and used last from here on
	open(64, 1) // makes 1 go
	open(0, 0)
	open(2, 0)
	open(1, 1)
}

func TestReadLocalKey(t *testing.T) {
	t.Parallel()
	write := func(text string, mode os.FileMode) string {
		path := filepath.Join(t.TempDir(), "key")
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := seal.NewLocalKey().Reveal()
	good, err := seal.ReadLocalKey(write(key+"\n", 0o400))
	if err != nil {
		t.Fatal(err)
	}
	same, err := seal.ParseLocalKey(stile.NewSecret(key))
	if err != nil {
		t.Fatal(err)
	}
	wantOpens(t, seal.Envelope(same), here, mustSeal(t, seal.Envelope(good), here, session()), session())
	if text := fmt.Sprintf("%+v %#v", good.(seal.Named).Name(), key[:4]); strings.Contains(good.(seal.Named).Name(), key[:8]) {
		t.Errorf("the name shows the key: %s", text)
	}
	cases := map[string]struct{ path, hint string }{
		"empty":     {write("", 0o600), "openssl"},
		"short":     {write("AAAA", 0o600), "openssl"},
		"no base64": {write("#"+key, 0o600), "openssl"},
		"long":      {write(strings.Repeat(key, 1000), 0o600), "openssl"},
		"absent":    {filepath.Join(t.TempDir(), "absent"), "openssl"},
		"folder":    {t.TempDir(), ""},
	}
	if runtime.GOOS != "windows" {
		cases["readable by others"] = struct{ path, hint string }{write(key, 0o604), "chmod 600 "}
		cases["writable by the group"] = struct{ path, hint string }{write(key, 0o620), "chmod 600 "}
	}
	for name, c := range cases {
		_, err := seal.ReadLocalKey(c.path)
		told, ok := errors.AsType[*stile.Error](err)
		if !ok || !errors.Is(err, stile.ErrMisuse) || !strings.Contains(err.Error(), c.path) || !strings.Contains(told.Hint, c.hint) {
			t.Errorf("%s: got %v", name, err)
		}
		if ok && strings.Contains(err.Error()+told.Hint, key) {
			t.Errorf("%s: the error repeats the key", name)
		}
	}
	if _, err := seal.LocalKey(make([]byte, 16)); !errors.Is(err, stile.ErrMisuse) {
		t.Errorf("16 bytes: got %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	w, err := seal.LocalKey(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		f.Fatal(err)
	}
	s := seal.Envelope(w)
	f.Add(mustSeal(f, s, here, session()))
	f.Add(mustSeal(f, s, there, session()))
	f.Add(mustSeal(f, seal.Plain, here, session()))
	f.Add(mustSeal(f, seal.Plain, here, token(stile.KindIDToken)))
	f.Fuzz(func(t *testing.T, sealed []byte) {
		for _, s := range []seal.Sealer{s, seal.Plain} {
			r, err := s.Open(t.Context(), here, sealed)
			if err != nil {
				if !errors.Is(err, keep.ErrAbsent) {
					t.Errorf("got %v, which is not absence", err)
				}
				continue
			}
			wantOpens(t, s, here, mustSeal(t, s, here, r), r)
		}
	})
}
