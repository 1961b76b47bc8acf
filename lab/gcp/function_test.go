// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stile-project/stile/lab/oidc"
)

func functionWorld(t *testing.T) (w *world, url string) {
	t.Helper()
	w = newWorld(t)
	url, err := w.AddFunction(testProject, "europe-west1", "greet")
	w.must(err)
	return w, url
}

func (w *world) idTokenFor(audience string) string {
	w.t.Helper()
	raw, err := w.idToken(w.reader, audience, w.reader.UniqueID, w.clock.Now(), nil)
	w.must(err)
	return raw
}

func TestFunctionGreetsItsCaller(t *testing.T) {
	t.Parallel()
	for _, grant := range [][2]string{{"functions/greet", "roles/run.invoker"}, {"projects/" + testProject, "roles/cloudfunctions.invoker"}} {
		w, url := functionWorld(t)
		if want := "https://europe-west1-demo-proj.cloudfunctions.net/greet"; url != want {
			t.Fatalf("the URL is %s, want %s", url, want)
		}
		w.must(w.Grant(grant[0], grant[1], "serviceAccount:"+readerEmail))
		if got := w.want(w.request(http.MethodGet, url, w.idTokenFor(url), ""), http.StatusOK); !strings.Contains(got.body, readerEmail) {
			t.Errorf("the function does not know its caller: %s", got.body)
		}
	}
}

func TestFunctionRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		token  func(w *world, url string) string
		status int
	}{
		"missing":         {func(*world, string) string { return "" }, http.StatusForbidden},
		"wrong audience":  {func(w *world, url string) string { return w.idTokenFor(url + "/") }, http.StatusUnauthorized},
		"an access token": {func(w *world, _ string) string { return w.federated() }, http.StatusUnauthorized},
		"garbage":         {func(*world, string) string { return strings.Repeat("x.", 1<<16) }, http.StatusUnauthorized},
		"expired": {func(w *world, url string) string {
			token := w.idTokenFor(url)
			w.clock.Advance(time.Hour)
			return token
		}, http.StatusUnauthorized},
		"another issuer": {func(w *world, url string) string {
			claims := w.claims()
			claims["aud"], claims["sub"] = url, w.reader.UniqueID
			return w.signed(claims)
		}, http.StatusUnauthorized},
		"another issuer that says it is Google": {func(w *world, url string) string {
			claims := w.claims()
			claims["iss"], claims["aud"], claims["sub"] = issuerURL, url, w.reader.UniqueID
			raw, err := oidc.NewIssuer("https://evil.example", w.clock.Now).Sign(claims)
			w.must(err)
			return raw
		}, http.StatusUnauthorized},
		"no account of this cloud": {func(w *world, url string) string {
			raw, err := w.idToken(ServiceAccount{UniqueID: "1"}, url, "1", w.clock.Now(), nil)
			w.must(err)
			return raw
		}, http.StatusUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, url := functionWorld(t)
			w.must(w.Grant("functions/greet", "roles/run.invoker", "serviceAccount:"+readerEmail))
			w.want(w.request(http.MethodGet, url, c.token(w, url), ""), c.status)
		})
	}
	w, url := functionWorld(t)
	w.want(w.request(http.MethodGet, url, w.idTokenFor(url), ""), http.StatusForbidden)
	if why := w.lastFailure(); !strings.Contains(why, "nobody gave") {
		t.Errorf("the journal does not say that the role is missing: %s", why)
	}
}
