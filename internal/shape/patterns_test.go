// SPDX-License-Identifier: Apache-2.0

package shape

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stile-project/stile/internal/shape/shapetest"
)

func takes(s Shape) func(string) bool {
	return func(v string) bool {
		_, err := s(v)
		return err == nil
	}
}

// ours is what a Shape takes where the text needs no change before it is looked at.
func ours(s Shape) func(string) bool {
	return func(v string) bool {
		got, err := s(v)
		return err == nil && got == v
	}
}

// The checks take what these patterns do, which are easier to hold against the documents of the clouds.
func TestChecksAgreeWithPatterns(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pattern  string
		check    func(string) bool
		examples []string
	}{
		"role ARN": {`^arn:aws(?:-[a-z]{1,8}){0,3}:iam::[0-9]{12}:role/(?:[\x21-\x7e]{1,510}/)?[\w+=,.@-]{1,64}$`, takes(RoleARN), []string{
			"arn:aws:iam::111122223333:role/a", "arn:aws:iam::111122223333:role//a", "arn:aws:iam::111122223333:role///a", "arn:aws:iam::111122223333:role/a:b/c", "arn:aws:iam::111122223333:role/a/", "arn:aws-:iam::111122223333:role/a"}},
		"policy ARN": {`^arn:aws(?:-[a-z]{1,8}){0,3}:iam::(?:[0-9]{12}|aws):policy/(?:[\x21-\x7e]{1,510}/)?[\w+=,.@-]{1,128}$`, takes(PolicyARN), []string{
			"arn:aws:iam::aws:policy/job-function/a", "arn:aws:iam::aws:role/a", "arn:aws:iam::AWS:policy/a"}},
		"session name": {`^[\w+=,.@-]{2,64}$`, takes(SessionName), []string{"größe"}},
		"external id":  {`^[\w+=,.@:/-]{2,1000}$`, func(s string) bool { return len(s) <= 1000 && takes(ExternalID)(s) }, []string{"a:/b"}},
		"region":       {`^[a-z]{2,5}(?:-[a-z]{1,12}){1,3}-[0-9]{1,2}$`, takes(Region), []string{"eu-west-1", "us-gov-west-1", "eu--west-1", "eu-1"}},
		"zone": {`^[a-z]{2,5}(?:-[a-z]{1,12}){1,3}-[0-9]{1,2}(?:-[a-z]{3}-[0-9])?[a-z]$`, isZone, []string{
			"eu-west-1a", "us-west-2-lax-1a", "us-west-2-lax-1", "lax-1a", "-lax-1a", "a"}},
		"provider":   {`^projects/[0-9]{1,19}/locations/global/workloadIdentityPools/[a-z0-9-]{1,32}/providers/[a-z0-9-]{1,32}$`, ours(Provider), nil},
		"project":    {`^(?:(?:[a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]|[0-9]{1,19})$`, takes(Project), []string{"example.com:my-project", "a:b:my-project", ":my-project", "my-project:"}},
		"project id": {`^(?:[a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$`, isProjectID, nil},
		"service account": {`^[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?@(?:[a-z0-9-]{1,63}\.){1,8}gserviceaccount\.com$`, takes(ServiceAccount), []string{
			"a@gserviceaccount.com", "a@.gserviceaccount.com", "a@b@c.gserviceaccount.com", "a@p.iam.gserviceaccount.com", "a@xgserviceaccount.com"}},
		"scope":              {`^(?:https://[\x21-\x7e]{3,240}|openid|email|profile)$`, takes(Scope), []string{"https://a b", "http://abc"}},
		"workforce provider": {`^locations/[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?/workforcePools/[a-z][a-z0-9-]{4,61}[a-z0-9]/providers/[a-z0-9-]{1,32}$`, ours(WorkforceProvider), nil},
		"bucket":             {`^//storage\.googleapis\.com/projects/_/buckets/[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$`, IsBoundedBucket, nil},
		"role of a boundary": {`^inRole:(?:(?:projects|organizations)/[a-z0-9:.-]{1,64}/)?roles/[A-Za-z0-9._]{1,128}$`, IsBoundedRole, []string{
			"inRole:roles/a", "roles/a", "inRole:projects/p/roles/a", "projects/p/roles/a", "inRole:organizations/1/roles/a", "inRole:folders/1/roles/a", "inRole:projects//roles/a", "inRole:projects/p/roles/"}},
		"domain":         {`^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,5}[a-z]{2,63}$`, isDomain, []string{"com", ".com", "a.b.c.d.e.com", "a.b.c.d.e.f.com", "a.c"}},
		"key of a tag":   {`^[\p{L}\p{Z}\p{N}_.:/=+\-@]{1,128}$`, func(s string) bool { return IsTag(s, 1, 128) }, []string{strings.Repeat("ö", 128), strings.Repeat("ö", 129), "½\u2028 x", "\u00a0"}},
		"value of a tag": {`^[\p{L}\p{Z}\p{N}_.:/=+\-@]{0,256}$`, func(s string) bool { return IsTag(s, 0, 256) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shapetest.Agree(t, c.pattern, c.check, c.examples...)
		})
	}
}

func TestExternalIDIsLong(t *testing.T) {
	t.Parallel()
	if !takes(ExternalID)(strings.Repeat("a", 1224)) || takes(ExternalID)(strings.Repeat("a", 1225)) {
		t.Error("want at most 1224")
	}
}

func TestSegments(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"a/1/b/2": "[1 2]", "a//b/2": "[]", "a/1/b/": "[]", "a/1": "[]", "a/1/b/2/": "[]", "b/1/a/2": "[]"} {
		if got := fmt.Sprint(segments(name, "a", "b")); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}
