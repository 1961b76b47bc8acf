// SPDX-License-Identifier: Apache-2.0

package shape

import (
	"errors"
	"regexp"
	"strings"
)

var (
	providerName = regexp.MustCompile(`^projects/([^/]+)/locations/([^/]+)/workloadIdentityPools/([^/]+)/providers/([^/]+)$`)
	// New ids have 4 characters or more; whether a shorter one exists is Google's to say.
	poolID    = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
	digits    = regexp.MustCompile(`^[0-9]{1,19}$`)
	projectID = regexp.MustCompile(`^(?:[a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$`)
)

// Provider takes the resource name of a workload identity pool provider, with or without the service in front, and
// gives it from "projects/" on. Source: AIP-4117 and gcloud's cred_config.py.
func Provider(s string) (string, error) {
	name := s
	for _, prefix := range []string{"https:", "//iam.googleapis.com/"} {
		name = strings.TrimPrefix(name, prefix)
	}
	if strings.HasPrefix(name, "locations/") && strings.Contains(name, "/workforcePools/") {
		return "", errors.New("this is a workforce pool, which signs in people: name a workload identity pool provider")
	}
	m := providerName.FindStringSubmatch(name)
	switch {
	case m == nil:
		return "", errors.New("want projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER")
	case !digits.MatchString(m[1]) && projectID.MatchString(m[1]):
		return "", errors.New("it names the project by its id: use the project's number (gcloud projects describe PROJECT --format='value(projectNumber)')")
	case !digits.MatchString(m[1]):
		return "", errors.New("want the project's number after projects/")
	case m[2] != "global":
		return "", errors.New("want locations/global: workload identity pools stand nowhere else")
	case !poolID.MatchString(m[3]), !poolID.MatchString(m[4]):
		return "", errors.New("want up to 32 lower-case letters, digits and hyphens for the pool and for the provider")
	}
	return name, nil
}

var (
	accountEmail  = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?@(?:[a-z0-9-]{1,63}\.){1,8}gserviceaccount\.com$`)
	accountNumber = regexp.MustCompile(`^[0-9]{15,30}$`)
)

// ServiceAccount is a Google service account's e-mail.
func ServiceAccount(s string) (string, error) {
	switch {
	case accountEmail.MatchString(s):
		return s, nil
	case accountEmail.MatchString(strings.ToLower(strings.TrimSpace(s))):
		return "", errors.New("write the service account's e-mail in lower case and without spaces")
	case accountNumber.MatchString(s):
		return "", errors.New("this is the service account's number: use its e-mail")
	case strings.Contains(s, "@"):
		return "", errors.New("this is not the e-mail of a service account: want NAME@PROJECT.iam.gserviceaccount.com")
	}
	return "", errors.New("want a service account's e-mail, NAME@PROJECT.iam.gserviceaccount.com")
}

var scopeURL = regexp.MustCompile(`^https://[\x21-\x7e]{3,240}$`)

// Scope is one OAuth scope.
func Scope(s string) (string, error) {
	switch {
	case scopeURL.MatchString(s), s == "openid", s == "email", s == "profile":
		return s, nil
	case strings.ContainsAny(s, " ,\t\n"):
		return "", errors.New("want one scope in each entry of the list")
	}
	return "", errors.New("want a whole scope, https://www.googleapis.com/auth/NAME")
}

// Project is a Google Cloud project's id or number.
func Project(s string) (string, error) {
	if !projectID.MatchString(s) && !digits.MatchString(s) {
		return "", errors.New("want the id of a Google Cloud project")
	}
	return s, nil
}
