// SPDX-License-Identifier: Apache-2.0

package shape

import (
	"errors"
	"strings"
)

// WorkforceProvider takes the resource name of a workforce pool provider, with or without the service in front, and
// gives it from "locations/" on. Source: IAM API, locations.workforcePools.providers.
func WorkforceProvider(s string) (string, error) {
	name := s
	for _, prefix := range []string{"https:", "//iam.googleapis.com/"} {
		name = strings.TrimPrefix(name, prefix)
	}
	m := segments(name, "locations", "workforcePools", "providers")
	switch {
	case m == nil:
		return "", errors.New("want locations/LOCATION/workforcePools/POOL/providers/PROVIDER")
	case !Name(m[0], 1, 40, "a-z0-9-"), !Begins(m[0], "a-z"):
		return "", errors.New("want a location such as global after locations/")
	case !Name(m[1], 6, 63, "a-z0-9-"), !Begins(m[1], "a-z"):
		return "", errors.New("want 6 to 63 lower-case letters, digits and hyphens for the workforce pool")
	case !isPoolID(m[2]):
		return "", errors.New("want up to 32 lower-case letters, digits and hyphens for the provider")
	}
	return name, nil
}

// UniverseDomain is the domain of a Google cloud: googleapis.com, or that of a sovereign one.
func UniverseDomain(s string) (string, error) {
	if len(s) > 128 || !isDomain(s) {
		return "", errors.New("want a domain such as googleapis.com")
	}
	return s, nil
}

// isDomain wants one to five labels and a top-level domain of letters.
func isDomain(s string) bool {
	labels := strings.Split(s, ".")
	last := len(labels) - 1
	if last < 1 || last > 5 || !Only(labels[last], 2, 63, "a-z") {
		return false
	}
	for _, label := range labels[:last] {
		if !Name(label, 1, 63, "a-z0-9-") {
			return false
		}
	}
	return true
}
