// SPDX-License-Identifier: Apache-2.0

package fromgcp_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile"
	fromgcp "github.com/stile-project/stile/from/gcp"
	"github.com/stile-project/stile/lab"
	labgcp "github.com/stile-project/stile/lab/gcp"
	"github.com/stile-project/stile/lab/stage"
)

func set(t *testing.T) *stage.Stage {
	t.Helper()
	s, err := stage.Set(lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func at(s *stage.Stage, p *lab.Place) *http.Client {
	return &http.Client{Transport: s.World.Network(p)}
}

func claims(t *testing.T, token stile.SubjectToken) map[string]any {
	t.Helper()
	parts := strings.Split(token.Value.Reveal(), ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(payload, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSubjectTokenIsForTheAudienceAsked(t *testing.T) {
	t.Parallel()
	s := set(t)
	source := &fromgcp.Metadata{Client: at(s, s.VM)}
	for _, audience := range []string{"sts.amazonaws.com/111122223333", "https://a.example/?x=1&y=a b", "ünïcode"} {
		token, err := source.SubjectToken(t.Context(), audience)
		if err != nil {
			t.Fatal(err)
		}
		c := claims(t, token)
		if c["aud"] != audience || c["azp"] != s.ResizerID || c["sub"] != s.ResizerID || c["email"] != stage.Resizer {
			t.Errorf("claims %v, want aud %q, azp and sub %s", c, audience, s.ResizerID)
		}
		if token.Subject != stage.Resizer || token.Type != stile.TokenTypeIDToken || time.Until(token.Expires) < 55*time.Minute {
			t.Errorf("token says %q, %s, expires %s", token.Subject, token.Type, token.Expires)
		}
	}
}

func TestFormatIsAskedFor(t *testing.T) {
	t.Parallel()
	s := set(t)
	for format, machine := range map[string]bool{"": true, "full": true, "standard": false} {
		token, err := (&fromgcp.Metadata{Client: at(s, s.VM), Format: format}).SubjectToken(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if _, has := claims(t, token)["google"]; has != machine {
			t.Errorf("format %q: claims of the machine %v, want %v", format, has, machine)
		}
	}
}

func TestAccountIsAskedFor(t *testing.T) {
	t.Parallel()
	s := set(t)
	if _, err := (&fromgcp.Metadata{Client: at(s, s.VM), Account: stage.Resizer}).SubjectToken(t.Context(), "a"); err != nil {
		t.Errorf("the machine's own account by its e-mail: %v", err)
	}
	_, err := (&fromgcp.Metadata{Client: at(s, s.VM), Account: stage.Reader}).SubjectToken(t.Context(), "a")
	if !errors.Is(err, stile.ErrNoIdentity) {
		t.Errorf("an account that the machine has not: %v, want no identity", err)
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	s := set(t)
	got, err := (&fromgcp.Metadata{Client: at(s, s.VM)}).Whoami(t.Context())
	want := fromgcp.Identity{Email: stage.Resizer, ProjectID: stage.Project, ProjectNumber: stage.Number, Zone: "europe-west1-b", Region: "europe-west1"}
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestAccessTokenReadsABucket(t *testing.T) {
	t.Parallel()
	s := set(t)
	if err := s.World.Google.Grant("buckets/"+stage.Warehouse, "roles/storage.objectViewer", "serviceAccount:"+stage.Resizer); err != nil {
		t.Fatal(err)
	}
	cred, err := (&fromgcp.Metadata{Client: at(s, s.VM)}).AccessToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://storage.googleapis.com/storage/v1/b/"+stage.Warehouse+"/o/"+stage.OrdersName+"?alt=media", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+cred.Token.Reveal())
	res, err := at(s, nil).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("the bucket answered %s", res.Status)
	}
}

func TestNoIdentityHere(t *testing.T) {
	t.Parallel()
	s := set(t)
	bare := &lab.Place{Metadata: s.World.Google.VM(labgcp.Machine{Project: stage.Project, Zone: "europe-west1-b", Name: "bare"})}
	cases := map[string]struct {
		place *lab.Place
		words string
	}{
		"not on Google Cloud":          {nil, "cannot reach"},
		"on AWS":                       {s.EC2, "not Google's metadata server"},
		"a VM without service account": {bare, "404"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := (&fromgcp.Metadata{Client: at(s, c.place)}).SubjectToken(t.Context(), "a")
			var e *stile.Error
			if !errors.Is(err, stile.ErrNoIdentity) || !errors.As(err, &e) || e.Hint == "" || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got %v, want no identity, a hint, and %q", err, c.words)
			}
		})
	}
}

func TestEmptyAudienceIsMisuse(t *testing.T) {
	t.Parallel()
	if _, err := (&fromgcp.Metadata{}).SubjectToken(t.Context(), ""); !errors.Is(err, stile.ErrMisuse) {
		t.Errorf("got %v", err)
	}
}

func token(claims string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

func TestGarbageFromTheMetadataServer(t *testing.T) {
	t.Parallel()
	hour := time.Now().Add(time.Hour).Unix()
	cases := map[string]struct {
		status int
		body   string
		kind   error
		words  string
	}{
		"empty":           {200, "", stile.ErrTemporary, "not three parts"},
		"HTML":            {200, "<html></html>", stile.ErrTemporary, "not three parts"},
		"not base64url":   {200, "a.?.c", stile.ErrTemporary, "base64url"},
		"not JSON":        {200, token("exp"), stile.ErrTemporary, "JSON"},
		"exp as text":     {200, token(`{"sub":"1","exp":"soon"}`), stile.ErrTemporary, "JSON"},
		"other audience":  {200, token(fmt.Sprintf(`{"sub":"1","aud":"b","exp":%d}`, hour)), stile.ErrTemporary, "another audience"},
		"no exp":          {200, token(`{"sub":"1"}`), stile.ErrTemporary, "no exp"},
		"no sub":          {200, token(fmt.Sprintf(`{"exp":%d}`, hour)), stile.ErrTemporary, "no sub"},
		"expired":         {200, token(`{"sub":"1","aud":"a","exp":1000000000}`), stile.ErrTemporary, "away"},
		"server error":    {500, "oops", stile.ErrTemporary, "500"},
		"forbidden":       {403, "no", stile.ErrRefused, "403"},
		"redirect":        {301, "", stile.ErrRefused, "redirect"},
		"10 MB":           {200, strings.Repeat("x", 10<<20), stile.ErrTemporary, "longer than"},
		"control letters": {403, "\x1b[31m\x00\xff", stile.ErrRefused, "403"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Metadata-Flavor", "Google")
				w.Header().Set("Location", "http://evil.example/")
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			}))
			t.Cleanup(server.Close)
			_, err := (&fromgcp.Metadata{Host: server.Listener.Addr().String()}).SubjectToken(t.Context(), "a")
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.words) || len(err.Error()) > 1000 || strings.ContainsAny(err.Error(), "\x00\x1b") {
				t.Errorf("got %.300v, want kind %v and %q", err, c.kind, c.words)
			}
		})
	}
}

func TestSilentMetadataServerMeansNoIdentity(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := set(t)
		hangs := &lab.Place{Metadata: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })}
		started := time.Now()
		_, err := (&fromgcp.Metadata{Client: at(s, hangs)}).SubjectToken(t.Context(), "a")
		if !errors.Is(err, stile.ErrNoIdentity) || time.Since(started) > 6*time.Second {
			t.Errorf("after %s: %v", time.Since(started), err)
		}
	})
}
