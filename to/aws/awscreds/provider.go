// SPDX-License-Identifier: Apache-2.0

// Package awscreds hands a crossing's AWS session to the AWS SDK for Go.
package awscreds

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/stile-project/stile"
)

// Provider gives kept sessions to anything that takes an aws.CredentialsProvider, such as
// config.WithCredentialsProvider. The SDK asks again when a session it was given nears its end.
func Provider(kept stile.Supplier) aws.CredentialsProvider { return provider{kept} }

type provider struct{ kept stile.Supplier }

func (p provider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	cred, err := p.kept.Credential(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	if cred.Kind != stile.KindAWSSession {
		return aws.Credentials{}, fmt.Errorf("%w: the crossing gives an %s, the AWS SDK wants an AWS session", stile.ErrMisuse, cred.Kind)
	}
	return aws.Credentials{
		AccessKeyID: cred.Session.AccessKeyID, SecretAccessKey: cred.Session.SecretAccessKey.Reveal(), SessionToken: cred.Session.SessionToken.Reveal(),
		AccountID: cred.Session.AccountID, Source: "Stile", CanExpire: true, Expires: cred.Expires,
	}, nil
}
