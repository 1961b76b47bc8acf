// SPDX-License-Identifier: Apache-2.0

// Package stile carries a workload's identity from one cloud into another, with no stored key.
//
// A [Source] proves who the workload is by yielding a subject token; a [Target] exchanges that token for a
// [Credential] of the other cloud; a [Crossing] is one of each. Most programs build one and let package keep hold
// its credential fresh:
//
//	tokens := keep.New(stile.Cross(source, target))
//	cred, err := tokens.Credential(ctx)
//
// Sources live in from/aws and from/gcp, targets in to/gcp and to/aws. This package imports no cloud SDK.
package stile

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A TokenType says how the far side must read a subject token (RFC 8693, section 3).
type TokenType string

// The token types that Google STS and AWS STS accept from a workload.
const (
	TokenTypeAWS4Request TokenType = "urn:ietf:params:aws:token-type:aws4_request" // a signed, unsent GetCallerIdentity request
	TokenTypeJWT         TokenType = "urn:ietf:params:oauth:token-type:jwt"
	TokenTypeIDToken     TokenType = "urn:ietf:params:oauth:token-type:id_token"
)

// A SubjectToken is a workload's proof of its own identity, good for one exchange. It is never kept: a signed
// request goes stale in minutes.
type SubjectToken struct {
	Value Secret
	Type  TokenType

	// Subject is whom the token speaks for, as far as the source can tell: a role ARN, an e-mail address. It names
	// sessions and errors and decides nothing; the far side reads the token itself.
	Subject string

	// Expires is when the far side stops taking the token. Zero: the source cannot tell.
	Expires time.Time
}

// A Source proves who the workload is. Implementations are safe for concurrent use.
//
// A Source that also has a CacheKey method (see [Keyed]) can share kept credentials with an equal Source; without one
// it shares with nobody.
type Source interface {
	// SubjectToken makes a new token that only audience will take. It fails with [ErrNoIdentity] where the workload
	// has no such identity.
	SubjectToken(ctx context.Context, audience string) (SubjectToken, error)
}

// SourceFunc lets a plain function be a [Source].
type SourceFunc func(ctx context.Context, audience string) (SubjectToken, error)

// SubjectToken calls f.
func (f SourceFunc) SubjectToken(ctx context.Context, audience string) (SubjectToken, error) {
	return f(ctx, audience)
}

// A Target is the identity wanted in the other cloud. Implementations are safe for concurrent use.
type Target interface {
	// Audience is whom a subject token must be made out to before this target can use it.
	Audience() string

	// Exchange trades the token for a credential that says when it expires. A refusal is an [*Error].
	Exchange(ctx context.Context, token SubjectToken) (Credential, error)
}

// A Kind says which of a [Credential]'s fields are set.
type Kind int

// The kinds of credential.
const (
	KindAWSSession  Kind = iota + 1 // Session: access key id, secret access key, session token
	KindAccessToken                 // Token: a Google OAuth 2.0 access token
	KindIDToken                     // Token: an OIDC ID token
)

// String names the kind as messages do.
func (k Kind) String() string {
	switch k {
	case KindAWSSession:
		return "AWS session"
	case KindAccessToken:
		return "access token"
	case KindIDToken:
		return "ID token"
	}
	return fmt.Sprintf("kind %d", int(k))
}

// A Credential is a short-lived credential of the target's cloud. Printing one shows no secret.
type Credential struct {
	Kind      Kind
	Session   Session // set for KindAWSSession
	Token     Secret  // set for KindAccessToken and KindIDToken
	Expires   time.Time
	Principal string // whom the credential speaks for: an ARN, a service account, a principal:// identifier
}

// A Session is the three parts of a temporary AWS credential, and the account they belong to.
type Session struct {
	AccessKeyID     string
	SecretAccessKey Secret
	SessionToken    Secret
	AccountID       string // 12 digits; empty where STS did not say
}

// A Supplier gives a credential. A [Crossing] makes a new one each time; a keeper holds one fresh.
type Supplier interface {
	Credential(ctx context.Context) (Credential, error)
}

// A Crossing is one source and one target. Its zero value is of no use: see [Cross].
type Crossing struct {
	source Source
	target Target
	key    Key
	keyed  bool
}

// Cross joins a source to a target. A nil source or target is reported by the first use.
func Cross(source Source, target Target) Crossing {
	from, told := keyOf(source)
	to, toldToo := keyOf(target)
	return Crossing{source: source, target: target, key: NewKey("crossing", from, to), keyed: told && toldToo}
}

// Credential makes one exchange and keeps nothing: every call costs the round trips. Package keep holds the result.
func (c Crossing) Credential(ctx context.Context) (Credential, error) {
	if c.source == nil || c.target == nil {
		return Credential{}, &Error{Op: "cross", Hint: "give stile.Cross a source and a target", Err: fmt.Errorf("%w: the crossing has no source or no target", ErrMisuse)}
	}
	token, err := c.source.SubjectToken(ctx, c.target.Audience())
	if err != nil {
		return Credential{}, err
	}
	cred, err := c.target.Exchange(ctx, token)
	if err != nil {
		return Credential{}, err
	}
	if cred.Expires.IsZero() {
		return Credential{}, &Error{Op: "cross", Err: errors.New("the target gave a credential with no expiry")}
	}
	return cred, nil
}

// Key identifies everything that decides what [Crossing.Credential] returns.
func (c Crossing) Key() Key { return c.key }

// Again is the same crossing with the key that the surroundings make now: a file or a variable may have changed since
// c was built.
func (c Crossing) Again() Crossing {
	if !c.keyed {
		return c
	}
	return Cross(c.source, c.target)
}

// Keyed reports whether source and target told their keys. If not, Key is this one value's alone.
func (c Crossing) Keyed() bool { return c.keyed }

// Identity is the key of whom the source proves to be, and of the target: equal on two machines only if either could
// have made the other's exchange. With role, sessions of one AWS role are one. It fails with [ErrMisuse] for a source
// that is not [Identified], or a target that is not [Keyed].
func (c Crossing) Identity(ctx context.Context, role bool) (Key, error) {
	source, ok := c.source.(Identified)
	target, keyed := c.target.(Keyed)
	if !ok || !keyed || target.CacheKey().IsZero() {
		return Key{}, &Error{Op: "prove the identity", Hint: "keep this crossing in memory or in a file",
			Err: fmt.Errorf("%w: this crossing cannot tell whom it speaks for, so its credential cannot be shared between machines", ErrMisuse)}
	}
	proven, err := source.Identity(ctx, c.target.Audience(), role)
	if err != nil {
		return Key{}, err
	}
	return NewKey("identity", proven.String(), target.CacheKey().String()), nil
}
