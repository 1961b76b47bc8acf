// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

// A Key is a service-account key as its owner downloads it. PrivateKeyPEM is a secret.
type Key struct {
	ID            string // kid, 40 hexadecimal digits
	PrivateKeyPEM string // PKCS #8
	Account       ServiceAccount
}

// A signingKey is Google's half of a key: it signs with a key of its own, and keeps only the public half of one that
// was downloaded. The lab keeps both.
type signingKey struct {
	id      string
	private *rsa.PrivateKey
}

// Key makes a new key for a service account.
func (c *Cloud) Key(email string) (Key, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.accounts[email]
	if a == nil {
		return Key{}, fmt.Errorf("there is no service account %q", clip(email, 128))
	}
	k, err := madeKeys.get(keyName{email, len(a.keys) + 1})
	if err != nil {
		return Key{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return Key{}, fmt.Errorf("writing the key of %s: %w", clip(email, 128), err)
	}
	a.keys = append([]signingKey{k}, a.keys...)
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return Key{ID: k.id, PrivateKeyPEM: string(text), Account: a.ServiceAccount}, nil
}

// File is the key as the JSON file that GOOGLE_APPLICATION_CREDENTIALS may name.
func (k Key) File() []byte {
	text, _ := json.MarshalIndent(map[string]string{ // a map of strings always marshals
		"type":            "service_account",
		"project_id":      k.Account.Project,
		"private_key_id":  k.ID,
		"private_key":     k.PrivateKeyPEM,
		"client_email":    k.Account.Email,
		"client_id":       k.Account.UniqueID,
		"auth_uri":        "https://accounts.google.com/o/oauth2/auth",
		"token_uri":       tokenURL,
		"universe_domain": universe,
	}, "", "  ")
	return text
}

// madeKeys remembers the keys this process made. An RSA key takes a tenth of a second to find, and a test suite builds
// hundreds of worlds: accounts of one e-mail share their keys across worlds. Two accounts never share, nor two keys of
// one account, or a check that asked the wrong one would go unnoticed. Nothing here is secret beyond the process.
var madeKeys keyRing

type keyRing struct {
	sync.Mutex
	keys map[keyName]signingKey
}

type keyName struct {
	email string
	n     int // the account's first downloaded key is 1; 0 is the one Google itself signs with
}

// maxRing bounds madeKeys; a key past it is made anew each time.
const maxRing = 256

func (r *keyRing) get(name keyName) (signingKey, error) {
	r.Lock()
	defer r.Unlock()
	if k, ok := r.keys[name]; ok {
		return k, nil
	}
	k, err := newSigningKey()
	if err == nil && len(r.keys) < maxRing {
		if r.keys == nil {
			r.keys = map[keyName]signingKey{}
		}
		r.keys[name] = k
	}
	return k, err
}

func newSigningKey() (signingKey, error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return signingKey{}, fmt.Errorf("making a service-account key: %w", err)
	}
	sum := sha256.Sum256(private.N.Bytes())
	return signingKey{id: hex.EncodeToString(sum[:20]), private: private}, nil
}

// ownKey is the key Google signs with for a service account: made on first use, and kept.
func (c *Cloud) ownKey(email string) (signingKey, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.accounts[email]
	if a == nil {
		return signingKey{}, fmt.Errorf("there is no service account %q", clip(email, 128))
	}
	if !a.ownKey.made() {
		k, err := madeKeys.get(keyName{email, 0})
		if err != nil {
			return signingKey{}, err
		}
		a.ownKey = k
	}
	return a.ownKey, nil
}

func (k signingKey) made() bool { return k.private != nil }

// publicKeys are all keys of a service account, as its JWKS has them.
func (c *Cloud) publicKeys(email string) (jose.JSONWebKeySet, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.accounts[email]
	if a == nil {
		return jose.JSONWebKeySet{}, false
	}
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range append([]signingKey{a.ownKey}, a.keys...) {
		if k.made() {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: &k.private.PublicKey, KeyID: k.id, Algorithm: string(jose.RS256), Use: "sig"})
		}
	}
	return set, true
}

// signJWT signs a claims set as it stands.
func (k signingKey) signJWT(payload []byte) (string, error) {
	key := jose.JSONWebKey{Key: k.private, KeyID: k.id}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// signBytes signs with RSASSA-PKCS1-v1_5 and SHA-256, as signBlob does.
func (k signingKey) signBytes(payload []byte) ([]byte, error) {
	sum := sha256.Sum256(payload)
	return rsa.SignPKCS1v15(rand.Reader, k.private, crypto.SHA256, sum[:])
}

// accountKeys answers GET /service_accounts/v1/jwk/EMAIL.
func (q *call) accountKeys() (answer, error) {
	set, ok := q.publicKeys(q.r.PathValue("email"))
	if !ok {
		return answer{}, q.refuse(apiError(http.StatusNotFound, "Service account not found."), "there is no such service account")
	}
	q.entry.OK("anyone may read the public keys of a service account")
	return jsonAnswer(http.StatusOK, set), nil
}
