// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/stile-project/stile/lab/oidc"
)

// maxIssuedAgo is how old a subject token may be, whatever its exp. Source: sts/v1 discovery.
const maxIssuedAgo = 24 * time.Hour

// verifyJWT checks a token of the provider's OIDC issuer: signature by published key, issuer, audience and times.
func (q *call) verifyJWT(p *provider, raw string) (map[string]any, time.Time, error) {
	ctx, cancel := q.timeout()
	defer cancel()
	claims, err := oidc.Verifier{Net: q.net, Algorithms: []string{"RS256", "ES256"}}.Verify(ctx, p.Issuer, raw)
	if err != nil {
		return nil, time.Time{}, q.refuse(jwtRefused(err), "the token of %s does not verify: %s", p.Issuer, clip(err.Error(), 200))
	}
	q.entry.OK("the token is signed with a key that %s publishes", p.Issuer)
	if err := q.checkClaims(p, claims); err != nil {
		return nil, time.Time{}, err
	}
	expires, err := q.checkTimes(claims)
	return claims, expires, err
}

// jwtRefused turns a verifier's error into Google's. Only the text for an issuer out of reach is known; the others are
// ours.
func jwtRefused(err error) answer {
	switch {
	case errors.Is(err, oidc.ErrDiscovery):
		return oauthError(http.StatusBadRequest, invalidGrant, textIssuer)
	case errors.Is(err, oidc.ErrAlgorithm):
		return oauthError(http.StatusBadRequest, invalidGrant, "The signature algorithm of the ID Token must be RS256 or ES256.")
	case errors.Is(err, oidc.ErrUnknownKey):
		return oauthError(http.StatusBadRequest, invalidGrant, "The signing key of the ID Token is not found among the issuer's keys.")
	case errors.Is(err, oidc.ErrSignature):
		return oauthError(http.StatusBadRequest, invalidGrant, "Invalid signature of the ID Token.")
	}
	return oauthError(http.StatusBadRequest, invalidRequest, "Unable to parse the ID Token.")
}

func (q *call) checkClaims(p *provider, claims map[string]any) error {
	for _, name := range []string{"iss", "sub", "aud", "iat", "exp"} {
		if claims[name] == nil || claims[name] == "" {
			return q.refuse(oauthError(http.StatusBadRequest, invalidGrant, fmt.Sprintf("The ID Token has no %q claim.", name)), "the token has no %s", name)
		}
	}
	if claims["iss"] != p.Issuer {
		text := fmt.Sprintf("The issuer in ID Token %s does not match the expected ones: %s.", clip(fmt.Sprint(claims["iss"]), 128), p.Issuer)
		return q.refuse(oauthError(http.StatusBadRequest, invalidGrant, text), "the token says another issuer than %s", p.Issuer)
	}
	audiences, ok := audienceList(claims["aud"])
	if !ok || !slices.ContainsFunc(audiences, func(a string) bool { return slices.Contains(p.audiences(), a) }) {
		text := fmt.Sprintf("The audience in ID Token %s does not match the expected audience %s.", bracketed(audiences), strings.Join(p.audiences(), " or "))
		return q.refuse(oauthError(http.StatusBadRequest, invalidGrant, text), "the token is for %s; this provider takes %s", bracketed(audiences), strings.Join(p.audiences(), " or "))
	}
	q.entry.OK("issuer and audience are the ones the provider expects")
	return nil
}

// checkTimes wants iat in the past day and exp in the future, and gives the latter.
func (q *call) checkTimes(claims map[string]any) (time.Time, error) {
	issued, issuedOK := unixTime(claims["iat"])
	expires, expiresOK := unixTime(claims["exp"])
	switch {
	case !issuedOK || !expiresOK:
		return time.Time{}, q.refuse(oauthError(http.StatusBadRequest, invalidGrant, "The iat and exp claims of the ID Token must be numbers."), "iat or exp is no number of seconds")
	case issued.After(q.now):
		return time.Time{}, q.refuse(oauthError(http.StatusBadRequest, invalidGrant, fmt.Sprintf("ID Token issued at %d is issued in the future.", issued.Unix())),
			"the token was issued %s from now", spell(issued.Sub(q.now)))
	case q.now.Sub(issued) > maxIssuedAgo:
		return time.Time{}, q.refuse(oauthError(http.StatusBadRequest, invalidGrant, fmt.Sprintf("ID Token issued at %d is stale to sign-in.", issued.Unix())),
			"the token was issued %s ago; 24 h are accepted", spell(q.now.Sub(issued)))
	case !q.now.Before(expires):
		return time.Time{}, q.refuse(oauthError(http.StatusBadRequest, invalidGrant, fmt.Sprintf("ID Token expired at %d.", expires.Unix())),
			"the token expired %s ago", spell(q.now.Sub(expires)))
	}
	q.entry.OK("the token was issued %s ago and is good for another %s", spell(q.now.Sub(issued)), spell(expires.Sub(q.now)))
	return expires, nil
}

// audienceList reads aud, which is a string or a list of strings.
func audienceList(aud any) ([]string, bool) {
	if one, ok := aud.(string); ok {
		return []string{one}, true
	}
	var list []string
	return list, storeStrings(&list, aud) && len(list) > 0
}

func bracketed(audiences []string) string {
	return "[" + clip(strings.Join(audiences, ", "), 300) + "]"
}

// unixTime reads a NumericDate. A fraction is cut off; a time outside the years 1970 to 9999 is none.
func unixTime(v any) (time.Time, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return time.Time{}, false
	}
	f, err := n.Float64()
	if err != nil || f < 0 || f > 253402300799 {
		return time.Time{}, false
	}
	return time.Unix(int64(f), 0), true
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
