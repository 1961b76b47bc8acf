// SPDX-License-Identifier: Apache-2.0

package shape

import (
	"errors"
	"regexp"
	"strings"
)

var (
	workforceName = regexp.MustCompile(`^locations/([^/]+)/workforcePools/([^/]+)/providers/([^/]+)$`)
	workforcePool = regexp.MustCompile(`^[a-z][a-z0-9-]{4,61}[a-z0-9]$`)
	location      = regexp.MustCompile(`^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?$`)
	domain        = regexp.MustCompile(`^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,5}[a-z]{2,63}$`)
)

// WorkforceProvider takes the resource name of a workforce pool provider, with or without the service in front, and
// gives it from "locations/" on. Source: IAM API, locations.workforcePools.providers.
func WorkforceProvider(s string) (string, error) {
	name := s
	for _, prefix := range []string{"https:", "//iam.googleapis.com/"} {
		name = strings.TrimPrefix(name, prefix)
	}
	m := workforceName.FindStringSubmatch(name)
	switch {
	case m == nil:
		return "", errors.New("want locations/LOCATION/workforcePools/POOL/providers/PROVIDER")
	case !location.MatchString(m[1]):
		return "", errors.New("want a location such as global after locations/")
	case !workforcePool.MatchString(m[2]):
		return "", errors.New("want 6 to 63 lower-case letters, digits and hyphens for the workforce pool")
	case !poolID.MatchString(m[3]):
		return "", errors.New("want up to 32 lower-case letters, digits and hyphens for the provider")
	}
	return name, nil
}

// UniverseDomain is the domain of a Google cloud: googleapis.com, or that of a sovereign one.
func UniverseDomain(s string) (string, error) {
	if len(s) > 128 || !domain.MatchString(s) {
		return "", errors.New("want a domain such as googleapis.com")
	}
	return s, nil
}
