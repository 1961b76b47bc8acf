// SPDX-License-Identifier: Apache-2.0

package fromgcp_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stile-project/stile"
	fromgcp "github.com/stile-project/stile/from/gcp"
	"github.com/stile-project/stile/lab"
	labaws "github.com/stile-project/stile/lab/aws"
	labgcp "github.com/stile-project/stile/lab/gcp"
	"github.com/stile-project/stile/lab/stage"
	toaws "github.com/stile-project/stile/to/aws"
)

const (
	developer = "dev@example.com"
	audience  = "sts.amazonaws.com/" + stage.Account
	numeric   = "arn:aws:iam::" + stage.Account + ":role/trusts-the-number"
	byEmail   = "arn:aws:iam::" + stage.Account + ":role/trusts-the-email"
)

// A scene is the stage with a developer, who may speak for the resizer, and with every place where it can run.
type scene struct {
	*stage.Stage
	t    *testing.T
	user labgcp.User
	key  stile.Secret
}

func play(t *testing.T) *scene {
	t.Helper()
	s := &scene{Stage: set(t), t: t}
	user, err := s.World.Google.AddUser(developer)
	s.must(err)
	s.user = user
	key, err := s.World.Google.Key(stage.Resizer)
	s.must(err)
	s.key = stile.NewSecret(string(key.File()))
	for _, member := range []string{"user:" + developer, "serviceAccount:" + stage.Reader, "serviceAccount:" + stage.Project + ".svc.id.goog[web/resizer]"} {
		s.must(s.World.Google.Grant("serviceAccounts/"+stage.Resizer, "roles/iam.serviceAccountTokenCreator", member))
	}
	for name, azp := range map[string]string{"trusts-the-number": s.ResizerID, "trusts-the-email": stage.Resizer} {
		s.must(s.World.AWS.AddRole(labaws.Role{Account: stage.Account, Name: name, Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
			"Principal":{"Federated":"accounts.google.com"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{
			"accounts.google.com:sub":"` + s.ResizerID + `","accounts.google.com:aud":"` + azp + `","accounts.google.com:oaud":"` + audience + `"}}}]}`}))
	}
	return s
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// client is the network at a place: a metadata server, or none.
func (s *scene) client(metadata http.Handler) *http.Client {
	if metadata == nil {
		return at(s.Stage, nil)
	}
	return at(s.Stage, &lab.Place{Metadata: metadata})
}

// file writes a file and gives its path.
func (s *scene) file(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), name)
	s.must(os.WriteFile(path, []byte(text), 0o600))
	return path
}

// stored is application default credentials in a file.
func (s *scene) stored(text []byte, account string) *fromgcp.ApplicationDefault {
	return &fromgcp.ApplicationDefault{File: s.file("adc.json", string(text)), ServiceAccount: account, Client: s.client(nil)}
}

// impersonating is what gcloud auth application-default login --impersonate-service-account writes.
func (s *scene) impersonating(email string, source []byte) []byte {
	s.t.Helper()
	text, err := json.Marshal(map[string]any{"type": "impersonated_service_account", "delegates": []string{}, "source_credentials": json.RawMessage(source),
		"service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + email + ":generateAccessToken"})
	s.must(err)
	return text
}

func (s *scene) gke(linked string) http.Handler {
	return s.World.Google.GKE(labgcp.Pod{Project: stage.Project, Zone: "europe-west1-b", Cluster: "shop", Namespace: "web", KubernetesName: "resizer", ServiceAccount: linked})
}

func (s *scene) run(account string) http.Handler {
	return s.World.Google.CloudRun(labgcp.Service{Project: stage.Project, Region: "europe-west1", Name: "resize", ServiceAccount: account})
}

func (s *scene) app(account string) http.Handler {
	return s.World.Google.AppEngine(labgcp.App{Project: stage.Project, Zone: "eu2", ServiceAccount: account})
}

// reader is another workload, whose access token speaks for the resizer.
func (s *scene) reader() *fromgcp.Metadata {
	return &fromgcp.Metadata{Client: s.client(s.run(stage.Reader))}
}

// paths are all ways to an ID token of the resizer.
func (s *scene) paths() map[string]stile.Source {
	client := s.client(nil)
	return map[string]stile.Source{
		"Compute Engine":                &fromgcp.Metadata{Client: at(s.Stage, s.VM)},
		"Cloud Run":                     &fromgcp.Metadata{Client: s.client(s.run(stage.Resizer))},
		"App Engine":                    &fromgcp.Metadata{Client: s.client(s.app(stage.Resizer))},
		"GKE, linked":                   &fromgcp.Metadata{Client: s.client(s.gke(stage.Resizer))},
		"generateIdToken":               &fromgcp.Impersonated{ServiceAccount: stage.Resizer, Access: s.reader(), Client: client},
		"generateIdToken, by a person":  s.stored(s.user.File(), stage.Resizer),
		"a file that impersonates":      s.stored(s.impersonating(stage.Resizer, s.user.File()), ""),
		"signJwt":                       &fromgcp.SignedJWT{ServiceAccount: stage.Resizer, Access: s.reader(), Client: client},
		"a key":                         &fromgcp.Key{File: s.key, Client: client},
		"a key as default credentials":  s.stored([]byte(s.key.Reveal()), ""),
		"a key at the older endpoint":   &fromgcp.Key{File: s.key, TokenURL: "https://www.googleapis.com/oauth2/v4/token", Client: client},
		"generateIdToken, with a key":   &fromgcp.Impersonated{ServiceAccount: stage.Resizer, Access: &fromgcp.Key{File: s.readerKey(), Client: client}, Client: client},
		"generateIdToken, with e-mail":  &fromgcp.Impersonated{ServiceAccount: stage.Resizer, IncludeEmail: true, Access: s.reader(), Client: client},
		"a person who impersonates one": &fromgcp.SignedJWT{ServiceAccount: stage.Resizer, Access: s.stored(s.user.File(), ""), Client: client},
	}
}

func (s *scene) readerKey() stile.Secret {
	s.t.Helper()
	key, err := s.World.Google.Key(stage.Reader)
	s.must(err)
	return stile.NewSecret(string(key.File()))
}

// TestAuthorizedPartyDecidesWhichTrustAdmits is protocols' table of azp: the way to a token decides which condition on
// accounts.google.com:aud holds, and ReadClaims tells which beforehand.
func TestAuthorizedPartyDecidesWhichTrustAdmits(t *testing.T) {
	t.Parallel()
	signed := map[string]bool{"signJwt": true, "a key": true, "a key as default credentials": true, "a key at the older endpoint": true, "a person who impersonates one": true}
	s := play(t)
	for name, source := range s.paths() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token, err := source.SubjectToken(t.Context(), audience)
			if err != nil {
				t.Fatal(err)
			}
			admits, refuses, azp := numeric, byEmail, s.ResizerID
			if signed[name] {
				admits, refuses, azp = byEmail, numeric, stage.Resizer
			}
			claims, err := fromgcp.ReadClaims(token)
			if err != nil {
				t.Fatal(err)
			}
			want := [][2]string{{"accounts.google.com:sub", s.ResizerID}, {"accounts.google.com:aud", azp}, {"accounts.google.com:oaud", audience}}
			if diff := cmp.Diff(want, claims.AWSConditions()); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			if token.Subject != stage.Resizer && claims.Email != "" || token.Type != stile.TokenTypeIDToken || token.Expires.IsZero() {
				t.Errorf("token of %q, type %s, expires %s", token.Subject, token.Type, token.Expires)
			}
			become := func(role string) error {
				_, err := (&toaws.Role{ARN: role, Region: stage.Region, WebAudience: audience, Client: s.client(nil)}).Exchange(t.Context(), token)
				return err
			}
			if err := become(admits); err != nil {
				t.Errorf("%s: %v", admits, err)
			}
			var e *stile.Error
			if err := become(refuses); !errors.As(err, &e) || e.Code != "AccessDenied" {
				t.Errorf("%s: %v, want AccessDenied", refuses, err)
			}
		})
	}
}

func TestEverySourceRefusesAnEmptyAudience(t *testing.T) {
	t.Parallel()
	s := play(t)
	sources := s.paths()
	s.World.Journal.Take()
	for name, source := range sources {
		if _, err := source.SubjectToken(t.Context(), ""); !errors.Is(err, stile.ErrMisuse) {
			t.Errorf("%s: got %v, want misuse", name, err)
		}
	}
	if asked := s.World.Journal.Take(); len(asked) != 0 {
		t.Errorf("a cloud was asked: %v", asked)
	}
}

func TestKeysOfSourcesAreTheirOwn(t *testing.T) {
	t.Parallel()
	s := play(t)
	seen := map[stile.Key]string{}
	for name, source := range s.paths() {
		keyed, ok := source.(stile.Keyed)
		if !ok || keyed.CacheKey().IsZero() {
			t.Errorf("%s has no key", name)
			continue
		}
		if keyed.CacheKey() != keyed.CacheKey() {
			t.Errorf("%s has another key each time", name)
		}
		if _, isMetadata := source.(*fromgcp.Metadata); isMetadata {
			continue // they differ by the network alone, which is the test's
		}
		if other, dup := seen[keyed.CacheKey()]; dup {
			t.Errorf("%s and %s share a key", name, other)
		}
		seen[keyed.CacheKey()] = name
	}
	unknown := &fromgcp.Impersonated{ServiceAccount: stage.Resizer, Access: stile.Supplier(opaque{})}
	if !unknown.CacheKey().IsZero() {
		t.Error("whose access token it is cannot be told, and yet there is a key")
	}
}

type opaque struct{ stile.Supplier }

func TestPlacesTellWhoTheyAre(t *testing.T) {
	t.Parallel()
	s := play(t)
	id := func(change fromgcp.Identity) fromgcp.Identity {
		change.ProjectID, change.ProjectNumber = stage.Project, stage.Number
		return change
	}
	cases := map[string]struct {
		place http.Handler
		want  fromgcp.Identity
	}{
		"Cloud Run":       {s.run(stage.Resizer), id(fromgcp.Identity{Email: stage.Resizer, Region: "europe-west1"})},
		"App Engine":      {s.app(stage.Resizer), id(fromgcp.Identity{Email: stage.Resizer, Zone: "eu2"})},
		"GKE, linked":     {s.gke(stage.Resizer), id(fromgcp.Identity{Email: stage.Resizer, Zone: "europe-west1-b"})},
		"GKE, not linked": {s.gke(""), id(fromgcp.Identity{Email: stage.Project + ".svc.id.goog", Zone: "europe-west1-b"})},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := (&fromgcp.Metadata{Client: s.client(c.place)}).Whoami(t.Context())
			if err != nil || got != c.want {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

func TestPodThatIsNotLinked(t *testing.T) {
	t.Parallel()
	s := play(t)
	source := &fromgcp.Metadata{Client: s.client(s.gke(""))}
	_, err := source.SubjectToken(t.Context(), audience)
	var e *stile.Error
	if !errors.Is(err, stile.ErrNoIdentity) || !errors.As(err, &e) || !strings.Contains(e.Message, "Your Kubernetes service account (web/resizer) is not annotated") || !strings.Contains(e.Hint, "iam.gke.io/gcp-service-account") {
		t.Errorf("got %v, hint %q, want the node's own words and how to link", err, e.Hint)
	}
	pool := "projects/" + stage.Number + "/locations/global/workloadIdentityPools/" + stage.Project + ".svc.id.goog"
	s.must(s.World.Google.Grant("buckets/"+stage.Warehouse, "roles/storage.objectViewer", "principal://iam.googleapis.com/"+pool+"/subject/ns/web/sa/resizer"))
	cred, err := source.Credential(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if status := s.read(cred); status != http.StatusOK {
		t.Errorf("the pod's own access token: the bucket answered %d", status)
	}
}

func TestPodWithoutTheBinding(t *testing.T) {
	t.Parallel()
	s := play(t)
	_, err := (&fromgcp.Metadata{Client: s.client(s.gke(stage.Reader))}).SubjectToken(t.Context(), audience)
	var e *stile.Error
	if !errors.Is(err, stile.ErrRefused) || !errors.As(err, &e) || e.Status != http.StatusForbidden || !strings.Contains(e.Hint, "roles/iam.workloadIdentityUser") {
		t.Errorf("got %v, want a refusal that names the role", err)
	}
}

// read asks for an object with an access token.
func (s *scene) read(cred stile.Credential) int {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "https://storage.googleapis.com/storage/v1/b/"+stage.Warehouse+"/o/"+stage.OrdersName, nil)
	s.must(err)
	req.Header.Set("Authorization", "Bearer "+cred.Token.Reveal())
	res, err := s.client(nil).Do(req)
	s.must(err)
	_ = res.Body.Close()
	return res.StatusCode
}
