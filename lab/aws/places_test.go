// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"github.com/stile-project/stile/lab/oidc"
)

const (
	podARN    = "arn:aws:iam::111122223333:role/pod"
	trustsPod = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
)

// cluster is an EKS cluster in the world, with a role that its pods may have.
func (w *world) cluster() *ClusterServer {
	w.t.Helper()
	s, err := w.cloud.EKS(Cluster{Account: home, Name: "prod", Region: irishReg})
	if err != nil {
		w.t.Fatal(err)
	}
	w.role(Role{Account: home, Name: "pod", Trust: trustsPod})
	if err := s.Associate("shop", "orders", podARN); err != nil {
		w.t.Fatal(err)
	}
	return s
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func sdkToKeys(c aws.Credentials) Keys {
	return Keys{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}
}

func (w *world) whoIs(k Keys) string {
	w.t.Helper()
	return w.do(w.signed(k, irishReg, irish, whoAmI, 0)).Body
}

func TestPodIdentityBySDK(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.cluster()
	e := must[Environment](t)(s.PodIdentity("shop", "orders"))
	creds, err := endpointcreds.New(e.Variables[fullURI], func(o *endpointcreds.Options) {
		o.HTTPClient = &http.Client{Transport: direct{s}}
		o.AuthorizationToken = e.Files[e.Variables["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]]
	}).Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if creds.AccountID != home || creds.Expires.Sub(w.now()) < 5*time.Hour {
		t.Errorf("account %s, expires %v", creds.AccountID, creds.Expires)
	}
	if who := w.whoIs(sdkToKeys(creds)); !strings.Contains(who, ":assumed-role/pod/eks-prod-orders-7d4b-") {
		t.Errorf("got %s", who)
	}
	if got := w.cloud.sessions[creds.AccessKeyID]; got.tags["kubernetes-namespace"] != "shop" || got.tags["eks-cluster-name"] != "prod" || len(got.transitive) != 6 {
		t.Errorf("tags %v, transitive %v", got.tags, got.transitive)
	}
}

func TestPodIdentityRefusals(t *testing.T) {
	t.Parallel()
	another := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"],"Condition":{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"other"}}}]}`
	noTags := strings.Replace(trustsPod, `,"sts:TagSession"`, "", 1)
	token := func(namespace, name, audience string, life time.Duration) func(*world, *ClusterServer) string {
		return func(_ *world, s *ClusterServer) string {
			raw, _ := s.Token(namespace, name, life, audience)
			return raw
		}
	}
	good := token("shop", "orders", podAudience, time.Hour)
	for name, c := range map[string]struct {
		token       func(*world, *ClusterServer) string
		host, trust string
		status      int
		message     string
	}{
		"no token":               {func(*world, *ClusterServer) string { return "" }, "", trustsPod, 400, "token cannot be empty"},
		"not a token":            {func(*world, *ClusterServer) string { return "Bearer x" }, "", trustsPod, 400, "cannot be parsed"},
		"a token of its own":     {func(w *world, _ *ClusterServer) string { return w.googleToken(nil) }, "", trustsPod, 400, "(InvalidTokenException)"},
		"made out to STS":        {token("shop", "orders", irsaAudience, time.Hour), "", trustsPod, 400, "audience"},
		"expired":                {token("shop", "orders", podAudience, -time.Second), "", trustsPod, 400, "(ExpiredTokenException)"},
		"no association":         {token("shop", "other", podAudience, time.Hour), "", trustsPod, 404, "(ResourceNotFoundException)"},
		"another host name":      {good, "evil.example", trustsPod, 403, "invalid address"},
		"a role for another":     {good, "", another, 400, "(AccessDeniedException)"},
		"a role without tagging": {good, "", noTags, 400, "(AccessDeniedException)"},
		"a role for EC2":         {good, "", trustsEC2, 400, "(AccessDeniedException)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.cluster()
			w.role(Role{Account: home, Name: "pod", Trust: c.trust})
			r := httptest.NewRequest(http.MethodGet, "http://169.254.170.23/v1/credentials", nil)
			if c.host != "" {
				r.Host = c.host
			}
			r.Header.Set("Authorization", c.token(w, s))
			rec := httptest.NewRecorder()
			s.ServeHTTP(rec, r)
			if rec.Code != c.status || !strings.Contains(rec.Body.String(), c.message) || strings.Contains(rec.Body.String(), "SecretAccessKey") {
				t.Errorf("got %d %s, want %d … %s", rec.Code, rec.Body, c.status, c.message)
			}
			if w.reason() == "" {
				t.Error("the journal does not say why")
			}
		})
	}
}

func TestIRSABySDK(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.cluster()
	if err := w.cloud.AddOIDCProvider(home, s.Issuer(), irsaAudience); err != nil {
		t.Fatal(err)
	}
	issuer := strings.TrimPrefix(s.Issuer(), "https://")
	w.role(Role{Account: home, Name: "irsa", Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/` + issuer + `"},
		"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"` + issuer + `:sub":"system:serviceaccount:shop:orders","` + issuer + `:aud":"sts.amazonaws.com"}}}]}`})
	client := sts.New(sts.Options{Region: irishReg, HTTPClient: w.client(), RetryMaxAttempts: 1})
	try := func(name string) (aws.Credentials, error) {
		e := must[Environment](t)(s.IRSA("shop", name, "arn:aws:iam::111122223333:role/irsa"))
		v := must[map[string]string](t)(e.Settle(t.TempDir(), ""))
		return stscreds.NewWebIdentityRoleProvider(client, v["AWS_ROLE_ARN"], stscreds.IdentityTokenFile(v["AWS_WEB_IDENTITY_TOKEN_FILE"])).Retrieve(t.Context())
	}
	creds, err := try("orders")
	if err != nil {
		t.Fatal(err)
	}
	if who := w.whoIs(sdkToKeys(creds)); !strings.Contains(who, ":assumed-role/irsa/") {
		t.Errorf("got %s", who)
	}
	if _, err := try("other"); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("another service account: got %v", err)
	}
}

// Two clusters of a region share a host name, and nothing else.
func TestClustersAreApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.cluster()
	two := must[*ClusterServer](t)(w.cloud.EKS(Cluster{Account: home, Name: "test", Region: irishReg}))
	for _, s := range []*ClusterServer{one, two} {
		token := must[string](t)(s.Token("shop", "orders", time.Hour, "a"))
		for _, issuer := range []*ClusterServer{one, two} {
			if _, err := (oidc.Verifier{Net: w}).Verify(t.Context(), issuer.Issuer(), token); (err == nil) != (issuer == s) {
				t.Errorf("token of %s at %s: %v", s.cluster.Name, issuer.cluster.Name, err)
			}
		}
	}
	if res, err := w.client().Get("https://oidc.eks.eu-west-1.amazonaws.com/"); err != nil || res.StatusCode != http.StatusNotFound {
		t.Errorf("no cluster's path: %v, %v", res, err)
	}
}

func TestClusterRefusesBadNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, k := range map[string]Cluster{"account": {"1", "prod", irishReg}, "region": {home, "prod", "eu-nowhere-1"}, "name": {home, "Prod!", irishReg}} {
		if _, err := w.cloud.EKS(k); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	s := w.cluster()
	for name, c := range map[string][3]string{"namespace": {"", "orders", podARN}, "role": {"shop", "orders", "pod"}, "another account": {"shop", "orders", "arn:aws:iam::444455556666:role/pod"}} {
		if err := s.Associate(c[0], c[1], c[2]); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestLambda(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plain := must[Environment](t)(w.cloud.Lambda(Function{Name: "hello", Region: irishReg, RoleARN: etlARN}).Environment())
	keys := Keys{AccessKeyID: plain.Variables["AWS_ACCESS_KEY_ID"], SecretAccessKey: plain.Variables["AWS_SECRET_ACCESS_KEY"], SessionToken: plain.Variables["AWS_SESSION_TOKEN"]}
	if who := w.whoIs(keys); !strings.Contains(who, ":assumed-role/etl/hello") {
		t.Errorf("keys in the environment: %s", who)
	}

	snap := w.cloud.Lambda(Function{Name: "hello", Region: irishReg, RoleARN: etlARN, SnapStart: true})
	e := must[Environment](t)(snap.Environment())
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		if _, set := e.Variables[name]; set {
			t.Errorf("with SnapStart %s is set", name)
		}
	}
	creds, err := endpointcreds.New(e.Variables[fullURI], func(o *endpointcreds.Options) {
		o.HTTPClient = &http.Client{Transport: direct{snap}}
		o.AuthorizationToken = e.Variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
	}).Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if who := w.whoIs(sdkToKeys(creds)); !strings.Contains(who, ":assumed-role/etl/hello") {
		t.Errorf("keys from the endpoint: %s", who)
	}
	if doc := readJSON(t, snap, "/2021-04-23/credentials", "wrong"); doc["status"] != 403 {
		t.Errorf("a wrong token: %v", doc)
	}
	if doc := readJSON(t, w.cloud.Lambda(Function{Name: "hello", Region: irishReg, RoleARN: etlARN}), "/2021-04-23/credentials", ""); doc["status"] != 404 {
		t.Errorf("without SnapStart: %v", doc)
	}
	if _, err := w.cloud.Lambda(Function{Name: "hello", Region: irishReg, RoleARN: target}).Environment(); err == nil {
		t.Error("a role that does not exist gave keys")
	}
}

func (w *world) portal(token, account, role string) answer {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodGet, "https://portal.sso.eu-west-1.amazonaws.com/federation/credentials?account_id="+account+"&role_name="+role, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("X-Amz-Sso_bearer_token", token)
	res, err := w.RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	var doc map[string]any
	if err := json.NewDecoder(res.Body).Decode(&doc); err != nil {
		w.t.Fatal(err)
	}
	return answer{Status: res.StatusCode, Code: res.Header.Get("X-Amzn-Errortype"), Message: fmt.Sprint(doc["message"]), Body: fmt.Sprint(doc["roleCredentials"])}
}

func (w *world) bearer(e Environment) string {
	w.t.Helper()
	for name, content := range e.Files {
		if strings.Contains(name, "/sso/cache/") {
			var cached map[string]string
			if err := json.Unmarshal([]byte(content), &cached); err != nil {
				w.t.Fatal(err)
			}
			return cached["accessToken"]
		}
	}
	w.t.Fatal("no cache file")
	return ""
}

func TestSSOPortal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := must[Environment](t)(w.cloud.SignIn(SignOn{StartURL: "https://d-1234567890.awsapps.com/start", Region: irishReg, User: "robin@example.com",
		Account: home, PermissionSet: "Developer", RoleARN: etlARN, Life: time.Hour}))
	token := w.bearer(e)
	if a := w.portal(token, home, "Developer"); a.Status != 200 || !strings.Contains(a.Body, "ASIA") {
		t.Errorf("got %+v", a)
	}
	for name, c := range map[string]struct {
		token, account, role string
		status               int
		code                 string
	}{
		"another token":          {"x", home, "Developer", 401, "UnauthorizedException"},
		"another permission set": {token, home, "Administrator", 403, "ForbiddenException"},
		"another account":        {token, stranger, "Developer", 403, "ForbiddenException"},
		"no account":             {token, "", "Developer", 400, "InvalidRequestException"},
	} {
		if a := w.portal(c.token, c.account, c.role); a.Status != c.status || a.Code != c.code {
			t.Errorf("%s: got %+v", name, a)
		}
	}
	w.pass(time.Hour)
	if a := w.portal(token, home, "Developer"); a.Status != 401 || a.Code != "UnauthorizedException" {
		t.Errorf("after the sign-in ended: got %+v", a)
	}
	if _, err := w.cloud.SignIn(SignOn{Region: irishReg, Account: home, RoleARN: target}); err == nil {
		t.Error("signed in to a role that does not exist")
	}
}

func TestMultiFactor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	user := must[Keys](t)(w.cloud.AddUser(home, "alice", everything))
	device := must[*MFADevice](t)(w.cloud.AddMFADevice(home, "alice"))
	w.role(Role{Account: home, Name: "goal", Trust: trusting(home, justAssume, `{"Bool":{"aws:MultiFactorAuthPresent":"true"}}`)})
	const goal = "arn:aws:iam::111122223333:role/goal"
	try := func(change ...string) answer {
		return w.do(w.signed(user, irishReg, irish, assume(goal, change...), 0))
	}
	code := device.Code()
	if a := try("SerialNumber", device.Serial(), "TokenCode", code); a.Status != 200 {
		t.Errorf("with the code: %+v", a)
	}
	wrong := "000000"
	if code == wrong {
		wrong = "000001"
	}
	w.wantRefusal(try("SerialNumber", device.Serial(), "TokenCode", code), 403, "AccessDenied", "invalid MFA one time pass code")
	w.wantRefusal(try("SerialNumber", device.Serial(), "TokenCode", wrong), 403, "AccessDenied", "invalid MFA one time pass code")
	w.wantRefusal(try("SerialNumber", device.Serial()), 403, "AccessDenied", "must provide both")
	w.wantRefusal(try("SerialNumber", device.Serial()+"x", "TokenCode", wrong), 403, "AccessDenied", "unable to validate MFA code")
	w.wantRefusal(try(), 403, "AccessDenied", "not authorized to perform: sts:AssumeRole")
	w.wantRefusal(try("SerialNumber", device.Serial(), "TokenCode", "12345"), 400, "ValidationError", "tokenCode")
	w.pass(time.Minute)
	if a := try("SerialNumber", device.Serial(), "TokenCode", device.Code()); a.Status != 200 {
		t.Errorf("a minute later, with the next code: %+v", a)
	}
	if _, err := w.cloud.AddMFADevice(home, "bob"); err == nil {
		t.Error("a device for nobody")
	}
}

// The published vectors of RFC 6238, appendix B, cut to six digits.
func TestCodesAreTOTP(t *testing.T) {
	t.Parallel()
	d := &MFADevice{secret: []byte("12345678901234567890")}
	for seconds, want := range map[int64]string{59: "287082", 1111111109: "081804", 1234567890: "005924", 20000000000: "353130"} {
		if got := d.code(seconds / 30); got != want {
			t.Errorf("at %d: got %s, want %s", seconds, got, want)
		}
	}
}

func TestSettle(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	e := Environment{
		Variables: map[string]string{relativeURI: "/v2/credentials/x", "ECS_CONTAINER_METADATA_URI_V4": "http://169.254.170.2/v4/y", "HOME": "/home/robin", "TOKEN_FILE": "/run/a/token", "AWS_REGION": irishReg},
		Files:     map[string]string{"/run/a/token": "t", "/home/robin/.aws/config": "c"},
	}
	got := must[map[string]string](t)(e.Settle(folder, "127.0.0.1:8080"))
	want := map[string]string{fullURI: "http://127.0.0.1:8080/v2/credentials/x", "ECS_CONTAINER_METADATA_URI_V4": "http://127.0.0.1:8080/v4/y",
		"HOME": filepath.Join(folder, "home", "robin"), "TOKEN_FILE": filepath.Join(folder, "run", "a", "token"), "AWS_REGION": irishReg}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settled (-want +got):\n%s", diff)
	}
	if content, err := os.ReadFile(got["TOKEN_FILE"]); err != nil || string(content) != "t" {
		t.Errorf("the file: %q, %v", content, err)
	}
	e.Variables["AWS_SECRET_ACCESS_KEY"] = "hunter22"
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, e); strings.Contains(text, "hunter22") || !strings.Contains(text, "AWS_SECRET_ACCESS_KEY") {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}
