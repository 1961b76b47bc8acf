// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stile-project/stile"
)

const awsConfig = `# shared
[default]
region = us-east-1

[profile from-gcp]
role_arn = arn:aws:iam::111122223333:role/from-gcp   # the role
region=eu-west-1
role_session_name = vm1
duration_seconds = 1800
stile_audience = https://images.example.com
s3 =
  max_concurrent_requests = 20
services = local
output = json

[profile "two words"]
role_arn = arn:aws:iam::111122223333:role/two

[profile chained]
role_arn = arn:aws:iam::111122223333:role/x
source_profile = default

[profile web]
role_arn = arn:aws:iam::111122223333:role/web
web_identity_token_file = /var/run/token
use_fips_endpoint = TRUE

[profile broken]
role_arn = arn:aws:iam::111122223333:role/x
this line holds s3cret

[profile bad]
role_arn = s3cret
duration_seconds = s3cret
region = eu-west-1a
endpoint_url = https://u:s3cret@h/

[profile nothing]
region = eu-west-1

[services local]
s3 =
  endpoint_url = https://s3.example.com
sts =
  endpoint_url = https://sts.eu-west-1.amazonaws.com
`

const awsCredentials = `[default]
aws_access_key_id = AKIAEXAMPLE
aws_secret_access_key = s3cret

[from-gcp]
role_session_name = from-credentials

[only-here]
role_arn = arn:aws:iam::111122223333:role/only
`

func parseProfile(profile string) (Crossing, error) {
	return ParseAWSProfile(Input{"config", []byte(awsConfig)}, Input{"credentials", []byte(awsCredentials)}, profile, ForeignPolicy{})
}

func TestParseAWSProfile(t *testing.T) {
	t.Parallel()
	for profile, want := range map[string]Crossing{
		"from-gcp": {
			Name: "from-gcp", Origin: "config", From: From{GCP: &FromGCP{Audience: "https://images.example.com"}},
			To: To{AWS: &ToAWS{
				Role: "arn:aws:iam::111122223333:role/from-gcp", Region: "eu-west-1", SessionName: "from-credentials",
				Duration: Duration(30 * time.Minute), STSEndpoint: "https://sts.eu-west-1.amazonaws.com",
			}},
		},
		"two words": {
			Name: "two words", Origin: "config", From: From{GCP: &FromGCP{}},
			To: To{AWS: &ToAWS{Role: "arn:aws:iam::111122223333:role/two"}},
		},
		"web": {
			Name: "web", Origin: "config", From: From{OIDC: &FromOIDC{File: &TokenFile{Path: "/var/run/token"}}},
			To: To{AWS: &ToAWS{Role: "arn:aws:iam::111122223333:role/web", FIPS: true}},
		},
		"only-here": {
			Name: "only-here", Origin: "credentials", From: From{GCP: &FromGCP{}},
			To: To{AWS: &ToAWS{Role: "arn:aws:iam::111122223333:role/only"}},
		},
	} {
		got, err := parseProfile(profile)
		if err != nil {
			t.Errorf("%s: %v", profile, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", profile, diff)
		}
	}
}

func TestParseAWSProfileRefuses(t *testing.T) {
	t.Parallel()
	for profile, want := range map[string]string{
		"":         "config:2:1: the profile names no role_arn: add the role to become",
		"nothing":  "config:38:1: the profile names no role_arn: add the role to become",
		"chained":  "config:21:1: source_profile: this role is assumed from within AWS, which is no crossing: remove it, or use another profile",
		"broken":   "config:30:1: not a setting: want KEY = VALUE",
		"form-gcp": `config and credentials: no profile "form-gcp": did you mean "from-gcp"?`,
		"zzzzzz":   `config and credentials: no profile "zzzzzz": add [profile zzzzzz]`,
		"bad": `config:33:1: role_arn: want arn:PARTITION:iam::ACCOUNT:role/NAME with the 12 digits of the account
config:34:1: duration_seconds: want a whole number of seconds, 900 to 43200
config:35:1: region: this is an availability zone: name its region, such as eu-west-1
config:36:1: endpoint_url: the URL holds a user name or password: remove it`,
	} {
		_, err := parseProfile(profile)
		if err == nil || err.Error() != want {
			t.Errorf("%q:\ngot  %v\nwant %s", profile, err, want)
		}
		if !errors.Is(err, stile.ErrMisuse) {
			t.Errorf("%q: not ErrMisuse", profile)
		}
	}
}

func TestParseAWSProfileRefusesFiles(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, config, want string }{
		{"no files", "", `config: no profile "p": add [profile p]`},
		{"no section", "region = x\n", "config:1:1: a setting before the first [section]: put it under its profile"},
		{"open section", "[profile p\nrole_arn = x\n", "config:1:1: not a section: want [profile NAME] on a line of its own"},
		{"empty section", "[]\n", "config:1:1: not a section: want [profile NAME] on a line of its own"},
		{"twice", "[profile p]\nrole_arn = arn:aws:iam::111122223333:role/x\nROLE_ARN = arn:aws:iam::111122223333:role/x\n", "config:3:1: duplicate key \"role_arn\": it stands at line 2 already, remove one"},
		{"no value", "[profile p]\nrole_arn =\n", "config:2:1: role_arn has no value: give it text or remove it"},
		{"services missing", "[profile p]\nrole_arn = arn:aws:iam::111122223333:role/x\nservices = other\n", "config:3:1: services names no section: add [services NAME], or remove it"},
		{"foreign endpoint", "[profile p]\nrole_arn = arn:aws:iam::111122223333:role/x\nendpoint_url = http://evil.example\n", "config:3:1: endpoint_url: want https: over http anyone on the way reads the token"},
		{"negative duration", "[profile p]\nrole_arn = arn:aws:iam::111122223333:role/x\nduration_seconds = -1\n", "config:3:1: duration_seconds: want a whole number of seconds, 900 to 43200"},
		{"huge duration", "[profile p]\nrole_arn = arn:aws:iam::111122223333:role/x\nduration_seconds = 9223372036854775807\n", "config:3:1: duration_seconds: want a whole number of seconds, 900 to 43200"},
		{"flag", "[profile p]\nrole_arn = arn:aws:iam::111122223333:role/x\nuse_fips_endpoint = yes\n", "config:3:1: use_fips_endpoint: want true or false"},
		{"not UTF-8", "[profile p]\nx = \xff\n", "config:2:5: not UTF-8 from here on: save the file as UTF-8"},
		{"too long", strings.Repeat("#", sizeLimit+1), "config:1:1: the file is over 1 MiB: it is no configuration"},
	} {
		_, err := ParseAWSProfile(Input{"config", []byte(test.config)}, Input{}, "p", ForeignPolicy{})
		if err == nil || err.Error() != test.want {
			t.Errorf("%s:\ngot  %v\nwant %s", test.name, err, test.want)
		}
	}
}

func TestParseAWSProfileAllowing(t *testing.T) {
	t.Parallel()
	config := Input{"config", []byte("[profile p]\nrole_arn = arn:aws:iam::111122223333:role/x\nendpoint_url = http://127.0.0.1:4566\n")}
	c, err := ParseAWSProfile(config, Input{}, "p", ForeignPolicy{AllowHosts: []string{"127.0.0.1"}})
	if err != nil || c.To.AWS.STSEndpoint != "http://127.0.0.1:4566" {
		t.Errorf("got %+v, %v", c.To.AWS, err)
	}
}
