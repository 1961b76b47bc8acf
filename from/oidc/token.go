// SPDX-License-Identifier: Apache-2.0

// Package fromoidc proves an identity by an OIDC token that somebody else issued: a CI system, a Kubernetes cluster, a
// SPIFFE provider, or whatever leaves tokens in a file, a variable, behind a URL or with a program.
//
// Each source is a struct that is ready once its few required fields are filled in:
//
//	source := &fromoidc.GitHubActions{}
//	source := &fromoidc.File{Path: "/var/run/secrets/tokens/stile"}
//
// A source that can ask for a token asks for the target's audience. One that only finds a token checks that it is made
// out to that audience, so that a mix-up is told here and not guessed from a cloud's refusal. Every source has a field
// Audience for a target that takes another name than its own, such as a provider's allowed audience.
package fromoidc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/jwt"
)

// TokenTypeSAML2 is what an [Executable] may give beside JWTs. Its audience cannot be read, so it needs
// InsecureSkipAudience.
const TokenTypeSAML2 stile.TokenType = "urn:ietf:params:oauth:token-type:saml2"

// A proof says what a token must be before it is presented, and which kind of failure it is when it is not.
type proof struct {
	op       string // for errors
	from     string // where the token came from, for errors: "the file /var/run/token"
	audience string // whom it must be made out to
	skip     bool   // take whatever it is made out to, and a token that is no JWT
	typ      stile.TokenType
	now      time.Time
	kinds    kinds
	hint     string // how to get one for audience
}

// kinds tell what each fault of a token means for the caller.
type kinds struct {
	unreadable, elsewhere, expired error
}

// found is for tokens that someone put there: a new one may come, but not for another audience.
var found = kinds{unreadable: stile.ErrNoIdentity, elsewhere: stile.ErrMisuse, expired: stile.ErrTemporary}

// issued is for tokens that were asked for, with their audience: any fault is the issuer's.
var issued = kinds{unreadable: stile.ErrTemporary, elsewhere: stile.ErrTemporary, expired: stile.ErrTemporary}

// subjectToken checks raw and wraps it.
func (p proof) subjectToken(raw string) (stile.SubjectToken, error) {
	raw = strings.TrimSpace(raw)
	token := stile.SubjectToken{Value: stile.NewSecret(raw), Type: p.typ}
	if token.Type == "" {
		token.Type = stile.TokenTypeJWT
	}
	claims, err := jwt.Unverified(raw)
	switch {
	case raw == "":
		return stile.SubjectToken{}, p.fail(p.kinds.unreadable, "", errors.New("the token is empty"))
	case err != nil && p.skip && opaque(raw):
		return token, nil
	case err != nil:
		return stile.SubjectToken{}, p.fail(p.kinds.unreadable, unreadableHint(raw), fmt.Errorf("no JWT: %w", err))
	case !p.skip && !madeOutTo(claims.Audience, p.audience):
		return stile.SubjectToken{}, p.fail(p.kinds.elsewhere, p.hint,
			fmt.Errorf("the token is made out to %s, not to %.200q", quoted(claims.Audience), p.audience))
	case !claims.Expires.IsZero() && !p.now.Before(claims.Expires):
		return stile.SubjectToken{}, p.fail(p.kinds.expired, "check what renews the token, and this machine's clock",
			fmt.Errorf("the token expired at %s, %s ago", claims.Expires.UTC().Format(time.RFC3339), p.now.Sub(claims.Expires).Round(time.Second)))
	}
	token.Subject, token.Expires = claims.Name(), claims.Expires
	return token, nil
}

func (p proof) fail(kind error, hint string, cause error) error {
	return &stile.Error{Op: p.op, Hint: hint, Err: fmt.Errorf("%w: %s: %w", kind, p.from, cause)}
}

// madeOutTo knows that Google takes a provider's name with "https:" in front as well.
// Source: IAM v1, WorkloadIdentityPoolProvider.Oidc, allowedAudiences.
func madeOutTo(audiences []string, wanted string) bool {
	return slices.Contains(audiences, wanted) ||
		strings.HasPrefix(wanted, "//iam.googleapis.com/") && slices.Contains(audiences, "https:"+wanted)
}

// quoted shows a token's audiences, which are no secret, at a bounded length.
func quoted(audiences []string) string {
	const most = 3
	if len(audiences) == 0 {
		return "nobody (it has no aud)"
	}
	var names []string
	for _, a := range audiences[:min(len(audiences), most)] {
		names = append(names, fmt.Sprintf("%.200q", a))
	}
	if left := len(audiences) - most; left > 0 {
		names = append(names, fmt.Sprintf("%d more", left))
	}
	return strings.Join(names, ", ")
}

// opaque reports whether raw can be a token of any kind: visible ASCII of a bounded length.
func opaque(raw string) bool {
	return len(raw) <= jwt.MaxSize && !strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r > '~' })
}

func unreadableHint(raw string) string {
	switch {
	case strings.HasPrefix(raw, "{"):
		return "this is JSON: say as the source's field which member holds the token"
	case strings.HasPrefix(raw, "\xef\xbb\xbf"), strings.HasPrefix(raw, "\xff\xfe"), strings.HasPrefix(raw, "\xfe\xff"):
		return "write the token without a byte order mark, as plain ASCII"
	case opaque(raw):
		return "use a token that is a JWT; only a program with the library can skip this check (InsecureSkipAudience)"
	}
	return ""
}

// noAudience is what a source says to an empty audience: it would match nothing, or anything.
func noAudience(op string) error {
	return &stile.Error{Op: op, Err: fmt.Errorf("%w: no audience", stile.ErrMisuse), Hint: "name the audience that the other side's trust checks"}
}

func now(clock func() time.Time) time.Time {
	if clock == nil {
		return time.Now()
	}
	return clock()
}
