// SPDX-License-Identifier: Apache-2.0

// Package googleauth hands a crossing's Google token to the Google Cloud client libraries for Go.
package googleauth

import (
	"context"
	"fmt"

	"cloud.google.com/go/auth"

	"github.com/stile-project/stile"
)

// An Option tells Google's libraries what a token does not say itself.
type Option func(*auth.CredentialsOptions)

// QuotaProject charges calls to a project other than the one the identity is in: the libraries send it as
// x-goog-user-project. The identity needs serviceusage.services.use on it.
func QuotaProject(id string) Option {
	return func(o *auth.CredentialsOptions) { o.QuotaProjectIDProvider = property(id) }
}

// UniverseDomain says which cloud the token is for, when it is not googleapis.com. A library refuses to present it to
// another.
func UniverseDomain(domain string) Option {
	return func(o *auth.CredentialsOptions) { o.UniverseDomainProvider = property(domain) }
}

func property(value string) auth.CredentialsPropertyProvider {
	return auth.CredentialsPropertyFunc(func(context.Context) (string, error) { return value, nil })
}

// Credentials gives kept access tokens to anything that takes *auth.Credentials, such as
// option.WithAuthCredentials.
func Credentials(kept stile.Supplier, options ...Option) *auth.Credentials {
	return credentials(kept, stile.KindAccessToken, options)
}

// IDTokenCredentials gives kept ID tokens to a client of a service that checks them, such as Cloud Run: see
// cloud.google.com/go/auth/httptransport.
func IDTokenCredentials(kept stile.Supplier, options ...Option) *auth.Credentials {
	return credentials(kept, stile.KindIDToken, options)
}

func credentials(kept stile.Supplier, kind stile.Kind, options []Option) *auth.Credentials {
	o := &auth.CredentialsOptions{TokenProvider: tokens{kept, kind}}
	for _, option := range options {
		option(o)
	}
	return auth.NewCredentials(o)
}

// tokens is not wrapped in Google's own cache: what holds it fresh is kept already, and two caches would both
// think of refreshing.
type tokens struct {
	kept stile.Supplier
	kind stile.Kind
}

func (t tokens) Token(ctx context.Context) (*auth.Token, error) {
	cred, err := t.kept.Credential(ctx)
	if err != nil {
		return nil, err
	}
	if cred.Kind != t.kind {
		return nil, fmt.Errorf("%w: the crossing gives an %s, this adapter wants an %s", stile.ErrMisuse, cred.Kind, t.kind)
	}
	return &auth.Token{Value: cred.Token.Reveal(), Type: "Bearer", Expiry: cred.Expires}, nil
}
