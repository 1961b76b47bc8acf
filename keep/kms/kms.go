// SPDX-License-Identifier: Apache-2.0

// Package kms wraps the keys of kept credentials in a key service: AWS KMS, Google Cloud KMS, the transit engine of
// Vault, or a key that is itself in the URL. What the service sees is a data key of 32 bytes, never a credential.
//
//	key, err := kms.Open(ctx, "awskms:///arn:aws:kms:eu-west-1:111122223333:key/1234abcd-…")
//	sealer := seal.Envelope(key)
//
// The URLs are those of gocloud.dev/secrets, whose drivers do the work:
//
//	awskms:///KEY          key id, ARN, alias/NAME or alias ARN; ?region=, profile=, role=, endpoint= and
//	                       context_NAME=VALUE (encryption context). Needs kms:Encrypt and kms:Decrypt.
//	gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K
//	                       application default credentials with roles/cloudkms.cryptoKeyEncrypterDecrypter.
//	hashivault://KEY       ?engine= (transit); VAULT_ADDR, VAULT_TOKEN and the other variables of Vault's own client.
//	                       The token needs update on ENGINE/encrypt/KEY and ENGINE/decrypt/KEY.
//	base64key://KEY        32 bytes in URL-safe base64. Whoever sees the URL has the key.
//
// To move to another key, seal under the new one and go on opening with the old one, until what was sealed under it has
// expired: seal.Envelope(next, previous).
//
// The package links the SDKs of both clouds, gRPC and OpenTelemetry: some 24 MB in a program. One that keeps its key in
// a file or a variable takes seal.LocalKey, which links the standard library alone.
package kms

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/keep/seal"
)

// MaxSize bounds what a [Key] encrypts, in bytes: the least that any of the services takes.
// Source: AWS KMS API, Encrypt, Plaintext.
const MaxSize = 4096

// maxWrapped bounds what a [Key] sends to be decrypted, in bytes: the least that any of the services takes.
// Source: AWS KMS API, Decrypt, CiphertextBlob.
const maxWrapped = 6144

// A Key encrypts and decrypts with one key of a key service, and is a [seal.Wrapper]. It neither retries nor waits longer
// than its context says, and is safe for concurrent use.
type Key struct {
	name    string
	service string // as errors call it: "AWS KMS"
	hint    string // what usually mends a refusal
	wrapper seal.Wrapper
	explain func(error) answer
	close   func() error
}

var _ seal.Wrapper = (*Key)(nil)
var _ seal.Named = (*Key)(nil)

// An answer is what a service said when it did not do what it was asked.
type answer struct {
	status  int    // HTTP status, or what corresponds to it; 0 when no answer came
	code    string // the service's own code
	message string
	kind    error // a kind of package stile, and what else is known of the cause
	never   bool  // what was to be decrypted never will be, with this key
}

// Open finds the key that a URL names, and asks the service nothing. It fails with [stile.ErrMisuse] for a URL that it
// cannot read, and with [stile.ErrNoIdentity] where the service's credentials cannot be found.
func Open(ctx context.Context, rawURL string) (*Key, error) {
	scheme, _, found := strings.Cut(rawURL, "://")
	open, known := map[string]func(context.Context, *url.URL) (*Key, error){
		"awskms": openAWS, "gcpkms": openGoogle, "hashivault": openVault, "base64key": openLocal,
	}[scheme]
	if !found || !known {
		return nil, misused("", "write awskms:///KEY, gcpkms://projects/…/cryptoKeys/KEY, hashivault://KEY or base64key://KEY", "no such scheme")
	}
	// What is wrong with a URL is never quoted: the key may be in it.
	u, err := url.Parse(rawURL)
	if err != nil || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return nil, misused(scheme, "", "what follows the scheme is not the URL of a key")
	}
	return open(ctx, u)
}

// Name is the URL's scheme and what tells the key from others: no credential, no option, and of a base64key a hash.
func (k *Key) Name() string { return k.name }

// Encrypt encrypts at most [MaxSize] bytes.
func (k *Key) Encrypt(ctx context.Context, key []byte) ([]byte, error) {
	if len(key) > MaxSize {
		return nil, &stile.Error{Op: k.op("encrypt"), Err: fmt.Errorf("%w: %d bytes are more than the %d that a key service takes", stile.ErrMisuse, len(key), MaxSize)}
	}
	wrapped, err := k.wrapper.Encrypt(ctx, key)
	if err != nil {
		return nil, k.failed(ctx, "encrypt", err)
	}
	return wrapped, nil
}

// Decrypt gives back what Encrypt was given. It fails with [keep.ErrAbsent] where the service says that these bytes are
// not of this key, or that there is no such key.
func (k *Key) Decrypt(ctx context.Context, wrapped []byte) ([]byte, error) {
	if len(wrapped) > maxWrapped {
		return nil, &stile.Error{Op: k.op("decrypt"), Err: fmt.Errorf("%w: what was stored is too long to be a key", keep.ErrAbsent)}
	}
	key, err := k.wrapper.Decrypt(ctx, wrapped)
	if err != nil {
		return nil, k.failed(ctx, "decrypt", err)
	}
	return key, nil
}

// Close lets go of connections. The key is of no use afterwards.
func (k *Key) Close() error {
	if k.close == nil {
		return nil
	}
	return k.close()
}

func (k *Key) op(verb string) string { return verb + " a key with " + k.service }

// failed tells what the service said. A context that ended shows through as itself.
func (k *Key) failed(ctx context.Context, verb string, err error) error {
	if ended := ctx.Err(); ended != nil {
		return &stile.Error{Op: k.op(verb), Hint: "see whether " + k.service + " can be reached from here",
			Err: fmt.Errorf("%w: no answer from %s: %w", stile.ErrTemporary, k.service, ended)}
	}
	a := k.explain(err)
	failed := &stile.Error{Op: k.op(verb), Cloud: k.service, Status: a.status, Code: a.code, Message: line(a.message), Err: a.kind}
	if errors.Is(a.kind, stile.ErrRefused) {
		failed.Hint = k.hint
	}
	if a.never && verb == "decrypt" {
		failed.Err = fmt.Errorf("%w: %w", keep.ErrAbsent, a.kind)
	}
	return failed
}

// ofStatus is the kind of failure that an HTTP status stands for.
func ofStatus(status int) error {
	if status == 429 || status >= 500 {
		return stile.ErrTemporary
	}
	return stile.ErrRefused
}

// unanswered is for a failure in which no service had a word.
func unanswered(cause error) answer {
	var e *url.Error
	if errors.As(cause, &e) {
		cause = e.Err // less the URL, in which a password may stand
	}
	return answer{kind: fmt.Errorf("%w: %s", stile.ErrTemporary, line(cause.Error()))}
}

// line makes a service's words fit for an error.
func line(text string) string {
	const longest = 300
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "?"), func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}

// errNotOurs is what is wrong with bytes that a key of its own did not encrypt.
var errNotOurs = errors.New("encrypted under another key, or damaged")

// misused says what is wrong with a URL, in our words alone.
func misused(scheme, hint, what string) error {
	op := "open the key service"
	if scheme != "" {
		op += " of a " + scheme + " URL"
	}
	return &stile.Error{Op: op, Hint: hint, Err: fmt.Errorf("%w: %s", stile.ErrMisuse, what)}
}

// only refuses a URL with any parameter but these, each at most once.
func only(u *url.URL, names ...string) error {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return misused(u.Scheme, "", "its parameters cannot be read")
	}
	for name, values := range query {
		if !slices.Contains(names, name) || len(values) != 1 {
			return misused(u.Scheme, "it takes: "+strings.Join(append([]string{"no other"}, names...), ", "), "a parameter is unknown, or comes twice")
		}
	}
	return nil
}
