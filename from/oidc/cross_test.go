// SPDX-License-Identifier: Apache-2.0

package fromoidc_test

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stile-project/stile"
	fromoidc "github.com/stile-project/stile/from/oidc"
	"github.com/stile-project/stile/lab"
	"github.com/stile-project/stile/lab/issuers"
	"github.com/stile-project/stile/lab/stage"
	toaws "github.com/stile-project/stile/to/aws"
	togcp "github.com/stile-project/stile/to/gcp"
)

// A scene is the lab's larger stage, where each origin's workload is trusted by both clouds and by nobody more.
type scene struct {
	*stage.Wide
	t      *testing.T
	socket issuers.Variables
}

func everywhere(t *testing.T) scene {
	t.Helper()
	wide, err := stage.Everywhere(lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	socket, err := wide.Agent.Listen(socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(socket.Close)
	return scene{wide, t, socket.Variables()}
}

func (s scene) client() *http.Client { return &http.Client{Transport: s.World.Network(nil)} }

// mounted is where a pod's files are, as the kubelet writes them.
func (s scene) mounted(o stage.Origin) string {
	s.t.Helper()
	files, err := s.Pods[o].Files()
	if err != nil {
		s.t.Fatal(err)
	}
	dir := s.t.TempDir()
	if err := files.Write(dir); err != nil {
		s.t.Fatal(err)
	}
	return dir
}

// sources are all that find the origin's identity, for the cloud whose variable and file are named.
func (s scene) sources(o stage.Origin, variable, file string) map[string]stile.Source {
	s.t.Helper()
	switch o {
	case stage.GitHub:
		return map[string]stile.Source{"GitHubActions": &fromoidc.GitHubActions{Lookup: s.Runner.Variables().Lookup, Client: s.client()}}
	case stage.GitLab:
		return map[string]stile.Source{
			"GitLabCI":    &fromoidc.GitLabCI{Variable: variable, Lookup: s.Job.Lookup},
			"Environment": &fromoidc.Environment{Name: variable, Lookup: s.Job.Lookup},
		}
	case stage.SPIFFE:
		return map[string]stile.Source{
			"SPIFFE":         &fromoidc.SPIFFE{Lookup: s.socket.Lookup},
			"SPIFFE with ID": &fromoidc.SPIFFE{Lookup: s.socket.Lookup, ID: s.Subjects[o]},
		}
	}
	root := s.mounted(o)
	path, dir := filepath.Join(root, file), filepath.Join(root, fromoidc.ServiceAccountDir)
	raw, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	program := running("print", "TEST_PRINT="+response(string(raw), map[string]any{"expiration_time": nil}))
	program.Clock = nil
	return map[string]stile.Source{
		"File":           &fromoidc.File{Path: path},
		"KubernetesFile": &fromoidc.KubernetesFile{Path: path},
		"URL":            &fromoidc.URL{URL: "http://127.0.0.1/token", Field: "t", Client: answering(200, `{"t":"`+string(raw)+`"}`)},
		"Executable":     program,
		"TokenRequest":   &fromoidc.TokenRequest{Dir: dir, Lookup: s.Pods[o].Variables().Lookup, Client: s.client()},
		"TokenRequest over TLS": &fromoidc.TokenRequest{Dir: dir, Lookup: s.listening(o), ServiceAccount: stage.Pods, Namespace: stage.Namespace,
			Lifetime: 10 * time.Minute},
	}
}

// listening puts the origin's API server on loopback and gives a pod's variables for it.
func (s scene) listening(o stage.Origin) func(string) (string, bool) {
	s.t.Helper()
	server, err := s.Clusters[o].Listen()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(server.Close)
	host, port, err := net.SplitHostPort(server.Address)
	if err != nil {
		s.t.Fatal(err)
	}
	return inPod(host, port)
}

func TestEverySourceCrossesToBothClouds(t *testing.T) {
	t.Parallel()
	s := everywhere(t)
	for _, o := range stage.Origins() {
		role := &toaws.Role{ARN: o.Role(), Region: stage.Region, WebAudience: stage.STSAudience, Client: s.client()}
		for name, source := range s.sources(o, stage.AWSVariable, stage.AWSFile) {
			crosses(t, string(o)+" by "+name+" to AWS", source, role, stile.KindAWSSession)
		}
		account := &togcp.AccessToken{Provider: o.Provider(), ServiceAccount: o.ServiceAccount(), Client: s.client()}
		for name, source := range s.sources(o, stage.GoogleVariable, stage.GoogleFile) {
			crosses(t, string(o)+" by "+name+" to Google Cloud", source, account, stile.KindAccessToken)
		}
	}
}

func crosses(t *testing.T, name string, source stile.Source, target stile.Target, kind stile.Kind) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		cred, err := stile.Cross(source, target).Credential(t.Context())
		if err != nil || cred.Kind != kind || time.Until(cred.Expires) < 50*time.Minute {
			t.Errorf("got a %s until %s, %v", cred.Kind, cred.Expires, err)
		}
	})
}

// What someone found for one cloud is not presented to the other.
func TestTokensForTheOtherCloudStayHere(t *testing.T) {
	t.Parallel()
	s := everywhere(t)
	for _, o := range []stage.Origin{stage.GitLab, stage.EKS} {
		for name, source := range s.sources(o, stage.AWSVariable, stage.AWSFile) {
			if _, asks := source.(*fromoidc.TokenRequest); asks {
				continue
			}
			t.Run(string(o)+" by "+name, func(t *testing.T) {
				t.Parallel()
				_, err := source.SubjectToken(t.Context(), o.Audience())
				isRefusal(t, err, stile.ErrMisuse, `made out to "`+stage.STSAudience+`", not to "`+o.Audience())
			})
		}
	}
}

func TestNoIdentityInTheLab(t *testing.T) {
	t.Parallel()
	s := everywhere(t)
	runner, err := s.World.Issuers.GitHub.Run(issuers.GitHubJob{Repository: stage.Repository, Ref: "refs/heads/" + stage.RefName})
	if err != nil {
		t.Fatal(err)
	}
	_, err = (&fromoidc.GitHubActions{Lookup: runner.Variables().Lookup, Client: s.client()}).SubjectToken(t.Context(), audience)
	isRefusal(t, err, stile.ErrNoIdentity, "permissions: {id-token: write}")

	// The pod may create tokens of its own account alone.
	other := &fromoidc.TokenRequest{Dir: filepath.Join(s.mounted(stage.GKE), fromoidc.ServiceAccountDir), ServiceAccount: "default",
		Lookup: s.Pods[stage.GKE].Variables().Lookup, Client: s.client()}
	_, err = other.SubjectToken(t.Context(), audience)
	isRefusal(t, err, stile.ErrRefused, "resources: [serviceaccounts/token]")

	s.Pods[stage.GKE].Delete()
	other.ServiceAccount = ""
	_, err = other.SubjectToken(t.Context(), audience)
	isRefusal(t, err, stile.ErrRefused, "401")
}

func TestUnregisteredWorkloadHasNoSPIFFEID(t *testing.T) {
	t.Parallel()
	s := everywhere(t)
	agent, err := s.Domain.Agent()
	if err != nil {
		t.Fatal(err)
	}
	socket, err := agent.Listen(socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(socket.Close)
	_, err = (&fromoidc.SPIFFE{Lookup: socket.Variables().Lookup}).SubjectToken(t.Context(), audience)
	isRefusal(t, err, stile.ErrNoIdentity, "hint: register this workload")
}
