// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stile-project/stile/lab/oidc"
)

func (w *world) pod(linked string) http.Handler {
	return w.GKE(Pod{Project: testProject, Zone: "europe-west1-b", Cluster: "shop", Namespace: "web", KubernetesName: "resizer", ServiceAccount: linked})
}

func (w *world) service() *MetadataServer {
	return w.CloudRun(Service{Project: testProject, Region: "europe-west1", Name: "resize", ServiceAccount: readerEmail, Function: "Resize"})
}

func (w *world) app() *MetadataServer {
	return w.AppEngine(App{Project: testProject, Zone: "eu2", ServiceAccount: readerEmail})
}

// lookIn asks a metadata server for a path below computeMetadata/v1.
func lookIn(h http.Handler, path string) reply {
	r := httptest.NewRequest(http.MethodGet, "http://metadata.google.internal/computeMetadata/v1/"+path, nil)
	r.Header.Set(flavorHeader, flavor)
	return serve(h, r)
}

// claimsOf reads a token's claims.
func claimsOf(t *testing.T, raw string) map[string]any {
	t.Helper()
	_, claims, err := oidc.Unverified(raw)
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

// Every place has what its documentation promises, and nothing that only a virtual machine has.
func TestPlacesHaveWhatIsDocumented(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	everywhere := map[string]string{"project/project-id": testProject, "project/numeric-project-id": testNumber, "instance/service-accounts/default/scopes": scopePlatform + "\n"}
	for name, c := range map[string]struct {
		place http.Handler
		has   map[string]string
		lacks []string
	}{
		"Cloud Run": {w.service(), map[string]string{"instance/region": "projects/" + testNumber + "/regions/europe-west1", "instance/service-accounts/default/email": readerEmail},
			[]string{"instance/zone", "instance/name", "instance/attributes/", "instance/machine-type", "project/attributes/", "universe/universe-domain", "instance/service-accounts/other/email"}},
		"App Engine": {w.app(), map[string]string{"instance/zone": "projects/" + testNumber + "/zones/eu2", "instance/service-accounts/default/aliases": "default\n"},
			[]string{"instance/region", "instance/id", "instance/attributes/"}},
		"GKE, linked": {w.pod(readerEmail), map[string]string{"instance/attributes/cluster-name": "shop", "instance/zone": "projects/" + testNumber + "/zones/europe-west1-b", "instance/service-accounts/default/email": readerEmail},
			[]string{"instance/attributes/kube-env", "instance/name", "instance/region"}},
		"GKE, not linked": {w.pod(""), map[string]string{"instance/service-accounts/default/email": testProject + ".svc.id.goog", "instance/service-accounts/": "default/\n" + testProject + ".svc.id.goog/\n"},
			[]string{"instance/service-accounts/" + readerEmail + "/token"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, want := range []map[string]string{everywhere, c.has} {
				for path, text := range want {
					if got := lookIn(c.place, path); got.status != http.StatusOK || got.body != text || got.header.Get(flavorHeader) != flavor {
						t.Errorf("%s: %d %q, want %q", path, got.status, got.body, text)
					}
				}
			}
			for _, path := range c.lacks {
				if got := lookIn(c.place, path); got.status != http.StatusNotFound {
					t.Errorf("%s: %d %q, want 404", path, got.status, got.body)
				}
			}
		})
	}
}

func TestEnvironments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	want := map[string]string{"K_SERVICE": "resize", "K_REVISION": "resize-00001-abc", "K_CONFIGURATION": "resize", "PORT": "8080", "FUNCTION_TARGET": "Resize", "FUNCTION_SIGNATURE_TYPE": "http"}
	if diff := cmp.Diff(want, w.service().Environment()); diff != "" {
		t.Errorf("a function (-want +got):\n%s", diff)
	}
	if _, has := w.CloudRun(Service{Project: testProject, Region: "europe-west1", Name: "x"}).Environment()["FUNCTION_TARGET"]; has {
		t.Error("a service has a function's variables")
	}
	if env := w.app().Environment(); env["GAE_ENV"] != "standard" || env["GAE_RUNTIME"] != "go126" || env["GOOGLE_CLOUD_PROJECT"] != testProject {
		t.Errorf("an app: %v", env)
	}
}

const identityPath = "instance/service-accounts/default/identity?audience=https://a.example&format=full"

func TestPlatformsRepeatIDTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, place := range map[string]http.Handler{"Cloud Run": w.service(), "App Engine": w.app()} {
		first := w.want(lookIn(place, identityPath), http.StatusOK).body
		c := claimsOf(t, first)
		if c["azp"] != w.reader.UniqueID || c["email"] != readerEmail || c["google"] != nil {
			t.Errorf("%s: claims %v, want the number in azp, the e-mail, and nothing of a machine", name, c)
		}
		if other := lookIn(place, strings.Replace(identityPath, "a.example", "b.example", 1)).body; claimsOf(t, other)["aud"] != "https://b.example" {
			t.Errorf("%s: another audience got %v", name, claimsOf(t, other)["aud"])
		}
		w.clock.Advance(50 * time.Minute)
		if again := lookIn(place, identityPath).body; again != first {
			t.Errorf("%s: after 50 minutes another token, want the same", name)
		}
		w.clock.Advance(6 * time.Minute)
		if again := lookIn(place, identityPath).body; again == first {
			t.Errorf("%s: four minutes before its end the same token, want another", name)
		}
	}
}

func TestLinkedPodNeedsTheBinding(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	place := w.pod(readerEmail)
	for _, path := range []string{identityPath, "instance/service-accounts/default/token"} {
		if got := lookIn(place, path); got.status != http.StatusForbidden || !strings.Contains(got.body, "missing IAM policy binding") {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	w.must(w.Grant("serviceAccounts/"+readerEmail, "roles/iam.workloadIdentityUser", "serviceAccount:"+testProject+".svc.id.goog[web/resizer]"))
	for _, path := range []string{identityPath, "instance/service-accounts/default/token"} {
		w.want(lookIn(place, path), http.StatusOK)
	}
	gone := w.pod("gone@demo-proj.iam.gserviceaccount.com")
	w.want(lookIn(gone, identityPath), http.StatusForbidden)
	for _, member := range []string{"serviceAccount:other-proj.svc.id.goog[web/resizer]", "serviceAccount:" + testProject + ".svc.id.goog[web]"} {
		if err := w.Grant("serviceAccounts/"+readerEmail, "roles/iam.workloadIdentityUser", member); err == nil {
			t.Errorf("%s was taken", member)
		}
	}
}

func TestPodThatIsNotLinked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	place := w.pod("")
	want := "Your Kubernetes service account (web/resizer) is not annotated with a target Google service account, which is a requirement for retrieving Identity Tokens using Workload Identity"
	if got := lookIn(place, identityPath); got.status != http.StatusNotFound || !strings.HasPrefix(got.body, want) {
		t.Errorf("got %d %s, want 404 %s", got.status, got.body, want)
	}
	read := func() int {
		token := w.want(lookIn(place, "instance/service-accounts/default/token"), http.StatusOK).field(t, "access_token").(string)
		return w.request(http.MethodGet, "https://storage.googleapis.com/storage/v1/b/demo-bucket/o/reports%2F2026.csv", token, "").status
	}
	if got := read(); got != http.StatusForbidden {
		t.Errorf("before a grant: %d", got)
	}
	w.must(w.Grant("buckets/demo-bucket", "roles/storage.objectViewer", "principalSet://iam.googleapis.com/projects/"+testNumber+"/locations/global/workloadIdentityPools/"+testProject+".svc.id.goog/namespace/web"))
	if got := read(); got != http.StatusOK {
		t.Errorf("after a grant to the namespace: %d", got)
	}
}
