// SPDX-License-Identifier: Apache-2.0

package fromgcp

import (
	"context"
	"fmt"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/jwt"
)

// proven obtains a token for audience and covers its claims, less those that differ from one token to the next.
func proven(ctx context.Context, source stile.Source, audience string, without ...jwt.Claim) (stile.Key, error) {
	token, err := source.SubjectToken(ctx, audience)
	if err != nil {
		return stile.Key{}, err
	}
	identity, err := jwt.Identity(token.Value.Reveal(), without...)
	if err != nil {
		return stile.Key{}, &stile.Error{Op: "prove who this workload is", Err: fmt.Errorf("%w: the ID token cannot tell: %w", stile.ErrMisuse, err)}
	}
	return stile.NewKey("from/gcp identity", identity), nil
}

// Identity covers the claims of an ID token for audience, as the far side sees them. A service account has no sessions
// to leave out.
func (s *Impersonated) Identity(ctx context.Context, audience string, _ bool) (stile.Key, error) {
	return proven(ctx, s, audience)
}

// Identity covers the claims of an ID token for audience, as the far side sees them. A service account has no sessions
// to leave out.
func (s *SignedJWT) Identity(ctx context.Context, audience string, _ bool) (stile.Key, error) {
	return proven(ctx, s, audience)
}

// Identity covers the claims of an ID token for audience, as the far side sees them: two machines with one person's
// file, who may speak for one account, have one. It fails with [stile.ErrNoIdentity] for a person without an account.
func (a *ApplicationDefault) Identity(ctx context.Context, audience string, _ bool) (stile.Key, error) {
	return proven(ctx, a, audience)
}

// Identity covers the claims of an ID token for audience, as the far side sees them, and not the key that signed for it.
func (k *Key) Identity(ctx context.Context, audience string, _ bool) (stile.Key, error) {
	return proven(ctx, k, audience)
}

// machineClaims are what a token of the format "full" says of one machine and of no other. Zone, project, license and
// confidentiality stay: the machines of one group have them in common, and a far side's trust may ask for them.
// Source: Compute Engine, "Verify the identity of a VM", token contents.
var machineClaims = []jwt.Claim{
	{"google", "compute_engine", "instance_id"}, {"google", "compute_engine", "instance_name"}, {"google", "compute_engine", "instance_creation_timestamp"},
}

// Identity covers the claims of an ID token for audience. With the format "full" Compute Engine says there which machine
// it is, so that each is an identity of its own; with role, id, name and creation of the machine are left out, as the
// session's name is for an EC2 instance, since all the machines of the service account are one principal. The format
// "standard" tells no machine from another in the first place.
func (m *Metadata) Identity(ctx context.Context, audience string, role bool) (stile.Key, error) {
	if role {
		return proven(ctx, m, audience, machineClaims...)
	}
	return proven(ctx, m, audience)
}
