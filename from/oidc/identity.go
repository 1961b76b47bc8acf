// SPDX-License-Identifier: Apache-2.0

package fromoidc

import (
	"context"
	"fmt"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/jwt"
)

// proven obtains a token for audience and covers its claims, less those that differ from one token to the next. Which
// pod, job or run it is stays: a far side's trust may ask for it.
func proven(ctx context.Context, source stile.Source, audience string) (stile.Key, error) {
	const op = "prove who this workload is"
	token, err := source.SubjectToken(ctx, audience)
	if err != nil {
		return stile.Key{}, err
	}
	if token.Type == TokenTypeSAML2 {
		return stile.Key{}, &stile.Error{Op: op, Hint: "keep this crossing in memory or in a file",
			Err: fmt.Errorf("%w: a SAML assertion is not read here, so nothing tells whose it is", stile.ErrMisuse)}
	}
	identity, err := jwt.Identity(token.Value.Reveal())
	if err != nil {
		return stile.Key{}, &stile.Error{Op: op, Hint: "keep this crossing in memory or in a file",
			Err: fmt.Errorf("%w: the token does not tell whose it is: %w", stile.ErrMisuse, err)}
	}
	return stile.NewKey("from/oidc identity", string(token.Type), identity), nil
}

// Identity covers the claims of the file's token, which has to be a JWT for audience.
func (f *File) Identity(ctx context.Context, audience string, _ bool) (stile.Key, error) {
	return proven(ctx, f, audience)
}

// Identity covers the claims of the variable's token, which has to be a JWT for audience.
func (e *Environment) Identity(ctx context.Context, audience string, _ bool) (stile.Key, error) {
	return proven(ctx, e, audience)
}

// Identity gets a token and covers its claims. It has to be a JWT for audience.
func (u *URL) Identity(ctx context.Context, audience string, _ bool) (stile.Key, error) {
	return proven(ctx, u, audience)
}

// Identity runs the program, or takes what it left, and covers the token's claims. It fails with [stile.ErrMisuse] for a
// SAML assertion or an opaque token.
func (e *Executable) Identity(ctx context.Context, audience string, _ bool) (stile.Key, error) {
	return proven(ctx, e, audience)
}

// Identity asks for a token for audience and covers its claims, which name the job's run: no other job shares with it.
func (g *GitHubActions) Identity(ctx context.Context, audience string, _ bool) (stile.Key, error) {
	return proven(ctx, g, audience)
}

// Identity covers the claims of the job's token, which name the job: no other job shares with it.
func (g *GitLabCI) Identity(ctx context.Context, audience string, _ bool) (stile.Key, error) {
	return proven(ctx, g, audience)
}

// Identity covers the claims of the pod's token, which name the pod: each is an identity of its own.
func (k *KubernetesFile) Identity(ctx context.Context, audience string, _ bool) (stile.Key, error) {
	return proven(ctx, k, audience)
}

// Identity asks for a token for audience and covers its claims. They name the account and no pod, so that all pods that
// may ask for it are one.
func (t *TokenRequest) Identity(ctx context.Context, audience string, _ bool) (stile.Key, error) {
	return proven(ctx, t, audience)
}

// Identity asks for a JWT-SVID for audience and covers its claims.
func (s *SPIFFE) Identity(ctx context.Context, audience string, _ bool) (stile.Key, error) {
	return proven(ctx, s, audience)
}
