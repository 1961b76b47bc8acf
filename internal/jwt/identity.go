// SPDX-License-Identifier: Apache-2.0

package jwt

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// A Claim names a claim by its path: a member of the token's claims, then a member of that one's value, and so on.
type Claim []string

// volatile are the claims that differ between two tokens of one identity: when a token was made and how long it lasts,
// its serial number, and the sign-in it was made in. All others stay, because a far side's mapping or condition can look
// at them: a job's run, and the pod and node that a Kubernetes token is bound to, too. A claim that is kept and should
// not be costs an exchange; one that is left out and should not be hands one identity's credential to another.
var volatile = []Claim{
	// When, and for how long (RFC 7519, section 4.1). AWS tells when the session ends that asked for the token, and
	// Kubernetes when the holder should be warned.
	{"exp"}, {"iat"}, {"nbf"},
	{"https://sts.amazonaws.com/", "original_session_exp"}, {"kubernetes.io", "warnafter"},
	// Which of many tokens it is: the serial number, and what Entra ID writes for itself alone.
	{"jti"}, {"uti"}, {"rh"}, {"aio"},
	// Which sign-in it was made in (OpenID Connect Core 1.0, sections 2 and 3.3.2.11; Session Management).
	{"auth_time"}, {"nonce"}, {"at_hash"}, {"c_hash"}, {"sid"},
}

// Identity is what two tokens of one identity have in common, and two of different identities have not: all claims less
// the volatile ones and those that without names, with members in order and numbers as they were written. The token is
// read as by [Unverified], and needs an iss and a sub; the sub alone will do for a SPIFFE ID, which has its issuer in
// it. Errors never quote the token.
func Identity(token string, without ...Claim) (string, error) {
	claims, err := Unverified(token)
	switch {
	case err != nil:
		return "", err
	case claims.Subject == "":
		return "", errors.New("it has no sub")
	case claims.Issuer == "" && !strings.HasPrefix(claims.Subject, "spiffe://"):
		return "", errors.New("it has no iss")
	case !exact(claims.All):
		return "", errors.New("it has characters that cannot be told from one another")
	}
	for _, list := range [][]Claim{volatile, without} {
		for _, path := range list {
			leaveOut(claims.All, path)
		}
	}
	text, err := json.Marshal(claims.All) // sorts members, and writes a json.Number as it was read
	return string(text), err
}

// Stable is what stays of a token from one to the next of the same identity: its [Identity], or all of it where it is
// no token that has one. The two kinds never meet. A key may be made of it; it may hold a secret.
func Stable(token string) string {
	token = strings.TrimSpace(token)
	if identity, err := Identity(token); err == nil {
		return "claims " + identity
	}
	return "text " + token
}

func leaveOut(object map[string]any, path Claim) {
	for len(path) > 1 {
		inner, ok := object[path[0]].(map[string]any)
		if !ok {
			return
		}
		object, path = inner, path[1:]
	}
	delete(object, path[0])
}

// exact reports whether value is read as it was written. Halves of a surrogate pair, which JSON can spell and Unicode
// has not, are all read as one and the same replacement character.
func exact(value any) bool {
	switch value := value.(type) {
	case string:
		return !strings.ContainsRune(value, utf8.RuneError)
	case []any:
		for _, item := range value {
			if !exact(item) {
				return false
			}
		}
	case map[string]any:
		for name, item := range value {
			if !exact(name) || !exact(item) {
				return false
			}
		}
	}
	return true
}
