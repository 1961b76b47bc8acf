// SPDX-License-Identifier: Apache-2.0

package config

import "testing"

func TestSniff(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]Kind{
		"":                                 KindUnknown,
		"hello":                            KindUnknown,
		"{":                                KindUnknown,
		full:                               KindStile,
		"\xef\xbb\xbfversion: 1\n":         KindStile,
		`{"version": 1, "crossings": {}}`:  KindStile,
		external:                           KindExternalAccount,
		`{"type": "service_account"}`:      KindServiceAccount,
		`{"type": "authorized_user"}`:      KindAuthorizedUser,
		`{"type": "gdch_service_account"}`: KindGDCHServiceAccount,
		`{"type": "impersonated_service_account"}`:     KindImpersonatedServiceAccount,
		`{"type": "external_account_authorized_user"}`: KindExternalAccountAuthorizedUser,
		`{"installed": {}}`:                            KindOAuthClient,
		`{"web": {}}`:                                  KindOAuthClient,
		`{"type": 1}`:                                  KindOtherJSON,
		`{}`:                                           KindOtherJSON,
		awsConfig:                                      KindAWSProfiles,
		awsCredentials:                                 KindAWSProfiles,
		"-----BEGIN PRIVATE KEY-----\nx":               KindPEM,
	} {
		if got := Sniff([]byte(data)); got != want {
			t.Errorf("%.40q: got %v, want %v", data, got, want)
		}
	}
}
