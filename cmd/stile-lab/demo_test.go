// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stile-project/stile/lab"
	"github.com/stile-project/stile/lab/stage"
)

// secretLike matches what no output should show: a JWT, a Google token, a session token's or a signature's length of
// unbroken characters.
var secretLike = regexp.MustCompile(`eyJ[\w-]{20}|ya29\.|[A-Za-z0-9/+=_-]{100,}`)

func TestDemoTellsTheStory(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"demo"}, &out, &errs); code != 0 {
		t.Fatalf("exit code %d, standard error %q", code, errs.String())
	}
	told := out.String()
	for _, want := range []string{
		"1. A workload in AWS reads Google Cloud", "2. A workload in Google Cloud reads AWS", "3. What the clouds refuse",
		"1) ", "6) ", "Both crossings done, 6 attempts refused, in ",
	} {
		if !strings.Contains(told, want) {
			t.Errorf("the demo does not say %q", want)
		}
	}
	if strings.Contains(told, "\x1b") {
		t.Error("escape codes, and no terminal")
	}
	if found := secretLike.FindString(told); found != "" {
		t.Errorf("the demo shows what may be a secret: %.20s…", found)
	}
	if errs.Len() > 0 {
		t.Errorf("standard error %q", errs.String())
	}
}

func TestDemoJSON(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"demo", "--json"}, &out, &errs); code != 0 {
		t.Fatalf("exit code %d, standard error %q", code, errs.String())
	}
	p := decoded(t, out.Bytes())
	if !p.OK || len(p.Stories) != 2 || len(p.Refusals) != 6 {
		t.Errorf("ok %v, %d stories, %d refusals", p.OK, len(p.Stories), len(p.Refusals))
	}
	for _, s := range p.Stories {
		for _, step := range s.Steps {
			kept := strings.Contains(step.Got, "from memory")
			if !step.OK || step.Got == "" || kept != (len(step.Asked) == 0) {
				t.Errorf("%s: %+v", s.Title, step)
			}
		}
	}
	for _, r := range p.Refusals {
		if !r.OK || r.Code != r.Want || r.Status < 400 || r.Message == "" || len(r.Asked) == 0 {
			t.Errorf("%+v", r)
		}
	}
	if found := secretLike.FindString(out.String()); found != "" {
		t.Errorf("the demo shows what may be a secret: %.20s…", found)
	}
}

func decoded(t *testing.T, data []byte) play {
	t.Helper()
	var p play
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		t.Fatalf("%v in %.300q", err, data)
	}
	return p
}

// TestDemoOfABrokenWorld: wherever a cloud fails, or lets through what it should refuse, the demo says so and fails.
func TestDemoOfABrokenWorld(t *testing.T) {
	cases := map[string]struct {
		spoil func(*stage.Stage) error
		words string // in what the demo tells
	}{
		"Google STS is down":        {fault(lab.Fault{Host: "sts.googleapis.com", Status: http.StatusServiceUnavailable}), "✗ failed: exchange the subject token: Google STS answered 503"},
		"a connection is cut":       {fault(lab.Fault{Host: "iamcredentials.googleapis.com", Cut: true}), "✗ failed: act as the service account: IAM Credentials"},
		"Cloud Storage lies":        {fault(lab.Fault{Host: "storage.googleapis.com", Status: http.StatusOK, Body: "other"}), "✗ failed: the object holds 5 bytes"},
		"the function is away":      {fault(lab.Fault{Host: "europe-west1-demo-proj.cloudfunctions.net", Status: http.StatusNotFound}), "✗ failed: the function answered 404"},
		"AWS STS is down":           {fault(lab.Fault{Host: "sts.eu-west-1.amazonaws.com", Status: http.StatusBadGateway}), "✗ failed: assume the role by web identity: AWS STS answered 502"},
		"S3 forbids":                {fault(lab.Fault{Host: "images.s3.eu-west-1.amazonaws.com", Status: http.StatusForbidden}), "✗ failed: S3 answered 403"},
		"the wrong account may act": {bindUnbound, "✗ not as it should be: it was let through"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			set := func() (*stage.Stage, error) {
				scene, err := usualScene()
				if err != nil {
					return nil, err
				}
				return scene, c.spoil(scene)
			}
			var out, errs bytes.Buffer
			if code := runOn(t.Context(), set, []string{"demo"}, &out, &errs); code != 1 {
				t.Errorf("exit code %d", code)
			}
			if !strings.Contains(out.String(), c.words) || strings.Contains(out.String(), "Both crossings done") {
				t.Errorf("want %q in\n%s", c.words, out.String())
			}
			if got, want := errs.String(), "stile-lab: error: a step did not do what it says\n"; got != want {
				t.Errorf("standard error %q, want %q", got, want)
			}
		})
	}
}

func fault(f lab.Fault) func(*stage.Stage) error {
	return func(s *stage.Stage) error {
		s.World.Faults.Add(f)
		return nil
	}
}

func bindUnbound(s *stage.Stage) error {
	return s.World.Google.Grant("serviceAccounts/"+stage.Unbound, "roles/iam.workloadIdentityUser",
		"principalSet://iam.googleapis.com/"+stage.Pool+"/attribute.aws_role/arn:aws:sts::"+stage.Account+":assumed-role/etl-role")
}

func TestDemoJSONOfABrokenWorld(t *testing.T) {
	set := func() (*stage.Stage, error) {
		scene, err := usualScene()
		if err == nil {
			scene.World.Faults.Add(lab.Fault{Host: "sts.googleapis.com", Status: http.StatusServiceUnavailable})
		}
		return scene, err
	}
	var out, errs bytes.Buffer
	if code := runOn(t.Context(), set, []string{"demo", "--json"}, &out, &errs); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if p := decoded(t, out.Bytes()); p.OK || p.Stories[0].Steps[0].OK || p.Stories[0].Steps[0].Error == "" || len(p.Refusals) != 6 {
		t.Errorf("got %+v", p)
	}
}

func TestDemoInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	if code := run(ctx, []string{"demo"}, &out, &errs); code != 1 {
		t.Errorf("exit code %d", code)
	}
}
