// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"errors"
	"fmt"

	"github.com/stile-project/stile/lab/aws/sigv4"
)

// A fault is a refusal as it goes over the wire. Its words are AWS's and hold no reason AWS would not give.
type fault struct {
	Status  int
	Code    string
	Message string
	Extra   []field // S3 adds elements of its own
}

// A field is one more element of an S3 error.
type field struct{ Name, Value string }

func (f *fault) Error() string { return f.Code + ": " + f.Message }

func refuse(status int, code, format string, args ...any) *fault {
	return &fault{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Refusals of STS that carry one fixed text each (AWS STS API reference, "Common errors"; IAM User Guide,
// "Troubleshoot Signature Version 4").
func invalidClientToken() *fault {
	return refuse(403, "InvalidClientTokenId", "The security token included in the request is invalid")
}

func expiredToken() *fault {
	return refuse(403, "ExpiredToken", "The security token included in the request is expired")
}

func internalFailure() *fault {
	return refuse(500, "InternalFailure", "The request processing has failed because of an unknown error, exception or failure.")
}

// signatureFault puts a signature's fault into STS's codes.
func signatureFault(err error) *fault {
	e, ok := errors.AsType[*sigv4.Error](err)
	if !ok {
		return internalFailure()
	}
	switch e.Kind {
	case sigv4.Missing:
		return refuse(403, "MissingAuthenticationToken", "%s", e.Message)
	case sigv4.Incomplete:
		return refuse(400, "IncompleteSignature", "%s", e.Message)
	}
	return refuse(403, "SignatureDoesNotMatch", "%s", e.Message)
}

// asFault is err as it goes over the wire; nil when err is nil.
func asFault(err error) *fault {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*fault](err); ok {
		return f
	}
	return internalFailure()
}
