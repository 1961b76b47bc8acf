// SPDX-License-Identifier: Apache-2.0

package sigv4

import (
	"bytes"
	"strconv"
	"strings"
)

// emptyBody is the hash of nothing, a fixed line of every chunk's string to sign.
var emptyBody = HashHex(nil)

// ReadChunks takes a whole aws-chunked body apart and returns the data and the trailing headers, names in lower case.
// payload is the x-amz-content-sha256 of the request, one of the Streaming constants; where it promises signatures,
// each chunk's is checked with secret, starting from the request's own. A body that is not chunked as promised fails
// with kind [Incomplete], a wrong signature with kind [Mismatch].
//
// Source: S3 API, "Signature calculations: transferring a payload in multiple chunks" and "… trailing headers".
func (s *Signed) ReadChunks(body []byte, payload, secret string) ([]byte, map[string]string, error) {
	c := chunks{signed: s, secret: secret, rest: body, previous: s.Signature, check: payload != StreamingUnsigned}
	for {
		last, err := c.next()
		if err != nil {
			return nil, nil, err
		}
		if last {
			break
		}
	}
	var trailer map[string]string
	var err error
	if payload == StreamingSigned {
		if string(c.rest) != "\r\n" && len(c.rest) != 0 {
			return nil, nil, badChunk()
		}
	} else if trailer, err = c.trailer(); err != nil {
		return nil, nil, err
	}
	return c.data, trailer, nil
}

type chunks struct {
	signed   *Signed
	secret   string
	check    bool
	previous string // the signature this chunk's is chained to
	rest     []byte
	data     []byte
}

func badChunk() error { return incomplete("The aws-chunked body is not well formed.") }

// next takes one chunk off the front; the last one is empty and leaves only the trailer.
func (c *chunks) next() (last bool, err error) {
	head, rest, ok := bytes.Cut(c.rest, []byte("\r\n"))
	if !ok {
		return false, badChunk()
	}
	digits, extension, _ := strings.Cut(string(head), ";")
	size, err := strconv.ParseUint(digits, 16, 31)
	if err != nil || uint64(len(rest)) < size {
		return false, badChunk()
	}
	if c.check {
		signature, ok := strings.CutPrefix(extension, "chunk-signature=")
		if !ok {
			return false, badChunk()
		}
		if err := c.chain("AWS4-HMAC-SHA256-PAYLOAD", signature, emptyBody, HashHex(rest[:size])); err != nil {
			return false, err
		}
	}
	c.data = append(c.data, rest[:size]...)
	if size == 0 {
		c.rest = rest
		return true, nil
	}
	if c.rest, ok = bytes.CutPrefix(rest[size:], []byte("\r\n")); !ok {
		return false, badChunk()
	}
	return false, nil
}

func (c *chunks) chain(algorithm, signature string, lines ...string) error {
	want := c.signed.sign(c.secret, c.signed.stringToSign(algorithm, append([]string{c.previous}, lines...)...))
	if !(&Signed{Signature: signature}).matches(want) {
		return &Error{Kind: Mismatch, Message: mismatchText}
	}
	c.previous = signature
	return nil
}

// trailer reads the headers after the last chunk, and checks the signature over them where one is promised.
func (c *chunks) trailer() (map[string]string, error) {
	fields, signature := map[string]string{}, ""
	var signed strings.Builder
	for line := range strings.SplitSeq(string(c.rest), "\r\n") {
		if line = strings.TrimSuffix(line, "\n"); line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch {
		case !ok:
			return nil, badChunk()
		case name == "x-amz-trailer-signature":
			signature = value
		default:
			fields[name] = value
			signed.WriteString(name + ":" + value + "\n")
		}
	}
	if c.check {
		if err := c.chain("AWS4-HMAC-SHA256-TRAILER", signature, HashHex([]byte(signed.String()))); err != nil {
			return nil, err
		}
	}
	return fields, nil
}
