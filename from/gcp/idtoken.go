// SPDX-License-Identifier: Apache-2.0

package fromgcp

import (
	"errors"
	"fmt"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/jwt"
)

// floor is the shortest remaining life worth presenting: some platforms repeat a token until it is nearly dead.
const floor = time.Minute

// presentable makes a subject token of what a cloud gave for an ID token. One for another audience is refused here:
// whoever the token is made out to could use it.
func presentable(op, from, raw, audience string, now time.Time) (stile.SubjectToken, error) {
	fail := func(hint string, err error) (stile.SubjectToken, error) {
		return stile.SubjectToken{}, &stile.Error{Op: op, Cloud: from, Hint: hint, Err: fmt.Errorf("%w: %w", stile.ErrTemporary, err)}
	}
	claims, err := unverified(raw)
	if err != nil {
		return fail("", fmt.Errorf("what %s gave is no ID token: %w", from, err))
	}
	if len(claims.Audience) != 1 || claims.Audience[0] != audience {
		return fail("something other than "+from+" may be answering", errors.New("the ID token is for another audience than the one asked"))
	}
	if left := claims.Expires.Sub(now); left < floor {
		return fail("check this machine's clock", fmt.Errorf("the token's expiry %s is %s away", claims.Expires.UTC().Format(time.RFC3339), left.Round(time.Second)))
	}
	return stile.SubjectToken{Value: stile.NewSecret(raw), Type: stile.TokenTypeIDToken, Subject: claims.Name(), Expires: claims.Expires}, nil
}

// unverified reads the claims that name the token. Nothing is decided by them; the far side verifies.
func unverified(raw string) (jwt.Claims, error) {
	c, err := jwt.Unverified(raw)
	if err != nil {
		return jwt.Claims{}, err
	}
	if c.Expires.IsZero() || c.Subject == "" {
		return jwt.Claims{}, errors.New("it has no exp or no sub")
	}
	return c, nil
}

// noAudience is the misuse that every source refuses: an empty check is no check.
func noAudience(op string) error {
	return &stile.Error{Op: op, Err: fmt.Errorf("%w: no audience", stile.ErrMisuse), Hint: "name the audience that the other side's trust checks"}
}

// Claims are what the other side's trust can look at in a Google ID token.
//
// The authorized party differs by the way a token was obtained: the metadata server and generateIdToken put the service
// account's numeric id there, a key and signJwt its e-mail.
type Claims struct {
	Issuer          string // iss
	Subject         string // sub: the numeric id
	AuthorizedParty string // azp: the numeric id or the e-mail
	Audience        string // aud
	Email           string // email; empty where the platform or the way does not give it
}

// ReadClaims reads them, unverified, from a token that a source of this package gave.
func ReadClaims(token stile.SubjectToken) (Claims, error) {
	c, err := unverified(token.Value.Reveal())
	if err != nil {
		return Claims{}, fmt.Errorf("reading the claims of the ID token: %w", err)
	}
	claims := Claims{Issuer: c.Issuer, Subject: c.Subject, AuthorizedParty: c.AuthorizedParty, Email: c.Email}
	if len(c.Audience) > 0 {
		claims.Audience = c.Audience[0]
	}
	return claims, nil
}

// AWSConditions pairs each condition key that an AWS trust policy has for Google with the value that this token gives
// it, in the order in which policies are written. Note that :aud holds azp, and :oaud the audience.
// Source: IAM user guide, available keys for AWS web identity federation.
func (c Claims) AWSConditions() [][2]string {
	aud := c.AuthorizedParty
	if aud == "" {
		aud = c.Audience
	}
	return [][2]string{{"accounts.google.com:sub", c.Subject}, {"accounts.google.com:aud", aud}, {"accounts.google.com:oaud", c.Audience}}
}
