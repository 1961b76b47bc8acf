// SPDX-License-Identifier: Apache-2.0

package fromgcp_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stile-project/stile"
	fromgcp "github.com/stile-project/stile/from/gcp"
	labgcp "github.com/stile-project/stile/lab/gcp"
	"github.com/stile-project/stile/lab/stage"
)

var (
	_ stile.Identified = (*fromgcp.Metadata)(nil)
	_ stile.Identified = (*fromgcp.Impersonated)(nil)
	_ stile.Identified = (*fromgcp.SignedJWT)(nil)
	_ stile.Identified = (*fromgcp.ApplicationDefault)(nil)
	_ stile.Identified = (*fromgcp.Key)(nil)
)

func prove(t *testing.T, source stile.Source, audience string, role bool) stile.Key {
	t.Helper()
	key, err := source.(stile.Identified).Identity(t.Context(), audience, role)
	if err != nil {
		t.Fatal(err)
	}
	if key.IsZero() {
		t.Fatal("no key")
	}
	return key
}

// One identity is whatever gives a far side the same claims, by whichever way.
func TestIdentityIsWhatTheFarSideSees(t *testing.T) {
	t.Parallel()
	s := play(t)
	paths := s.paths()
	groups := [][]string{
		{"generateIdToken", "generateIdToken, with a key"},
		{"generateIdToken, by a person", "a file that impersonates", "generateIdToken, with e-mail"},
		{"signJwt", "a key", "a key as default credentials", "a key at the older endpoint", "a person who impersonates one"},
	}
	seen := map[stile.Key]string{}
	for _, group := range groups {
		key := prove(t, paths[group[0]], audience, false)
		if other, twice := seen[key]; twice {
			t.Errorf("%s and %s are one identity", group[0], other)
		}
		seen[key] = group[0]
		for _, name := range group {
			for _, role := range []bool{false, true} {
				if again := prove(t, paths[name], audience, role); again != key {
					t.Errorf("%s, role %t: another identity than %s", name, role, group[0])
				}
			}
			if prove(t, paths[name], "another", false) == key {
				t.Errorf("%s: one identity for two audiences", name)
			}
		}
	}
	other := &fromgcp.Key{File: s.readerKey(), Client: s.client(nil)}
	if twin, twice := seen[prove(t, other, audience, false)]; twice {
		t.Errorf("another account and %s are one identity", twin)
	}
}

func TestIdentityFailsAsTheProofDoes(t *testing.T) {
	t.Parallel()
	s := play(t)
	if _, err := s.stored(s.user.File(), "").Identity(t.Context(), audience, false); !errors.Is(err, stile.ErrNoIdentity) {
		t.Errorf("a person without an account: %v", err)
	}
	if _, err := (&fromgcp.Key{File: s.key}).Identity(t.Context(), "", false); !errors.Is(err, stile.ErrMisuse) {
		t.Errorf("no audience: %v", err)
	}
	stray := &fromgcp.Impersonated{ServiceAccount: stage.Resizer, Access: &fromgcp.Key{File: s.key}, Client: &http.Client{Transport: cut{}}}
	if _, err := stray.Identity(t.Context(), audience, false); err == nil {
		t.Error("nobody answers, and there is an identity")
	}
}

type cut struct{}

func (cut) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("cut off") }

func TestAnotherSignInIsNotServedTheFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "gcloud", "application_default_credentials.json")
	write := func(path, token string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(`{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"`+token+`"}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in := func(name, value string) *fromgcp.ApplicationDefault {
		return &fromgcp.ApplicationDefault{ServiceAccount: stage.Resizer, Lookup: func(asked string) (string, bool) {
			if asked != name {
				return "", false
			}
			return value, true
		}}
	}
	here := in("CLOUDSDK_CONFIG", filepath.Dir(path))
	if !here.CacheKey().IsZero() {
		t.Error("nobody signed in, and there is a key")
	}
	write(path, "alice")
	alice := here.CacheKey()
	write(path, "bob")
	bob := here.CacheKey()
	if alice.IsZero() || bob.IsZero() || alice == bob {
		t.Errorf("keys %s and %s: what is kept for one person is given to the next", alice, bob)
	}
	for _, account := range []string{"", stage.Reader} {
		if (&fromgcp.ApplicationDefault{File: path, ServiceAccount: account}).CacheKey() == bob {
			t.Errorf("account %q: what is kept for one account is given to another", account)
		}
	}
	elsewhere := filepath.Join(dir, "elsewhere.json")
	write(elsewhere, "alice")
	if got := in("GOOGLE_APPLICATION_CREDENTIALS", elsewhere).CacheKey(); got != alice {
		t.Error("one sign-in in two places has two keys")
	}
	write(elsewhere, strings.Repeat("a", 70_000))
	if got := in("GOOGLE_APPLICATION_CREDENTIALS", elsewhere).CacheKey(); !got.IsZero() {
		t.Error("a file that was read in part has a key")
	}

	// Whoever impersonates goes by the same file.
	write(path, "alice")
	first := (&fromgcp.Impersonated{ServiceAccount: stage.Resizer, Access: here}).CacheKey()
	write(path, "bob")
	if second := (&fromgcp.Impersonated{ServiceAccount: stage.Resizer, Access: here}).CacheKey(); first.IsZero() || first == second {
		t.Error("impersonation by two people has one key")
	}
}

func TestMetadataKeysOfTheSameAreOne(t *testing.T) {
	t.Parallel()
	zero := (&fromgcp.Metadata{}).CacheKey()
	if same := (&fromgcp.Metadata{Host: fromgcp.DefaultHost, Account: "default", Format: "full"}).CacheKey(); same != zero {
		t.Error("what is left out and what it stands for have two keys")
	}
	seen := map[stile.Key]bool{zero: true}
	for _, m := range []*fromgcp.Metadata{{Host: "127.0.0.1:1"}, {Account: stage.Resizer}, {Format: "standard"}} {
		if key := m.CacheKey(); key.IsZero() || seen[key] {
			t.Errorf("%+v has another's key", m)
		} else {
			seen[key] = true
		}
	}
	by := func(access stile.Supplier) stile.Key {
		return (&fromgcp.SignedJWT{ServiceAccount: stage.Resizer, Access: access}).CacheKey()
	}
	if by(nil) != by(&fromgcp.Metadata{}) || by(nil) == by(&fromgcp.Metadata{Account: stage.Reader}) {
		t.Error("impersonation by the workload itself has another key than by its metadata server, or the key of another's")
	}
	unkeyed := stile.Cross(stile.SourceFunc(func(context.Context, string) (stile.SubjectToken, error) { return stile.SubjectToken{}, nil }), nil)
	if !by(unkeyed).IsZero() {
		t.Error("nobody knows whose rights a crossing has, and there is a key")
	}
}

func TestMetadataIdentity(t *testing.T) {
	t.Parallel()
	s := play(t)
	machine := func(name, account string) http.Handler {
		return s.World.Google.VM(labgcp.Machine{Project: stage.Project, Zone: "europe-west1-b", Name: name, ServiceAccount: account})
	}
	one, two := machine("one", stage.Resizer), machine("two", stage.Resizer)
	key := func(place http.Handler, format string, role bool) stile.Key {
		return prove(t, &fromgcp.Metadata{Client: s.client(place), Format: format}, audience, role)
	}
	if key(one, "", false) != key(one, "", false) || key(one, "", true) != key(one, "", true) {
		t.Error("a renewed token is another identity")
	}
	if key(one, "", false) == key(two, "", false) {
		t.Error("two machines are one: their tokens tell them apart")
	}
	if key(one, "", true) != key(two, "", true) {
		t.Error("two machines of one account are two, and the role alone was asked for")
	}
	if key(one, "standard", false) != key(two, "standard", false) {
		t.Error("nothing tells the machines apart, and they are two")
	}
	for _, role := range []bool{false, true} {
		if other := machine("one", stage.Reader); key(one, "", role) == key(other, "", role) {
			t.Error("two service accounts are one identity")
		}
		if place := s.run(stage.Resizer); key(place, "", role) != key(place, "", role) {
			t.Error("Cloud Run is another each time")
		}
	}
}
