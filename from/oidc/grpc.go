// SPDX-License-Identifier: Apache-2.0

package fromoidc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/remote"
)

// One call of the Workload API needs so little of gRPC that the whole of it stands here: a message with its length in
// front each way, and a status after the answer.
// Source: gRPC over HTTP/2, PROTOCOL-HTTP2.md in github.com/grpc/grpc.

// frame puts the length in front of a message that is not compressed.
func frame(message []byte) []byte {
	framed := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))) //nolint:gosec // an audience and an ID
	return append(framed, message...)
}

// unframe gives the one message of an answer. It copies nothing.
func unframe(body []byte) ([]byte, error) {
	const prefix = 5
	switch {
	case len(body) < prefix:
		return nil, errors.New("no gRPC message")
	case body[0] != 0:
		return nil, errors.New("a compressed gRPC message, which nobody asked for")
	case int64(binary.BigEndian.Uint32(body[1:])) != int64(len(body)-prefix):
		return nil, errors.New("not exactly one gRPC message")
	}
	return body[prefix:], nil
}

// unary gives the message of an answer whose status is good. The status is in the trailers, or in the headers of an
// answer that is nothing else.
func unary(q remote.Request, res *remote.Response) ([]byte, error) {
	if kind := res.Header.Get("Content-Type"); res.Status != http.StatusOK || !strings.HasPrefix(kind, "application/grpc") {
		return nil, q.Malformed(res, "no gRPC")
	}
	said := res.Trailer
	if said.Get("Grpc-Status") == "" {
		said = res.Header
	}
	code, err := strconv.ParseUint(said.Get("Grpc-Status"), 10, 8)
	if err != nil {
		return nil, q.Malformed(res, "no gRPC status")
	}
	if code != 0 {
		return nil, grpcRefusal(q, int(code), said.Get("Grpc-Message"))
	}
	body, err := unframe(res.Body)
	if err != nil {
		return nil, q.Malformed(res, err.Error())
	}
	return body, nil
}

// grpcCodes are the statuses' names. Source: gRPC, statuscodes.md.
var grpcCodes = []string{"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied",
	"ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated"}

// grpcRefusal says what a status means for a workload.
// Source: SPIFFE Workload Endpoint, section 6 and appendix A.
func grpcRefusal(q remote.Request, code int, message string) error {
	name := "status " + strconv.Itoa(code)
	if code < len(grpcCodes) {
		name = grpcCodes[code]
	}
	if plain, err := url.PathUnescape(message); err == nil {
		message = plain
	}
	e := &stile.Error{Op: q.Op, Cloud: q.Cloud, Code: name, Message: q.Clean(message), Sent: q.Sent}
	kind := stile.ErrTemporary
	switch name {
	case "PermissionDenied":
		kind, e.Hint = stile.ErrNoIdentity, "register this workload with the SPIFFE provider: it knows no identity for it"
	case "Unimplemented":
		kind, e.Hint = stile.ErrRefused, "this Workload API gives no JWT-SVIDs"
	case "InvalidArgument", "NotFound", "FailedPrecondition", "OutOfRange", "Unauthenticated":
		kind = stile.ErrRefused
	}
	e.Err = fmt.Errorf("%w: it answered %s: %s", kind, name, e.Message)
	return e
}
