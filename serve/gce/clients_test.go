// SPDX-License-Identifier: Apache-2.0

package gce_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/auth/credentials/idtoken"
	"cloud.google.com/go/compute/metadata"
	"golang.org/x/oauth2/google"

	"github.com/stile-project/stile"
)

// Google's own metadata client reads everything, under the address that it knows.
func TestGoMetadataClient(t *testing.T) {
	t.Parallel()
	c := newCloud()
	hc, _ := client(t, c.handler(t, c.crossing()))
	m := metadata.NewClient(hc)
	ctx := t.Context()
	for what, test := range map[string]struct {
		ask  func(context.Context) (string, error)
		want string
	}{
		"project":   {m.ProjectIDWithContext, "demo-proj"},
		"number":    {m.NumericProjectIDWithContext, "123456789012"},
		"id":        {m.InstanceIDWithContext, "1536837842790158410"},
		"name":      {m.InstanceNameWithContext, "warehouse"},
		"host name": {m.HostnameWithContext, "warehouse.europe-west1-b.c.demo-proj.internal"},
		"zone":      {m.ZoneWithContext, "europe-west1-b"},
		"e-mail":    {func(ctx context.Context) (string, error) { return m.EmailWithContext(ctx, "") }, email},
		"e-mail by e-mail": {func(ctx context.Context) (string, error) {
			return m.EmailWithContext(ctx, email)
		}, email},
		"scopes": {func(ctx context.Context) (string, error) {
			scopes, err := m.ScopesWithContext(ctx, "default")
			return strings.Join(scopes, " "), err
		}, platform},
		"attributes": {func(ctx context.Context) (string, error) {
			names, err := m.InstanceAttributesWithContext(ctx)
			return strings.Join(names, " "), err
		}, ""},
		"folder, redirected": {func(ctx context.Context) (string, error) {
			return m.GetWithContext(ctx, "project")
		}, "attributes/\nnumeric-project-id\nproject-id\n"},
		"token": {func(ctx context.Context) (string, error) {
			return m.GetWithContext(ctx, "instance/service-accounts/default/token")
		}, `{"access_token":"secret.access[]","expires_in":3600,"token_type":"Bearer"}`},
	} {
		if got, err := test.ask(ctx); err != nil || got != test.want {
			t.Errorf("%s: got %q, %v, want %q", what, got, err, test.want)
		}
	}
	var undefined metadata.NotDefinedError
	for _, path := range []string{"instance/attributes/cluster-name", "instance/platform-security/auto-mtls-configuration", "instance/tags"} {
		if _, err := m.GetWithContext(ctx, path); !errors.As(err, &undefined) {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

// Google's client asks a refusal once and shows its words, and asks again where that may help.
func TestGoMetadataClientRetries(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err   error
		asked int
		words string
	}{
		{&stile.Error{Op: "exchange the subject token", Cloud: "Google STS", Status: 403, Code: "denied", Hint: "grant it", Err: stile.ErrRefused}, 1, "Google STS answered 403 denied\nhint: grant it"},
		{&stile.Error{Op: "exchange the subject token", Err: stile.ErrTemporary}, 2, ""},
	} {
		c := newCloud()
		c.err = test.err
		asked := 0
		ctx, cancel := context.WithCancel(t.Context())
		h := c.handler(t, c.crossing())
		hc, _ := client(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked++; asked == 2 {
				defer cancel()
			}
			h.ServeHTTP(w, r)
		}))
		_, err := metadata.NewClient(hc).GetWithContext(ctx, "instance/service-accounts/default/token")
		cancel()
		if err == nil || asked != test.asked || !strings.Contains(err.Error(), test.words) {
			t.Errorf("%v: asked %d times, got %v", test.err, asked, err)
		}
	}
}

// The libraries of Google's SDKs find the server by GCE_METADATA_HOST.
func TestGoLibraries(t *testing.T) {
	c := newCloud()
	c.now = time.Now // the libraries have no other clock
	_, host := client(t, c.handler(t, c.crossing()))
	t.Setenv("GCE_METADATA_HOST", host)
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("CLOUDSDK_CONFIG", t.TempDir())
	ctx := t.Context()
	if !metadata.OnGCEWithContext(ctx) {
		t.Fatal("not on GCE")
	}
	for asked, want := range map[string]string{platform: "secret.access[]", readOnly: "secret.access[" + readOnly + "]"} {
		found, err := credentials.DetectDefault(&credentials.DetectOptions{Scopes: []string{asked}})
		if err != nil {
			t.Fatal(err)
		}
		token, err := found.Token(ctx)
		if err != nil || token.Value != want || time.Until(token.Expiry) < 59*time.Minute {
			t.Errorf("auth, %s: got %+v, %v", asked, token, err)
		}
		if project, err := found.ProjectID(ctx); err != nil || project != "demo-proj" {
			t.Errorf("auth: project %q, %v", project, err)
		}
		if universe, err := found.UniverseDomain(ctx); err != nil || universe != "googleapis.com" {
			t.Errorf("auth: universe %q, %v", universe, err)
		}
		older, err := google.ComputeTokenSource("", asked).Token()
		if err != nil || older.AccessToken != want || !older.Valid() {
			t.Errorf("oauth2, %s: got %+v, %v", asked, older, err)
		}
	}
	idTokens, err := idtoken.NewCredentials(&idtoken.Options{Audience: "https://images.example.com/?a=b"})
	if err != nil {
		t.Fatal(err)
	}
	if token, err := idTokens.Token(ctx); err != nil || token.Value != "secret.id[https://images.example.com/?a=b]" {
		t.Errorf("idtoken: got %+v, %v", token, err)
	}
}

// What Python, Node, Java and gcloud send, in their order, and what each wants of the answers.
// Source: google-auth-library-python, gcp-metadata, google-auth-library-java, gcloud's core/credentials.
func TestProbesOfOtherClients(t *testing.T) {
	t.Parallel()
	c := newCloud()
	hc, _ := client(t, c.handler(t, c.crossing()))
	const bearer = `"token_type":"Bearer"`
	for _, test := range []struct {
		client, path, want string
		bare               bool // without the request header
	}{
		{"Python", "/", "computeMetadata/", false},
		{"Python", root + "project/project-id", "demo-proj", false},
		{"Python", account + "?recursive=true", `"email":"` + email + `"`, false},
		{"Python", root + "instance/service-accounts/" + email + "/token?scopes=" + platform, bearer, false},
		{"Python", root + "instance/service-accounts/" + email + "/?recursive=true", `"scopes":["`, false},
		{"Python", root + "universe/universe-domain", "googleapis.com", false},
		{"Python", account + "identity?audience=https://a.example.com/&format=full", "secret.id[https://a.example.com/]", false},
		{"Node", root + "instance", "service-accounts/", false}, // follows the redirect
		{"Node", account + "token?scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloud-platform", bearer, false},
		{"Node", account + "identity?format=full&audience=https://a.example.com/", "secret.id[https://a.example.com/]", false},
		{"Java", "", "computeMetadata/", false},
		{"Java", root + "instance/service-accounts/?recursive=true", `"default":{`, false},
		{"gcloud", root + "project/numeric-project-id", "123456789012", false},
		{"gcloud", account + "email", email, false},
		{"gcloud", root + "instance/service-accounts/", "default/\n" + email + "/\n", false},
		{"gcloud", account + "identity?audience=32555940559.apps.googleusercontent.com&format=standard&licenses=FALSE", "secret.id[", false},
		{"gcloud", root + "instance/service-accounts/" + email + "/token", bearer, false},
		{"Go", "/", "computeMetadata/", true},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://metadata.google.internal"+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !test.bare {
			r.Header.Set("Metadata-Flavor", "Google")
		}
		w, err := hc.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(w.Body)
		w.Body.Close()
		if err != nil || w.StatusCode != 200 || w.Header.Get("Metadata-Flavor") != "Google" || !strings.Contains(string(body), test.want) {
			t.Errorf("%s %s: got %d %v %q, want %q", test.client, test.path, w.StatusCode, w.Header, body, test.want)
		}
		// Python reads JSON only where the type is exactly this; Node parses whatever it can.
		if isObject := strings.HasPrefix(string(body), "{"); isObject != (w.Header.Get("Content-Type") == "application/json") || isObject && !json.Valid(body) {
			t.Errorf("%s %s: %q as %s", test.client, test.path, body, w.Header.Get("Content-Type"))
		}
	}
}
