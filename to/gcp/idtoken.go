// SPDX-License-Identifier: Apache-2.0

package togcp

import (
	"errors"
	"fmt"
	"time"

	"github.com/stile-project/stile/internal/jwt"
)

// checkIDToken reads the token's expiry and makes sure that it is for the audience asked: a mixed-up token is refused
// here rather than by the service it was never meant for. The signature is that service's to check.
func checkIDToken(raw, wanted string) (time.Time, error) {
	claims, err := jwt.Unverified(raw)
	switch {
	case err != nil:
		return time.Time{}, fmt.Errorf("no ID token: %w", err)
	case claims.Expires.IsZero() || len(claims.Audience) == 0:
		return time.Time{}, errors.New("an ID token without aud and exp")
	case len(claims.Audience) != 1 || claims.Audience[0] != wanted:
		return time.Time{}, errors.New("an ID token for another audience")
	}
	return claims.Expires, nil
}
