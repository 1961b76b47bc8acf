// SPDX-License-Identifier: Apache-2.0

package ecs_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/smithy-go"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/serve/ecs"
	"github.com/stile-project/stile/serve/offer"
)

// listen serves h on loopback, and returns its URL.
func listen(t testing.TB, h http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return "http://" + l.Addr().String()
}

// provider is what Go's SDK makes of the environment, with its own way to retry and no pause in between.
func provider(url, token string) *endpointcreds.Provider {
	return endpointcreds.New(url, func(o *endpointcreds.Options) {
		o.AuthorizationToken = token
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		})
	})
}

func TestGoSDK(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	h := newHandler(t, ecs.Options{})
	server := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked.Add(1); h.ServeHTTP(w, r) }))

	got, err := provider(server+ecs.Path("a/b c%é"), bearer).Retrieve(t.Context())
	want := aws.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: secretKey, SessionToken: sessionToken, AccountID: "111122223333",
		CanExpire: true, Expires: now.Add(time.Hour), Source: "CredentialsEndpointProvider"}
	if err != nil || got != want {
		t.Fatalf("got %+v, %v\nwant %+v", got, err, want)
	}

	refusals := []struct {
		name, token, code, message string
		times                      int32
	}{
		{"good", "wrong", "AccessDeniedException", "Authorization header", 1},
		{"good", "", "AccessDeniedException", "Authorization header", 1},
		{"other", bearer, "NotFound", "no crossing", 1},
		{"forbidden", bearer, "AccessDenied", "see its trust policy", 1},
		{"token", bearer, "InternalServerError", "access token", 3},
		{"down", bearer, "ServiceUnavailable", "reach AWS STS", 3},
		{"dead", bearer, "ServiceUnavailable", "the session ended", 3},
	}
	for _, c := range refusals {
		before := asked.Load()
		_, err := provider(server+ecs.Path(c.name), c.token).Retrieve(t.Context())
		var api smithy.APIError
		if !errors.As(err, &api) || api.ErrorCode() != c.code || !strings.Contains(api.ErrorMessage(), c.message) {
			t.Errorf("%s with %q: got %v, want %s: …%s…", c.name, c.token, err, c.code, c.message)
		}
		if times := asked.Load() - before; times != c.times {
			t.Errorf("%s with %q: asked %d times, want %d", c.name, c.token, times, c.times)
		}
	}
}

// BenchmarkCached is the whole way over loopback, beside a bare handler that writes the same bytes.
func BenchmarkCached(b *testing.B) {
	token := stile.NewSecret(strings.Repeat("t", 1200))
	c := credential(time.Hour)
	c.Session.SessionToken = token
	crossings := []offer.Crossing{{Name: "good", AWS: &offer.AWS{Session: gives(c, nil), RoleARN: roleARN}}}
	file := b.TempDir() + "/token"
	if err := os.WriteFile(file, []byte(bearer), 0o600); err != nil {
		b.Fatal(err)
	}
	given, err := ecs.New(crossings, ecs.Options{Token: stile.NewSecret(bearer), Clock: clock})
	if err != nil {
		b.Fatal(err)
	}
	c.Expires = time.Now().Add(24 * time.Hour)
	crossings[0].AWS.Session = gives(c, nil)
	// The file was left alone for an hour, by this clock.
	fromFile, err := ecs.New(crossings, ecs.Options{TokenFile: file, Clock: func() time.Time { return time.Now().Add(time.Hour) }})
	if err != nil {
		b.Fatal(err)
	}
	w, _, err := ask(given, "GET", ecs.Path("good"), authorized())
	if err != nil {
		b.Fatal(err)
	}
	body, length := w.body.Bytes(), strconv.Itoa(w.body.Len())
	bare := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", length)
		_, _ = w.Write(body)
	})
	for _, way := range []struct {
		name string
		h    http.Handler
	}{{"bare", bare}, {"token", given}, {"file", fromFile}} {
		b.Run(way.name, func(b *testing.B) {
			server := listen(b, way.h)
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
			defer client.CloseIdleConnections()
			b.RunParallel(func(p *testing.PB) {
				buffer := make([]byte, 4096)
				for p.Next() {
					fetch(b, client, server+ecs.Path("good"), buffer)
				}
			})
		})
	}
}

func fetch(b *testing.B, client *http.Client, url string, buffer []byte) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		b.Error(err)
		return
	}
	r.Header["Authorization"] = []string{bearer}
	answer, err := client.Do(r)
	if err != nil {
		b.Error(err)
		return
	}
	defer answer.Body.Close()
	for err == nil {
		_, err = answer.Body.Read(buffer)
	}
	if answer.StatusCode != 200 {
		b.Error(answer.Status)
	}
}
