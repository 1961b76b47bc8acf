// SPDX-License-Identifier: Apache-2.0

//go:build unix

package realclients_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stile-project/stile/lab/stage"
)

const (
	images = "s3://" + stage.Images + "/"
	cat    = images + stage.CatName

	etlSession  = "arn:aws:sts::" + stage.Account + ":assumed-role/etl-role/"
	fromSession = "arn:aws:sts::" + stage.Account + ":assumed-role/from-gcp/"
)

var awsTests = clientTests{
	"a profile runs stile: who it is": func(t *testing.T, l *lab) {
		wantCaller(t, l.shell(t), fromSession, "--profile", "images")
	},
	"a profile runs stile: list": func(t *testing.T, l *lab) {
		wantListed(t, l.shell(t).prints(t, "aws", "--profile", "images", "s3", "ls", images))
	},
	"a profile runs stile: read": func(t *testing.T, l *lab) {
		wantCat(t, l.shell(t).prints(t, "aws", "--profile", "images", "s3", "cp", cat, "-"))
	},
	"a profile runs stile: write": func(t *testing.T, l *lab) {
		s, dog := l.shell(t), images+"dog.png"
		if got := s.run(t, "woof", "aws", "--profile", "images", "s3", "cp", "-", dog); got.code != 0 {
			t.Fatalf("writing ended with code %d:\n%s", got.code, got.stderr)
		}
		if got := s.prints(t, "aws", "--profile", "images", "s3", "cp", dog, "-"); got != "woof" {
			t.Errorf("read %q, want what was written", got)
		}
	},
	"stile exec gives it a session": func(t *testing.T, l *lab) {
		wantListed(t, l.shell(t).prints(t, "stile", "exec", "images", "--", "aws", "s3", "ls", images))
	},
	"stile env gives it a session": func(t *testing.T, l *lab) {
		wantCaller(t, session(t, l.shell(t)), fromSession)
	},
	"on the instance": func(t *testing.T, l *lab) {
		wantCaller(t, l.shell(t), etlSession+"i-")
	},
	"in the task": func(t *testing.T, l *lab) {
		s := l.shell(t).with(l.task).with(map[string]string{"AWS_EC2_METADATA_DISABLED": "true", "AWS_EC2_METADATA_SERVICE_ENDPOINT": ""})
		wantCaller(t, s, etlSession)
	},
	"its own web identity exchange": func(t *testing.T, l *lab) {
		wantCaller(t, webIdentity(t, l, stage.ImagesAudience), fromSession)
	},
	"refused: a web identity for another audience": func(t *testing.T, l *lab) {
		s := webIdentity(t, l, "https://elsewhere.example.com")
		s.isRefused(t, "(AccessDenied) when calling the AssumeRoleWithWebIdentity operation", "aws", "sts", "get-caller-identity")
	},
	"refused: another role lists": func(t *testing.T, l *lab) {
		l.shell(t).isRefused(t, "(AccessDenied) when calling the ListObjectsV2 operation", "aws", "s3", "ls", images)
	},
	"refused: another role reads": func(t *testing.T, l *lab) {
		l.shell(t).isRefused(t, "(403)", "aws", "s3", "cp", cat, "-")
	},
	"refused: another secret": func(t *testing.T, l *lab) {
		s := session(t, l.shell(t))
		s = s.with(map[string]string{"AWS_SECRET_ACCESS_KEY": strings.Repeat("x", len(s.vars["AWS_SECRET_ACCESS_KEY"]))})
		s.isRefused(t, "(SignatureDoesNotMatch)", "aws", "sts", "get-caller-identity")
		s.isRefused(t, "(SignatureDoesNotMatch)", "aws", "s3", "ls", images)
	},
	"refused: another session's token": func(t *testing.T, l *lab) {
		s := session(t, l.shell(t)).with(map[string]string{"AWS_SESSION_TOKEN": session(t, l.shell(t)).vars["AWS_SESSION_TOKEN"]})
		s.isRefused(t, "(InvalidClientTokenId)", "aws", "sts", "get-caller-identity")
	},
}

// session is the shell with what stile env prints for the crossing into AWS.
func session(t *testing.T, s shell) shell {
	t.Helper()
	vars := map[string]string{}
	if err := json.Unmarshal([]byte(s.prints(t, "stile", "env", "images", "--json")), &vars); err != nil {
		t.Fatalf("read what stile env printed: %v", err)
	}
	return s.with(vars)
}

// webIdentity is the shell with a Google ID token in a file and the role that it is for: the aws CLI makes the exchange.
func webIdentity(t *testing.T, l *lab, audience string) shell {
	t.Helper()
	s := l.shell(t)
	file := s.write(t, "id-token", idToken(t, l, audience))
	return s.with(map[string]string{"AWS_ROLE_ARN": stage.FromGCP, "AWS_WEB_IDENTITY_TOKEN_FILE": file, "AWS_EC2_METADATA_DISABLED": "true"})
}

// idToken asks the lab's metadata server as curl would.
func idToken(t *testing.T, l *lab, audience string) string {
	t.Helper()
	target := "http://" + l.vars["GCE_METADATA_HOST"] + "/computeMetadata/v1/instance/service-accounts/default/identity?format=full&audience=" + url.QueryEscape(audience)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Metadata-Flavor", "Google")
	return answered(t, req)
}

// wantCaller sees whose credentials the aws CLI uses, by AWS's own account.
func wantCaller(t *testing.T, s shell, arnPrefix string, flags ...string) {
	t.Helper()
	var got struct{ Account, Arn, UserId string }
	out := s.prints(t, append(append([]string{"aws"}, flags...), "sts", "get-caller-identity", "--output", "json")...)
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("read the caller's identity: %v", err)
	}
	if got.Account != stage.Account || !strings.HasPrefix(got.Arn, arnPrefix) || got.Arn == arnPrefix || !strings.HasPrefix(got.UserId, "AROA") {
		t.Errorf("the caller is %+v, want a session %s… in account %s", got, arnPrefix, stage.Account)
	}
}

func wantListed(t *testing.T, got string) {
	t.Helper()
	if !strings.Contains(got, " "+stage.CatName+"\n") {
		t.Errorf("listed %q, want %s in it", got, stage.CatName)
	}
}

func wantCat(t *testing.T, got string) {
	t.Helper()
	if got != stage.Cat {
		t.Errorf("read %q, want %q", got, stage.Cat)
	}
}
