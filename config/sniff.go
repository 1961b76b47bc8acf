// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// A Kind is what a file is, as far as its first look tells.
type Kind int

// The kinds of files. Source of the JSON ones: the "type" key as Google's libraries write it.
const (
	KindUnknown Kind = iota
	KindStile
	KindExternalAccount
	KindExternalAccountAuthorizedUser
	KindServiceAccount
	KindAuthorizedUser
	KindImpersonatedServiceAccount
	KindGDCHServiceAccount
	KindOAuthClient
	KindAWSProfiles
	KindPEM
	KindOtherJSON
)

// String names the kind with its article, for "this is …".
func (k Kind) String() string {
	switch k {
	case KindStile:
		return "a stile.yaml"
	case KindExternalAccount:
		return "an external_account file"
	case KindExternalAccountAuthorizedUser:
		return "an external_account_authorized_user file, a person's sign-in"
	case KindServiceAccount:
		return "a service_account key"
	case KindAuthorizedUser:
		return "an authorized_user file, a person's sign-in"
	case KindImpersonatedServiceAccount:
		return "an impersonated_service_account file"
	case KindGDCHServiceAccount:
		return "a gdch_service_account key"
	case KindOAuthClient:
		return "an OAuth client's secret"
	case KindAWSProfiles:
		return "an AWS configuration or credentials file"
	case KindPEM:
		return "a PEM key or certificate"
	case KindOtherJSON:
		return "JSON of another kind"
	}
	return "a file of an unknown kind"
}

// Sniff tells what a file is, so that an error can say what was given instead of what was wanted. It believes the file
// and checks nothing.
func Sniff(data []byte) Kind {
	data = bytes.TrimSpace(bytes.TrimPrefix(data[:min(len(data), sizeLimit)], []byte("\xef\xbb\xbf")))
	switch {
	case bytes.HasPrefix(data, []byte("{")):
		return sniffJSON(data)
	case bytes.HasPrefix(data, []byte("-----BEGIN ")):
		return KindPEM
	case anyLine(data, isAWSLine):
		return KindAWSProfiles
	case anyLine(data, isStileLine):
		return KindStile
	}
	return KindUnknown
}

func anyLine(data []byte, is func(line string) bool) bool {
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		if is(string(line)) {
			return true
		}
	}
	return false
}

const blank = " \t"

// isStileLine wants a key of a stile.yaml where a line begins.
func isStileLine(line string) bool {
	key, _, found := strings.Cut(line, ":")
	key = strings.TrimRight(key, blank)
	return found && (key == "version" || key == "crossings")
}

// isAWSLine wants the header of a section as the AWS programs know them, or an access key.
func isAWSLine(line string) bool {
	key, _, found := strings.Cut(line, "=")
	if found && strings.EqualFold(strings.Trim(key, blank), "aws_access_key_id") {
		return true
	}
	rest, begins := strings.CutPrefix(strings.TrimLeft(line, blank), "[")
	rest, ends := strings.CutSuffix(strings.TrimRight(strings.TrimSuffix(rest, "\r"), blank), "]")
	rest = strings.TrimLeft(rest, blank)
	if !begins || !ends || rest == "default" {
		return begins && ends
	}
	i := strings.IndexAny(rest, blank)
	if i < 0 || !slices.Contains([]string{"profile", "sso-session", "services"}, rest[:i]) {
		return false
	}
	name := strings.TrimLeft(rest[i:], blank)
	return name != "" && !strings.ContainsAny(name[:1], "\f\r")
}

func sniffJSON(data []byte) Kind {
	var top map[string]json.RawMessage
	if err := json.Unmarshal(data, &top); err != nil {
		return KindUnknown
	}
	var name string
	if err := json.Unmarshal(top["type"], &name); err != nil {
		name = ""
	}
	kinds := map[string]Kind{
		"external_account":                 KindExternalAccount,
		"external_account_authorized_user": KindExternalAccountAuthorizedUser,
		"service_account":                  KindServiceAccount,
		"authorized_user":                  KindAuthorizedUser,
		"impersonated_service_account":     KindImpersonatedServiceAccount,
		"gdch_service_account":             KindGDCHServiceAccount,
	}
	switch {
	case kinds[name] != KindUnknown:
		return kinds[name]
	case top["crossings"] != nil:
		return KindStile
	case top["installed"] != nil, top["web"] != nil:
		return KindOAuthClient
	}
	return KindOtherJSON
}
