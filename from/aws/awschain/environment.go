// SPDX-License-Identifier: Apache-2.0

package awschain

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// environment is keys in variables: a shell's, or a Lambda function's without SnapStart.
func (s *search) environment() place {
	p := place{name: "environment"}
	id, idName := s.env.first("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY")
	secret, secretName := s.env.first("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY")
	switch {
	case id == "" && secret == "":
		p.detail = s.env.absent("AWS_ACCESS_KEY_ID")
		return p
	case id == "":
		p.detail = secretName + " is set without an access key id: " + s.env.absent("AWS_ACCESS_KEY_ID")
		return p
	case secret == "":
		p.detail = idName + " is set without a secret: " + s.env.absent("AWS_SECRET_ACCESS_KEY")
		return p
	}
	p.here, p.id, p.detail = true, s.variablesID(), idName+" is "+id
	if named := s.env.get("AWS_PROFILE"); named != "" {
		p.detail += "; it comes before AWS_PROFILE, which is not used"
	}
	value := aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: s.env.get("AWS_SESSION_TOKEN"),
		AccountID: s.env.get("AWS_ACCOUNT_ID"), Source: config.CredentialsSourceName}
	p.open = func(aws.Config) aws.CredentialsProvider { return credentials.StaticCredentialsProvider{Value: value} }
	return p
}
