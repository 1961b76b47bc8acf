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

func ExampleSniff() {
	fmt.Println("this is", config.Sniff([]byte(`{"type": "service_account"}`)))
	// Output: this is a service_account key
}
