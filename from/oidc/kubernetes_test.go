// SPDX-License-Identifier: Apache-2.0

package fromoidc_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stile-project/stile"
	fromoidc "github.com/stile-project/stile/from/oidc"
)

func TestKubernetesFile(t *testing.T) {
	t.Parallel()
	good := token(map[string]any{"sub": "system:serviceaccount:jobs:etl"})
	path := write(t, good)
	got, err := (&fromoidc.KubernetesFile{Path: path, Clock: clock}).SubjectToken(t.Context(), audience)
	isToken(t, got, err, good, "system:serviceaccount:jobs:etl", noon.Add(time.Hour))

	own := write(t, token(map[string]any{"aud": []string{"https://kubernetes.default.svc"}}))
	_, err = (&fromoidc.KubernetesFile{Path: own, Clock: clock}).SubjectToken(t.Context(), audience)
	isRefusal(t, err, stile.ErrMisuse, `hint: mount a projected volume with serviceAccountToken: {path: token, audience: "`+audience)
	got, err = (&fromoidc.KubernetesFile{Path: own, Audience: "https://kubernetes.default.svc", Clock: clock}).SubjectToken(t.Context(), audience)
	isToken(t, got, err, token(map[string]any{"aud": []string{"https://kubernetes.default.svc"}}), "workload", noon.Add(time.Hour))

	_, err = (&fromoidc.KubernetesFile{}).SubjectToken(t.Context(), audience)
	isRefusal(t, err, stile.ErrNoIdentity, "/var/run/secrets/kubernetes.io/serviceaccount/token: there is none")
	distinct(t, map[string]*fromoidc.KubernetesFile{"path": {Path: path}, "audience": {Path: path, Audience: "a"}, "other path": {Path: own}})
}

// podToken is what the API server of these tests takes for the pod's own.
var podToken = token(map[string]any{"aud": "https://kubernetes.default.svc", "sub": "system:serviceaccount:jobs:etl"})

// mount makes the directory that a pod of the service account jobs/etl has, less what is empty.
func mount(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"token": podToken + "\n", "namespace": "jobs", "ca.crt": ""} {
		if changed, ok := files[name]; ok {
			content = changed
		}
		if content == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func inPod(host, port string) func(string) (string, bool) {
	return environment(map[string]string{"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port})
}

// apiServer makes out tokens to whatever a well-formed TokenRequest of the pod asks for.
func apiServer(r *http.Request) (status int, body string) {
	asked, err := io.ReadAll(r.Body)
	if err != nil {
		return 500, err.Error()
	}
	var request struct {
		APIVersion, Kind string
		Spec             struct {
			Audiences         []string
			ExpirationSeconds int64
		}
	}
	if err := json.Unmarshal(asked, &request); err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" ||
		request.APIVersion != "authentication.k8s.io/v1" || request.Kind != "TokenRequest" || len(request.Spec.Audiences) != 1 {
		return 400, `{"kind":"Status","reason":"BadRequest","message":"malformed"}`
	}
	if r.Header.Get("Authorization") != "Bearer "+podToken {
		return 401, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}`
	}
	switch r.URL.Path {
	case "/api/v1/namespaces/jobs/serviceaccounts/etl/token", "/cluster/api/v1/namespaces/other/serviceaccounts/a.b/token":
		made := token(map[string]any{"sub": r.URL.Path, "aud": request.Spec.Audiences, "exp": noon.Unix() + request.Spec.ExpirationSeconds})
		return 201, `{"kind":"TokenRequest","status":{"token":"` + made + `","expirationTimestamp":"2026-11-22T13:00:00Z"}}`
	}
	return 403, `{"kind":"Status","reason":"Forbidden","message":"serviceaccounts \"x\" is forbidden: User \"system:serviceaccount:jobs:etl\" cannot create resource \"serviceaccounts/token\"","code":403}`
}

func cluster() *http.Client {
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		status, body := apiServer(r)
		return answer(r, status, body), nil
	})}
}

func TestTokenRequest(t *testing.T) {
	t.Parallel()
	inside := &fromoidc.TokenRequest{Dir: mount(t, nil), Lookup: inPod("10.0.0.1", "443"), Client: cluster(), Clock: clock}
	got, err := inside.SubjectToken(t.Context(), audience)
	path := "/api/v1/namespaces/jobs/serviceaccounts/etl/token"
	isToken(t, got, err, token(map[string]any{"sub": path, "aud": []string{audience}, "exp": noon.Unix() + 3600}), path, noon.Add(time.Hour))

	inside.Audience, inside.Lifetime = "api://x", 10*time.Minute
	got, err = inside.SubjectToken(t.Context(), audience)
	isToken(t, got, err, token(map[string]any{"sub": path, "aud": []string{"api://x"}, "exp": noon.Unix() + 600}), path, noon.Add(10*time.Minute))

	outside := &fromoidc.TokenRequest{APIServer: "https://cluster.example:6443/cluster/", Namespace: "other", ServiceAccount: "a.b",
		Dir: mount(t, map[string]string{"namespace": ""}), Lookup: environment(nil), Client: cluster(), Clock: clock}
	got, err = outside.SubjectToken(t.Context(), audience)
	path = "/cluster/api/v1/namespaces/other/serviceaccounts/a.b/token"
	isToken(t, got, err, token(map[string]any{"sub": path, "aud": []string{audience}, "exp": noon.Unix() + 3600}), path, noon.Add(time.Hour))
}

func TestTokenRequestAsksTheClusterItIsIn(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{"10.0.0.1": "https://10.0.0.1:443", "fd00::1": "https://[fd00::1]:443"} {
		var asked string
		client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			asked = r.URL.Scheme + "://" + r.URL.Host
			return answer(r, 500, ""), nil
		})}
		_, err := (&fromoidc.TokenRequest{Dir: mount(t, nil), Lookup: inPod(host, "443"), Client: client}).SubjectToken(t.Context(), audience)
		isRefusal(t, err, stile.ErrTemporary, "500")
		if asked != want {
			t.Errorf("asked %s, want %s", asked, want)
		}
	}
}

// Over a real connection, the cluster's own CA is trusted and nobody else's.
func TestTokenRequestTrustsTheClustersCA(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, body := apiServer(r)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it would tell of the client that trusts another CA
	server.StartTLS()
	t.Cleanup(server.Close)
	where, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(where.Host)
	if err != nil {
		t.Fatal(err)
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	source := &fromoidc.TokenRequest{Dir: mount(t, map[string]string{"ca.crt": string(ca)}), Lookup: inPod(host, port), Clock: clock}
	got, err := source.SubjectToken(t.Context(), audience)
	path := "/api/v1/namespaces/jobs/serviceaccounts/etl/token"
	isToken(t, got, err, token(map[string]any{"sub": path, "aud": []string{audience}, "exp": noon.Unix() + 3600}), path, noon.Add(time.Hour))

	source.Dir = mount(t, map[string]string{"ca.crt": anotherCA(t)})
	_, err = source.SubjectToken(t.Context(), audience)
	isRefusal(t, err, stile.ErrTemporary, "certificate")
}

// anotherCA is a certificate that nobody serves with.
func anotherCA(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestTokenRequestRefuses(t *testing.T) {
	t.Parallel()
	pod := inPod("10.0.0.1", "443")
	cases := map[string]struct {
		source fromoidc.TokenRequest
		files  map[string]string
		kind   error
		words  string
	}{
		"no pod":               {fromoidc.TokenRequest{Lookup: environment(nil)}, nil, stile.ErrNoIdentity, "this is no Kubernetes pod"},
		"half a pod":           {fromoidc.TokenRequest{Lookup: inPod("10.0.0.1", "")}, nil, stile.ErrNoIdentity, "not both set"},
		"no token":             {fromoidc.TokenRequest{Lookup: pod}, map[string]string{"token": ""}, stile.ErrNoIdentity, "automountServiceAccountToken: true"},
		"blank token":          {fromoidc.TokenRequest{Lookup: pod}, map[string]string{"token": "\n"}, stile.ErrNoIdentity, "holds no token"},
		"binary token":         {fromoidc.TokenRequest{Lookup: pod}, map[string]string{"token": "hunter2\x00"}, stile.ErrNoIdentity, "holds no token"},
		"opaque token":         {fromoidc.TokenRequest{Lookup: pod}, map[string]string{"token": "hunter2"}, stile.ErrMisuse, "name the service account"},
		"someone's token":      {fromoidc.TokenRequest{Lookup: pod}, map[string]string{"token": token(map[string]any{"sub": "hunter2"})}, stile.ErrMisuse, "name the service account"},
		"no namespace":         {fromoidc.TokenRequest{Lookup: pod}, map[string]string{"namespace": ""}, stile.ErrNoIdentity, "namespace: there is none"},
		"bad namespace":        {fromoidc.TokenRequest{Lookup: pod}, map[string]string{"namespace": "../x"}, stile.ErrMisuse, `namespace "../x"`},
		"bad account":          {fromoidc.TokenRequest{Lookup: pod, ServiceAccount: "x/../y"}, nil, stile.ErrMisuse, `service account "x/../y"`},
		"another account":      {fromoidc.TokenRequest{Lookup: pod, ServiceAccount: "x"}, nil, stile.ErrRefused, "hint: give the pod's account a Role with resources: [serviceaccounts/token]"},
		"a token not its own":  {fromoidc.TokenRequest{Lookup: pod}, map[string]string{"token": token(map[string]any{"sub": "system:serviceaccount:jobs:other"})}, stile.ErrRefused, "401 Unauthorized: Unauthorized"},
		"no ca.crt":            {fromoidc.TokenRequest{Lookup: pod, Client: &http.Client{}}, nil, stile.ErrNoIdentity, "ca.crt: there is none"},
		"ca.crt is no PEM":     {fromoidc.TokenRequest{Lookup: pod, Client: &http.Client{}}, map[string]string{"ca.crt": "hunter2"}, stile.ErrNoIdentity, "holds no certificate"},
		"short lifetime":       {fromoidc.TokenRequest{Lookup: pod, Lifetime: 9 * time.Minute}, nil, stile.ErrMisuse, "whole seconds from 10m"},
		"split second":         {fromoidc.TokenRequest{Lookup: pod, Lifetime: time.Hour + 1}, nil, stile.ErrMisuse, "whole seconds from 10m"},
		"long lifetime":        {fromoidc.TokenRequest{Lookup: pod, Lifetime: 1<<63 - 1}, nil, stile.ErrMisuse, "whole seconds from 10m"},
		"API server in clear":  {fromoidc.TokenRequest{APIServer: "http://hunter2.example"}, nil, stile.ErrMisuse, "the API server's URL: want https"},
		"API server, query":    {fromoidc.TokenRequest{APIServer: "https://cluster.example/?hunter2"}, nil, stile.ErrMisuse, "it has a query"},
		"host that is no host": {fromoidc.TokenRequest{Lookup: inPod("hunter2/x", "443")}, nil, stile.ErrMisuse, "the API server's URL"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := c.source
			source.Dir, source.Clock = mount(t, c.files), clock
			if source.Client == nil {
				source.Client = cluster()
			} else {
				source.Client = nil // the one that reads ca.crt
			}
			_, err := source.SubjectToken(t.Context(), audience)
			isRefusal(t, err, c.kind, c.words, podToken)
		})
	}
	_, err := (&fromoidc.TokenRequest{Dir: mount(t, nil), Lookup: pod}).SubjectToken(t.Context(), "")
	isRefusal(t, err, stile.ErrMisuse, "no audience")
}

func TestTokenRequestAnswersThatAreNoToken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
		kind   error
		words  string
	}{
		"not JSON":         {201, "hunter2", stile.ErrTemporary, "no TokenRequest with a status.token"},
		"no token":         {201, `{"status":{}}`, stile.ErrTemporary, "no TokenRequest with a status.token"},
		"no JWT":           {201, `{"status":{"token":"hunter2"}}`, stile.ErrTemporary, "no JWT"},
		"another audience": {201, `{"status":{"token":"` + podToken + `"}}`, stile.ErrTemporary, "made out to"},
		"not found":        {404, `{"reason":"NotFound","message":"serviceaccounts \"etl\" not found"}`, stile.ErrRefused, "hint: name a service account that exists"},
		"echo":             {400, `{"reason":"BadRequest","message":"no: ` + podToken + `"}`, stile.ErrRefused, "no: [secret]"},
		"refused as text":  {403, "hunter2", stile.ErrRefused, "an answer without a Kubernetes status"},
		"throttled":        {429, `{"reason":"TooManyRequests"}`, stile.ErrTemporary, "429 TooManyRequests"},
		"redirect":         {302, `{}`, stile.ErrRefused, "redirect"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := &fromoidc.TokenRequest{Dir: mount(t, nil), Lookup: inPod("10.0.0.1", "443"), Client: answering(c.status, c.body), Clock: clock}
			_, err := source.SubjectToken(t.Context(), audience)
			isRefusal(t, err, c.kind, c.words, podToken)
		})
	}
}

func TestTokenRequestGivesUpWithItsCaller(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	tired := errors.New("tired")
	silent := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		cancel(tired)
		<-r.Context().Done()
		return nil, r.Context().Err()
	})}
	_, err := (&fromoidc.TokenRequest{Dir: mount(t, nil), Lookup: inPod("10.0.0.1", "443"), Client: silent}).SubjectToken(ctx, audience)
	isRefusal(t, err, tired, "gave up waiting")
}

func TestTokenRequestKeys(t *testing.T) {
	t.Parallel()
	pod, dir := inPod("10.0.0.1", "443"), mount(t, nil)
	distinct(t, map[string]*fromoidc.TokenRequest{
		"one": {Lookup: pod, Dir: dir}, "server": {Lookup: pod, Dir: dir, APIServer: "https://a"}, "in another cluster": {Lookup: inPod("10.0.0.2", "443"), Dir: dir},
		"namespace": {Lookup: pod, Dir: dir, Namespace: "n"}, "account": {Lookup: pod, Dir: dir, ServiceAccount: "n"}, "lifetime": {Lookup: pod, Dir: dir, Lifetime: time.Hour},
		"directory": {Lookup: pod, Dir: mount(t, nil)}, "audience": {Lookup: pod, Dir: dir, Audience: "a"},
	})
	mounted := &fromoidc.TokenRequest{Lookup: pod, Dir: mount(t, nil)}
	before := mounted.CacheKey()
	put(t, filepath.Join(mounted.Dir, "namespace"), "other")
	differ(t, before, mounted.CacheKey())
	for name, source := range map[string]*fromoidc.TokenRequest{"no server": {Lookup: environment(nil), Dir: dir}, "no token": {Lookup: pod, Dir: mount(t, map[string]string{"token": ""})},
		"no namespace": {Lookup: pod, Dir: mount(t, map[string]string{"namespace": ""})}} {
		if !source.CacheKey().IsZero() {
			t.Errorf("%s, and there is a key", name)
		}
	}
}
