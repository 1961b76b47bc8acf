// SPDX-License-Identifier: Apache-2.0

package stage_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/xml"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/stile-project/stile/lab"
	labaws "github.com/stile-project/stile/lab/aws"
	"github.com/stile-project/stile/lab/issuers"
	"github.com/stile-project/stile/lab/stage"
)

// A scene is the larger stage with a clock that a test moves.
type scene struct {
	*stage.Wide
	t *testing.T

	mu   sync.Mutex
	skew time.Duration
}

func everywhere(t *testing.T) *scene {
	t.Helper()
	s := &scene{t: t}
	wide, err := stage.Everywhere(lab.Options{Clock: s.now})
	if err != nil {
		t.Fatal(err)
	}
	s.Wide = wide
	return s
}

func (s *scene) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.skew)
}

func (s *scene) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skew += d
}

// do sends a request on the world's network.
func (s *scene) do(method, where string, header http.Header, body string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, where, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	maps.Copy(req.Header, header)
	res, err := s.World.Network(nil).RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

var form = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}

// toAWS exchanges a token at AWS STS.
func (s *scene) toAWS(o stage.Origin, token string) (int, string) {
	s.t.Helper()
	return s.do("POST", "https://sts."+stage.Region+".amazonaws.com/", form, url.Values{"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"},
		"RoleArn": {o.Role()}, "RoleSessionName": {"test"}, "WebIdentityToken": {token}}.Encode())
}

// toGoogle exchanges a token at Google STS.
func (s *scene) toGoogle(o stage.Origin, token string) (int, string) {
	s.t.Helper()
	return s.do("POST", "https://sts.googleapis.com/v1/token", form, url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"audience": {o.Audience()}, "scope": {"https://www.googleapis.com/auth/cloud-platform"}, "requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
		"subject_token": {token}, "subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"}}.Encode())
}

// token is the workload's own, out of the place where it runs.
func (s *scene) token(o stage.Origin, audience string) string {
	s.t.Helper()
	switch o {
	case stage.GitHub:
		return s.fromGitHub(s.Runner, audience)
	case stage.GitLab:
		if audience == stage.STSAudience {
			return s.Job[stage.AWSVariable]
		}
		return s.Job[stage.GoogleVariable]
	case stage.SPIFFE:
		return s.fromSocket(audience)
	}
	path := stage.GoogleFile
	if audience == stage.STSAudience {
		path = stage.AWSFile
	}
	raw, err := s.Pods[o].File(path)
	if err != nil {
		s.t.Fatal(err)
	}
	return raw
}

func (s *scene) fromGitHub(r *issuers.Runner, audience string) string {
	s.t.Helper()
	v := r.Variables()
	status, body := s.do("GET", v["ACTIONS_ID_TOKEN_REQUEST_URL"]+"&audience="+url.QueryEscape(audience), http.Header{"Authorization": {"Bearer " + v["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]}}, "")
	var answer struct {
		Count int
		Value string
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != 200 || answer.Count != len(answer.Value) || answer.Count == 0 {
		s.t.Fatalf("GitHub answered %d, %v", status, err)
	}
	return answer.Value
}

// fromSocket asks the Workload API over a real socket, with net/http for a client.
func (s *scene) fromSocket(audience string) string {
	s.t.Helper()
	folder, err := os.MkdirTemp("", "spiffe") // t.TempDir is too long for a socket's name
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	path := filepath.Join(folder, "s")
	socket, err := s.Agent.Listen(path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer socket.Close()
	protocols := &http.Protocols{}
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Transport{Protocols: protocols, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	defer client.CloseIdleConnections()
	message := append(binary.AppendUvarint([]byte{0x0a}, uint64(len(audience))), audience...)
	framed := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://localhost/SpiffeWorkloadAPI/FetchJWTSVID", bytes.NewReader(framed))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "Workload.spiffe.io": {"true"}}
	res, err := client.RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.Trailer.Get("Grpc-Status") != "0" {
		s.t.Fatalf("Workload API: %v, status %q", err, res.Trailer.Get("Grpc-Status"))
	}
	start := bytes.Index(body, []byte("eyJ"))
	if start < 0 {
		s.t.Fatal("the answer holds no token")
	}
	return string(body[start:])
}

func TestEveryOriginReachesBothClouds(t *testing.T) {
	t.Parallel()
	s := everywhere(t)
	for _, o := range stage.Origins() {
		t.Run(string(o), func(t *testing.T) {
			s := &scene{Wide: s.Wide, t: t}
			if got := s.readS3(o, s.token(o, stage.STSAudience)); got != stage.Cat {
				t.Errorf("AWS: read %q", got)
			}
			direct := s.federated(o, s.token(o, o.Audience()))
			if got := s.readGCS(o, direct); got != stage.Orders {
				t.Errorf("Google Cloud, directly: read %q", got)
			}
			if got := s.readGCS(o, s.impersonated(o, direct)); got != stage.Orders {
				t.Errorf("Google Cloud, as a service account: read %q", got)
			}
		})
	}
}

func (s *scene) readS3(o stage.Origin, token string) string {
	s.t.Helper()
	status, body := s.toAWS(o, token)
	var answer struct {
		Credentials struct{ AccessKeyId, SecretAccessKey, SessionToken string } `xml:"AssumeRoleWithWebIdentityResult>Credentials"`
		Subject     string                                                      `xml:"AssumeRoleWithWebIdentityResult>SubjectFromWebIdentityToken"`
	}
	if err := xml.Unmarshal([]byte(body), &answer); err != nil || status != 200 {
		s.t.Fatalf("AWS STS answered %d: %s", status, body)
	}
	if answer.Subject != s.Subjects[o] {
		s.t.Errorf("AWS sees %q, want %q", answer.Subject, s.Subjects[o])
	}
	keys := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		c := answer.Credentials
		return aws.Credentials{AccessKeyID: c.AccessKeyId, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}, nil
	})
	client := s3.New(s3.Options{Region: stage.Region, Credentials: keys, HTTPClient: &http.Client{Transport: s.World.Network(nil)}, RetryMaxAttempts: 1})
	out, err := client.GetObject(s.t.Context(), &s3.GetObjectInput{Bucket: aws.String(o.S3Bucket()), Key: aws.String(stage.CatName)})
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = out.Body.Close() }()
	content, err := io.ReadAll(out.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(content)
}

func (s *scene) federated(o stage.Origin, token string) string {
	s.t.Helper()
	status, body := s.toGoogle(o, token)
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != 200 {
		s.t.Fatalf("Google STS answered %d: %s", status, body)
	}
	return answer.AccessToken
}

func (s *scene) impersonated(o stage.Origin, token string) string {
	s.t.Helper()
	status, body := s.do("POST", "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"+o.ServiceAccount()+":generateAccessToken",
		http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}}, `{"scope":["https://www.googleapis.com/auth/cloud-platform"]}`)
	var answer struct {
		AccessToken string `json:"accessToken"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != 200 {
		s.t.Fatalf("IAM Credentials answered %d: %s", status, body)
	}
	return answer.AccessToken
}

func (s *scene) readGCS(o stage.Origin, token string) string {
	s.t.Helper()
	_, body := s.do("GET", "https://storage.googleapis.com/storage/v1/b/"+o.Bucket()+"/o/"+stage.OrdersName+"?alt=media", http.Header{"Authorization": {"Bearer " + token}}, "")
	return body
}

// No token works in another's place, nor for another audience.
func TestNoOriginStandsInForAnother(t *testing.T) {
	t.Parallel()
	s := everywhere(t)
	for _, o := range stage.Origins() {
		sts, google := s.token(o, stage.STSAudience), s.token(o, o.Audience())
		for _, other := range stage.Origins() {
			awsToken, googleToken, which := sts, google, "another origin's"
			if other == o {
				awsToken, googleToken, which = google, sts, "the other cloud's"
			}
			if status, body := s.toAWS(other, awsToken); status == 200 {
				t.Errorf("AWS takes %s token of %s for %s: %s", which, o, other, body)
			}
			if status, body := s.toGoogle(other, googleToken); status == 200 {
				t.Errorf("Google Cloud takes %s token of %s for %s: %s", which, o, other, body)
			}
		}
	}
}

// Each refusal has a name, and both clouds say it in their own words.
func TestRefusedTokens(t *testing.T) {
	t.Parallel()
	const denied = "Not authorized to perform sts:AssumeRoleWithWebIdentity"
	const condition = "The given credential is rejected by the attribute condition."
	other := issuers.Account{Namespace: "web", Name: stage.Pods}
	for name, c := range map[string]struct {
		origin      stage.Origin
		token       func(s *scene, audience string) string
		aws, google string
	}{
		"GitHub, no audience named": {stage.GitHub, func(s *scene, _ string) string { return s.fromGitHub(s.Runner, "") },
			"Incorrect token audience", "does not match the expected audience"},
		"GitHub, another audience": {stage.GitHub, func(s *scene, _ string) string { return s.fromGitHub(s.Runner, "https://vault.example") },
			"Incorrect token audience", "does not match the expected audience"},
		"GitHub, expired": {stage.GitHub, func(s *scene, a string) string { return s.later(s.token(stage.GitHub, a), 5*time.Minute) },
			"ExpiredTokenException", "expired at"},
		"GitHub, another repository":                       {stage.GitHub, hub(issuers.GitHubJob{Repository: "octo-org/other"}), denied, condition},
		"GitHub, a repository with the name as its prefix": {stage.GitHub, hub(issuers.GitHubJob{Repository: stage.Repository + "-fork"}), denied, condition},
		"GitHub, another branch":                           {stage.GitHub, hub(issuers.GitHubJob{Repository: stage.Repository, Ref: "refs/heads/feature"}), denied, condition},
		"GitHub, a tag of the branch's name":               {stage.GitHub, hub(issuers.GitHubJob{Repository: stage.Repository, Ref: "refs/tags/main"}), denied, condition},
		"GitHub, a pull request":                           {stage.GitHub, hub(issuers.GitHubJob{Repository: stage.Repository, Ref: "refs/pull/7/merge", Event: "pull_request"}), denied, condition},
		"GitHub, signed by GitLab": {stage.GitHub, func(s *scene, a string) string {
			return s.signed(s.World.Issuers.GitLab.Token, stage.GitHub, a)
		}, "retrieve verification key", "signing key of the ID Token is not found"},
		"GitLab, another project":                      {stage.GitLab, grouped(issuers.GitLabJob{Project: "octo-group/etl/other"}), denied, condition},
		"GitLab, another group":                        {stage.GitLab, grouped(issuers.GitLabJob{Project: "evil/etl/warehouse"}), denied, condition},
		"GitLab, a tag called main":                    {stage.GitLab, grouped(issuers.GitLabJob{Project: stage.GroupedRepo, Tag: true}), denied, condition},
		"GitLab, expired":                              {stage.GitLab, func(s *scene, a string) string { return s.later(s.token(stage.GitLab, a), time.Hour) }, "ExpiredTokenException", "expired at"},
		"EKS, another namespace":                       {stage.EKS, pod(stage.EKS, other), denied, condition},
		"GKE, another namespace":                       {stage.GKE, pod(stage.GKE, other), denied, condition},
		"Kubernetes, another account of the namespace": {stage.Kubernetes, pod(stage.Kubernetes, issuers.Account{Namespace: stage.Namespace, Name: "web"}), denied, condition},
		"Kubernetes, made out to the API server": {stage.Kubernetes, func(s *scene, _ string) string {
			raw, err := s.Pods[stage.Kubernetes].File(issuers.AccountFolder + "/token")
			return s.must(raw, err)
		}, "Incorrect token audience", "does not match the expected audience"},
		"Kubernetes, expired": {stage.Kubernetes, func(s *scene, a string) string { return s.later(s.token(stage.Kubernetes, a), time.Hour) }, "ExpiredTokenException", "expired at"},
		"SPIFFE, another workload": {stage.SPIFFE, func(s *scene, a string) string {
			return s.signed(s.Domain.Token, stage.SPIFFE, a, "sub", s.Domain.ID("/web"))
		}, denied, condition},
		"SPIFFE, another trust domain's key": {stage.SPIFFE, func(s *scene, a string) string {
			d, err := s.World.Issuers.AddTrustDomain(issuers.TrustDomain{Name: "evil.example"})
			if err != nil {
				s.t.Fatal(err)
			}
			return s.signed(d.Token, stage.SPIFFE, a)
		}, "retrieve verification key", "signing key of the ID Token is not found"},
		"SPIFFE, expired": {stage.SPIFFE, func(s *scene, a string) string { return s.later(s.token(stage.SPIFFE, a), 5*time.Minute) }, "ExpiredTokenException", "expired at"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := everywhere(t)
			if status, body := s.toAWS(c.origin, c.token(s, stage.STSAudience)); status == 200 || !strings.Contains(body, c.aws) {
				t.Errorf("AWS answered %d %s, want %q", status, body, c.aws)
			}
			s = everywhere(t)
			if status, body := s.toGoogle(c.origin, c.token(s, c.origin.Audience())); status == 200 || !strings.Contains(body, c.google) {
				t.Errorf("Google answered %d %s, want %q", status, body, c.google)
			}
		})
	}
}

func (s *scene) must(raw string, err error) string {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	return raw
}

// later presents a token after its time.
func (s *scene) later(raw string, d time.Duration) string {
	s.pass(d + time.Second)
	return raw
}

// signed has another key sign what the origin's workload would say, with changes.
func (s *scene) signed(sign func(map[string]any) (string, error), o stage.Origin, audience string, change ...string) string {
	s.t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(s.token(o, audience), ".")[1])
	if err != nil {
		s.t.Fatal(err)
	}
	claims := map[string]any{}
	if err := json.Unmarshal(payload, &claims); err != nil {
		s.t.Fatal(err)
	}
	for _, name := range []string{"iat", "exp", "nbf"} {
		if at, ok := claims[name].(float64); ok {
			claims[name] = int64(at)
		}
	}
	for i := 0; i+1 < len(change); i += 2 {
		claims[change[i]] = change[i+1]
	}
	return s.must(sign(claims))
}

func hub(j issuers.GitHubJob) func(*scene, string) string {
	return func(s *scene, audience string) string {
		s.t.Helper()
		j.IDToken = true
		r, err := s.World.Issuers.GitHub.Run(j)
		if err != nil {
			s.t.Fatal(err)
		}
		return s.fromGitHub(r, audience)
	}
}

func grouped(j issuers.GitLabJob) func(*scene, string) string {
	return func(s *scene, audience string) string {
		s.t.Helper()
		j.IDTokens = map[string][]string{"TOKEN": {audience}}
		v, err := s.World.Issuers.GitLab.Start(j)
		return s.must(v["TOKEN"], err)
	}
}

func pod(o stage.Origin, a issuers.Account) func(*scene, string) string {
	return func(s *scene, audience string) string {
		s.t.Helper()
		if err := s.Clusters[o].AddAccount(a); err != nil {
			s.t.Fatal(err)
		}
		p, err := s.Clusters[o].Start(issuers.PodSpec{Account: a, Projections: []issuers.Projection{{Path: "/token", Audience: audience}}})
		if err != nil {
			s.t.Fatal(err)
		}
		return s.must(p.File("/token"))
	}
}

// A region's clusters share one host, whoever made them.
func TestClustersShareAHostWithTheCloudsOwn(t *testing.T) {
	t.Parallel()
	s := everywhere(t)
	theirs, err := s.World.AWS.EKS(labaws.Cluster{Account: stage.Account, Name: "another", Region: stage.Region})
	if err != nil {
		t.Fatal(err)
	}
	for _, issuer := range []string{theirs.Issuer(), s.Issuers[stage.EKS]} {
		if status, body := s.do("GET", issuer+"/.well-known/openid-configuration", nil, ""); status != 200 || !strings.Contains(body, `"issuer":"`+issuer+`"`) {
			t.Errorf("%s: %d %s", issuer, status, body)
		}
	}
}

// An AWS role's own token gets into Google Cloud, and back into AWS never.
func TestAWSTokenCrossesToGoogleAlone(t *testing.T) {
	t.Parallel()
	s := everywhere(t)
	keys, err := s.World.AWS.Session(stage.OutboundRole, "i-0123456789abcdef0", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	client := sts.New(sts.Options{Region: stage.Region, HTTPClient: &http.Client{Transport: s.World.Network(nil)}, RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: keys.AccessKeyID, SecretAccessKey: keys.SecretAccessKey, SessionToken: keys.SessionToken}, nil
		})})
	ask := func(audience string) (*sts.GetWebIdentityTokenOutput, error) {
		return client.GetWebIdentityToken(t.Context(), &sts.GetWebIdentityTokenInput{Audience: []string{audience}, SigningAlgorithm: aws.String("RS256")})
	}
	out, err := ask(stage.AWSToken.Audience())
	if err != nil {
		t.Fatal(err)
	}
	token := aws.ToString(out.WebIdentityToken)
	if got := s.readGCS(stage.AWSToken, s.federated(stage.AWSToken, token)); got != stage.Orders {
		t.Errorf("read %q", got)
	}
	if status, body := s.toAWS(stage.GitHub, token); status == 200 || !strings.Contains(body, "Tokens issued by AWS STS") {
		t.Errorf("AWS answered %d %s to its own token", status, body)
	}
	if _, err := ask("https://vault.example"); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("asking for another audience: %v", err)
	}
}
