// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"encoding/base64"
	"net/url"

	"gocloud.dev/secrets/localsecrets"

	"github.com/stile-project/stile"
)

// openLocal takes the key from the URL itself. Unlike gocloud.dev it makes none up where the URL has none: a key that
// ends with its process shares nothing, and nothing would say so.
func openLocal(_ context.Context, u *url.URL) (*Key, error) {
	secret, err := localsecrets.Base64Key(u.Host)
	if err != nil || u.Path != "" || u.RawQuery != "" {
		return nil, misused(u.Scheme, "make one: openssl rand -base64 32 | tr +/ -_", "what follows the scheme is not 32 bytes in URL-safe base64")
	}
	return &Key{
		name:    "base64key://" + stile.NewKey("base64key", base64.StdEncoding.EncodeToString(secret[:])).String()[:16],
		service: "a key of its own",
		wrapper: localsecrets.NewKeeper(secret),
		explain: func(error) answer { return answer{kind: errNotOurs, never: true} },
	}, nil
}
