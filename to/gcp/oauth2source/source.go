// SPDX-License-Identifier: Apache-2.0

// Package oauth2source hands a crossing's Google token to anything that takes an oauth2.TokenSource.
package oauth2source

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/oauth2"

	"github.com/stile-project/stile"
)

// early is how long before its true end a token is said to expire: oauth2's own cache would otherwise hold on to it
// until 10 seconds before.
const early = 5 * time.Minute

// TokenSource gives kept access tokens or ID tokens, said to expire 5 minutes before they do, so that a cache around the
// source asks again in time. An oauth2.TokenSource has no context of its own, so ctx bounds
// every exchange that it makes: give it one that lives as long as the source.
func TokenSource(ctx context.Context, kept stile.Supplier) oauth2.TokenSource {
	return source{ctx, kept}
}

type source struct {
	ctx  context.Context //nolint:containedctx // the interface leaves no other way in
	kept stile.Supplier
}

func (s source) Token() (*oauth2.Token, error) {
	cred, err := s.kept.Credential(s.ctx)
	if err != nil {
		return nil, err
	}
	if cred.Kind == stile.KindAWSSession {
		return nil, fmt.Errorf("%w: the crossing gives an AWS session, an oauth2.TokenSource wants a token", stile.ErrMisuse)
	}
	return &oauth2.Token{AccessToken: cred.Token.Reveal(), TokenType: "Bearer", Expiry: cred.Expires.Add(-early)}, nil
}
