// SPDX-License-Identifier: Apache-2.0

// Package oidc is what two clouds need to trust each other's tokens: an [Issuer] that signs and publishes its keys, and
// a [Verifier] that finds an issuer's keys by discovery and checks a signature as strictly as a cloud does.
//
//	google := oidc.NewIssuer("https://accounts.google.com", clock)
//	token, err := google.Sign(map[string]any{"iss": google.URL(), "sub": "1029…", "exp": …})
//	claims, err := oidc.Verifier{Net: world}.Verify(ctx, "https://accounts.google.com", token)
//
// The verifier answers one question, "did this issuer sign these claims?". Times, audiences and subjects belong to the
// cloud that asks.
package oidc

import "errors"

// Why a token was refused, for errors.Is. No error repeats any part of the token's payload or signature.
var (
	// ErrMalformed: this is not a JWT in compact form, or a reader could take it in two ways.
	ErrMalformed = errors.New("malformed token")
	// ErrAlgorithm: the token names an algorithm that proves nothing (none), that needs a shared secret (HS256), that
	// the verifier does not list, or that its key is not for.
	ErrAlgorithm = errors.New("signature algorithm not accepted")
	// ErrUnknownKey: the token names no key, or one its issuer does not publish.
	ErrUnknownKey = errors.New("unknown signing key")
	// ErrSignature: the named key did not sign this token.
	ErrSignature = errors.New("signature does not match")
	// ErrDiscovery: the issuer's keys could not be had: it is unreachable, speaks for another issuer or publishes
	// something that is no key set.
	ErrDiscovery = errors.New("cannot discover the issuer's keys")
)
