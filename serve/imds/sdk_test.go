// SPDX-License-Identifier: Apache-2.0

package imds_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	ec2 "github.com/aws/aws-sdk-go-v2/feature/ec2/imds"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/serve/imds"
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
	return "http://" + l.Addr().String() + "/"
}

// client is Go's SDK's, with its own way to retry and no pause in between.
func client(url string) *ec2.Client {
	return ec2.New(ec2.Options{Endpoint: url, Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
		o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
	})})
}

func retrieve(t *testing.T, c *ec2.Client) (aws.Credentials, error) {
	t.Helper()
	return ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = c }).Retrieve(t.Context())
}

func TestGoSDK(t *testing.T) {
	t.Parallel()
	// What has ended by the SDK's own clock would be handed out all the same: this one is far ahead.
	far := time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC)
	c := credential(0)
	c.Expires = far
	sdk := client(listen(t, newHandler(t, crossing(gives(c, nil)), imds.Options{})))
	got, err := retrieve(t, sdk)
	if err != nil || got.AccessKeyID != "ASIAEXAMPLE" || got.SecretAccessKey != secretKey || got.SessionToken != sessionToken || !got.CanExpire {
		t.Errorf("got %+v, %v", got, err)
	}
	if region, err := sdk.GetRegion(t.Context(), nil); err != nil || region.Region != "eu-west-1" {
		t.Errorf("got region %+v, %v", region, err)
	}
	if doc, err := sdk.GetInstanceIdentityDocument(t.Context(), nil); err != nil || doc.AccountID != "111122223333" {
		t.Errorf("got %+v, %v", doc, err)
	}
	if info, err := sdk.GetIAMInfo(t.Context(), nil); err != nil || info.InstanceProfileArn != "arn:aws:iam::111122223333:instance-profile/reader" || !info.LastUpdated.Equal(now) {
		t.Errorf("got %+v, %v", info, err)
	}
}

// TestGoSDKRefused: what lasts is asked once, what may pass three times, and the status tells which.
func TestGoSDKRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		supplier stile.Supplier
		status   int
		times    int
	}{
		"refused": {gives(stile.Credential{}, refused), 403, 1},
		"down":    {gives(stile.Credential{}, down), 503, 3},
		"empty":   {gives(stile.Credential{}, nil), 500, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			asked := map[string]int{}
			h := newHandler(t, crossing(c.supplier), imds.Options{})
			server := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				asked[r.Method+" "+r.URL.Path]++
				mu.Unlock()
				h.ServeHTTP(w, r)
			}))
			_, err := retrieve(t, client(server))
			var status interface{ HTTPStatusCode() int }
			if !errors.As(err, &status) || status.HTTPStatusCode() != c.status {
				t.Errorf("got %v, want status %d", err, c.status)
			}
			mu.Lock()
			defer mu.Unlock()
			if asked["GET "+role] != c.times || asked["PUT /latest/api/token"] != 1 {
				t.Errorf("asked %v, want %d times", asked, c.times)
			}
		})
	}
}

// TestGoSDKAfterRestart: the SDK asks for a new token when the one it has is refused.
func TestGoSDKAfterRestart(t *testing.T) {
	t.Parallel()
	c := credential(0)
	c.Expires = time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC)
	var mu sync.Mutex
	h := newHandler(t, crossing(gives(c, nil)), imds.Options{})
	sdk := client(listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		h := h
		mu.Unlock()
		h.ServeHTTP(w, r)
	})))
	for range 2 {
		if _, err := retrieve(t, sdk); err != nil {
			t.Error(err)
		}
		mu.Lock()
		h = newHandler(t, crossing(gives(c, nil)), imds.Options{})
		mu.Unlock()
	}
}

// BenchmarkCached is the whole way over loopback, beside a bare handler that writes the same bytes.
func BenchmarkCached(b *testing.B) {
	c := credential(time.Hour)
	c.Session.SessionToken = stile.NewSecret(strings.Repeat("t", 1200))
	h := newHandler(b, crossing(gives(c, nil)), imds.Options{})
	token := newToken(b, h)
	w, _, err := ask(h, "GET", role, token)
	if err != nil {
		b.Fatal(err)
	}
	body, length := w.body.Bytes(), strconv.Itoa(w.body.Len())
	bare := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", length)
		w.Header().Set("Server", "EC2ws")
		_, _ = w.Write(body)
	})
	for _, way := range []struct {
		name string
		h    http.Handler
	}{{"bare", bare}, {"imds", h}} {
		b.Run(way.name, func(b *testing.B) {
			server := listen(b, way.h)
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
			defer client.CloseIdleConnections()
			b.RunParallel(func(p *testing.PB) {
				buffer := make([]byte, 4096)
				for p.Next() {
					fetch(b, client, server+role[1:], token, buffer)
				}
			})
		})
	}
}

func fetch(b *testing.B, client *http.Client, url string, header http.Header, buffer []byte) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		b.Error(err)
		return
	}
	r.Header = header.Clone()
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
