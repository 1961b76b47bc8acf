// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"encoding/json"
	"regexp"
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

var (
	stileKey   = regexp.MustCompile(`(?m)^(?:version|crossings)[ \t]*:`)
	awsSection = regexp.MustCompile(`(?m)^[ \t]*\[[ \t]*(?:profile[ \t]+\S.*|default|sso-session[ \t]+\S.*|services[ \t]+\S.*)\][ \t]*\r?$`)
	awsKey     = regexp.MustCompile(`(?mi)^[ \t]*aws_access_key_id[ \t]*=`)
)

// Sniff tells what a file is, so that an error can say what was given instead of what was wanted. It believes the file
// and checks nothing.
func Sniff(data []byte) Kind {
	data = bytes.TrimSpace(bytes.TrimPrefix(data[:min(len(data), sizeLimit)], []byte("\xef\xbb\xbf")))
	switch {
	case bytes.HasPrefix(data, []byte("{")):
		return sniffJSON(data)
	case bytes.HasPrefix(data, []byte("-----BEGIN ")):
		return KindPEM
	case awsSection.Match(data), awsKey.Match(data):
		return KindAWSProfiles
	case stileKey.Match(data):
		return KindStile
	}
	return KindUnknown
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
