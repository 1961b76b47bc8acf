// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// A Verifier checks that an issuer signed a token, with keys found by discovery. It keeps nothing between calls: a
// rotated key is seen at once.
type Verifier struct {
	// Net reaches the issuer. Required: there is no default, so that a lab cannot reach the real network by accident.
	Net http.RoundTripper

	// Algorithms are the signature algorithms accepted, among RS256, RS384, RS512, ES256, ES384 and ES512; any other
	// is refused even if listed. Empty means RS256 and ES256, what Google STS takes.
	Algorithms []string
}

// curveBits lists the signature algorithms that a public key can check, and for the elliptic ones the size of the curve.
// Neither none nor the HS family is here: with those, whoever knows the public key can sign.
var curveBits = map[string]int{
	"RS256": 0, "RS384": 0, "RS512": 0,
	"ES256": 256, "ES384": 384, "ES512": 521,
}

// Verify returns the claims of a token that issuer signed, numbers as json.Number. It looks at the signature alone: not
// at iss, times or audience. Its errors are the Err values of this package.
func (v Verifier) Verify(ctx context.Context, issuer, raw string) (map[string]any, error) {
	header, _, err := Unverified(raw)
	if err != nil {
		return nil, err
	}
	algorithm, err := v.algorithm(header)
	if err != nil {
		return nil, err
	}
	kid, _ := header["kid"].(string)
	if kid == "" {
		return nil, fmt.Errorf("%w: the header has no kid", ErrUnknownKey)
	}
	published, err := v.publishedKeys(ctx, issuer)
	if err != nil {
		return nil, err
	}
	key, err := pick(published, kid, algorithm)
	if err != nil {
		return nil, err
	}
	return checkSignature(raw, algorithm, key)
}

func (v Verifier) algorithm(header map[string]any) (string, error) {
	// An extension marked critical must be understood or refused (RFC 7515, section 4.1.11), and none is understood.
	if _, ok := header["crit"]; ok {
		return "", fmt.Errorf("%w: its header has critical extensions", ErrMalformed)
	}
	algorithm, ok := header["alg"].(string)
	if !ok {
		return "", fmt.Errorf("%w: the header has no alg", ErrAlgorithm)
	}
	accepted := v.Algorithms
	if len(accepted) == 0 {
		accepted = []string{"RS256", "ES256"}
	}
	if _, asymmetric := curveBits[algorithm]; !asymmetric || !slices.Contains(accepted, algorithm) {
		return "", fmt.Errorf("%w: %.16q, want one of %v", ErrAlgorithm, algorithm, accepted)
	}
	return algorithm, nil
}

// checkSignature returns the claims out of the very bytes that were signed.
func checkSignature(raw, algorithm string, key jose.JSONWebKey) (map[string]any, error) {
	signed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(algorithm)})
	if err != nil {
		return nil, fmt.Errorf("%w: it does not read as a signed token", ErrMalformed)
	}
	payload, err := signed.Verify(key.Key)
	if err != nil {
		return nil, fmt.Errorf("%w: key %.64q did not sign this token", ErrSignature, key.KeyID)
	}
	claims, err := readObject(payload)
	if err != nil {
		return nil, fmt.Errorf("%w: its claims: %w", ErrMalformed, err)
	}
	return claims, nil
}

// pick finds the published key a token names and makes sure that it is a public key for this algorithm.
func pick(published []any, kid, algorithm string) (jose.JSONWebKey, error) {
	for _, item := range published {
		entry, ok := item.(map[string]any)
		if !ok || entry["kid"] != kid {
			continue
		}
		key, err := readKey(entry)
		if err != nil {
			return jose.JSONWebKey{}, fmt.Errorf("%w: key %.64q: %w", ErrDiscovery, kid, err)
		}
		if !fits(key, algorithm) {
			return jose.JSONWebKey{}, fmt.Errorf("%w: key %.64q is not for %s", ErrAlgorithm, kid, algorithm)
		}
		return key, nil
	}
	return jose.JSONWebKey{}, fmt.Errorf("%w: %.64q is not among the %d keys the issuer publishes", ErrUnknownKey, kid, len(published))
}

func readKey(entry map[string]any) (jose.JSONWebKey, error) {
	var key jose.JSONWebKey
	text, err := json.Marshal(entry)
	if err != nil {
		return key, err
	}
	if err := key.UnmarshalJSON(text); err != nil {
		return key, errors.New("not a JSON Web Key")
	}
	return key, nil
}

// fits keeps a key to its own purpose: a private or shared key fits nothing, and an RSA key under 2048 bits is as good
// as none.
func fits(key jose.JSONWebKey, algorithm string) bool {
	if key.Use != "" && key.Use != "sig" || key.Algorithm != "" && key.Algorithm != algorithm {
		return false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		return algorithm[0] == 'R' && public.N.BitLen() >= 2048 && public.N.BitLen() <= 8192
	case *ecdsa.PublicKey:
		return public.Curve.Params().BitSize == curveBits[algorithm]
	}
	return false
}
