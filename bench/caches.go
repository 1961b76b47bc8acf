// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"cloud.google.com/go/auth"
	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/oauth2"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
)

// An issuer gives tokens that live for life, and takes its time.
type issuer struct {
	life, takes time.Duration
	text        string // what each token begins with

	asked  atomic.Int64
	flying atomic.Int64 // exchanges under way
}

func (i *issuer) issue(ctx context.Context) (token string, expires time.Time, err error) {
	n := i.asked.Add(1)
	i.flying.Add(1)
	defer i.flying.Add(-1)
	if i.takes > 0 {
		if err := pause(ctx, i.takes); err != nil {
			return "", time.Time{}, err
		}
	}
	return i.text + strconv.FormatInt(n, 10), time.Now().Add(i.life), nil
}

// anyone is a source that costs nothing.
var anyone = stile.SourceFunc(func(context.Context, string) (stile.SubjectToken, error) {
	return stile.SubjectToken{Value: stile.NewSecret("subject"), Type: stile.TokenTypeJWT}, nil
})

// Audience is nobody's in particular.
func (*issuer) Audience() string { return "anyone" }

// Exchange makes the issuer a [stile.Target].
func (i *issuer) Exchange(ctx context.Context, _ stile.SubjectToken) (stile.Credential, error) {
	token, expires, err := i.issue(ctx)
	return stile.Credential{Kind: stile.KindAccessToken, Token: stile.NewSecret(token), Expires: expires, Principal: "bench"}, err
}

// google makes an issuer what Google's libraries take.
type google struct{ *issuer }

// Token is for oauth2.
func (g google) Token() (*oauth2.Token, error) {
	token, expires, err := g.issue(context.Background())
	return &oauth2.Token{AccessToken: token, TokenType: "Bearer", Expiry: expires}, err
}

// provider is for cloud.google.com/go/auth.
type provider struct{ *issuer }

// Token asks the issuer.
func (p provider) Token(ctx context.Context) (*auth.Token, error) {
	token, expires, err := p.issue(ctx)
	return &auth.Token{Value: token, Type: "Bearer", Expiry: expires}, err
}

// Retrieve is for the AWS SDK.
func (p provider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	token, expires, err := p.issue(ctx)
	return aws.Credentials{AccessKeyID: "ASIA", SecretAccessKey: "secret", SessionToken: token, CanExpire: true, Expires: expires}, err
}

// A cache holds one issuer's tokens. The loop is the cache's own, so that a read costs no call but its own.
type cache struct {
	issuer *issuer
	reads  func(n int) error
	close  func()
}

// A kind of cache is Stile's, or what people use. All give up a token when early of its life is left.
type kind struct {
	name string
	make func(i *issuer, early time.Duration) cache
}

const ours = "keep.Keeper"

var kinds = []kind{
	{ours, func(i *issuer, early time.Duration) cache {
		k := keep.New(stile.Cross(anyone, i), keep.WithFloor(early))
		ctx := context.Background()
		return cache{i, func(n int) error {
			for range n {
				if _, err := k.Credential(ctx); err != nil {
					return err
				}
			}
			return nil
		}, k.Close}
	}},
	{"oauth2.ReuseTokenSource", func(i *issuer, early time.Duration) cache {
		s := oauth2.ReuseTokenSourceWithExpiry(nil, google{i}, early)
		return cache{i, func(n int) error {
			for range n {
				if _, err := s.Token(); err != nil {
					return err
				}
			}
			return nil
		}, func() {}}
	}},
	{"auth.NewCachedTokenProvider", func(i *issuer, early time.Duration) cache {
		s := auth.NewCachedTokenProvider(provider{i}, &auth.CachedTokenProviderOptions{ExpireEarly: early})
		return authCache(i, s)
	}},
	{"auth.Credentials", func(i *issuer, early time.Duration) cache {
		cached := auth.NewCachedTokenProvider(provider{i}, &auth.CachedTokenProviderOptions{ExpireEarly: early})
		return authCache(i, auth.NewCredentials(&auth.CredentialsOptions{TokenProvider: cached}))
	}},
	{"aws.CredentialsCache", func(i *issuer, early time.Duration) cache {
		s := aws.NewCredentialsCache(provider{i}, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = early })
		ctx := context.Background()
		return cache{i, func(n int) error {
			for range n {
				if _, err := s.Retrieve(ctx); err != nil {
					return err
				}
			}
			return nil
		}, func() {}}
	}},
}

func authCache(i *issuer, s auth.TokenProvider) cache {
	ctx := context.Background()
	return cache{i, func(n int) error {
		for range n {
			if _, err := s.Token(ctx); err != nil {
				return err
			}
		}
		return nil
	}, func() {}}
}
