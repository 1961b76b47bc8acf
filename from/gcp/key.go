// SPDX-License-Identifier: Apache-2.0

package fromgcp

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/shape"
)

// Key is a [stile.Source] of ID tokens by a service-account key, and a [stile.Supplier] of access tokens. Keys are what
// Stile exists to remove: see [Key.Warning]. The tokens' azp is the account's e-mail.
// Source: Google Identity, "Using OAuth 2.0 for Server to Server Applications"; RFC 7523.
type Key struct {
	// File is the key as downloaded: JSON of "type": "service_account". Required.
	File stile.Secret
	// TokenURL is asked for the token, and is the signed JWT's audience. Empty: https://oauth2.googleapis.com/token. A
	// file's own token_uri must name Google's endpoint too, unless this field is set.
	TokenURL string
	Client   *http.Client     // nil: http.DefaultClient
	Clock    func() time.Time // dates the JWT; nil: time.Now
}

// CacheKey covers the account, the key and the endpoint.
func (k *Key) CacheKey() stile.Key {
	f, err := k.read()
	if err != nil {
		return stile.Key{}
	}
	return stile.NewKey("from/gcp key", f.Email, f.ID, k.tokens().endpoint())
}

func (k *Key) tokens() tokenClient { return tokenClient{k.TokenURL, k.Client, clockOr(k.Clock)} }

// Warning says what is wrong with a stored key and what to do instead. It names the key and never shows it.
func (k *Key) Warning() string {
	of, remove := "", ""
	if f, err := k.read(); err == nil {
		of = " of " + f.Email
		remove = ", then delete it: gcloud iam service-accounts keys delete " + f.ID + " --iam-account " + f.Email
	}
	return "a service-account key" + of + " is in use: it does not expire, and works from anywhere for whoever copies it. Use the identity of the place this workload runs in" + remove
}

// SubjectToken signs a JWT and trades it for an ID token for audience.
func (k *Key) SubjectToken(ctx context.Context, audience string) (stile.SubjectToken, error) {
	if audience == "" {
		return stile.SubjectToken{}, noAudience("sign with the service-account key")
	}
	f, signed, err := k.sign(audience)
	if err != nil {
		return stile.SubjectToken{}, err
	}
	return k.tokens().idToken(ctx, "trade the signed JWT for an ID token", f.Email, audience, signed)
}

// Credential signs a JWT and trades it for an access token of the account, with the scope cloud-platform.
func (k *Key) Credential(ctx context.Context) (stile.Credential, error) {
	f, signed, err := k.sign("")
	if err != nil {
		return stile.Credential{}, err
	}
	return k.tokens().accessToken(ctx, "trade the signed JWT for an access token", f.Email, grantBearer, map[string]stile.Secret{"assertion": stile.NewSecret(signed)})
}

func (k *Key) sign(audience string) (keyFile, string, error) {
	const op = "sign with the service-account key"
	f, err := k.read()
	if err != nil {
		return f, "", &stile.Error{Op: op, Err: fmt.Errorf("%w: %w", stile.ErrMisuse, err), Hint: "give the JSON file as it was downloaded, or better, no key at all"}
	}
	signed, err := f.sign(k.tokens().assertion(f.Email, audience))
	if err != nil {
		return f, "", &stile.Error{Op: op, Err: err}
	}
	return f, signed, nil
}

func (k *Key) read() (keyFile, error) {
	f, err := readKeyFile([]byte(k.File.Reveal()))
	if err == nil && k.TokenURL == "" && !knownTokenURL(f.TokenURL) {
		err = errors.New("the key file's token_uri is not Google's token endpoint")
	}
	return f, err
}

// A keyFile is what is used of a service-account key file.
type keyFile struct {
	Type     string `json:"type"`
	Email    string `json:"client_email"`
	ID       string `json:"private_key_id"`
	PEM      string `json:"private_key"`
	TokenURL string `json:"token_uri"`
	Universe string `json:"universe_domain"`

	private *rsa.PrivateKey
}

// maxFile is the longest credential file that is read. Google's have about 2,400 bytes.
const maxFile = 64 << 10

func isKeyID(s string) bool { return shape.Only(s, 1, 128, "0-9a-zA-Z_-") }

// readKeyFile reads a service-account key file. Its errors never quote it.
func readKeyFile(text []byte) (keyFile, error) {
	var f keyFile
	if len(text) > maxFile {
		return keyFile{}, fmt.Errorf("the key file is longer than %d bytes", maxFile)
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return keyFile{}, fmt.Errorf("the key file %w", notJSON(text, err))
	}
	if f.Type != "service_account" {
		return keyFile{}, errors.New(`the key file's type is not "service_account"`)
	}
	if _, err := shape.ServiceAccount(f.Email); err != nil {
		return keyFile{}, fmt.Errorf("the key file's client_email: %w", err)
	}
	if !isKeyID(f.ID) {
		return keyFile{}, errors.New("the key file has no private_key_id")
	}
	if f.Universe != "" && f.Universe != "googleapis.com" {
		return keyFile{}, errors.New("the key file is of another universe than googleapis.com, where keys give no ID tokens: impersonate the account")
	}
	var err error
	if f.private, err = readPrivateKey(f.PEM); err != nil {
		return keyFile{}, fmt.Errorf("the key file's private_key: %w", err)
	}
	f.PEM = ""
	return f, nil
}

// readPrivateKey reads an RSA key as Google writes it, in PKCS #8, or as older tools did, in PKCS #1.
func readPrivateKey(text string) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("not a PEM block")
	}
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, errors.New("not a private key in PKCS #8")
		}
		var ok bool
		if key, ok = parsed.(*rsa.PrivateKey); !ok {
			return nil, errors.New("not an RSA key")
		}
	}
	if key.N.BitLen() < 2048 || key.N.BitLen() > 8192 {
		return nil, errors.New("not an RSA key of 2048 to 8192 bits")
	}
	return key, nil
}

// sign makes a JWT by RS256, with the key's id in its header.
func (f keyFile) sign(claims map[string]any) (string, error) {
	header, err := json.Marshal(map[string]string{"alg": "RS256", "typ": "JWT", "kid": f.ID})
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	signing := encode(header) + "." + encode(payload)
	sum := sha256.Sum256([]byte(signing))
	signature, err := rsa.SignPKCS1v15(rand.Reader, f.private, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	return signing + "." + encode(signature), nil
}

// notJSON says where a file stops being the JSON it should be, without showing what stands there.
func notJSON(text []byte, err error) error {
	offset := int64(-1)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
	}
	if offset < 0 || offset > int64(len(text)) {
		return errors.New("is not the JSON it should be")
	}
	line := 1
	for _, b := range text[:offset] {
		if b == '\n' {
			line++
		}
	}
	return fmt.Errorf("is not the JSON it should be, at line %d", line)
}
