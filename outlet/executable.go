// SPDX-License-Identifier: Apache-2.0

package outlet

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/stile-project/stile"
)

// tokenTypeSAML2 is the one type that the protocol puts elsewhere.
const tokenTypeSAML2 stile.TokenType = "urn:ietf:params:oauth:token-type:saml2"

// executableResponse is what an executable source prints. Source: AIP-4117, executable-sourced credentials.
type executableResponse struct {
	Version int             `json:"version"`
	Success bool            `json:"success"`
	Type    stile.TokenType `json:"token_type,omitempty"`
	IDToken string          `json:"id_token,omitempty"`
	SAML    string          `json:"saml_response,omitempty"`
	Expires int64           `json:"expiration_time,omitempty"` // Unix seconds
	Code    string          `json:"code,omitempty"`
	Message string          `json:"message,omitempty"`
}

// ExecutableResponse writes a token as the program that an external_account file names must print it, and leave it in
// the file that GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE names (see [FormExecutable]). The type is what
// GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE asks for: jwt, id_token or saml2; empty is [stile.TokenTypeIDToken].
// Source: AIP-4117, executable-sourced credentials.
func ExecutableResponse(w io.Writer, c stile.Credential, typ stile.TokenType) error {
	if c.Kind != stile.KindIDToken || c.Token.IsZero() {
		return fmt.Errorf("%w: an executable source hands out ID tokens, the crossing gives an %s", stile.ErrMisuse, c.Kind)
	}
	r := executableResponse{Version: 1, Success: true, Type: cmp.Or(typ, stile.TokenTypeIDToken), Expires: c.Expires.Unix()}
	switch r.Type {
	case stile.TokenTypeIDToken, stile.TokenTypeJWT:
		r.IDToken = c.Token.Reveal()
	case tokenTypeSAML2:
		r.SAML = c.Token.Reveal()
	default:
		return fmt.Errorf("%w: an executable source hands out jwt, id_token and saml2 alone, not %.200q", stile.ErrMisuse, typ)
	}
	return json.NewEncoder(w).Encode(r)
}

func isExecutableType(t stile.TokenType) bool {
	return t == "" || t == stile.TokenTypeIDToken || t == stile.TokenTypeJWT || t == tokenTypeSAML2
}

// ExecutableFailure writes why there is no token, in the shape of [ExecutableResponse]. Google's libraries look at it
// only if the program then ends with code 0.
func ExecutableFailure(w io.Writer, err error) error {
	message := "failed"
	if err != nil {
		message = err.Error()
	}
	told, ok := errors.AsType[*stile.Error](err)
	if ok && told.Hint != "" {
		message += "; hint: " + told.Hint
	}
	return json.NewEncoder(w).Encode(executableResponse{Version: 1, Code: failureCode(told, err), Message: strings.Join(strings.Fields(message), " ")})
}

func failureCode(told *stile.Error, err error) string {
	switch {
	case told != nil && told.Code != "":
		return told.Code
	case told != nil && told.Status != 0:
		return strconv.Itoa(told.Status)
	case errors.Is(err, stile.ErrMisuse):
		return "misused"
	case errors.Is(err, stile.ErrNoIdentity):
		return "no_identity"
	case errors.Is(err, stile.ErrRefused):
		return "refused"
	case errors.Is(err, stile.ErrTemporary):
		return "temporary"
	}
	return "failed"
}
