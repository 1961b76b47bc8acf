// SPDX-License-Identifier: Apache-2.0

package googleauth_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"cloud.google.com/go/auth/httptransport"

	"github.com/stile-project/stile"
	fromgcp "github.com/stile-project/stile/from/gcp"
	"github.com/stile-project/stile/lab"
	labgcp "github.com/stile-project/stile/lab/gcp"
	"github.com/stile-project/stile/lab/stage"
	"github.com/stile-project/stile/to/gcp/googleauth"
)

func TestQuotaProjectIsSent(t *testing.T) {
	t.Parallel()
	s, err := stage.Set(lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	reader := &lab.Place{Metadata: s.World.Google.VM(labgcp.Machine{Project: stage.Project, Zone: "europe-west1-b", Name: "reader", ServiceAccount: stage.Reader})}
	kept := &fromgcp.Metadata{Client: &http.Client{Transport: s.World.Network(reader)}}
	read := func(options ...googleauth.Option) int {
		// Without Headers, httptransport forgets the quota project; the client libraries always give it some.
		client, err := httptransport.NewClient(&httptransport.Options{Credentials: googleauth.Credentials(kept, options...), Headers: http.Header{}, BaseRoundTripper: s.World.Network(nil)})
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Get("https://storage.googleapis.com/storage/v1/b/" + stage.Warehouse + "/o/" + stage.OrdersName)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	if got := read(); got != http.StatusOK {
		t.Errorf("charged to nobody else: %d", got)
	}
	if got := read(googleauth.QuotaProject(stage.Project)); got != http.StatusForbidden {
		t.Errorf("charged to a project it may not use: %d, want 403", got)
	}
	if err := s.World.Google.Grant("projects/"+stage.Project, "roles/serviceusage.serviceUsageConsumer", "serviceAccount:"+stage.Reader); err != nil {
		t.Fatal(err)
	}
	if got := read(googleauth.QuotaProject(stage.Project)); got != http.StatusOK {
		t.Errorf("charged to a project it may use: %d", got)
	}
}

type supplier func() (stile.Credential, error)

func (s supplier) Credential(context.Context) (stile.Credential, error) { return s() }

func TestOptionsReachBothAdapters(t *testing.T) {
	t.Parallel()
	never := supplier(func() (stile.Credential, error) { return stile.Credential{}, errors.New("asked") })
	for name, creds := range map[string]func(stile.Supplier, ...googleauth.Option) (string, string){
		"access token": func(s stile.Supplier, o ...googleauth.Option) (string, string) {
			c := googleauth.Credentials(s, o...)
			quota, _ := c.QuotaProjectID(t.Context())
			universe, _ := c.UniverseDomain(t.Context())
			return quota, universe
		},
		"ID token": func(s stile.Supplier, o ...googleauth.Option) (string, string) {
			c := googleauth.IDTokenCredentials(s, o...)
			quota, _ := c.QuotaProjectID(t.Context())
			universe, _ := c.UniverseDomain(t.Context())
			return quota, universe
		},
	} {
		if quota, universe := creds(never); quota != "" || universe != "googleapis.com" {
			t.Errorf("%s with no option: %q, %q", name, quota, universe)
		}
		if quota, universe := creds(never, googleauth.QuotaProject("demo-proj"), googleauth.UniverseDomain("other.example")); quota != "demo-proj" || universe != "other.example" {
			t.Errorf("%s with both: %q, %q", name, quota, universe)
		}
	}
}

func TestTheWrongKindIsMisuse(t *testing.T) {
	t.Parallel()
	id := supplier(func() (stile.Credential, error) {
		return stile.Credential{Kind: stile.KindIDToken, Token: stile.NewSecret("x"), Expires: time.Now().Add(time.Hour)}, nil
	})
	if _, err := googleauth.Credentials(id).Token(t.Context()); !errors.Is(err, stile.ErrMisuse) {
		t.Errorf("an ID token for an access token: %v", err)
	}
	if token, err := googleauth.IDTokenCredentials(id).Token(t.Context()); err != nil || token.Value != "x" || token.Type != "Bearer" {
		t.Errorf("an ID token: %v", err)
	}
}
