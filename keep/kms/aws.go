// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	gocloudaws "gocloud.dev/aws"
	gocloudkms "gocloud.dev/secrets/awskms"

	"github.com/stile-project/stile"
)

func openAWS(ctx context.Context, u *url.URL) (*Key, error) {
	id := strings.TrimPrefix(u.Host+u.Path, "/")
	if id == "" {
		return nil, misused(u.Scheme, "write awskms:///arn:aws:kms:REGION:ACCOUNT:key/ID, or awskms:///alias/NAME?region=REGION", "it names no key")
	}
	query := u.Query()
	bound := map[string]string{}
	for name, values := range query {
		if under, ok := strings.CutPrefix(name, "context_"); ok && len(values) == 1 {
			bound[under] = values[0]
			query.Del(name)
		}
	}
	named, _ := arn.Parse(id)
	if named.Region != "" && query.Get("region") == "" {
		query.Set("region", named.Region)
	}
	cfg, err := gocloudaws.V2ConfigFromURLParams(ctx, query)
	if err != nil {
		return nil, misused(u.Scheme, "it takes region, profile, role, endpoint and context_NAME: see gocloud.dev/aws", "the AWS SDK finds no settings: "+line(err.Error()))
	}
	if cfg.Region == "" {
		return nil, misused(u.Scheme, "name the key by its ARN, add ?region=, or set AWS_REGION", "the region is not known")
	}
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	cfg.Logger = logging.Nop{}
	client := awskms.NewFromConfig(cfg, func(o *awskms.Options) { o.APIOptions = append(o.APIOptions, decryptWith(id)) })
	keeper := gocloudkms.OpenKeeper(client, id, &gocloudkms.KeeperOptions{EncryptionContext: bound})
	return &Key{
		name: "awskms://" + cfg.Region + "/" + id, service: "AWS KMS", wrapper: keeper, explain: explainAWS, close: keeper.Close,
		hint: "let this identity use kms:Encrypt and kms:Decrypt on the key, in the key's policy or its own",
	}, nil
}

// decryptWith has Decrypt take what this key encrypted, and nothing else. The driver leaves that to KMS, which would
// decrypt under whatever key the caller may use: one of somebody who can write into the store, for example.
// Source: AWS KMS API, Decrypt, KeyId ("we recommend that you specify it").
func decryptWith(id string) func(*middleware.Stack) error {
	name := middleware.InitializeMiddlewareFunc("DecryptWithThisKey",
		func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			if ask, ok := in.Parameters.(*awskms.DecryptInput); ok {
				ask.KeyId = aws.String(id)
			}
			return next.HandleInitialize(ctx, in)
		})
	return func(stack *middleware.Stack) error { return stack.Initialize.Add(name, middleware.Before) }
}

// explainAWS reads an error of the SDK. Source: AWS KMS API, Decrypt and Encrypt, Errors; Common Errors.
func explainAWS(err error) answer {
	var said smithy.APIError
	if !errors.As(err, &said) {
		return unanswered(err)
	}
	a := answer{code: said.ErrorCode(), message: said.ErrorMessage(), kind: stile.ErrRefused}
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) {
		a.status = response.HTTPStatusCode()
		a.kind = ofStatus(a.status)
	}
	// KMS says some of what will pass with the status 400.
	if slices.Contains([]string{"ThrottlingException", "RequestLimitExceeded", "DependencyTimeoutException", "KMSInternalException", "KeyUnavailableException"}, a.code) {
		a.kind = stile.ErrTemporary
	}
	a.never = slices.Contains([]string{"InvalidCiphertextException", "IncorrectKeyException", "NotFoundException"}, a.code)
	if a.status == 0 {
		a.kind = fmt.Errorf("%w: %s", a.kind, a.code)
	}
	return a
}
