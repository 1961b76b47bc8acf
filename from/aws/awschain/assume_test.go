// SPDX-License-Identifier: Apache-2.0

package awschain_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/from/aws/awschain"
	"github.com/stile-project/stile/lab"
	"github.com/stile-project/stile/lab/stage"
)

// TestRolesInARow takes on three roles, each of which trusts the one before, with all that a role can want.
func TestRolesInARow(t *testing.T) {
	t.Parallel()
	s := set(t)
	all := `"sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"`
	second := s.trusting("second-role", stage.Role, all, `{"StringEquals":{"aws:RequestTag/team":"data","sts:SourceIdentity":"robin","sts:TransitiveTagKeys":"team"}}`)
	// What the second role's session carries is there for the third to see.
	third := s.trusting("third-role", second, all, `{"StringEquals":{"aws:PrincipalTag/team":"data","aws:SourceIdentity":"robin"}}`)
	fourth := s.trusting("fourth-role", third, all, `{"StringEquals":{"sts:ExternalId":"x1","aws:PrincipalTag/team":"data"}}`)
	roles := []awschain.AssumeRole{
		{Role: second, SessionName: "one", SourceIdentity: "robin", Tags: map[string]string{"team": "data", "cost": "7"}, TransitiveTags: []string{"team"}},
		{Role: third, SessionName: "two", Duration: 15 * time.Minute},
		{Role: fourth, SessionName: "three", ExternalID: "x1"},
	}
	found := s.find(awschain.Options{Client: s.at(s.EC2), Lookup: variables(nil), AssumeRole: roles})
	if got := s.arn(found); !strings.HasSuffix(got, ":assumed-role/fourth-role/three") {
		t.Errorf("Google saw %q", got)
	}
	roles[0].TransitiveTags = nil
	_, err := s.find(awschain.Options{Client: s.at(s.EC2), Lookup: variables(nil), AssumeRole: roles}).SubjectToken(t.Context(), "a")
	var e *stile.Error
	if !errors.Is(err, stile.ErrRefused) || !errors.As(err, &e) || !strings.Contains(e.Error(), second) || e.Hint == "" {
		t.Errorf("without the tag that stays: got %v", err)
	}
}

func TestRolesThatCannotWork(t *testing.T) {
	t.Parallel()
	good := awschain.AssumeRole{Role: stage.OtherRole}
	change := func(f func(*awschain.AssumeRole)) []awschain.AssumeRole {
		bad := good
		f(&bad)
		return []awschain.AssumeRole{bad}
	}
	many := map[string]string{}
	for i := range 51 {
		many[strings.Repeat("k", i+1)] = "v"
	}
	for name, c := range map[string]struct {
		roles []awschain.AssumeRole
		words string
	}{
		"no ARN":               {[]awschain.AssumeRole{{}}, "want arn:PARTITION"},
		"session name":         {change(func(r *awschain.AssumeRole) { r.SessionName = "a b" }), "session name"},
		"external id":          {change(func(r *awschain.AssumeRole) { r.ExternalID = "x" }), "external id"},
		"source identity":      {change(func(r *awschain.AssumeRole) { r.SourceIdentity = "a b" }), "source identity"},
		"too short":            {change(func(r *awschain.AssumeRole) { r.Duration = time.Minute }), "15m to 12h"},
		"too long":             {change(func(r *awschain.AssumeRole) { r.Duration = 13 * time.Hour }), "15m to 12h"},
		"fractions":            {change(func(r *awschain.AssumeRole) { r.Duration = time.Hour + time.Millisecond }), "whole seconds"},
		"too many tags":        {change(func(r *awschain.AssumeRole) { r.Tags = many }), "51 tags"},
		"empty tag key":        {change(func(r *awschain.AssumeRole) { r.Tags = map[string]string{"": "v"} }), "1 to 128"},
		"transitive, no tag":   {change(func(r *awschain.AssumeRole) { r.TransitiveTags = []string{"team"} }), `transitive tag "team"`},
		"chained for too long": {[]awschain.AssumeRole{good, {Role: stage.OtherRole, Duration: 2 * time.Hour}}, "1h at most"},
		"chained with MFA":     {[]awschain.AssumeRole{good, {Role: stage.OtherRole, MFASerial: "arn:aws:iam::111122223333:mfa/alice"}}, "only the first role"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := awschain.Find(t.Context(), awschain.Options{AssumeRole: c.roles}); !errors.Is(err, stile.ErrMisuse) || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got %v, want misuse with %q", err, c.words)
			}
			if report := awschain.Search(t.Context(), awschain.Options{AssumeRole: c.roles}); !errors.Is(report.Err, stile.ErrMisuse) || len(report.Steps) != 1 {
				t.Errorf("the search says %+v", report)
			}
		})
	}
}

func TestAssumeRoleMayPass(t *testing.T) {
	t.Parallel()
	s := set(t)
	second := s.trusting("second-role", stage.Role, justAssume, `{}`)
	lift := s.World.Faults.Add(lab.Fault{Host: "sts.eu-west-1.amazonaws.com", Status: 400, Body: `<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>`})
	defer lift()
	_, err := s.find(awschain.Options{Client: s.at(s.EC2), Lookup: variables(nil), AssumeRole: []awschain.AssumeRole{{Role: second}}}).SubjectToken(t.Context(), "a")
	if !errors.Is(err, stile.ErrTemporary) || !strings.Contains(err.Error(), "Rate exceeded") {
		t.Errorf("got %v, want temporary", err)
	}
}

// Whatever decides the identity is in the key under which credentials are kept.
func TestKeysDiffer(t *testing.T) {
	t.Parallel()
	s := set(t)
	seen := map[stile.Key]string{}
	role := awschain.AssumeRole{Role: stage.OtherRole}
	with1 := func(f func(*awschain.AssumeRole)) awschain.Options {
		r := role
		f(&r)
		return awschain.Options{AssumeRole: []awschain.AssumeRole{r}}
	}
	env := func(v map[string]string) awschain.Options { return awschain.Options{Lookup: variables(v)} }
	tokenFiles := []string{put(t, "", "a token"), put(t, "", "a token")}
	for name, o := range map[string]awschain.Options{
		"plain":          env(nil),
		"keys":           env(inVariables(s.keys(stage.Role, "one"))),
		"other keys":     env(inVariables(s.keys(stage.Role, "two"))),
		"profile":        env(s.file("[default]\n" + inFile(s.keys(stage.Role, "one")))),
		"other file":     env(s.file("[default]\n" + inFile(s.keys(stage.Role, "one")))),
		"token file":     env(map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": tokenFiles[0], "AWS_ROLE_ARN": irsaRole}),
		"other file too": env(map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": tokenFiles[1], "AWS_ROLE_ARN": irsaRole}),
		"other role":     env(map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": tokenFiles[1], "AWS_ROLE_ARN": podRole}),
		"container":      env(map[string]string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/a"}),
		"other task":     env(map[string]string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/b"}),
		"broker":         env(map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1"}),
		"region":         {Region: "eu-west-3"},
		"role":           with1(func(*awschain.AssumeRole) {}),
		"session":        with1(func(r *awschain.AssumeRole) { r.SessionName = "aa" }),
		"external id":    with1(func(r *awschain.AssumeRole) { r.ExternalID = "aa" }),
		"duration":       with1(func(r *awschain.AssumeRole) { r.Duration = time.Hour }),
		"identity":       with1(func(r *awschain.AssumeRole) { r.SourceIdentity = "aa" }),
		"device":         with1(func(r *awschain.AssumeRole) { r.MFASerial = "aa" }),
		"tags":           with1(func(r *awschain.AssumeRole) { r.Tags = map[string]string{"a": "b"} }),
		"other tags":     with1(func(r *awschain.AssumeRole) { r.Tags = map[string]string{"a": "c"} }),
		"transitive":     with1(func(r *awschain.AssumeRole) { r.Tags, r.TransitiveTags = map[string]string{"a": "b"}, []string{"a"} }),
		"two roles":      {AssumeRole: []awschain.AssumeRole{role, role}},
	} {
		found := s.find(o)
		key := found.CacheKey()
		if other, twice := seen[key]; twice || key.IsZero() {
			t.Errorf("%s and %s have one key", name, other)
		}
		seen[key] = name
		if token := found.WebIdentityToken(); token.CacheKey() == key || token.CacheKey().IsZero() {
			t.Errorf("%s: both proofs have one key", name)
		}
		if again := s.find(o).CacheKey(); again != key {
			t.Errorf("%s: the key changes from one look to the next", name)
		}
	}
}
