// SPDX-License-Identifier: Apache-2.0

package fromoidc

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/remote"
)

// A response is what an executable prints and leaves in its output file.
// Source: AIP-4117, executable-sourced credentials; Go module cloud.google.com/go/auth, executable_provider.go.
type response struct {
	Version int             `json:"version"`
	Success *bool           `json:"success"`
	Type    stile.TokenType `json:"token_type"`
	IDToken string          `json:"id_token"`
	SAML    string          `json:"saml_response"`
	Expires int64           `json:"expiration_time"` // Unix seconds; 0: not said
	Code    string          `json:"code"`
	Message string          `json:"message"`
}

// errUnfit is for an answer that was understood and gives no token: a failure, or one that has expired.
var errUnfit = errors.New("no token")

// readResponse reads an answer that gives a token. Of what it read, errors repeat only the message that the protocol
// has for that, shortened.
func readResponse(text []byte, needsExpiry bool, now time.Time) (response, error) {
	var r response
	if err := json.Unmarshal(text, &r); err != nil {
		return response{}, fmt.Errorf("%w: its answer is not the JSON of the protocol", stile.ErrTemporary)
	}
	missing := func(name string) (response, error) {
		return response{}, fmt.Errorf("%w: its answer has no %s", stile.ErrTemporary, name)
	}
	switch {
	case r.Version == 0:
		return missing("version")
	case r.Version != 1:
		return response{}, fmt.Errorf("%w: its answer has version %d, want 1", stile.ErrTemporary, r.Version)
	case r.Success == nil:
		return missing("success")
	case !*r.Success && (r.Code == "" || r.Message == ""):
		return response{}, fmt.Errorf("%w: %w: it failed and said no code and message", stile.ErrNoIdentity, errUnfit)
	case !*r.Success:
		clean := remote.Request{}.Clean
		return response{}, fmt.Errorf("%w: %w: it failed with code %.40s: %.200s", stile.ErrNoIdentity, errUnfit, clean(r.Code), clean(r.Message))
	case r.Expires == 0 && needsExpiry:
		return missing("expiration_time, which an output file needs")
	case r.Expires < 0:
		return response{}, fmt.Errorf("%w: its answer has a negative expiration_time", stile.ErrTemporary)
	case r.Type == "":
		return missing("token_type")
	case r.Expires != 0 && !now.Before(time.Unix(r.Expires, 0)):
		return response{}, fmt.Errorf("%w: %w: its token has expired", stile.ErrTemporary, errUnfit)
	}
	return r, r.checkToken()
}

func (r response) checkToken() error {
	switch r.Type {
	case stile.TokenTypeJWT, stile.TokenTypeIDToken:
		if r.IDToken == "" {
			return fmt.Errorf("%w: its answer has no id_token", stile.ErrTemporary)
		}
	case TokenTypeSAML2:
		if r.SAML == "" {
			return fmt.Errorf("%w: its answer has no saml_response", stile.ErrTemporary)
		}
	default:
		return fmt.Errorf("%w: its answer has a token_type that is none of the protocol's", stile.ErrTemporary)
	}
	return nil
}

// subjectToken gives the answer's token, which expires at the sooner of what it says itself and what the answer says.
func (r response) subjectToken(p proof) (stile.SubjectToken, error) {
	p.typ = r.Type
	raw := r.IDToken
	if r.Type == TokenTypeSAML2 {
		raw = r.SAML
	}
	token, err := p.subjectToken(raw)
	if said := time.Unix(r.Expires, 0); err == nil && r.Expires != 0 && (token.Expires.IsZero() || said.Before(token.Expires)) {
		token.Expires = said
	}
	return token, err
}
