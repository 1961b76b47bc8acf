// SPDX-License-Identifier: Apache-2.0

package outlet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/stile-project/stile"
)

// A Form is how a [File] holds a credential.
type Form int

// The forms. Those of a token hold access tokens and ID tokens.
const (
	// FormToken is the token and nothing else. AWS SDKs send what AWS_WEB_IDENTITY_TOKEN_FILE holds as it is, and some
	// of Google's libraries do so with a credential_source.file: a line end would be part of the token.
	FormToken Form = iota
	// FormLine is the token and a line end.
	FormLine
	// FormJSON is {"access_token": …, "expires_at": …} or {"id_token": …, "expires_at": …}, in Unix seconds, as
	// credential_source.format with type json reads it. An AWS session is written as credential_process prints it.
	FormJSON
	// FormExecutable is the answer of an executable source, for its output_file. It holds ID tokens.
	FormExecutable
	// FormProfile is a profile of an AWS shared credentials file, ~/.aws/credentials, beside others that stay as they
	// are. It holds AWS sessions. Profiles that hold keys of somebody else are refused.
	FormProfile
)

var formNames = []string{"token", "line", "json", "executable", "profile"}

// String names the form as configurations do: token, line, json, executable, profile.
func (f Form) String() string {
	if f < 0 || int(f) >= len(formNames) {
		return fmt.Sprintf("form %d", int(f))
	}
	return formNames[f]
}

// ParseForm reads what [Form.String] gives. The empty string is [FormToken].
func ParseForm(s string) (Form, error) {
	if s == "" {
		return FormToken, nil
	}
	i := slices.Index(formNames, s)
	if i < 0 {
		return 0, fmt.Errorf("%w: form %.40q: want one of %s", stile.ErrMisuse, s, strings.Join(formNames, ", "))
	}
	return Form(i), nil
}

// Holds reports whether the form has a place for credentials of the kind.
func (f Form) Holds(k stile.Kind) bool {
	switch f {
	case FormToken, FormLine:
		return k == stile.KindAccessToken || k == stile.KindIDToken
	case FormJSON:
		return k == stile.KindAccessToken || k == stile.KindIDToken || k == stile.KindAWSSession
	case FormExecutable:
		return k == stile.KindIDToken
	case FormProfile:
		return k == stile.KindAWSSession
	}
	return false
}

// content is the whole file of every form but FormProfile.
func (f Form) content(c stile.Credential, typ stile.TokenType) ([]byte, error) {
	if !f.Holds(c.Kind) {
		return nil, fmt.Errorf("%w: a file of form %s holds no %s", stile.ErrMisuse, f, c.Kind)
	}
	if c.Kind == stile.KindAWSSession {
		var b bytes.Buffer
		err := CredentialProcess(&b, c)
		return b.Bytes(), err
	}
	token := c.Token.Reveal()
	if token == "" || strings.ContainsFunc(token, unprintable) {
		return nil, fmt.Errorf("an %s that is empty, or has white space in it: not a credential", c.Kind)
	}
	switch f {
	case FormLine:
		return []byte(token + "\n"), nil
	case FormJSON:
		type told struct {
			AccessToken string `json:"access_token,omitempty"`
			IDToken     string `json:"id_token,omitempty"`
			ExpiresAt   int64  `json:"expires_at"`
		}
		t := told{AccessToken: token, ExpiresAt: c.Expires.Unix()}
		if c.Kind == stile.KindIDToken {
			t.AccessToken, t.IDToken = "", token
		}
		return json.Marshal(t)
	case FormExecutable:
		var b bytes.Buffer
		err := ExecutableResponse(&b, c, typ)
		return b.Bytes(), err
	}
	return []byte(token), nil
}

// unprintable is what no token has.
func unprintable(c rune) bool { return c <= ' ' || c > '~' }
