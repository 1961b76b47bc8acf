// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"fmt"

	"github.com/stile-project/stile/config"
)

func ExampleParse() {
	file, err := config.Parse("stile.yaml", []byte(`version: 1
crossings:
  images:
    from: { gcp: { audience: https://images.example.com } }
    to:
      aws: { role: arn:aws:iam::111122223333:role/from-gcp, region: eu-west-1, duration: 1h }
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	images, err := file.Crossing("images")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(images.To.AWS.Role, images.To.AWS.Duration)
	// Output: arn:aws:iam::111122223333:role/from-gcp 1h
}

// All problems of a file come at once, each with its place and its repair.
func ExampleParse_problems() {
	_, err := config.Parse("stile.yaml", []byte(`version: 1
crossings:
  images:
    from: { gcp: { audence: https://images.example.com } }
    to:
      aws: { role: arn:aws:iam::111122223333:role/from-gcp, region: eu-west-1a, duration: 3600 }
`))
	fmt.Println(err)
	// Output:
	// stile.yaml:4:20: unknown key "audence": did you mean "audience"?
	// stile.yaml:6:69: region: this is an availability zone: name its region, such as eu-west-1
	// stile.yaml:6:91: duration: want a duration such as "1h" or "45m", not a bare number: add its unit
}

// A file from elsewhere cannot send the tokens elsewhere.
func ExampleParseExternalAccount() {
	_, err := config.ParseExternalAccount("creds.json", []byte(`{
  "type": "external_account",
  "audience": "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/pool/providers/prov",
  "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request",
  "token_url": "https://sts.googleapis.com.evil.example/v1/token",
  "credential_source": {"environment_id": "aws1"}
}`), config.ForeignPolicy{})
	fmt.Println(err)
	// Output: creds.json:5:16: token_url: the host sts.googleapis.com.evil.example is not that of Google's sts: allow it by name if you trust it
}

func ExampleParseAWSProfile() {
	crossing, err := config.ParseAWSProfile(config.Input{Name: "~/.aws/config", Data: []byte(`
[profile from-gcp]
role_arn = arn:aws:iam::111122223333:role/from-gcp
region = eu-west-1
duration_seconds = 1800
stile_audience = https://images.example.com
`)}, config.Input{}, "from-gcp", config.ForeignPolicy{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(crossing.From.GCP.Audience, crossing.To.AWS.Role, crossing.To.AWS.Duration)
	// Output: https://images.example.com arn:aws:iam::111122223333:role/from-gcp 30m
}

// A crossing of a stile.yaml, for programs that know Google's libraries only.
func ExampleWriteExternalAccount() {
	data, err := config.WriteExternalAccount(config.Crossing{
		From: config.From{OIDC: &config.FromOIDC{File: &config.TokenFile{Path: "/var/run/token"}}},
		To:   config.To{GCP: &config.ToGCP{Provider: "projects/123456789012/locations/global/workloadIdentityPools/pool/providers/prov"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(data))
	// Output:
	// {
	//   "universe_domain": "googleapis.com",
	//   "type": "external_account",
	//   "audience": "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/pool/providers/prov",
	//   "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
	//   "token_url": "https://sts.googleapis.com/v1/token",
	//   "credential_source": {
	//     "file": "/var/run/token"
	//   },
	//   "token_info_url": "https://sts.googleapis.com/v1/introspect"
	// }
}

func ExampleSetAWSProfile() {
	command, err := config.CredentialProcess("/opt/my tools/stile", "credential-process", "--role", "arn:aws:iam::111122223333:role/from-gcp")
	if err != nil {
		fmt.Println(err)
		return
	}
	file, err := config.SetAWSProfile([]byte("[default]\nregion = us-east-1 # near\n"), config.ConfigFile, "from-gcp", []config.Setting{
		{Key: "credential_process", Value: command},
		{Key: "region", Value: "eu-west-1"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(string(file))
	// Output:
	// [default]
	// region = us-east-1 # near
	//
	// [profile from-gcp]
	// credential_process = /opt/my\ tools/stile credential-process --role arn:aws:iam::111122223333:role/from-gcp
	// region = eu-west-1
}

func ExampleSniff() {
	fmt.Println("this is", config.Sniff([]byte(`{"type": "service_account"}`)))
	// Output: this is a service_account key
}
