// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"maps"
	"time"
)

// idTokenLife is fixed: nobody can ask for more or less.
const idTokenLife = time.Hour

// idToken signs an ID token of a service account, with the claims that every way of getting one has. What azp says
// depends on the way: the unique id, or the e-mail for a JWT bearer grant.
func (c *Cloud) idToken(sa ServiceAccount, audience, azp string, now time.Time, extra map[string]any) (string, error) {
	claims := map[string]any{
		"iss": issuerURL,
		"aud": audience,
		"azp": azp,
		"sub": sa.UniqueID,
		"iat": now.Unix(),
		"exp": now.Add(idTokenLife).Unix(),
	}
	maps.Copy(claims, extra)
	return c.issuer.Sign(claims)
}

func emailClaims(sa ServiceAccount) map[string]any {
	return map[string]any{"email": sa.Email, "email_verified": true}
}
