// SPDX-License-Identifier: Apache-2.0

// Package awscreds hands a crossing's AWS session to the AWS SDK for Go.
package awscreds

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/stile-project/stile"
)

// early is how long before its true end a session is said to expire. The SDK's own cache would otherwise hold on to it
// until the last second, and a request signed then is dead on arrival.
const early = 5 * time.Minute

// Provider gives kept sessions to anything that takes an aws.CredentialsProvider, such as
// config.WithCredentialsProvider. What holds sessions fresh is the supplier: the SDK's cache is told that each expires
// 5 minutes before it does, so that it asks again in time.
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
		AccountID: cred.Session.AccountID, Source: "Stile", CanExpire: true, Expires: cred.Expires.Add(-early),
	}, nil
}
