// SPDX-License-Identifier: Apache-2.0

package awschain_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/from/aws/awschain"
	"github.com/stile-project/stile/lab"
	labaws "github.com/stile-project/stile/lab/aws"
	"github.com/stile-project/stile/lab/stage"
	togcp "github.com/stile-project/stile/to/gcp"
)

// TestMain leaves nothing of this machine in the environment, which the AWS SDK reads. Tests that set it do not run in
// parallel; the others bring a Lookup of their own.
func TestMain(m *testing.M) {
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "ECS_") || strings.HasPrefix(name, "KUBERNETES_") {
			_ = os.Unsetenv(name)
		}
	}
	_ = os.Setenv("AWS_CONFIG_FILE", os.DevNull)
	_ = os.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	os.Exit(m.Run())
}

type scene struct {
	*stage.Stage
	t *testing.T
}

// set makes a scene.
func set(t *testing.T) scene {
	t.Helper()
	s, err := stage.Set(lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return scene{s, t}
}

func (s scene) at(p *lab.Place) *http.Client { return &http.Client{Transport: s.World.Network(p)} }

// arn crosses to the provider that admits every role and returns whom Google saw.
func (s scene) arn(found *awschain.Found) string {
	s.t.Helper()
	target := &togcp.AccessToken{Provider: stage.OtherProvider, Client: s.at(nil)}
	s.World.Journal.Take()
	if _, err := stile.Cross(found, target).Credential(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	for _, e := range s.World.Journal.Take() {
		if e.Operation == "GetCallerIdentity" {
			return e.Caller
		}
	}
	s.t.Fatal("Google did not ask AWS who it was")
	return ""
}

func (s scene) find(o awschain.Options) *awschain.Found {
	s.t.Helper()
	if o.Root == "" {
		o.Root = s.t.TempDir() // not this machine's own, which may be a pod
	}
	found, err := awschain.Find(s.t.Context(), o)
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}

func TestFindOnEC2(t *testing.T) {
	s := set(t)
	found := s.find(awschain.Options{Client: s.at(s.EC2)})
	if region, err := found.Region(t.Context()); err != nil || region != stage.Region {
		t.Errorf("region %q, %v", region, err)
	}
	if got := s.arn(found); !strings.Contains(got, ":assumed-role/etl-role/i-") {
		t.Errorf("Google saw %q", got)
	}
}

func TestFindInECS(t *testing.T) {
	s := set(t)
	server := httptest.NewServer(s.Task)
	t.Cleanup(server.Close)
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.URL+s.Task.CredentialsPath())
	t.Setenv("ECS_CONTAINER_METADATA_URI_V4", server.URL+s.Task.MetadataPath())
	// A task has no EC2 metadata: only loopback answers.
	client := &http.Client{Transport: loopbackOr{s.World.Network(nil)}}
	found := s.find(awschain.Options{Client: client})
	if region, err := found.Region(t.Context()); err != nil || region != stage.Region {
		t.Errorf("region %q, %v", region, err)
	}
	if got := s.arn(found); !strings.Contains(got, ":assumed-role/etl-role/3f2a") {
		t.Errorf("Google saw %q", got)
	}
}

// loopbackOr reaches what really listens on loopback, and the lab for all else.
type loopbackOr struct{ lab http.RoundTripper }

func (l loopbackOr) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Hostname() == "127.0.0.1" {
		return http.DefaultTransport.RoundTrip(req)
	}
	return l.lab.RoundTrip(req)
}

func TestFindByEnvironmentAndProfile(t *testing.T) {
	s := set(t)
	keys, err := s.World.AWS.Session(stage.OtherRole, "by-env", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", keys.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", keys.SecretAccessKey)
	t.Setenv("AWS_SESSION_TOKEN", keys.SessionToken)
	t.Setenv("AWS_REGION", "us-east-2")
	found := s.find(awschain.Options{Client: s.at(s.EC2)})
	if region, err := found.Region(t.Context()); err != nil || region != "us-east-2" {
		t.Errorf("region %q, %v", region, err)
	}
	if got := s.arn(found); !strings.HasSuffix(got, ":assumed-role/other-role/by-env") {
		t.Errorf("the environment's keys: Google saw %q", got)
	}

	profile, err := s.World.AWS.Session(stage.Role, "by-profile", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config")
	content := "[profile work]\nregion = eu-central-1\naws_access_key_id = " + profile.AccessKeyID + "\naws_secret_access_key = " +
		profile.SecretAccessKey + "\naws_session_token = " + profile.SessionToken + "\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CONFIG_FILE", file)
	if err := os.Unsetenv("AWS_REGION"); err != nil {
		t.Fatal(err)
	}
	named := s.find(awschain.Options{Profile: "work", Client: s.at(nil)})
	if region, err := named.Region(t.Context()); err != nil || region != "eu-central-1" {
		t.Errorf("region %q, %v", region, err)
	}
	if got := s.arn(named); !strings.HasSuffix(got, ":assumed-role/etl-role/by-profile") {
		t.Errorf("a profile named in code beats the environment: Google saw %q", got)
	}
}

func TestFindAssumesARoleFirst(t *testing.T) {
	s := set(t)
	first := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + stage.Role + `"},"Action":"sts:AssumeRole",
		"Condition":{"StringEquals":{"sts:ExternalId":"stile-1"}}}]}`
	if err := s.World.AWS.AddRole(labaws.Role{Account: stage.Account, Name: "second-role", Trust: first}); err != nil {
		t.Fatal(err)
	}
	second := "arn:aws:iam::" + stage.Account + ":role/second-role"
	found := s.find(awschain.Options{Client: s.at(s.EC2), AssumeRole: []awschain.AssumeRole{{Role: second, SessionName: "chained", ExternalID: "stile-1"}}})
	if got := s.arn(found); !strings.HasSuffix(got, ":assumed-role/second-role/chained") {
		t.Errorf("Google saw %q", got)
	}
	refused := s.find(awschain.Options{Client: s.at(s.EC2), AssumeRole: []awschain.AssumeRole{{Role: second}}})
	_, err := refused.SubjectToken(t.Context(), "//iam.googleapis.com/"+stage.Provider)
	if !errors.Is(err, stile.ErrRefused) || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("without the external id: got %v, want AWS's refusal", err)
	}
	if _, err := awschain.Find(t.Context(), awschain.Options{AssumeRole: []awschain.AssumeRole{{Role: "second-role"}}}); !errors.Is(err, stile.ErrMisuse) {
		t.Errorf("a name in place of an ARN: got %v, want misuse", err)
	}
}

func TestFindOffAWS(t *testing.T) {
	s := set(t)
	found := s.find(awschain.Options{Client: s.at(nil)})
	_, err := found.SubjectToken(t.Context(), "//iam.googleapis.com/"+stage.Provider)
	if !errors.Is(err, stile.ErrNoIdentity) {
		t.Errorf("got %v, want no identity", err)
	}
	for _, words := range []string{"AWS_ACCESS_KEY_ID", "web identity", "container endpoint", "instance metadata"} {
		if err != nil && !strings.Contains(err.Error(), words) {
			t.Errorf("the error does not say that %s was tried: %v", words, err)
		}
	}
}

func TestFindUnknownProfile(t *testing.T) {
	set(t)
	if _, err := awschain.Find(t.Context(), awschain.Options{Profile: "nobody"}); !errors.Is(err, stile.ErrMisuse) || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("got %v", err)
	}
}

func TestRegionNeverComesFromAZone(t *testing.T) {
	s := set(t)
	local := &lab.Place{Metadata: s.World.AWS.EC2(labaws.Instance{ID: "i-0abc123def4567890", Region: "us-west-2", Zone: "us-west-2-lax-1a", RoleARN: stage.Role})}
	if region, err := s.find(awschain.Options{Client: s.at(local)}).Region(t.Context()); err != nil || region != "us-west-2" {
		t.Errorf("in a Local Zone: region %q, %v", region, err)
	}
}

func TestTaskMetadataGarbage(t *testing.T) {
	s := set(t)
	for name, body := range map[string]string{"empty": "", "HTML": "<html>", "no ARN": "{}", "ARN of something else": `{"TaskARN":"arn:aws:s3:::bucket"}`,
		"ARN without region": `{"TaskARN":"arn:aws:ecs::1:task/a"}`, "10 MB": strings.Repeat("x", 10<<20)} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
			t.Cleanup(server.Close)
			t.Setenv("ECS_CONTAINER_METADATA_URI_V4", server.URL)
			_, err := s.find(awschain.Options{Client: &http.Client{Transport: loopbackOr{s.World.Network(nil)}}}).Region(t.Context())
			if !errors.Is(err, stile.ErrNoIdentity) || !strings.Contains(err.Error(), "ECS task metadata") {
				t.Errorf("got %.300v", err)
			}
		})
	}
	t.Setenv("ECS_CONTAINER_METADATA_URI_V4", "169.254.170.2/v4")
	if _, err := s.find(awschain.Options{Client: s.at(nil)}).Region(t.Context()); err == nil || !strings.Contains(err.Error(), "not a URL") {
		t.Errorf("got %v", err)
	}
}

func TestCancelledSearchSaysSo(t *testing.T) {
	s := set(t)
	t.Setenv("AWS_REGION", stage.Region)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.find(awschain.Options{Client: s.at(s.EC2)}).SubjectToken(ctx, "//iam.googleapis.com/"+stage.Provider)
	if !errors.Is(err, context.Canceled) || errors.Is(err, stile.ErrNoIdentity) {
		t.Errorf("got %v, want the caller's own cancellation", err)
	}

	// Who gives up later learns for whom the wait was.
	gone, leave := context.WithCancel(t.Context())
	silent := &lab.Place{Metadata: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { leave(); <-r.Context().Done() })}
	_, err = s.find(awschain.Options{Client: s.at(silent)}).SubjectToken(gone, "//iam.googleapis.com/"+stage.Provider)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "gave up waiting for instance metadata") {
		t.Errorf("got %v, want to be told who did not answer", err)
	}
}

func TestFIPSComesFromEverywhere(t *testing.T) {
	s := set(t)
	if !s.find(awschain.Options{FIPS: true}).FIPS {
		t.Error("the option does not reach the caller")
	}
	t.Setenv("AWS_USE_FIPS_ENDPOINT", "true")
	if !s.find(awschain.Options{}).FIPS {
		t.Error("AWS_USE_FIPS_ENDPOINT does not reach the caller")
	}
	t.Setenv("AWS_USE_FIPS_ENDPOINT", "false")
	if s.find(awschain.Options{}).FIPS {
		t.Error("FIPS with nobody asking for it")
	}
}
