// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Overlap is how long a retired key stays published after [Issuer.Rotate]: as long as the tokens it signed live.
const Overlap = time.Hour

// An Issuer signs tokens and publishes the keys that prove it. It is safe for concurrent use.
type Issuer struct {
	url       string
	jwksURI   string
	algorithm jose.SignatureAlgorithm
	beside    *Issuer
	clock     func() time.Time

	mu         sync.Mutex
	generation int
	current    jose.JSONWebKey
	retired    []retiredKey
}

type retiredKey struct {
	public jose.JSONWebKey
	gone   time.Time // when it is no longer published
}

// An Option sets what most issuers leave alone.
type Option func(*Issuer)

// JWKSURI sets where the discovery document says the keys are. Without it that is URL/.well-known/jwks.json. Google's
// are on another host than its issuer: https://www.googleapis.com/oauth2/v3/certs.
func JWKSURI(uri string) Option { return func(i *Issuer) { i.jwksURI = uri } }

// ES256 makes the issuer sign with an elliptic-curve key, P-256, where the default is RS256 with 2048 bits.
func ES256() Option { return func(i *Issuer) { i.algorithm = jose.ES256 } }

// ES384 does the same with P-384.
func ES384() Option { return func(i *Issuer) { i.algorithm = jose.ES384 } }

// Beside makes the issuer publish the keys of another one as well: the same issuer, signing with another algorithm.
func Beside(other *Issuer) Option { return func(i *Issuer) { i.beside = other } }

// NewIssuer makes an issuer whose tokens say iss = url, which is kept to the letter. The clock decides when a retired
// key stops being published.
func NewIssuer(url string, clock func() time.Time, options ...Option) *Issuer {
	i := &Issuer{
		url:       url,
		jwksURI:   strings.TrimSuffix(url, "/") + "/.well-known/jwks.json",
		algorithm: jose.RS256,
		clock:     clock,
	}
	for _, set := range options {
		set(i)
	}
	i.current = signingKey(i.algorithm, i.url, i.generation)
	return i
}

// URL is the issuer's identifier, the value of iss.
func (i *Issuer) URL() string { return i.url }

// Sign makes a token of exactly these claims. The header names the algorithm, the key and the type JWT; iss, iat, exp
// and the rest are the caller's business, so that a test can sign what no honest issuer would.
func (i *Issuer) Sign(claims map[string]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	signer, err := i.signer()
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	return signed.CompactSerialize()
}

func (i *Issuer) signer() (jose.Signer, error) {
	i.mu.Lock()
	key := jose.SigningKey{Algorithm: i.algorithm, Key: i.current}
	i.mu.Unlock()
	return jose.NewSigner(key, (&jose.SignerOptions{}).WithType("JWT"))
}

// Rotate makes a new signing key. The one before it stays published for [Overlap], so tokens already out keep working.
func (i *Issuer) Rotate() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.retired = append(i.retired, retiredKey{public: i.current.Public(), gone: i.clock().Add(Overlap)})
	i.generation++
	i.current = signingKey(i.algorithm, i.url, i.generation)
}

// keys are the public keys as published now, the newest first.
func (i *Issuer) keys() jose.JSONWebKeySet {
	i.mu.Lock()
	defer i.mu.Unlock()
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{i.current.Public()}}
	now := i.clock()
	for n := len(i.retired) - 1; n >= 0; n-- {
		if now.Before(i.retired[n].gone) {
			set.Keys = append(set.Keys, i.retired[n].public)
		}
	}
	if i.beside != nil {
		set.Keys = append(set.Keys, i.beside.keys().Keys...)
	}
	return set
}
