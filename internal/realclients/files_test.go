// SPDX-License-Identifier: Apache-2.0

//go:build unix

package realclients_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stile-project/stile/lab/stage"
)

// Files go both ways: what stile config writes, the vendors' programs use, and what gcloud writes, stile uses.

var gcloudFileTests = clientTests{
	"stile config writes its credential file": func(t *testing.T, l *lab) {
		s := l.shell(t)
		s.prints(t, "stile", "config", "gcp", "warehouse", "--file", "credential.json")
		// The file's metadata URLs are link-local, and gcloud knows no variable for them: it asks the environment first.
		s = s.with(instanceSession(t, l)).with(map[string]string{"CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": filepath.Join(s.vars["HOME"], "credential.json")})
		wantOrders(t, s.prints(t, "gcloud", "storage", "cat", orders))
	},
	"stile config writes its credential file for direct access": func(t *testing.T, l *lab) {
		s := l.shell(t)
		s.prints(t, "stile", "config", "gcp", "direct", "--file", "credential.json")
		s = s.with(instanceSession(t, l)).with(map[string]string{"CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": filepath.Join(s.vars["HOME"], "credential.json")})
		wantOrders(t, s.prints(t, "gcloud", "storage", "cat", direct))
		s.isRefused(t, "403", "gcloud", "storage", "cat", orders)
	},
	"it writes a credential file as stile does, which stile uses": func(t *testing.T, l *lab) {
		s := l.shell(t)
		file := createCredConfig(t, s, stage.Provider, "--aws", "--enable-imdsv2", "--service-account="+stage.Reader)
		token := s.write(t, "token", s.prints(t, "stile", "token", "--credential-file", file))
		wantOrders(t, s.prints(t, "gcloud", "--access-token-file="+token, "storage", "cat", orders))
		wantSame(t, s, file, "stile", "config", "gcp", "--credential-file", file)
		wantSame(t, s, file, "stile", "config", "gcp", "warehouse")
	},
	"it writes a credential file for direct access, which stile uses": func(t *testing.T, l *lab) {
		s := l.shell(t)
		file := createCredConfig(t, s, stage.Provider, "--aws")
		token := s.write(t, "token", s.prints(t, "stile", "token", "--credential-file", file))
		wantOrders(t, s.prints(t, "gcloud", "--access-token-file="+token, "storage", "cat", direct))
		wantSame(t, s, file, "stile", "config", "gcp", "--credential-file", file)
	},
	"refused: it writes a credential file for an account that nobody may act as": func(t *testing.T, l *lab) {
		s := l.shell(t)
		file := createCredConfig(t, s, stage.Provider, "--aws", "--enable-imdsv2", "--service-account="+stage.Unbound)
		s.isRefused(t, "403 PERMISSION_DENIED", "stile", "token", "--credential-file", file)
	},
}

var awsFileTests = clientTests{
	"stile config writes a profile that runs stile": func(t *testing.T, l *lab) {
		s := l.shell(t)
		file := s.write(t, "aws config", "# ours\n[default]\nregion = us-east-1\n")
		s.prints(t, "stile", "config", "aws", "images", "--profile", "pics", "--file", file)
		s = s.with(map[string]string{"AWS_CONFIG_FILE": file})
		wantListed(t, s.prints(t, "aws", "--profile", "pics", "s3", "ls", images))
		wantCaller(t, s, fromSession, "--profile", "pics")
		if got := s.prints(t, "aws", "configure", "get", "region"); got != "us-east-1\n" {
			t.Errorf("the other profile's region is %q now", got)
		}
	},
	"stile config writes a profile of a web identity": func(t *testing.T, l *lab) {
		s := l.shell(t)
		token := s.write(t, "id-token", idToken(t, l, stage.ImagesAudience))
		file := filepath.Join(s.vars["HOME"], "config")
		s.prints(t, "stile", "config", "aws", "images", "--profile", "pics", "--file", file, "--web-identity-token-file", token)
		s = s.with(map[string]string{"AWS_CONFIG_FILE": file, "AWS_EC2_METADATA_DISABLED": "true"})
		wantListed(t, s.prints(t, "aws", "--profile", "pics", "s3", "ls", images))
		wantCaller(t, s, fromSession, "--profile", "pics")
	},
	"refused: a profile of a web identity for another audience": func(t *testing.T, l *lab) {
		s := l.shell(t)
		token := s.write(t, "id-token", idToken(t, l, "https://elsewhere.example.com"))
		file := filepath.Join(s.vars["HOME"], "config")
		s.prints(t, "stile", "config", "aws", "images", "--profile", "pics", "--file", file, "--web-identity-token-file", token)
		s = s.with(map[string]string{"AWS_CONFIG_FILE": file, "AWS_EC2_METADATA_DISABLED": "true"})
		s.isRefused(t, "(AccessDenied) when calling the AssumeRoleWithWebIdentity operation", "aws", "--profile", "pics", "s3", "ls", images)
	},
}

// createCredConfig has gcloud write a credential file. It ends with success even where it writes none.
func createCredConfig(t *testing.T, s shell, provider string, flags ...string) string {
	t.Helper()
	file := filepath.Join(s.vars["HOME"], "created.json")
	got := s.run(t, "", append([]string{"gcloud", "iam", "workload-identity-pools", "create-cred-config", provider, "--output-file=" + file}, flags...)...)
	if _, err := os.Stat(file); err != nil || got.code != 0 {
		t.Fatalf("gcloud ended with code %d and wrote no credential file (%v):\n%s", got.code, err, got.stderr)
	}
	return file
}

// wantSame sees that a command prints the file and a line end.
func wantSame(t *testing.T, s shell, file string, argv ...string) {
	t.Helper()
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.prints(t, argv...); got != string(want)+"\n" {
		t.Errorf("%s printed\n%s\nwant what gcloud wrote:\n%s", strings.Join(argv, " "), got, want)
	}
}

// instanceSession is the instance's role as the environment of a program that does not ask for it there.
func instanceSession(t *testing.T, l *lab) map[string]string {
	t.Helper()
	const roles = "latest/meta-data/iam/security-credentials/"
	token := instance(t, l, http.MethodPut, "latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60")
	ask := func(path string) string {
		return instance(t, l, http.MethodGet, path, "X-aws-ec2-metadata-token", token)
	}
	var keys struct{ AccessKeyId, SecretAccessKey, Token string }
	if err := json.Unmarshal([]byte(ask(roles+strings.TrimSpace(ask(roles)))), &keys); err != nil || keys.Token == "" {
		t.Fatalf("the instance's metadata has no session: %v", err)
	}
	return map[string]string{
		"AWS_ACCESS_KEY_ID": keys.AccessKeyId, "AWS_SECRET_ACCESS_KEY": keys.SecretAccessKey, "AWS_SESSION_TOKEN": keys.Token, "AWS_REGION": stage.Region,
	}
}

// instance asks the lab's instance metadata with one header.
func instance(t *testing.T, l *lab, method, path, header, value string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, l.vars["AWS_EC2_METADATA_SERVICE_ENDPOINT"]+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(header, value)
	return answered(t, req)
}

// answered sends a request past every proxy and gives the answer's body.
func answered(t *testing.T, req *http.Request) string {
	t.Helper()
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s %s answered %s (%v), want 200", req.Method, req.URL.Path, answer.Status, err)
	}
	return string(body)
}
