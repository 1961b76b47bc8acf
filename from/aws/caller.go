// SPDX-License-Identifier: Apache-2.0

// Package fromaws proves an AWS identity to another cloud, in either of two ways: a [Caller] signs a GetCallerIdentity
// request that the far side sends; a [WebIdentityToken] has AWS issue a JSON Web Token.
//
// Most programs take either from package awschain, which finds credentials and region as every AWS SDK does; one who
// already holds an aws.CredentialsProvider fills in the fields.
package fromaws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sort"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/shape"
)

const (
	// emptyBody is the SHA-256 of no bytes: the action travels in the query.
	emptyBody = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	query     = "Action=GetCallerIdentity&Version=2011-06-15"
	// targetResource binds the request to one provider, so that it cannot be replayed at another.
	// Source: Google STS v1, token, subjectToken.
	targetResource = "X-Goog-Cloud-Target-Resource"
)

// Caller is a [stile.Source] whose subject token is a signed GetCallerIdentity request, made out to one Google Cloud
// provider. The request is not sent: Google sends it. Tokens are of type [stile.TokenTypeAWS4Request] and stay good
// for the five minutes that AWS allows a signature.
// Source: Google STS v1, token, subjectToken; AIP-4117.
type Caller struct {
	// Credentials signs. Required.
	Credentials aws.CredentialsProvider
	// Region picks the STS endpoint and the signature's scope: see [FixedRegion]. Required.
	Region func(context.Context) (string, error)
	// FIPS picks the FIPS endpoint of the region.
	FIPS bool
	// Clock tells the time for the date header and the signature. Nil: time.Now.
	Clock func() time.Time
	// ID tells this identity from every other that this user's processes on this machine use, so that equal crossings
	// can share a kept credential. Empty: nothing is shared.
	ID string
	// Client is what [Caller.Identity] asks AWS with, and nothing else. Nil: http.DefaultClient, for ten seconds at most.
	Client *http.Client
}

// FixedRegion is a Region that is known beforehand.
func FixedRegion(region string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return region, nil }
}

// CacheKey covers the identity and the endpoint.
func (c *Caller) CacheKey() stile.Key {
	if c.ID == "" {
		return stile.Key{}
	}
	return stile.NewKey("from/aws caller", c.ID, fmt.Sprint(c.FIPS))
}

// SubjectToken signs a request for the provider that audience names ("//iam.googleapis.com/projects/…").
func (c *Caller) SubjectToken(ctx context.Context, audience string) (stile.SubjectToken, error) {
	const op = "sign a GetCallerIdentity request"
	if c.Credentials == nil || c.Region == nil {
		return stile.SubjectToken{}, unset(op)
	}
	if audience == "" {
		// An unbound request could be replayed at any provider that trusts this account.
		return stile.SubjectToken{}, &stile.Error{Op: op, Err: fmt.Errorf("%w: no audience to bind the request to", stile.ErrMisuse)}
	}
	clock := time.Now
	if c.Clock != nil {
		clock = c.Clock
	}
	creds, region, err := retrieve(ctx, c.Credentials, c.Region, clock)
	if err != nil {
		return stile.SubjectToken{}, err
	}
	endpoint, err := Endpoint(ctx, region, c.FIPS)
	if err != nil {
		return stile.SubjectToken{}, err
	}
	// A signed request goes stale in minutes, so sign last.
	now := clock()
	value, err := sign(ctx, creds, endpoint, region, audience, now.UTC())
	if err != nil {
		return stile.SubjectToken{}, &stile.Error{Op: op, Err: err}
	}
	return stile.SubjectToken{
		Value: stile.NewSecret(value), Type: stile.TokenTypeAWS4Request, Subject: "access key " + creds.AccessKeyID,
		Expires: now.Add(5 * time.Minute),
	}, nil
}

// retrieve finds what a signature needs. Credentials come first: without any, a region would not help.
func retrieve(ctx context.Context, from aws.CredentialsProvider, region func(context.Context) (string, error), clock func() time.Time) (aws.Credentials, string, error) {
	if ctx.Err() != nil { // a cache that answers at once would not notice
		return aws.Credentials{}, "", noCredentials(ctx, ctx.Err())
	}
	creds, err := from.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, "", noCredentials(ctx, err)
	}
	if creds.AccessKeyID == "" || creds.SecretAccessKey == "" {
		return aws.Credentials{}, "", noCredentials(ctx, errors.New("the provider gave empty credentials"))
	}
	if now := clock(); creds.CanExpire && !creds.Expires.After(now) {
		return aws.Credentials{}, "", &stile.Error{Op: "find AWS credentials", Hint: "check this machine's clock: metadata services renew credentials long before they end",
			Err: fmt.Errorf("%w: those found (%s) expired at %s, %s ago by this machine's clock", stile.ErrTemporary, creds.Source,
				creds.Expires.UTC().Format(time.RFC3339), now.Sub(creds.Expires).Round(time.Second))}
	}
	where, err := region(ctx)
	return creds, where, err
}

func noCredentials(ctx context.Context, err error) error {
	e, told := errors.AsType[*stile.Error](err)
	if cause := context.Cause(ctx); cause != nil && (!told || !errors.Is(e, cause)) {
		return &stile.Error{Op: "find AWS credentials", Err: fmt.Errorf("gave up waiting: %w", cause)}
	}
	if told {
		return e // whoever gave the credentials knows better
	}
	return &stile.Error{Op: "find AWS credentials", Err: fmt.Errorf("%w: %w", stile.ErrNoIdentity, err),
		Hint: "stile whoami --verbose shows where this workload's AWS identity was looked for"}
}

// Endpoint is the regional STS endpoint that GetCallerIdentity is signed for, with the query and no path, as Google
// asks for it. The region's partition decides the domain.
func Endpoint(ctx context.Context, region string, fips bool) (*url.URL, error) {
	u, err := resolve(ctx, region, fips)
	if err != nil {
		return nil, err
	}
	u.RawQuery = query
	return u, nil
}

func resolve(ctx context.Context, region string, fips bool) (*url.URL, error) {
	// A malformed region could smuggle another host into the endpoint.
	if _, err := shape.Region(region); err != nil {
		return nil, &stile.Error{Op: "find the STS endpoint", Hint: "set AWS_REGION",
			Err: fmt.Errorf("%w: AWS region %.40q: %w", stile.ErrMisuse, region, err)}
	}
	found, err := sts.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, sts.EndpointParameters{
		Region: aws.String(region), UseFIPS: aws.Bool(fips), UseDualStack: aws.Bool(false), UseGlobalEndpoint: aws.Bool(false),
	})
	if err != nil {
		return nil, &stile.Error{Op: "find the STS endpoint", Err: fmt.Errorf("%w: %w", stile.ErrMisuse, err)}
	}
	u := found.URI
	u.Path = ""
	return &u, nil
}

type signedRequest struct {
	URL     string         `json:"url"`
	Method  string         `json:"method"`
	Headers []signedHeader `json:"headers"`
}

type signedHeader struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func sign(ctx context.Context, creds aws.Credentials, endpoint *url.URL, region, audience string, now time.Time) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint.String(), nil)
	if err != nil {
		return "", err
	}
	req.Header.Set(targetResource, audience)
	if err := v4.NewSigner().SignHTTP(ctx, creds, req, emptyBody, "sts", region, now); err != nil {
		return "", err
	}
	token := signedRequest{URL: endpoint.String(), Method: http.MethodPost, Headers: []signedHeader{{"Host", endpoint.Host}}}
	for key := range req.Header {
		token.Headers = append(token.Headers, signedHeader{key, req.Header.Get(key)})
	}
	sort.Slice(token.Headers, func(i, j int) bool { return token.Headers[i].Key < token.Headers[j].Key })
	encoded, err := json.Marshal(token)
	if err != nil {
		return "", err
	}
	return url.QueryEscape(string(encoded)), nil
}
