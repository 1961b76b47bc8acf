// SPDX-License-Identifier: Apache-2.0

// Package totoken hands on the subject token itself, for any service that takes an OIDC token: Vault, Kubernetes, the
// APIs of model and software providers.
//
//	target := &totoken.Token{TokenAudience: "https://vault.example"}
//	cred, err := keep.New(stile.Cross(source, target)).Credential(ctx)
package totoken

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/jwt"
)

// Token is a [stile.Target] whose credential is the subject token, of kind [stile.KindIDToken]. Nothing is sent
// anywhere.
type Token struct {
	// TokenAudience is whom the token must be made out to, and nobody beside: a token for two can be used by the one
	// against the other. Required.
	TokenAudience string

	Clock func() time.Time // tells whether a token is still good; nil: time.Now
}

// Audience is TokenAudience.
func (t *Token) Audience() string { return t.TokenAudience }

// CacheKey covers the audience.
func (t *Token) CacheKey() stile.Key { return stile.NewKey("to/token", t.TokenAudience) }

// Exchange checks that the token is a JWT for exactly the audience, that it has not expired, and returns it.
func (t *Token) Exchange(_ context.Context, token stile.SubjectToken) (stile.Credential, error) {
	fail := func(hint string, kind, cause error) (stile.Credential, error) {
		return stile.Credential{}, &stile.Error{Op: "hand on the token", Hint: hint, Err: fmt.Errorf("%w: %w", kind, cause),
			Sent: []slog.Attr{slog.String("audience", t.TokenAudience), slog.String("subject", token.Subject)}}
	}
	if t.TokenAudience == "" {
		return fail("name the service that will check the token", stile.ErrMisuse, errors.New("no audience"))
	}
	if token.Type != stile.TokenTypeJWT && token.Type != stile.TokenTypeIDToken {
		return fail("use a source of OIDC tokens", stile.ErrMisuse, errors.New("this source gives no OIDC token"))
	}
	claims, err := jwt.Unverified(token.Value.Reveal())
	switch {
	case err != nil:
		return fail("use a source of OIDC tokens", stile.ErrMisuse, fmt.Errorf("this source gives no JWT: %w", err))
	case len(claims.Audience) != 1 || claims.Audience[0] != t.TokenAudience:
		return fail("have the source's issuer make the token out to this audience alone", stile.ErrMisuse, fmt.Errorf("the token is made out to %s", others(claims.Audience)))
	case claims.Expires.IsZero():
		return fail("", stile.ErrMisuse, errors.New("the token has no exp"))
	case !t.now().Before(claims.Expires):
		return fail("check this machine's clock, and whether the source renews its token", stile.ErrTemporary,
			fmt.Errorf("the token expired at %s", claims.Expires.UTC().Format(time.RFC3339)))
	}
	name := token.Subject
	if name == "" {
		name = claims.Name()
	}
	return stile.Credential{Kind: stile.KindIDToken, Token: token.Value, Principal: name, Expires: claims.Expires}, nil
}

// others names a token's audiences, for an error.
func others(audiences []string) string {
	switch len(audiences) {
	case 0:
		return "nobody"
	case 1:
		return fmt.Sprintf("%.200q", audiences[0])
	}
	return fmt.Sprintf("%d audiences, %.200q first", len(audiences), audiences[0])
}

func (t *Token) now() time.Time {
	if t.Clock == nil {
		return time.Now()
	}
	return t.Clock()
}
