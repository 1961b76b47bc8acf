// SPDX-License-Identifier: Apache-2.0

package awschain_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/from/aws/awschain"
	labaws "github.com/stile-project/stile/lab/aws"
	"github.com/stile-project/stile/lab/stage"
)

// order is every place, as the AWS SDK for Go looks.
var order = []string{"environment", "web identity", "profile", "container endpoint", "instance metadata"}

func states(steps []awschain.Step) map[string]awschain.State {
	m := map[string]awschain.State{}
	for _, step := range steps {
		m[step.Place] = step.State
	}
	return m
}

func detail(steps []awschain.Step, place string) string {
	for _, step := range steps {
		if step.Place == place {
			return step.Detail
		}
	}
	return ""
}

func TestSearchTellsEveryPlaceInOrder(t *testing.T) {
	t.Parallel()
	s := set(t)
	for name, env := range map[string]map[string]string{"something": inVariables(s.keys(stage.Role, "somebody")), "nothing": {"AWS_EC2_METADATA_DISABLED": "true"}} {
		report := awschain.Search(t.Context(), awschain.Options{Client: s.at(nil), Lookup: variables(env), Root: t.TempDir()})
		var got []string
		for _, step := range report.Steps {
			got = append(got, step.Place)
			if step.Detail == "" {
				t.Errorf("%s, %s: nothing is said", name, step.Place)
			}
		}
		if diff := cmp.Diff(append(order[:len(order):len(order)], "region"), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// What is set up and shadowed by an earlier place can cost people hours.
func TestSearchTellsWhatIsShadowed(t *testing.T) {
	t.Parallel()
	s := set(t)
	stale := s.keys(stage.OtherRole, "stale")
	env := with(s.settle(s.Task.Environment(), nil), "AWS_PROFILE", "work")
	for name, value := range inVariables(stale) {
		env[name] = value
	}
	for name, value := range s.file("[profile work]\n" + inFile(s.keys(stage.Role, "wanted"))) {
		env[name] = value
	}
	report := awschain.Search(t.Context(), awschain.Options{Client: s.at(s.ECS), Lookup: variables(env), Root: t.TempDir()})
	want := map[string]awschain.State{"environment": awschain.Used, "web identity": awschain.NotHere, "profile": awschain.NotUsed,
		"container endpoint": awschain.NotUsed, "instance metadata": awschain.NotUsed, "region": awschain.Used}
	if diff := cmp.Diff(want, states(report.Steps)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for place, words := range map[string]string{"environment": "comes before AWS_PROFILE", "profile": "environment comes first", "region": stage.Region + ", by AWS_REGION"} {
		if got := detail(report.Steps, place); !strings.Contains(got, words) {
			t.Errorf("%s: %q does not say %q", place, got, words)
		}
	}

	named := awschain.Search(t.Context(), awschain.Options{Profile: "work", Client: s.at(s.ECS), Lookup: variables(env), Root: t.TempDir()})
	if got := states(named.Steps); got["environment"] != awschain.NotHere || got["profile"] != awschain.Used {
		t.Errorf("a profile named in code: %v", got)
	}
	if got := detail(named.Steps, "environment"); !strings.Contains(got, "a profile is named in its place") {
		t.Errorf("a profile named in code: the environment says %q", got)
	}
}

func TestSearchTellsWhyNothingWasFound(t *testing.T) {
	t.Parallel()
	s := set(t)
	env := map[string]string{"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "\t"}
	report := awschain.Search(t.Context(), awschain.Options{Client: s.at(nil), Lookup: variables(env), Root: t.TempDir()})
	if !errors.Is(report.Err, stile.ErrNoIdentity) {
		t.Errorf("got %v", report.Err)
	}
	for place, words := range map[string]string{
		"environment":        "AWS_ACCESS_KEY_ID is set without a secret: AWS_SECRET_ACCESS_KEY is set to nothing",
		"web identity":       "AWS_WEB_IDENTITY_TOKEN_FILE is unset",
		"profile":            "no default profile in",
		"container endpoint": "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and AWS_CONTAINER_CREDENTIALS_FULL_URI are unset",
		"instance metadata":  "nothing answers at that address",
		"region":             "AWS_REGION and AWS_DEFAULT_REGION are unset",
	} {
		if got := detail(report.Steps, place); !strings.Contains(got, words) {
			t.Errorf("%s: %q does not say %q", place, got, words)
		}
		// Every link of the chain is in the error too, all but the region, which was not what failed first.
		if place != "region" && !strings.Contains(report.Err.Error(), words) {
			t.Errorf("the error does not say %q: %v", words, report.Err)
		}
	}
}

func TestSearchNeverShowsASecret(t *testing.T) {
	t.Parallel()
	s := set(t)
	cluster := s.cluster()
	lambda := s.World.AWS.Lambda(labaws.Function{Name: "hello", Region: stage.Region, RoleARN: stage.Role, SnapStart: true})
	for name, env := range map[string]map[string]string{
		"environment": inVariables(s.keys(stage.Role, "somebody")), "task": s.settle(s.Task.Environment(), nil), "pod": s.settle(cluster.PodIdentity("shop", "orders")),
		"IRSA": s.settle(cluster.IRSA("shop", "strangers", irsaRole)), "Lambda": s.settle(lambda.Environment()), "file": s.file("[default]\n" + inFile(s.keys(stage.Role, "somebody"))),
	} {
		report := awschain.Search(t.Context(), awschain.Options{Client: s.at(s.ECS), Lookup: variables(env), Root: t.TempDir()})
		shown := fmt.Sprintf("%+v %v", report.Steps, report.Err)
		secrets := []string{strings.TrimPrefix(s.Task.CredentialsPath(), "/v2/credentials/")}
		for variable, value := range env {
			if strings.Contains(variable, "SECRET_ACCESS") || strings.HasSuffix(variable, "_TOKEN") {
				secrets = append(secrets, value)
			}
			if content, err := os.ReadFile(value); err == nil && strings.Contains(variable, "TOKEN_FILE") {
				secrets = append(secrets, string(content))
			}
		}
		for _, secret := range secrets {
			if len(secret) > 8 && strings.Contains(shown, secret) {
				t.Errorf("%s: a secret is shown: %s", name, shown)
			}
		}
	}
}

func TestSearchTellsOfRoles(t *testing.T) {
	t.Parallel()
	s := set(t)
	second := s.trusting("second-role", stage.Role, justAssume, `{}`)
	third := s.trusting("third-role", second, justAssume, `{"StringEquals":{"sts:ExternalId":"x1"}}`)
	o := awschain.Options{Client: s.at(s.EC2), Lookup: variables(nil), Root: t.TempDir(), AssumeRole: []awschain.AssumeRole{{Role: second}, {Role: third, ExternalID: "x1"}}}
	report := awschain.Search(t.Context(), o)
	if report.Err != nil || len(report.Steps) != 8 || !strings.HasPrefix(report.Steps[5].Detail, second) || !strings.HasPrefix(report.Steps[6].Detail, third) || report.Steps[6].State != awschain.Used {
		t.Errorf("got %v, %+v", report.Err, report.Steps)
	}
	if creds, err := report.Found.Config.Credentials.Retrieve(t.Context()); err != nil || !strings.Contains(report.Steps[6].Detail, creds.AccessKeyID) {
		t.Errorf("what was found is not what was told: %v", err)
	}
	o.AssumeRole[1].ExternalID = "wrong"
	report = awschain.Search(t.Context(), o)
	if !errors.Is(report.Err, stile.ErrRefused) || report.Steps[5].State != awschain.Used || report.Steps[6].State != awschain.Failed || report.Steps[6].Hint == "" {
		t.Errorf("got %v, %+v", report.Err, report.Steps)
	}
	o.Lookup = variables(map[string]string{"AWS_EC2_METADATA_DISABLED": "true"})
	report = awschain.Search(t.Context(), o)
	if !errors.Is(report.Err, stile.ErrNoIdentity) || report.Steps[5].State != awschain.NotUsed {
		t.Errorf("got %v, %+v", report.Err, report.Steps)
	}
}

// A clock that runs ahead takes fresh credentials for dead ones, and says so.
func TestSearchHintsAtTheClock(t *testing.T) {
	t.Parallel()
	s := set(t)
	ahead := func() time.Time { return time.Now().Add(48 * time.Hour) }
	o := awschain.Options{Client: s.at(s.ECS), Lookup: variables(s.settle(s.Task.Environment(), nil)), Clock: ahead}
	report := awschain.Search(t.Context(), o)
	if step := report.Steps[3]; step.State != awschain.Used || !strings.Contains(step.Hint, "clock") {
		t.Errorf("got %+v", step)
	}
	_, err := s.find(o).SubjectToken(t.Context(), "a")
	var e *stile.Error
	if !errors.Is(err, stile.ErrTemporary) || !errors.As(err, &e) || !strings.Contains(e.Hint, "clock") {
		t.Errorf("got %v", err)
	}
}
