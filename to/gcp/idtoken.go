// SPDX-License-Identifier: Apache-2.0

package togcp

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// checkIDToken reads the token's expiry and makes sure that it is for the audience asked: a mixed-up token is refused
// here rather than by the service it was never meant for. The signature is that service's to check.
func checkIDToken(raw, wanted string) (time.Time, error) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return time.Time{}, errors.New("an ID token that is not three parts")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}, errors.New("an ID token whose claims are not base64url")
	}
	var claims struct {
		Audience string `json:"aud"`
		Expires  int64  `json:"exp"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil || claims.Expires <= 0 {
		return time.Time{}, errors.New("an ID token without aud and exp")
	}
	if claims.Audience != wanted {
		return time.Time{}, errors.New("an ID token for another audience")
	}
	return time.Unix(claims.Expires, 0), nil
}
