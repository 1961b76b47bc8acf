// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/keep/seal"
)

func TestMain(m *testing.M) {
	// What surrounds the test must not decide which cloud it asks.
	for _, name := range []string{"AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS", "VAULT_ADDR", "VAULT_SERVER_URL", "VAULT_SERVER_TOKEN", "VAULT_NAMESPACE"} {
		_ = os.Unsetenv(name)
	}
	for _, name := range []string{"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"} {
		_ = os.Setenv(name, filepath.Join(os.TempDir(), "there-is-no-such-file"))
	}
	goleak.VerifyTestMain(m)
}

func localAt(*testing.T) place {
	keys := map[string]string{"one": base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32)), "two": base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 32))}
	return place{open: func(t *testing.T, key string) *Key {
		k, err := Open(t.Context(), "base64key://"+keys[key])
		return openedAt(t, k, err)
	}}
}

var places = map[string]func(*testing.T) place{"AWS": amazonAt, "Google": googleAt, "Vault": vaultAt, "local": localAt}

func record() keep.Record {
	return keep.Record{Obtained: time.Now(), Credential: stile.Credential{Kind: stile.KindAccessToken, Token: stile.NewSecret("token"), Expires: time.Now().Add(time.Hour)}}
}

// One seals, others open; and a key is changed for another.
func TestSealing(t *testing.T) {
	under := stile.NewKey("test")
	for name, at := range places {
		t.Run(name, func(t *testing.T) {
			p := at(t)
			one, again, two := p.open(t, "one"), p.open(t, "one"), p.open(t, "two")
			if one.Name() != again.Name() || one.Name() == two.Name() {
				t.Errorf("got names %q, %q and %q", one.Name(), again.Name(), two.Name())
			}
			sealed, err := seal.Envelope(one).Seal(t.Context(), under, record())
			if err != nil {
				t.Fatal("Seal:", err)
			}
			for what, c := range map[string]struct {
				by   seal.Sealer
				want error
			}{
				"another process":             {seal.Envelope(again), nil},
				"a process that has moved on": {seal.Envelope(two, again), nil},
				"a process of another key":    {seal.Envelope(two), keep.ErrAbsent},
			} {
				got, err := c.by.Open(t.Context(), under, sealed)
				if !errors.Is(err, c.want) || err == nil && got.Credential.Token.Reveal() != "token" {
					t.Errorf("Open by %s: got %v, %v; want %v", what, got, err, c.want)
				}
			}
		})
	}
}

func TestWrongKeyIsAbsence(t *testing.T) {
	for name, at := range places {
		t.Run(name, func(t *testing.T) {
			p := at(t)
			one, two := p.open(t, "one"), p.open(t, "two")
			wrapped, err := one.Encrypt(t.Context(), []byte("a key"))
			if err != nil {
				t.Fatal("Encrypt:", err)
			}
			for what, bytes := range map[string][]byte{"another's": wrapped, "garbage": []byte("vault:v1:garbage"), "nothing": {}, "too much": bytes.Repeat([]byte("x"), maxWrapped+1)} {
				if got, err := two.Decrypt(t.Context(), bytes); !errors.Is(err, keep.ErrAbsent) && (what != "nothing" || err == nil) {
					t.Errorf("Decrypt of %s: got %q, %v; want ErrAbsent", what, got, err)
				}
			}
			if got, err := one.Decrypt(t.Context(), wrapped); err != nil || string(got) != "a key" {
				t.Errorf("Decrypt: got %q, %v", got, err)
			}
			if _, err := one.Encrypt(t.Context(), make([]byte, MaxSize+1)); !errors.Is(err, stile.ErrMisuse) {
				t.Errorf("Encrypt of too much: got %v; want ErrMisuse", err)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name, code string
		want       error
	}{
		{"AWS", "AccessDeniedException", stile.ErrRefused}, {"AWS", "DisabledException", stile.ErrRefused}, {"AWS", "KMSInvalidStateException", stile.ErrRefused},
		{"AWS", "ThrottlingException", stile.ErrTemporary}, {"AWS", "KMSInternalException", stile.ErrTemporary},
		{"Google", "PermissionDenied", stile.ErrRefused}, {"Google", "Unauthenticated", stile.ErrRefused}, {"Google", "FailedPrecondition", stile.ErrRefused},
		{"Google", "ResourceExhausted", stile.ErrTemporary}, {"Google", "Internal", stile.ErrTemporary},
		{"Vault", "denied", stile.ErrRefused}, {"Vault", "sealed", stile.ErrTemporary}, {"Vault", "empty", stile.ErrRefused}, {"Vault", "no data", stile.ErrTemporary},
	} {
		t.Run(c.name+" "+c.code, func(t *testing.T) {
			p := places[c.name](t)
			key := p.open(t, "one")
			wrapped, err := key.Encrypt(t.Context(), []byte("a key"))
			if err != nil {
				t.Fatal("Encrypt:", err)
			}
			p.refuse(c.code)
			_, encrypt := key.Encrypt(t.Context(), []byte("a key"))
			_, decrypt := key.Decrypt(t.Context(), wrapped)
			for op, err := range map[string]error{"Encrypt": encrypt, "Decrypt": decrypt} {
				var told *stile.Error
				if !errors.Is(err, c.want) || errors.Is(err, keep.ErrAbsent) || !errors.As(err, &told) || strings.ContainsAny(err.Error(), "\n") {
					t.Errorf("%s: got %v; want %v", op, err, c.want)
				} else if errors.Is(c.want, stile.ErrRefused) && told.Hint == "" {
					t.Errorf("%s: got no hint with %v", op, err)
				}
			}
			p.refuse("")
			if got, err := key.Decrypt(t.Context(), wrapped); err != nil || string(got) != "a key" {
				t.Errorf("Decrypt, later: got %q, %v", got, err)
			}
		})
	}
}

func TestNoSuchKey(t *testing.T) {
	for name, at := range places {
		if name == "local" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			key := at(t).open(t, "three")
			if _, err := key.Encrypt(t.Context(), []byte("a key")); !errors.Is(err, stile.ErrRefused) || errors.Is(err, keep.ErrAbsent) {
				t.Errorf("Encrypt: got %v; want ErrRefused", err)
			}
			if _, err := key.Decrypt(t.Context(), []byte("vault:v1:x")); !errors.Is(err, keep.ErrAbsent) {
				t.Errorf("Decrypt: got %v; want ErrAbsent", err)
			}
		})
	}
}

func TestDeadlineHolds(t *testing.T) {
	for name, at := range places {
		if name == "local" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			p := at(t)
			key := p.open(t, "one")
			resume := p.hang()
			defer resume()
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			stopped, stop := context.WithCancel(t.Context())
			time.AfterFunc(100*time.Millisecond, stop)
			began := time.Now()
			if _, err := key.Encrypt(ctx, []byte("a key")); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, stile.ErrTemporary) {
				t.Errorf("Encrypt: got %v; want DeadlineExceeded", err)
			}
			if _, err := key.Decrypt(stopped, []byte("vault:v1:x")); !errors.Is(err, context.Canceled) || errors.Is(err, keep.ErrAbsent) {
				t.Errorf("Decrypt: got %v; want Canceled", err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %v to give up", took)
			}
		})
	}
}

// The client of Google's would go on asking a service that is not there for as long as it may.
func TestGoogleDoesNotRetry(t *testing.T) {
	p := googleAt(t)
	key := p.open(t, "one")
	p.refuse("Unavailable")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := key.Encrypt(ctx, []byte("a key")); !errors.Is(err, stile.ErrTemporary) || ctx.Err() != nil {
		t.Errorf("Encrypt: got %v; want ErrTemporary at once", err)
	}
}

func TestNobodyListens(t *testing.T) {
	t.Setenv("VAULT_ADDR", "http://user:hunter2@127.0.0.1:1")
	for _, url := range []string{"awskms:///alias/x?region=eu-west-1&anonymous=true&endpoint=http://user:hunter2@127.0.0.1:1", "hashivault://x"} {
		k, err := Open(t.Context(), url)
		key := openedAt(t, k, err)
		_, err = key.Encrypt(t.Context(), []byte("a key"))
		if !errors.Is(err, stile.ErrTemporary) || strings.Contains(fmt.Sprintf("%+v", err), "hunter2") {
			t.Errorf("%s: got %v; want ErrTemporary and no password", url, err)
		}
	}
}

// What tells a key from others is in its name, and nothing that is an option or a secret.
func TestNames(t *testing.T) {
	for url, want := range map[string]string{
		"awskms:///arn:aws:kms:eu-west-1:111122223333:key/k":       "awskms://eu-west-1/arn:aws:kms:eu-west-1:111122223333:key/k",
		"awskms://alias/x?region=us-east-1&context_a=b&profile=":   "awskms://us-east-1/alias/x",
		"hashivault://k?engine=keys":                               "hashivault://keys/k",
		"base64key://AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=": "",
	} {
		t.Setenv("VAULT_ADDR", "http://127.0.0.1:1")
		k, err := Open(t.Context(), url)
		key := openedAt(t, k, err)
		if got := key.Name(); want != "" && got != want || strings.Contains(got, "AQEB") {
			t.Errorf("%s: got %q; want %q", url, got, want)
		}
	}
}

func TestOpenMisused(t *testing.T) {
	t.Setenv("VAULT_TOKEN", "hunter2")
	for _, url := range []string{
		"", "hunter2", "gopher://hunter2", "base64key://", "base64key://hunter2", "base64key://hunter2?x", "base64key://%zzhunter2",
		"base64key://AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=/hunter2", "base64key://AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=?hunter2=1",
		"awskms://", "awskms:///alias/hunter2", "awskms:///alias/x?region=r&dualstack=maybe", "awskms://user:hunter2@alias/x?region=r",
		"gcpkms://", "gcpkms://projects/hunter2", "gcpkms://" + ring + "k?hunter2=1", "gcpkms://" + ring + "k/cryptoKeyVersions/1",
		"hashivault://", "hashivault://k?hunter2=1", "hashivault://../hunter2", "hashivault://hunter2",
	} {
		key, err := Open(t.Context(), url)
		if key != nil || !errors.Is(err, stile.ErrMisuse) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "AQEB") {
			t.Errorf("%q: got %v, %v; want ErrMisuse, and nothing quoted", url, key, err)
		}
	}
}
