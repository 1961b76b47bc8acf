// SPDX-License-Identifier: Apache-2.0

package offer

import (
	"context"
	"errors"

	"github.com/stile-project/stile"
)

// Outcome is one word for how something came out: the same in audit, metrics, status and traces.
func Outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, stile.ErrMisuse):
		return "misuse"
	case errors.Is(err, stile.ErrNoIdentity):
		return "no_identity"
	case errors.Is(err, stile.ErrRefused):
		return "refused"
	case errors.Is(err, stile.ErrTemporary):
		return "temporary"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "cancelled"
	}
	return "failed"
}
