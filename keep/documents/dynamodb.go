// SPDX-License-Identifier: Apache-2.0

package documents

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
	gocloudaws "gocloud.dev/aws"
	awsdynamodb "gocloud.dev/docstore/awsdynamodb/v2"
)

func openDynamoDB(ctx context.Context, u *url.URL) (*Store, error) {
	if u.Host == "" || u.Path != "" {
		return nil, misused(u.Scheme, "write dynamodb://TABLE?region=REGION", "it names no table")
	}
	query := u.Query()
	key := cmp.Or(query.Get("partition_key"), "name")
	query.Del("partition_key")
	cfg, err := gocloudaws.V2ConfigFromURLParams(ctx, query)
	if err != nil {
		return nil, misused(u.Scheme, "it takes partition_key, region, profile, role and endpoint: see gocloud.dev/aws", "the AWS SDK finds no settings: "+words(err))
	}
	if cfg.Region == "" {
		return nil, misused(u.Scheme, "add ?region=, or set AWS_REGION", "the region is not known")
	}
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	cfg.Logger = logging.Nop{}
	cfg.HTTPClient = wholeBodies{cfg.HTTPClient}
	client := dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) { o.APIOptions = append(o.APIOptions, describeWhile(ctx)) })
	s := &Store{place: "DynamoDB", close: func() error { return nil }}
	s.hint = "see that table " + u.Host + " is in region " + cfg.Region + ", and let this identity use dynamodb:DescribeTable, BatchGetItem, PutItem, UpdateItem and DeleteItem on it"
	docs, err := awsdynamodb.OpenCollection(client, u.Host, key, "", &awsdynamodb.Options{ConsistentRead: true})
	var missing *types.ResourceNotFoundException
	switch {
	case errors.As(err, &missing):
		return nil, misused(u.Scheme, s.hint, "there is no such table")
	case err != nil:
		return nil, s.failed(ctx, "open a table of", err)
	}
	s.table, s.close = &collection{docs, key}, docs.Close
	return s, nil
}

// describeWhile has DescribeTable end with ctx. The driver asks it with no context at all.
func describeWhile(opening context.Context) func(*middleware.Stack) error {
	end := middleware.InitializeMiddlewareFunc("DescribeWhileOpening",
		func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			if _, ok := in.Parameters.(*dynamodb.DescribeTableInput); ok {
				bounded, cancel := context.WithCancelCause(ctx)
				defer cancel(nil)
				defer context.AfterFunc(opening, func() { cancel(opening.Err()) })()
				ctx = bounded
			}
			return next.HandleInitialize(ctx, in)
		})
	return func(stack *middleware.Stack) error { return stack.Initialize.Add(end, middleware.Before) }
}

// wholeBodies sends bodies that nobody closes. The SDK closes a request's body as soon as the answer begins; if net/http
// still looks for its end then, it takes the request for broken, and closes the connection under the answer.
type wholeBodies struct{ client aws.HTTPClient }

func (w wholeBodies) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		if r.Body, err = r.GetBody(); err != nil {
			return nil, err
		}
	}
	return w.client.Do(r)
}
