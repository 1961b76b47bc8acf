// SPDX-License-Identifier: Apache-2.0

package documents

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"

	"gocloud.dev/gcerrors"

	"github.com/stile-project/stile"
)

// failed says what could not be done, and where. A context that ended shows through as itself.
func (s *Store) failed(ctx context.Context, verb string, err error) error {
	failed := &stile.Error{Op: verb + " " + s.place}
	var said *stile.Error
	ended := ctx.Err()
	if ended != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		ended = context.DeadlineExceeded // as keep.Patience tells it
	}
	switch {
	case ended != nil:
		failed.Err = fmt.Errorf("%w: no answer from %s: %w", stile.ErrTemporary, s.place, ended)
		failed.Hint = "see whether " + s.place + " can be reached from here"
	case gcerrors.Code(err) == gcerrors.DeadlineExceeded: // gRPC may see the end of the time before the context does
		failed.Err = fmt.Errorf("%w: no answer from %s: %w", stile.ErrTemporary, s.place, context.DeadlineExceeded)
	case errors.As(err, &said): // of package remote
		op := failed.Op
		*failed = *said
		failed.Op = op
		if errors.Is(said, stile.ErrRefused) {
			failed.Hint = s.hint
		}
	case gcerrors.Code(err) == gcerrors.PermissionDenied, gcerrors.Code(err) == gcerrors.InvalidArgument, gcerrors.Code(err) == gcerrors.NotFound, refused(err):
		failed.Err, failed.Hint = fmt.Errorf("%w: %s", stile.ErrRefused, words(err)), s.hint
	default:
		failed.Err = fmt.Errorf("%w: %s", stile.ErrTemporary, words(err))
	}
	return failed
}

// refused reports whether DynamoDB said no for a reason that its driver knows no code for.
func refused(err error) bool {
	var said interface{ ErrorCode() string }
	if !errors.As(err, &said) {
		return false
	}
	switch said.ErrorCode() {
	case "AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException", "MissingAuthenticationToken":
		return true
	}
	return false
}

// words makes what a database's client said fit for an error: no URL, in which a password may stand, one line, and not
// for ever.
func words(err error) string {
	const longest = 300
	var e *url.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	text := strings.Join(strings.FieldsFunc(strings.ToValidUTF8(err.Error(), "?"), func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}

// misused says what is wrong with a URL, in our words alone.
func misused(scheme, hint, what string) error {
	op := "open the document database"
	if scheme != "" {
		op += " of a " + scheme + " URL"
	}
	return &stile.Error{Op: op, Hint: hint, Err: fmt.Errorf("%w: %s", stile.ErrMisuse, what)}
}

// only refuses a URL with any parameter but these.
func only(u *url.URL, names ...string) error {
	query := u.Query()
	for _, name := range names {
		query.Del(name)
	}
	if len(query) > 0 {
		return misused(u.Scheme, "it takes "+strings.Join(names, ", "), "a parameter is unknown")
	}
	return nil
}
