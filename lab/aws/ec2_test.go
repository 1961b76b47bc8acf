// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
)

const instanceID = "i-0abc123def4567890"

// metadataClient is the SDK's own, with the handler in place of the network.
func metadataClient(h http.Handler) *imds.Client {
	return imds.New(imds.Options{HTTPClient: &http.Client{Transport: direct{h}}, Endpoint: "http://169.254.169.254"})
}

type direct struct{ handler http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	in := r.Clone(r.Context())
	in.Host = in.URL.Host
	if in.Method == "" { // a client's way of saying GET; no server ever sees it
		in.Method = http.MethodGet
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	d.handler.ServeHTTP(rec, in)
	return rec.Result(), nil
}

func TestEC2BySDK(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	client := metadataClient(w.cloud.EC2(Instance{ID: instanceID, Region: "us-west-2", Zone: "us-west-2-lax-1a", RoleARN: etlARN}))
	region, err := client.GetRegion(t.Context(), nil)
	if err != nil || region.Region != "us-west-2" {
		t.Errorf("region %v, %v", region, err)
	}
	doc, err := client.GetInstanceIdentityDocument(t.Context(), nil)
	if err != nil || doc.InstanceID != instanceID || doc.AccountID != home || doc.AvailabilityZone != "us-west-2-lax-1a" {
		t.Errorf("document %+v, %v", doc, err)
	}
	creds, err := ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = client }).Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys := Keys{AccessKeyID: creds.AccessKeyID, SecretAccessKey: creds.SecretAccessKey, SessionToken: creds.SessionToken}
	if a := w.do(w.signed(keys, irishReg, irish, whoAmI, 0)); !strings.Contains(a.Body, "assumed-role/etl/"+instanceID) {
		t.Errorf("got %d\n%s", a.Status, a.Body)
	}
}

func TestEC2Paths(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	full := w.cloud.EC2(Instance{ID: instanceID, Region: irishReg, RoleARN: etlARN, AllowV1: true})
	bare := w.cloud.EC2(Instance{ID: instanceID, Region: irishReg, AllowV1: true})
	lost := w.cloud.EC2(Instance{ID: instanceID, Region: irishReg, RoleARN: target, AllowV1: true})
	const root = "/latest/meta-data/iam/security-credentials"
	for name, c := range map[string]struct {
		server http.Handler
		path   string
		status int
		body   string // all of it, or with a leading … a part
	}{
		"role list":                  {full, root, 200, "etl"},
		"role list with a slash":     {full, root + "/", 200, "etl"},
		"another role":               {full, root + "/other", 404, "…404 - Not Found"},
		"no role":                    {bare, root + "/", 404, "…404 - Not Found"},
		"a role that does not exist": {lost, root + "/from-gcp", 200, `…"Code": "AssumeRoleUnauthorizedAccess"`},
		"region":                     {full, "/latest/meta-data/placement/region", 200, irishReg},
		"zone":                       {full, "/latest/meta-data/placement/availability-zone", 200, "eu-west-1a"},
		"zone with a slash":          {full, "/latest/meta-data/placement/availability-zone/", 200, "eu-west-1a"},
		"instance id, dated version": {full, "/2021-07-15/meta-data/instance-id", 200, instanceID},
		"nothing there":              {full, "/latest/meta-data/nothing", 404, "…404 - Not Found"},
		"another root":               {full, "/computeMetadata/v1/", 404, "…404 - Not Found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec := httptest.NewRecorder()
			c.server.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, c.path, nil))
			part, some := strings.CutPrefix(c.body, "…")
			if got := rec.Body.String(); rec.Code != c.status || !some && got != c.body || !strings.Contains(got, part) {
				t.Errorf("got %d %q, want %d %q", rec.Code, got, c.status, c.body)
			}
		})
	}
}

func TestEC2TokenRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		instance Instance
		method   string
		path     string
		header   map[string]string
		status   int
	}{
		"no TTL":                {Instance{}, "PUT", "/latest/api/token", nil, 400},
		"TTL 0":                 {Instance{}, "PUT", "/latest/api/token", map[string]string{ttlHeader: "0"}, 400},
		"TTL over six hours":    {Instance{}, "PUT", "/latest/api/token", map[string]string{ttlHeader: "21601"}, 400},
		"TTL no number":         {Instance{}, "PUT", "/latest/api/token", map[string]string{ttlHeader: "\xff"}, 400},
		"X-Forwarded-For":       {Instance{}, "PUT", "/latest/api/token", map[string]string{ttlHeader: "60", "X-Forwarded-For": "10.0.0.9"}, 403},
		"GET for a token":       {Instance{}, "GET", "/latest/api/token", map[string]string{ttlHeader: "60"}, 405},
		"disabled":              {Instance{Disabled: true}, "PUT", "/latest/api/token", map[string]string{ttlHeader: "60"}, 403},
		"no token":              {Instance{}, "GET", "/latest/meta-data/instance-id", nil, 401},
		"a wrong token":         {Instance{}, "GET", "/latest/meta-data/instance-id", map[string]string{tokenHeader: "x"}, 401},
		"a wrong token, v1 too": {Instance{AllowV1: true}, "GET", "/latest/meta-data/instance-id", map[string]string{tokenHeader: "x"}, 401},
		"POST":                  {Instance{AllowV1: true}, "POST", "/latest/meta-data/instance-id", nil, 405},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := httptest.NewRequest(c.method, c.path, nil)
			for k, v := range c.header {
				r.Header.Set(k, v)
			}
			rec := httptest.NewRecorder()
			w.cloud.EC2(c.instance).ServeHTTP(rec, r)
			if rec.Code != c.status {
				t.Errorf("got %d, want %d", rec.Code, c.status)
			}
			if w.reason() == "" {
				t.Error("the journal does not say why")
			}
		})
	}
}

func TestEC2TokenLives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := w.cloud.EC2(Instance{ID: instanceID, Region: irishReg})
	put := httptest.NewRequest(http.MethodPut, "/latest/api/token", nil)
	put.Header.Set(ttlHeader, "60")
	rec := httptest.NewRecorder()
	server.ServeHTTP(rec, put)
	if rec.Code != 200 || rec.Header().Get(ttlHeader) != "60" {
		t.Fatalf("got %d with TTL %q", rec.Code, rec.Header().Get(ttlHeader))
	}
	token := rec.Body.String()
	status := func() int {
		r := httptest.NewRequest(http.MethodGet, "/latest/meta-data/instance-id", nil)
		r.Header.Set(tokenHeader, token)
		rec := httptest.NewRecorder()
		server.ServeHTTP(rec, r)
		return rec.Code
	}
	if got := status(); got != 200 {
		t.Errorf("a new token gives %d", got)
	}
	w.pass(time.Minute)
	if got := status(); got != 401 {
		t.Errorf("a dead token gives %d, want 401", got)
	}
}

// With the default hop limit, a container's PUT is never answered.
func TestEC2HopLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		limit    int
		answered bool
	}{"default": {0, false}, "two": {2, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(w.cloud.EC2(Instance{ID: instanceID, Region: irishReg, HopLimit: c.limit, Hops: 2}))
			defer server.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			if c.answered {
				ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
			}
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, http.MethodPut, server.URL+"/latest/api/token", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set(ttlHeader, "60")
			resp, err := server.Client().Do(r)
			if c.answered {
				if err != nil || resp.StatusCode != 200 {
					t.Fatalf("got %v, %v", resp, err)
				}
				_ = resp.Body.Close()
			} else if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want silence", err)
			}
		})
	}
}

// Keys stay the same until an hour before their end, and are new from then on.
func TestDeliveredKeysRenew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	instance := w.cloud.EC2(Instance{ID: instanceID, Region: irishReg, RoleARN: etlARN, AllowV1: true})
	task := w.cloud.ECS(Task{ID: "0a1b2c", Region: irishReg, RoleARN: etlARN})
	for name, get := range map[string]func() map[string]any{
		"EC2": func() map[string]any {
			return readJSON(t, instance, "/latest/meta-data/iam/security-credentials/etl", "")
		},
		"ECS": func() map[string]any { return readJSON(t, task, task.CredentialsPath(), "") },
	} {
		first := get()
		w.pass(4*time.Hour + 59*time.Minute)
		if same := get(); same["AccessKeyId"] != first["AccessKeyId"] {
			t.Errorf("%s: new keys with more than an hour left", name)
		}
		w.pass(2 * time.Minute)
		second := get()
		if second["AccessKeyId"] == first["AccessKeyId"] {
			t.Errorf("%s: old keys with less than an hour left", name)
		}
		end, err := time.Parse(time.RFC3339, second["Expiration"].(string))
		if left := end.Sub(w.now()); err != nil || left > 6*time.Hour || left < 6*time.Hour-time.Minute {
			t.Errorf("%s: new keys live %v (%v)", name, left, err)
		}
	}
}

func readJSON(t *testing.T, h http.Handler, path, authorization string) map[string]any {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	body, err := io.ReadAll(rec.Body)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatalf("%d %s: %v", rec.Code, body, err)
	}
	doc["status"] = rec.Code
	return doc
}
