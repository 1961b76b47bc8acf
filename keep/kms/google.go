// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"

	cloudkms "cloud.google.com/go/kms/apiv1"
	"gocloud.dev/secrets/gcpkms"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/stile-project/stile"
)

var googleKey = regexp.MustCompile(`^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$`)

func openGoogle(ctx context.Context, u *url.URL) (*Key, error) { return openGoogleWith(ctx, u) }

// openGoogleWith is openGoogle with a client that is told where the service is.
func openGoogleWith(ctx context.Context, u *url.URL, opts ...option.ClientOption) (*Key, error) {
	id := u.Host + u.Path
	if !googleKey.MatchString(id) {
		return nil, misused(u.Scheme, "write gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K", "it names no key")
	}
	if err := only(u); err != nil {
		return nil, err
	}
	// The client asks for tokens with this context as long as it lives.
	client, err := cloudkms.NewKeyManagementClient(context.WithoutCancel(ctx), opts...)
	if err != nil {
		return nil, &stile.Error{Op: "open the key service of a gcpkms URL", Hint: "gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS",
			Err: fmt.Errorf("%w: %s", stile.ErrNoIdentity, line(err.Error()))}
	}
	client.CallOptions = &cloudkms.KeyManagementCallOptions{} // none: they would retry
	keeper := gcpkms.OpenKeeper(client, id, nil)
	return &Key{
		name: "gcpkms://" + id, service: "Cloud KMS", wrapper: keeper, explain: explainGoogle,
		close: func() error { return errors.Join(keeper.Close(), client.Close()) },
		hint:  "give this identity roles/cloudkms.cryptoKeyEncrypterDecrypter on the key",
	}, nil
}

// explainGoogle reads an error of gRPC. Source: google.rpc.Code, and Cloud KMS, Decrypt: what is not of the key is an
// invalid argument.
func explainGoogle(err error) answer {
	said, ok := status.FromError(err)
	if !ok {
		return unanswered(err)
	}
	a := answer{code: said.Code().String(), message: said.Message(), status: googleStatus[said.Code()]}
	switch said.Code() {
	case codes.Unavailable:
		return unanswered(errors.New(said.Message()))
	case codes.DeadlineExceeded: // gRPC may see the end of the time before the context does
		return answer{kind: fmt.Errorf("%w: %w", stile.ErrTemporary, context.DeadlineExceeded)}
	case codes.Canceled:
		return answer{kind: fmt.Errorf("%w: %w", stile.ErrTemporary, context.Canceled)}
	case codes.InvalidArgument, codes.NotFound:
		a.never = true
	}
	if a.status == 0 {
		a.status = http.StatusInternalServerError
	}
	a.kind = ofStatus(a.status)
	return a
}

// googleStatus is what gRPC's codes are in HTTP. Source: google.rpc.Code.
var googleStatus = map[codes.Code]int{
	codes.InvalidArgument: http.StatusBadRequest, codes.FailedPrecondition: http.StatusBadRequest, codes.OutOfRange: http.StatusBadRequest,
	codes.Unauthenticated: http.StatusUnauthorized, codes.PermissionDenied: http.StatusForbidden, codes.NotFound: http.StatusNotFound,
	codes.AlreadyExists: http.StatusConflict, codes.Aborted: http.StatusConflict, codes.ResourceExhausted: http.StatusTooManyRequests,
	codes.Unimplemented: http.StatusNotImplemented,
}
