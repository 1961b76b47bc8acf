// SPDX-License-Identifier: Apache-2.0

package fromoidc

import (
	"errors"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// fetchMethod is the call; the service is in no package. Source: SPIFFE Workload API, workloadapi.proto.
const fetchMethod = "/SpiffeWorkloadAPI/FetchJWTSVID"

// An svid is a JWTSVID message. Its hint is left out: the first identity is the default one.
type svid struct{ id, token string }

// appendRequest writes a JWTSVIDRequest: repeated string audience = 1; string spiffe_id = 2.
func appendRequest(b []byte, audience, id string) []byte {
	b = protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), audience)
	if id != "" {
		b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), id)
	}
	return b
}

var errNotProtobuf = errors.New("no protobuf message")

// readSVIDs reads a JWTSVIDResponse: repeated JWTSVID svids = 1.
func readSVIDs(message []byte) ([]svid, error) {
	var svids []svid
	err := eachField(message, func(number protowire.Number, value []byte) error {
		if number != 1 {
			return nil
		}
		v, err := readSVID(value)
		svids = append(svids, v)
		return err
	})
	if err == nil && len(svids) == 0 {
		err = errors.New("no JWT-SVID")
	}
	return svids, err
}

// readSVID reads a JWTSVID: string spiffe_id = 1; string svid = 2.
func readSVID(message []byte) (svid, error) {
	var v svid
	err := eachField(message, func(number protowire.Number, value []byte) error {
		switch number {
		case 1:
			v.id = string(value)
		case 2:
			v.token = string(value)
		}
		if number <= 2 && !utf8.Valid(value) {
			return errNotProtobuf
		}
		return nil
	})
	return v, err
}

// eachField calls f with each field that has a length, and passes over the others: none of those is ours.
func eachField(message []byte, f func(protowire.Number, []byte) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return errNotProtobuf
		}
		message = message[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
				return errNotProtobuf
			}
			message = message[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(message)
		if n < 0 {
			return errNotProtobuf
		}
		message = message[n:]
		if err := f(number, value); err != nil {
			return err
		}
	}
	return nil
}
