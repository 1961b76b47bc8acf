// SPDX-License-Identifier: Apache-2.0

package shape_test

import (
	"strings"
	"testing"

	"github.com/stile-project/stile/internal/shape"
)

func TestShapes(t *testing.T) {
	t.Parallel()
	const provider = "projects/123/locations/global/workloadIdentityPools/aws-pool/providers/aws-prov"
	cases := map[string]struct {
		shape     shape.Shape
		good, bad []string
	}{
		"role ARN": {shape.RoleARN, []string{"arn:aws:iam::111122223333:role/a", "arn:aws-cn:iam::111122223333:role/team/a", "arn:aws-us-gov:iam::111122223333:role/a"},
			[]string{"", "a", "arn:aws:iam::1:role/a", "arn:aws:sts::111122223333:assumed-role/a/b", "arn:aws:iam::111122223333:role/", "arn:aws:iam::111122223333:role/a b", "arn:aws:iam::111122223333:role/a\n"}},
		"region": {shape.Region, []string{"eu-west-1", "us-gov-west-1", "cn-north-1", "eusc-de-east-1"},
			[]string{"", "eu-west-1a", "us-west-2-lax-1a", "eu_west_1", "evil.example/?", "EU-WEST-1"}},
		"session name": {shape.SessionName, []string{"ab", "a@b.c=,+-_"}, []string{"", "a", "a b", "a/b", strings.Repeat("a", 65), "größe"}},
		"provider": {shape.Provider, []string{provider, "//iam.googleapis.com/" + provider, "https://iam.googleapis.com/" + provider},
			[]string{"", "projects/my-project" + provider[len("projects/123"):], "projects/123/locations/eu/workloadIdentityPools/p/providers/q", provider + "/x", strings.ToUpper(provider)}},
		"service account": {shape.ServiceAccount, []string{"a-b@demo-proj.iam.gserviceaccount.com", "123-compute@developer.gserviceaccount.com"},
			[]string{"", "a@example.com", "a/../b@p.iam.gserviceaccount.com", "A@p.iam.gserviceaccount.com", "104857600000000000001"}},
		"scope": {shape.Scope, []string{"https://www.googleapis.com/auth/cloud-platform", "openid"}, []string{"", "a b", "cloud-platform", "https://a.example/ b"}},
		"session policy": {shape.SessionPolicy, []string{`{"Version":"2012-10-17","Statement":[]}`},
			[]string{"", "{", "[]", "null", `{"a":1}`, `{"Statement":"` + strings.Repeat("a", 2048) + `"}`}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, s := range c.good {
				if _, err := c.shape(s); err != nil {
					t.Errorf("%q is refused: %v", s, err)
				}
			}
			for _, s := range c.bad {
				if _, err := c.shape(s); err == nil {
					t.Errorf("%q is taken", s)
				} else if len(s) > 8 && strings.Contains(err.Error(), s) {
					t.Errorf("the error quotes the value: %v", err)
				}
			}
		})
	}
}
