// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"service_account", "scopes", "provider", "lifetime", "aws", "gcp", "to"}
	for word, want := range map[string]string{
		"servce_account": "service_account", "serviceAccount": "service_account", "service-account": "service_account",
		"scope": "scopes", "providre": "provider", "asw": "aws", "AWS": "aws", "gpc": "gcp",
		"azure": "", "password": "", "": "", strings.Repeat("scopes", 50): "",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("%s: got %q, want %q", word, got, want)
		}
	}
}
