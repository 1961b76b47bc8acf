// SPDX-License-Identifier: Apache-2.0

package issuers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxMessage is gRPC's usual limit for one message.
const maxMessage = 4 << 20

// A grpcCode is a gRPC status code. Source: gRPC, doc/statuscodes.md.
type grpcCode int

const (
	invalidArgument  grpcCode = 3
	permissionDenied grpcCode = 7
	resourceSpent    grpcCode = 8
	unimplemented    grpcCode = 12
	internal         grpcCode = 13
	unavailable      grpcCode = 14
)

func (c grpcCode) String() string {
	switch c {
	case invalidArgument:
		return "InvalidArgument"
	case permissionDenied:
		return "PermissionDenied"
	case resourceSpent:
		return "ResourceExhausted"
	case unimplemented:
		return "Unimplemented"
	case internal:
		return "Internal"
	case unavailable:
		return "Unavailable"
	}
	return strconv.Itoa(int(c))
}

// A grpcFault is a call's status other than OK.
type grpcFault struct {
	code    grpcCode
	message string
}

// write answers with headers alone, as gRPC servers do when a call fails before any message.
// Source: gRPC, doc/PROTOCOL-HTTP2.md, Trailers-Only.
func (f *grpcFault) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/grpc")
	h.Set("Grpc-Status", strconv.Itoa(int(f.code)))
	h.Set("Grpc-Message", percentEncode(f.message))
	w.WriteHeader(http.StatusOK)
}

// percentEncode leaves printable ASCII alone, but for the percent sign. Source: the same document, Status-Message.
func percentEncode(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// acceptable reports whether a request is a gRPC call at all.
func acceptable(r *http.Request) bool {
	kind := r.Header.Get("Content-Type")
	return r.ProtoMajor == 2 && r.Method == http.MethodPost && r.Header.Get("Te") == "trailers" &&
		(kind == "application/grpc" || strings.HasPrefix(kind, "application/grpc+") || strings.HasPrefix(kind, "application/grpc;"))
}

const workloadService = "SpiffeWorkloadAPI"

// method refuses every path but that of FetchJWTSVID.
func method(path string) *grpcFault {
	service, name, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch {
	case !ok:
		return &grpcFault{unimplemented, fmt.Sprintf("malformed method name: %q", clip(path, 128))}
	case service != workloadService:
		return &grpcFault{unimplemented, "unknown service " + clip(service, 128)}
	case name != "FetchJWTSVID":
		return &grpcFault{unimplemented, "unknown method " + clip(name, 128) + " for service " + workloadService}
	}
	return nil
}

// readMessage reads the one message of a call: a byte that says whether it is compressed, four of length, and the rest.
func readMessage(r *http.Request) ([]byte, *grpcFault) {
	var prefix [5]byte
	if _, err := io.ReadFull(r.Body, prefix[:]); err != nil {
		return nil, &grpcFault{internal, "unexpected EOF"}
	}
	if prefix[0] != 0 {
		return nil, &grpcFault{unimplemented, "grpc: Decompressor is not installed for grpc-encoding " + strconv.Quote(clip(r.Header.Get("Grpc-Encoding"), 32))}
	}
	n := binary.BigEndian.Uint32(prefix[1:])
	if n > maxMessage {
		return nil, &grpcFault{resourceSpent, fmt.Sprintf("grpc: received message larger than max (%d vs. %d)", n, maxMessage)}
	}
	message := make([]byte, n)
	if _, err := io.ReadFull(r.Body, message); err != nil {
		return nil, &grpcFault{internal, "unexpected EOF"}
	}
	if rest, err := io.Copy(io.Discard, io.LimitReader(r.Body, 1)); rest > 0 || err != nil {
		return nil, &grpcFault{internal, "cardinality violation: received more than one request message for a unary method"}
	}
	return message, nil
}

// writeMessage answers with one message and the status OK.
func writeMessage(w http.ResponseWriter, message []byte) {
	w.Header().Set("Content-Type", "application/grpc")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(frame(message))
	w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	w.Header().Set(http.TrailerPrefix+"Grpc-Message", "")
}

func frame(message []byte) []byte {
	prefix := make([]byte, 5, 5+len(message))
	binary.BigEndian.PutUint32(prefix[1:], uint32(len(message))) //nolint:gosec // a few kilobytes
	return append(prefix, message...)
}

// An svidRequest is JWTSVIDRequest. Source: SPIFFE, workload.proto.
type svidRequest struct {
	audiences []string // field 1, repeated
	spiffeID  string   // field 2
}

type svid struct{ id, token string }

// parseSVIDRequest reads protobuf: fields that it does not know are passed over, and of a repeated single field the last
// counts.
func parseSVIDRequest(message []byte) (svidRequest, error) {
	var q svidRequest
	for len(message) > 0 {
		key, n := binary.Uvarint(message)
		if n <= 0 || key>>3 == 0 || key>>3 > 1<<29-1 {
			return svidRequest{}, errors.New("proto: cannot parse invalid wire-format data")
		}
		value, size := field(message[n:], key&7)
		if size < 0 {
			return svidRequest{}, errors.New("proto: cannot parse invalid wire-format data")
		}
		message = message[n+size:]
		switch number := key >> 3; {
		case key&7 != 2 || number > 2:
		case !utf8.Valid(value):
			return svidRequest{}, errors.New("proto: string field contains invalid UTF-8")
		case number == 1:
			q.audiences = append(q.audiences, string(value))
		default:
			q.spiffeID = string(value)
		}
	}
	return q, nil
}

// field measures the value at the start of message, of a wire type, and gives what is in it where that is bytes. A
// negative size means that there is no such value.
func field(message []byte, wire uint64) (value []byte, size int) {
	switch wire {
	case 0: // varint
		if _, n := binary.Uvarint(message); n > 0 {
			return nil, n
		}
	case 1: // 64 bits
		if len(message) >= 8 {
			return nil, 8
		}
	case 2: // length and bytes
		if length, n := binary.Uvarint(message); n > 0 && length <= uint64(len(message)-n) { //nolint:gosec // never negative
			end := n + int(length) //nolint:gosec // within message
			return message[n:end], end
		}
	case 5: // 32 bits
		if len(message) >= 4 {
			return nil, 4
		}
	}
	return nil, -1
}

// svidResponse is JWTSVIDResponse: field 1 repeated, a JWTSVID with the ID in field 1 and the token in field 2.
func svidResponse(svids []svid) []byte {
	var message []byte
	for _, s := range svids {
		one := appendBytes(appendBytes(nil, 1, s.id), 2, s.token)
		message = appendBytes(message, 1, string(one))
	}
	return message
}

func appendBytes(to []byte, number uint64, value string) []byte {
	to = binary.AppendUvarint(to, number<<3|2)
	to = binary.AppendUvarint(to, uint64(len(value)))
	return append(to, value...)
}
