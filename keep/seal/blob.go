// SPDX-License-Identifier: Apache-2.0

package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
)

// What an envelope seals is, byte for byte:
//
//	version (1) | label (8) | length of the wrapped key (2) | wrapped key | nonce (12) | ciphertext and tag | checksum (8)
//
// All before the nonce is the header. Header and cache key, as text, are the additional data of AES-256-GCM. The checksum proves
// nothing against an attacker; it tells damage, and bytes that lie under a wrong key, from what a key service must be
// asked about. Without it a flipped bit in a wrapped key would look like a key service that fails.
const (
	blobVersion  = 1
	keySize      = 32
	checksumSize = 8
	maxWrapped   = 16 << 10 // of AWS KMS and Google Cloud KMS it is under 1 KiB
)

// A label tells which wrapper wrapped a data key. The zero label is that of all wrappers without a name.
type label [8]byte

func labelOf(w Wrapper) label {
	var l label
	if n, ok := w.(Named); ok {
		sum := sha256.Sum256([]byte("stile wrapper\x00" + n.Name()))
		copy(l[:], sum[:])
	}
	return l
}

type header struct {
	label   label
	wrapped []byte
}

func (h header) bytes() []byte {
	b := append([]byte{blobVersion}, h.label[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(h.wrapped))) //nolint:gosec // G115: newKey and split bound it
	return append(b, h.wrapped...)
}

func (h header) id() [sha256.Size]byte { return sha256.Sum256(h.bytes()) }

// bound is what AES-GCM authenticates beside the record.
func bound(h header, name string) []byte { return append(h.bytes(), name...) }

func checksum(name string, b []byte) []byte {
	sum := sha256.New()
	sum.Write([]byte(name))
	sum.Write(b)
	return sum.Sum(nil)[:checksumSize]
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func seal(data dataKey, name string, text []byte) []byte {
	b := data.aead.Seal(data.head.bytes(), nil, text, bound(data.head, name)) //nolint:gosec // G407: this AEAD draws its own nonces
	return append(b, checksum(name, b)...)
}

// split takes whole and undamaged bytes apart into the header, and nonce with ciphertext.
func split(name string, sealed []byte) (header, []byte, error) {
	var h header
	const fixed = 1 + len(h.label) + 2
	switch {
	case len(sealed) > MaxSize:
		return h, nil, errors.New("it is too long")
	case len(sealed) < fixed+checksumSize:
		return h, nil, errors.New("it is cut short")
	case sealed[0] != blobVersion:
		return h, nil, errors.New("its version is unknown")
	}
	body, sum := sealed[:len(sealed)-checksumSize], sealed[len(sealed)-checksumSize:]
	if subtle.ConstantTimeCompare(sum, checksum(name, body)) == 0 {
		return h, nil, errors.New("it is damaged, or kept under another key")
	}
	copy(h.label[:], body[1:])
	n := int(binary.BigEndian.Uint16(body[fixed-2:]))
	if n == 0 || n > maxWrapped || n > len(body)-fixed {
		return h, nil, errors.New("its data key is cut short")
	}
	h.wrapped = body[fixed : fixed+n]
	return h, body[fixed+n:], nil
}

func open(data dataKey, h header, name string, rest []byte) ([]byte, error) {
	text, err := data.aead.Open(nil, nil, rest, bound(h, name))
	if err != nil {
		return nil, errors.New("it is forged, or sealed with another data key")
	}
	return text, nil
}
