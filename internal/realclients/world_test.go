// SPDX-License-Identifier: Apache-2.0

//go:build unix

package realclients_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	clouds "github.com/stile-project/stile/lab"
	labgcp "github.com/stile-project/stile/lab/gcp"
	"github.com/stile-project/stile/lab/journal"
	"github.com/stile-project/stile/lab/stage"
)

// How long what the world gives out is good, as far as those who get it are told: less than any client lets pass before
// it asks again, and long enough to be used on a busy machine. stile hands out nothing with less than half of it left.
const (
	life      = 30 * time.Second // of sessions and access tokens
	proofLife = 80 * time.Second // of ID tokens: stile shows none to a cloud that has less than a minute
)

// A world is the lab in this process, with what its storage services saw and its STS hosts gave out.
type world struct {
	scene    *stage.Stage
	folder   string                       // what stile reads, writes and listens on
	workload *lab                         // for one who is both workloads: stile
	client   *lab                         // for one who is neither, and trusts the lab: everyone else
	found    map[string]map[string]string // how programs find what stile serves, by crossing

	mu     sync.Mutex
	uses   map[string][]use // by cell's prefix
	issued map[string]grant // by the credential's fingerprint
}

// A use is one listing that the lab allowed.
type use struct {
	credential string // its fingerprint
	caller     string // whom the lab took it for
}

// A grant is one credential that the lab's STS hosts gave out.
type grant struct {
	proof string    // the fingerprint of what was shown for it, where that was a token
	ends  time.Time // as its bearer was told
}

// Google's libraries that cross by themselves show a Google ID token to this provider.
const (
	proofPool     = "projects/" + stage.Number + "/locations/global/workloadIdentityPools/proofs"
	proofProvider = proofPool + "/providers/google"
	proofAudience = "//iam.googleapis.com/" + proofProvider
	proofCaller   = "principal://iam.googleapis.com/" + proofPool + "/subject/"
)

// newWorld raises the lab, with an object for each prefix in both clouds.
func newWorld(t *testing.T, programs string, prefixes []string) *world {
	t.Helper()
	// Google's clock is slow, so that what it makes for an hour ends soon by everyone else's. What else it gives, and
	// what AWS gives for 15 minutes at least, is rewritten by exchanged.
	const slow = time.Hour - proofLife
	scene, err := stage.Set(clouds.Options{Clock: func() time.Time { return time.Now().Add(-slow) }})
	must(t, err)
	scene.World.SkewAWS(slow)
	w := &world{scene: scene, folder: t.TempDir(), uses: map[string][]use{}, issued: map[string]grant{}}
	w.furnish(t, prefixes)
	for _, host := range []string{"s3." + stage.Region + ".amazonaws.com", stage.Images + ".s3." + stage.Region + ".amazonaws.com", "storage.googleapis.com", "www.googleapis.com"} {
		w.watch(t, host, w.listed)
	}
	for _, host := range []string{"sts." + stage.Region + ".amazonaws.com", "sts.amazonaws.com", "sts.googleapis.com", "iamcredentials.googleapis.com"} {
		w.watch(t, host, w.exchanged)
	}
	w.open(t, programs)
	return w
}

// furnish adds to the scene what only these tests want.
func (w *world) furnish(t *testing.T, prefixes []string) {
	t.Helper()
	google, aws := w.scene.World.Google, w.scene.World.AWS
	must(t, google.AddPool(stage.Project, "proofs"))
	must(t, google.AddProvider(labgcp.Provider{Project: stage.Project, Pool: "proofs", ID: "google", Issuer: "https://accounts.google.com",
		Mapping: map[string]string{"google.subject": "assertion.sub"}}))
	must(t, google.Grant("buckets/"+stage.Direct, "roles/storage.objectViewer", "principalSet://iam.googleapis.com/"+proofPool+"/*"))
	for _, prefix := range prefixes {
		must(t, aws.PutObject(stage.Images, prefix+stage.CatName, []byte(stage.Cat)))
		for _, bucket := range []string{stage.Warehouse, stage.Direct} {
			must(t, google.PutObject(bucket, prefix+stage.OrdersName, []byte(stage.Orders)))
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// watch lets a host's answers be seen, and changed, before anyone gets them.
func (w *world) watch(t *testing.T, host string, seen func(*http.Request, http.Handler) *httptest.ResponseRecorder) {
	t.Helper()
	real, ok := w.scene.World.AWS.Handler(host)
	if !ok {
		real, ok = w.scene.World.Google.Handler(host)
	}
	if !ok {
		t.Fatalf("the lab has no host %s", host)
	}
	w.scene.World.Faults.Add(clouds.Fault{Host: host, Replace: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		answer := seen(r, real)
		for name, values := range answer.Header() {
			rw.Header()[name] = values
		}
		rw.WriteHeader(answer.Code)
		_, _ = rw.Write(answer.Body.Bytes())
	})})
}

var keyID = regexp.MustCompile(`Credential=([A-Z0-9]+)/`)

// listed notes whose credential listed which cell's objects. One request at a time, so that what is newest in the
// journal is about it. A token that has ended, as far as its bearer was told, is taken for one that nobody gave out.
func (w *world) listed(r *http.Request, real http.Handler) *httptest.ResponseRecorder {
	w.mu.Lock()
	defer w.mu.Unlock()
	credential, isToken := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if m := keyID.FindStringSubmatch(credential); m != nil {
		credential = m[1]
	}
	if isToken && time.Now().After(w.issued[fingerprint(credential)].ends) {
		r.Header.Set("Authorization", "Bearer ended")
	}
	answer := httptest.NewRecorder()
	real.ServeHTTP(answer, r)
	var entry journal.Entry
	for _, e := range w.scene.World.Journal.Take() {
		if e.Service == "S3" || e.Service == "Cloud Storage" {
			entry = e
		}
	}
	if prefix := r.URL.Query().Get("prefix"); prefix != "" && answer.Code == http.StatusOK && entry.Status == http.StatusOK {
		w.uses[prefix] = append(w.uses[prefix], use{fingerprint(credential), entry.Caller})
	}
	return answer
}

var (
	expiration  = regexp.MustCompile(`<Expiration>[^<]*</Expiration>`)
	sessionKey  = regexp.MustCompile(`<AccessKeyId>([^<]*)</AccessKeyId>`)
	expireTime  = regexp.MustCompile(`"expireTime": ?"[^"]*"`)
	expiresIn   = regexp.MustCompile(`"expires_in": ?[0-9]+`)
	googleToken = regexp.MustCompile(`"(?:access_token|accessToken)": ?"([^"]*)"`)
)

// exchanged notes what was given out for what, and has it end soon.
func (w *world) exchanged(r *http.Request, real http.Handler) *httptest.ResponseRecorder {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	answer := httptest.NewRecorder()
	real.ServeHTTP(answer, r)
	text, end := answer.Body.Bytes(), time.Now().Add(life)
	for _, pattern := range []*regexp.Regexp{sessionKey, googleToken} {
		if m := pattern.FindSubmatch(text); m != nil {
			w.mu.Lock()
			w.issued[fingerprint(string(m[1]))] = grant{proofIn(body), end}
			w.mu.Unlock()
		}
	}
	told := end.UTC().Format(time.RFC3339)
	text = expiration.ReplaceAll(text, []byte("<Expiration>"+told+"</Expiration>"))
	text = expireTime.ReplaceAll(text, []byte(`"expireTime": "`+told+`"`))
	text = expiresIn.ReplaceAll(text, fmt.Appendf(nil, `"expires_in": %d`, int(life.Seconds())))
	answer.Body = bytes.NewBuffer(text)
	answer.Header().Del("Content-Length")
	return answer
}

// proofIn is the fingerprint of the token in a form or in JSON.
func proofIn(body []byte) string {
	for _, pattern := range []*regexp.Regexp{webToken, subjectToken} {
		if m := pattern.FindSubmatch(body); m != nil {
			return fingerprint(string(m[1]))
		}
	}
	return ""
}

var (
	webToken     = regexp.MustCompile(`WebIdentityToken=([^&]+)`)
	subjectToken = regexp.MustCompile(`subject_token=([^&]+)`)
)

// fingerprint stands for a secret where it must not be shown.
func fingerprint(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:8])
}

// last is the newest use of a cell's prefix, and how many there were.
func (w *world) last(prefix string) (use, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.uses[prefix]
	if len(all) == 0 {
		return use{}, 0
	}
	return all[len(all)-1], len(all)
}

func (w *world) grantOf(credential string) (grant, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	g, ok := w.issued[credential]
	return g, ok
}

// open puts the world on loopback, and says what programs need to meet it.
func (w *world) open(t *testing.T, programs string) {
	t.Helper()
	server, err := w.scene.World.Listen()
	must(t, err)
	t.Cleanup(server.Close)
	machine, err := server.ServePlain(w.scene.VM.Metadata)
	must(t, err)
	instance, err := server.ServePlain(w.scene.EC2.Metadata)
	must(t, err)
	ca := w.path("ca.pem")
	must(t, os.WriteFile(ca, server.CA, 0o600))
	trusting := map[string]string{"HTTPS_PROXY": server.Proxy, "https_proxy": server.Proxy, "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost",
		"AWS_REGION": stage.Region, "AWS_DEFAULT_REGION": stage.Region, "AWS_CONFIG_FILE": w.path("aws-config"), "AWS_SHARED_CREDENTIALS_FILE": w.path("aws-credentials"),
		"CLOUDSDK_CORE_PROJECT": stage.Project, "GOOGLE_CLOUD_PROJECT": stage.Project, "NODE_NO_WARNINGS": "1"}
	for _, name := range []string{"STILE_CA_FILE", "SSL_CERT_FILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE"} {
		trusting[name] = ca
	}
	w.client = &lab{programs: programs, vars: trusting}
	w.workload = &lab{programs: programs, vars: maps.Clone(trusting)}
	maps.Copy(w.workload.vars, map[string]string{"GCE_METADATA_HOST": machine, "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://" + instance + "/"})
}

func (w *world) path(name string) string { return filepath.Join(w.folder, name) }

func (w *world) program(name string) string { return filepath.Join(w.client.programs, name) }
