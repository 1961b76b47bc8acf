// SPDX-License-Identifier: Apache-2.0

package config

import "testing"

func TestHosts(t *testing.T) {
	t.Parallel()
	sts := func(host string) bool { return isGoogle(host, "sts", "googleapis.com") }
	for _, test := range []struct {
		name    string
		own     func(string) bool
		ours    []string
		foreign []string
	}{
		{
			"Google STS", sts,
			[]string{"sts.googleapis.com", "sts.mtls.googleapis.com", "us-east1-sts.googleapis.com", "us-east1.sts.googleapis.com", "sts.us-east1.googleapis.com", "sts.us-east1.rep.googleapis.com", "sts-corp.p.googleapis.com", "sts-corp.p.mtls.googleapis.com"},
			[]string{"", "googleapis.com", "storage.googleapis.com", "sts.googleapis.com.", "xsts.googleapis.com", "stsgoogleapis.com", "sts.googleapis.com.evil.example", "a.b.rep.googleapis.com", "sts.a.b.googleapis.com", "sts..googleapis.com", "bucket.storage.googleapis.com", "corp.p.googleapis.com", "a.b.c.sts.googleapis.com"},
		},
		{
			"AWS STS", isSTS,
			[]string{"sts.amazonaws.com", "sts.eu-west-1.amazonaws.com", "sts-fips.us-gov-west-1.amazonaws.com", "sts.cn-north-1.amazonaws.com.cn", "sts.eu-west-1.api.aws", "sts.cn-north-1.api.amazonwebservices.com.cn", "sts.eusc-de-east-1.amazonaws.eu"},
			[]string{"", "s3.amazonaws.com", "sts.amazonaws.com.cn", "sts.s3.amazonaws.com", "sts.eu-west-1.amazonaws.com.cn", "sts.cn-north-1.amazonaws.com", "sts.eu-west-1.amazonaws.eu", "sts.eu-west-1.amazonaws.com.evil.example", "sts.bucket.s3.eu-west-1.amazonaws.com", "vpce-1-a.sts.eu-west-1.vpce.amazonaws.com"},
		},
		{
			"private STS", isPrivateSTS,
			[]string{"vpce-0a1b-c2d3.sts.eu-west-1.vpce.amazonaws.com", "vpce-0a1b-c2d3-eu-west-1a.sts.eu-west-1.vpce.amazonaws.com"},
			[]string{"vpce-0a1b.s3.eu-west-1.vpce.amazonaws.com", "sts.eu-west-1.vpce.amazonaws.com", "vpce-0a1b.sts.eu-west-1.vpce.amazonaws.com.evil.example"},
		},
	} {
		for _, host := range test.ours {
			if !test.own(host) {
				t.Errorf("%s: %q was refused", test.name, host)
			}
		}
		for _, host := range test.foreign {
			if test.own(host) {
				t.Errorf("%s: %q was taken", test.name, host)
			}
		}
	}
}
