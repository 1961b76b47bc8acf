// SPDX-License-Identifier: Apache-2.0

package gce_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/serve/gce"
	"github.com/stile-project/stile/serve/offer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	email    = "etl-job@demo-proj.iam.gserviceaccount.com"
	platform = "https://www.googleapis.com/auth/cloud-platform"
	readOnly = "https://www.googleapis.com/auth/devstorage.read_only"
	bigQuery = "https://www.googleapis.com/auth/bigquery"

	root    = "/computeMetadata/v1/"
	account = root + "instance/service-accounts/default/"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// A cloud is what stands behind a handler in these tests. It makes tokens that name what they are for.
type cloud struct {
	life time.Duration
	err  error // of Credential
	now  func() time.Time

	made   atomic.Int64
	closed atomic.Int64

	mu    sync.Mutex
	asked []string
	notes []offer.Handed
}

type fake struct {
	cloud *cloud
	cred  stile.Credential
	hold  chan struct{} // where not nil, Credential waits for it
}

func (f *fake) Credential(ctx context.Context) (stile.Credential, error) {
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-ctx.Done():
			return stile.Credential{}, ctx.Err()
		}
	}
	return f.cred, f.cloud.err
}

func (f *fake) Close() { f.cloud.closed.Add(1) }

func (c *cloud) supplier(kind stile.Kind, what string) *fake {
	c.made.Add(1)
	c.mu.Lock()
	c.asked = append(c.asked, what)
	c.mu.Unlock()
	return &fake{cloud: c, cred: stile.Credential{Kind: kind, Token: stile.NewSecret("secret." + what), Expires: c.now().Add(c.life)}}
}

func newCloud() *cloud {
	return &cloud{life: time.Hour, now: func() time.Time { return noon }}
}

func (c *cloud) crossing() offer.Crossing {
	return offer.Crossing{Name: "warehouse", Google: &offer.Google{
		AccessToken: func(scopes []string) (stile.Supplier, error) {
			for _, scope := range scopes {
				if !strings.HasPrefix(scope, "https://") {
					return nil, &stile.Error{Op: "cross", Err: fmt.Errorf("%w: no such scope", stile.ErrMisuse)}
				}
			}
			return c.supplier(stile.KindAccessToken, "access["+strings.Join(scopes, ",")+"]"), nil
		},
		IDToken: func(audience string) (stile.Supplier, error) {
			if audience == "refused" {
				return nil, errors.New("a cause with a secret in it")
			}
			return c.supplier(stile.KindIDToken, "id["+audience+"]"), nil
		},
		Email: email, Project: "demo-proj", ProjectNumber: "123456789012", Zone: "europe-west1-b",
	}}
}

// handler notes what it hands out in c.
func (c *cloud) handler(t testing.TB, x offer.Crossing) http.Handler {
	t.Helper()
	h, err := gce.New(x, gce.Options{Clock: c.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return c.noting(h)
}

func (c *cloud) noting(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(offer.WithNote(r.Context(), func(n offer.Handed) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.notes = append(c.notes, n)
		})))
	})
}

func (c *cloud) lastNote(t *testing.T) offer.Handed {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.notes) == 0 {
		t.Fatal("nothing was noted")
	}
	return c.notes[len(c.notes)-1]
}

// request is one as a client makes it, with the header that it must have.
func request(method, target string) *http.Request {
	r := httptest.NewRequest(method, "/", nil)
	u, err := url.ParseRequestURI(target)
	if err != nil {
		panic(err)
	}
	r.URL, r.RequestURI = u, target
	r.Header.Set("Metadata-Flavor", "Google")
	return r
}

func ask(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func get(h http.Handler, target string) *httptest.ResponseRecorder {
	return ask(h, request(http.MethodGet, target))
}

// client sends whatever it is asked for to h, over a real connection.
func client(t *testing.T, h http.Handler) (c *http.Client, host string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	host = s.Listener.Addr().String()
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, host)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}, host
}
