// SPDX-License-Identifier: Apache-2.0

// Package outlet writes credentials in the forms that programs already read, and keeps them fresh in files: see
// [Files]. It is the one place, beside the SDK adapters, where secrets are revealed.
package outlet

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/stile-project/stile"
)

// wholeSeconds is the one time format that every SDK reads.
const wholeSeconds = "2006-01-02T15:04:05Z"

func stamp(t time.Time) string { return t.UTC().Format(wholeSeconds) }

// CredentialProcess writes an AWS session as a credential_process helper must.
// Source: AWS SDKs and Tools reference, process credential provider.
func CredentialProcess(w io.Writer, c stile.Credential) error {
	if c.Kind != stile.KindAWSSession {
		return fmt.Errorf("%w: credential_process wants an AWS session, the crossing gives an %s", stile.ErrMisuse, c.Kind)
	}
	return json.NewEncoder(w).Encode(struct {
		Version         int
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		SessionToken    string
		Expiration      string
		AccountID       string `json:"AccountId,omitempty"`
	}{1, c.Session.AccessKeyID, c.Session.SecretAccessKey.Reveal(), c.Session.SessionToken.Reveal(), stamp(c.Expires), c.Session.AccountID})
}

// Token writes an access token or ID token alone on a line, or as JSON with its kind and expiry.
func Token(w io.Writer, c stile.Credential, asJSON bool) error {
	if c.Kind == stile.KindAWSSession {
		return fmt.Errorf("%w: the crossing gives an AWS session, not a token", stile.ErrMisuse)
	}
	if !asJSON {
		_, err := fmt.Fprintln(w, c.Token.Reveal())
		return err
	}
	kind := "access_token"
	if c.Kind == stile.KindIDToken {
		kind = "id_token"
	}
	return json.NewEncoder(w).Encode(map[string]string{
		"kind": kind, "token": c.Token.Reveal(), "expires": stamp(c.Expires), "principal": c.Principal,
	})
}
