// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
)

// assume is a good call of AssumeRole, and whatever a test changes.
func assume(roleARN string, change ...string) string {
	p := map[string]string{"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": roleARN, "RoleSessionName": "job"}
	for i := 0; i+1 < len(change); i += 2 {
		p[change[i]] = change[i+1]
	}
	var pairs []string
	for name, value := range p {
		pairs = append(pairs, name, value)
	}
	return fields(pairs...)
}

// trusting is a role trust policy for AWS principals.
func trusting(principal, actions, condition string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":` + actions + `,"Condition":` + condition + `}]}`
}

const justAssume = `"sts:AssumeRole"`

func TestAssumeRoleBySDK(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.role(Role{Account: stranger, Name: "reader", MaxSession: 2 * time.Hour, Permissions: everything,
		Trust: trusting(home, `["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]`, `{"StringEquals":{"sts:ExternalId":"xyz","aws:RequestTag/team":"data"}}`)})
	user, err := w.cloud.AddUser(home, "alice", everything)
	if err != nil {
		t.Fatal(err)
	}
	client := sts.New(sts.Options{Region: irishReg, HTTPClient: w.client(), Credentials: static(user), RetryMaxAttempts: 1})
	got, err := client.AssumeRole(t.Context(), &sts.AssumeRoleInput{
		RoleArn: aws.String("arn:aws:iam::444455556666:role/reader"), RoleSessionName: aws.String("job"), ExternalId: aws.String("xyz"),
		DurationSeconds: aws.Int32(7200), SourceIdentity: aws.String("alice"), TransitiveTagKeys: []string{"team"},
		Tags:       []ststypes.Tag{{Key: aws.String("team"), Value: aws.String("data")}},
		Policy:     aws.String(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`),
		PolicyArns: []ststypes.PolicyDescriptorType{{Arn: aws.String("arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := "arn:aws:sts::444455556666:assumed-role/reader/job"; aws.ToString(got.AssumedRoleUser.Arn) != want || aws.ToString(got.SourceIdentity) != "alice" {
		t.Errorf("got %s with source identity %s", aws.ToString(got.AssumedRoleUser.Arn), aws.ToString(got.SourceIdentity))
	}
	if left := got.Credentials.Expiration.Sub(w.now()); left < 119*time.Minute || left > 2*time.Hour {
		t.Errorf("good for %v, want 2h", left)
	}
	if aws.ToInt32(got.SessionTokenUtilization) < 1 {
		t.Error("the session token takes no space, though a policy was sent")
	}
}

// Who may assume what, and whose word it takes.
func TestAssumeRoleTrustAndPermission(t *testing.T) {
	t.Parallel()
	const (
		here, there = "arn:aws:iam::111122223333:role/goal", "arn:aws:iam::444455556666:role/goal"
		etlSession  = "arn:aws:sts::111122223333:assumed-role/etl/i-0abc123def4567890"
		denyAssume  = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"sts:AssumeRole","Resource":"*"}]}`
	)
	for name, c := range map[string]struct {
		roleARN, principal, condition, permissions string
		change                                     []string
		admitted                                   bool
		action, reason                             string
	}{
		"same account, role named, no permission":       {here, etlARN, "{}", "", nil, true, "", ""},
		"same account, session named, no permission":    {here, etlSession, "{}", "", nil, true, "", ""},
		"same account, role named, explicit deny":       {here, etlARN, "{}", denyAssume, nil, false, "sts:AssumeRole", "denies"},
		"same account, account named, no permission":    {here, home, "{}", "", nil, false, "sts:AssumeRole", "no such policy"},
		"same account, account named, permission":       {here, home, "{}", everything, nil, true, "", ""},
		"another account, role named, no permission":    {there, etlARN, "{}", "", nil, false, "sts:AssumeRole", "identity-based policy"},
		"another account, role named, permission":       {there, etlARN, "{}", everything, nil, true, "", ""},
		"another account, another role named":           {there, "arn:aws:iam::111122223333:role/other", "{}", everything, nil, false, "sts:AssumeRole", "trust policy"},
		"the external id is right":                      {there, home, `{"StringEquals":{"sts:ExternalId":"xyz"}}`, everything, []string{"ExternalId", "xyz"}, true, "", ""},
		"the external id is wrong":                      {there, home, `{"StringEquals":{"sts:ExternalId":"xyz"}}`, everything, []string{"ExternalId", "abc"}, false, "sts:AssumeRole", "sts:ExternalId"},
		"the external id is missing":                    {there, home, `{"StringEquals":{"sts:ExternalId":"xyz"}}`, everything, nil, false, "sts:AssumeRole", "sts:ExternalId"},
		"tags without sts:TagSession":                   {there, home, "{}", everything, []string{"Tags.member.1.Key", "team", "Tags.member.1.Value", "a"}, false, "sts:TagSession", "sts:TagSession"},
		"source identity without sts:SetSourceIdentity": {there, home, "{}", everything, []string{"SourceIdentity", "alice"}, false, "sts:SetSourceIdentity", "sts:SetSourceIdentity"},
		"no such role": {"arn:aws:iam::444455556666:role/none", home, "{}", everything, nil, false, "sts:AssumeRole", "exists"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.role(Role{Account: home, Name: "etl", Path: "/team/", Trust: trustsEC2, Permissions: c.permissions})
			for _, owner := range []string{home, stranger} {
				w.role(Role{Account: owner, Name: "goal", Trust: trusting(c.principal, justAssume, c.condition)})
			}
			a := w.do(w.signed(w.session(etlARN), irishReg, irish, assume(c.roleARN, c.change...), 0))
			if c.admitted {
				if a.Status != 200 {
					t.Errorf("refused: %s (%s)", a.Message, w.reason())
				}
				return
			}
			w.wantRefusal(a, 403, "AccessDenied", "User: "+etlSession+" is not authorized to perform: "+c.action+" on resource: "+c.roleARN)
			if why := w.reason(); !strings.Contains(why, c.reason) {
				t.Errorf("the journal says %q, want something about %q", why, c.reason)
			}
		})
	}
}

func TestAssumeRoleRefusals(t *testing.T) {
	t.Parallel()
	const goal = "arn:aws:iam::111122223333:role/goal"
	for name, c := range map[string]struct {
		change        []string
		code, message string
	}{
		"chaining for over an hour": {[]string{"DurationSeconds", "3601"}, "ValidationError", "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"},
		"over the role's maximum":   {[]string{"DurationSeconds", "10000"}, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."},
		"illegal session name":      {[]string{"RoleSessionName", "a/b"}, "ValidationError", "at 'roleSessionName'"},
		"illegal external id":       {[]string{"ExternalId", "a b"}, "ValidationError", "at 'externalId'"},
		"a short external id":       {[]string{"ExternalId", "a"}, "ValidationError", "at 'externalId'"},
		"illegal source identity":   {[]string{"SourceIdentity", "a b"}, "ValidationError", "at 'sourceIdentity'"},
		"a tag twice":               {[]string{"Tags.member.1.Key", "a", "Tags.member.1.Value", "1", "Tags.member.2.Key", "A", "Tags.member.2.Value", "2"}, "InvalidParameterValue", "Duplicate tag keys found."},
		"a tag key too long":        {[]string{"Tags.member.1.Key", strings.Repeat("k", 129), "Tags.member.1.Value", ""}, "ValidationError", "tags.1.member.key"},
		"a tag value too long":      {[]string{"Tags.member.1.Key", "k", "Tags.member.1.Value", strings.Repeat("v", 257)}, "ValidationError", "tags.1.member.value"},
		"a tag of AWS's own":        {[]string{"Tags.member.1.Key", "aws:x", "Tags.member.1.Value", "1"}, "ValidationError", "tags.1.member.key"},
		"a key without its value":   {[]string{"Tags.member.1.Key", "k"}, "ValidationError", "at 'tags'"},
		"transitive, but no tag":    {[]string{"TransitiveTagKeys.member.1", "k"}, "InvalidParameterValue", "transitive tag key"},
		"no room for the policy":    {[]string{"Policy", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::` + noise(1900) + `"}}`, "Tags.member.1.Key", noise(120), "Tags.member.1.Value", noise(250)}, "PackedPolicyTooLarge", "of allotted space"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.role(Role{Account: home, Name: "goal", MaxSession: 2 * time.Hour, Trust: trusting(etlARN, `"sts:*"`, "{}")})
			w.wantRefusal(w.do(w.signed(w.session(etlARN), irishReg, irish, assume(goal, c.change...), 0)), 400, c.code, c.message)
		})
	}
}

// noise is text that does not compress well.
func noise(n int) string {
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(newID(""))
	}
	return b.String()[:n]
}

// Transitive tags and the source identity go where the session goes, and cannot be changed on the way.
func TestChainedSessionsInherit(t *testing.T) {
	t.Parallel()
	const first, second = "arn:aws:iam::111122223333:role/first", "arn:aws:iam::111122223333:role/second"
	w := newWorld(t)
	w.role(Role{Account: home, Name: "first", Permissions: everything, Trust: trusting(etlARN, `"sts:*"`, "{}")})
	w.role(Role{Account: home, Name: "second", Permissions: everything, Trust: trusting(first, `"sts:*"`, `{"StringEquals":{"aws:PrincipalTag/team":"data","aws:SourceIdentity":"alice"}}`)})
	options := func(p aws.CredentialsProvider) sts.Options {
		return sts.Options{Region: irishReg, HTTPClient: w.client(), Credentials: p, RetryMaxAttempts: 1}
	}
	one, err := sts.New(options(static(w.session(etlARN)))).AssumeRole(t.Context(), &sts.AssumeRoleInput{
		RoleArn: aws.String(first), RoleSessionName: aws.String("one"), SourceIdentity: aws.String("alice"),
		Tags: []ststypes.Tag{{Key: aws.String("team"), Value: aws.String("data")}}, TransitiveTagKeys: []string{"team"},
	})
	if err != nil {
		t.Fatal(err)
	}
	keys := Keys{AccessKeyID: *one.Credentials.AccessKeyId, SecretAccessKey: *one.Credentials.SecretAccessKey, SessionToken: *one.Credentials.SessionToken}
	two, err := sts.New(options(static(keys))).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: aws.String(second), RoleSessionName: aws.String("two")})
	if err != nil {
		t.Fatalf("%v (%s)", err, w.reason())
	}
	if aws.ToString(two.SourceIdentity) != "alice" {
		t.Errorf("source identity %q, want alice", aws.ToString(two.SourceIdentity))
	}
	w.wantRefusal(w.do(w.signed(keys, irishReg, irish, assume(second, "Tags.member.1.Key", "Team", "Tags.member.1.Value", "x"), 0)),
		400, "InvalidParameterValue", "conflicts with a transitive tag key")
	w.wantRefusal(w.do(w.signed(keys, irishReg, irish, assume(second, "SourceIdentity", "mallory"), 0)),
		403, "AccessDenied", "sts:SetSourceIdentity")
}
