// SPDX-License-Identifier: Apache-2.0

package fromoidc_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stile-project/stile"
)

// TestMain is also the program that the tests of Executable run.
func TestMain(m *testing.M) {
	if mode := os.Getenv("TEST_PROGRAM"); mode != "" {
		os.Exit(program(mode))
	}
	goleak.VerifyTestMain(m)
}

const audience = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q"

// noon is what every clock here says.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return noon }

// token is a JWT for audience that expires an hour after noon, with what changes says.
func token(changes map[string]any) string {
	claims := map[string]any{"iss": "https://issuer.example", "sub": "workload", "aud": audience, "exp": noon.Add(time.Hour).Unix()}
	maps.Copy(claims, changes)
	text, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256"}`)) + "." + encode(text) + "." + encode([]byte("signature"))
}

// environment is a Lookup.
func environment(variables map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := variables[name]
		return value, ok
	}
}

// answering is a network on which everyone says the same.
func answering(status int, body string) *http.Client {
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		return answer(r, status, body), nil
	})}
}

// isToken fails unless got is raw, for the subject, until expires.
func isToken(t *testing.T, got stile.SubjectToken, err error, raw, subject string, expires time.Time) {
	t.Helper()
	switch {
	case err != nil:
		t.Errorf("got %v, want a token", err)
	case got.Value.Reveal() != raw:
		t.Errorf("got the token %q, want %q", got.Value.Reveal(), raw)
	case got.Subject != subject || !got.Expires.Equal(expires):
		t.Errorf("it speaks for %q until %s, want %q until %s", got.Subject, got.Expires, subject, expires)
	}
}

// isRefusal fails unless err is one of ours, of that kind, with those words and none of what is secret.
func isRefusal(t *testing.T, err, kind error, words string, secrets ...string) {
	t.Helper()
	e, ok := errors.AsType[*stile.Error](err)
	if !ok || !errors.Is(err, kind) || !strings.Contains(err.Error()+" hint: "+e.Hint, words) {
		t.Fatalf("got %v\nwant %v and %q", err, kind, words)
	}
	for _, secret := range append(secrets, "hunter2") {
		if strings.Contains(err.Error()+e.Hint, secret) {
			t.Errorf("the error repeats a secret: %v", err)
		}
	}
}
