// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

// signingKeys remembers the keys this process made. An RSA key takes a tenth of a second to find, and a test suite
// builds hundreds of worlds, each with a Google in it: they share one key per issuer. Two issuers never share, or a
// verifier that asked the wrong one would go unnoticed. Nothing here is secret beyond the process.
var signingKeys struct {
	sync.Mutex
	made map[keyName]jose.JSONWebKey
}

type keyName struct {
	algorithm  jose.SignatureAlgorithm
	url        string
	generation int // how often the issuer has rotated
}

// keptKeys bounds signingKeys; a key past it is made anew for each issuer.
const keptKeys = 256

func signingKey(algorithm jose.SignatureAlgorithm, url string, generation int) jose.JSONWebKey {
	name := keyName{algorithm, url, generation}
	signingKeys.Lock()
	defer signingKeys.Unlock()
	if key, ok := signingKeys.made[name]; ok {
		return key
	}
	key := newKey(algorithm)
	if signingKeys.made == nil {
		signingKeys.made = map[keyName]jose.JSONWebKey{}
	}
	if len(signingKeys.made) < keptKeys {
		signingKeys.made[name] = key
	}
	return key
}

// newKey cannot fail: since Go 1.24 the system's randomness either works or ends the program.
func newKey(algorithm jose.SignatureAlgorithm) jose.JSONWebKey {
	var private crypto.Signer
	var err error
	switch algorithm {
	case jose.ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	default:
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		panic("oidc: making a signing key: " + err.Error())
	}
	key := jose.JSONWebKey{Key: private, Algorithm: string(algorithm), Use: "sig"}
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		panic("oidc: naming a signing key: " + err.Error())
	}
	key.KeyID = hex.EncodeToString(sum[:20]) // 40 hexadecimal digits, the shape of Google's key ids
	return key
}
