// SPDX-License-Identifier: Apache-2.0

// Package googleauth hands a crossing's Google token to the Google Cloud client libraries for Go.
package googleauth

import (
	"context"
	"fmt"

	"cloud.google.com/go/auth"

	"github.com/stile-project/stile"
)

// Credentials gives kept access tokens to anything that takes *auth.Credentials, such as
// option.WithAuthCredentials.
func Credentials(kept stile.Supplier) *auth.Credentials {
	return credentials(kept, stile.KindAccessToken)
}

// IDTokenCredentials gives kept ID tokens to a client of a service that checks them, such as Cloud Run: see
// cloud.google.com/go/auth/httptransport.
func IDTokenCredentials(kept stile.Supplier) *auth.Credentials {
	return credentials(kept, stile.KindIDToken)
}

func credentials(kept stile.Supplier, kind stile.Kind) *auth.Credentials {
	return auth.NewCredentials(&auth.CredentialsOptions{TokenProvider: tokens{kept, kind}})
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
