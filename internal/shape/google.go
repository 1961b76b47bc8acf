// SPDX-License-Identifier: Apache-2.0

package shape

import (
	"errors"
	"strings"
)

// isPoolID takes the id of a pool or of a provider. New ones have 4 characters or more; whether a shorter one exists is
// Google's to say.
func isPoolID(s string) bool { return Only(s, 1, 32, "a-z0-9-") }

func isNumber(s string) bool { return Only(s, 1, 19, "0-9") }

// isProjectID takes a project's id, which may stand behind its organization's domain: example.com:my-project.
func isProjectID(s string) bool {
	if domain, id, found := strings.Cut(s, ":"); found {
		if !Only(domain, 1, 63, "a-z0-9.-") {
			return false
		}
		s = id
	}
	return Name(s, 6, 30, "a-z0-9-") && Begins(s, "a-z")
}

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
	m := segments(name, "projects", "locations", "workloadIdentityPools", "providers")
	switch {
	case m == nil:
		return "", errors.New("want projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER")
	case !isNumber(m[0]) && isProjectID(m[0]):
		return "", errors.New("it names the project by its id: use the project's number (gcloud projects describe PROJECT --format='value(projectNumber)')")
	case !isNumber(m[0]):
		return "", errors.New("want the project's number after projects/")
	case m[1] != "global":
		return "", errors.New("want locations/global: workload identity pools stand nowhere else")
	case !isPoolID(m[2]), !isPoolID(m[3]):
		return "", errors.New("want up to 32 lower-case letters, digits and hyphens for the pool and for the provider")
	}
	return name, nil
}

// isAccountEmail wants NAME@DOMAIN.gserviceaccount.com, with one to eight labels for the domain.
func isAccountEmail(s string) bool {
	name, host, _ := strings.Cut(s, "@")
	domain, ok := strings.CutSuffix(host, ".gserviceaccount.com")
	if !ok || !Name(name, 1, 64, "a-z0-9.-") {
		return false
	}
	labels := strings.Split(domain, ".")
	for _, label := range labels {
		if !Only(label, 1, 63, "a-z0-9-") {
			return false
		}
	}
	return len(labels) <= 8
}

// ServiceAccount is a Google service account's e-mail.
func ServiceAccount(s string) (string, error) {
	switch {
	case isAccountEmail(s):
		return s, nil
	case isAccountEmail(strings.ToLower(strings.TrimSpace(s))):
		return "", errors.New("write the service account's e-mail in lower case and without spaces")
	case Only(s, 15, 30, "0-9"):
		return "", errors.New("this is the service account's number: use its e-mail")
	case strings.Contains(s, "@"):
		return "", errors.New("this is not the e-mail of a service account: want NAME@PROJECT.iam.gserviceaccount.com")
	}
	return "", errors.New("want a service account's e-mail, NAME@PROJECT.iam.gserviceaccount.com")
}

// Scope is one OAuth scope.
func Scope(s string) (string, error) {
	name, isURL := strings.CutPrefix(s, "https://")
	switch {
	case isURL && Only(name, 3, 240, "!-~"), s == "openid", s == "email", s == "profile":
		return s, nil
	case strings.ContainsAny(s, " ,\t\n"):
		return "", errors.New("want one scope in each entry of the list")
	}
	return "", errors.New("want a whole scope, https://www.googleapis.com/auth/NAME")
}

// Project is a Google Cloud project's id or number.
func Project(s string) (string, error) {
	if !isProjectID(s) && !isNumber(s) {
		return "", errors.New("want the id of a Google Cloud project")
	}
	return s, nil
}

// IsBoundedBucket reports whether s names a bucket as an access boundary does.
// Source: Google STS v1 discovery, AccessBoundaryRule.availableResource.
func IsBoundedBucket(s string) bool {
	bucket, ok := strings.CutPrefix(s, "//storage.googleapis.com/projects/_/buckets/")
	return ok && Name(bucket, 3, 222, "a-z0-9._-")
}

// IsBoundedRole reports whether s names a role as an access boundary does: inRole:roles/NAME, or a custom role of a
// project or organization. Source: Google STS v1 discovery, AccessBoundaryRule.availablePermissions.
func IsBoundedRole(s string) bool {
	role, ok := strings.CutPrefix(s, "inRole:")
	owner := segments(role, "projects", "roles")
	if owner == nil {
		owner = segments(role, "organizations", "roles")
	}
	if owner != nil {
		return ok && Only(owner[0], 1, 64, "a-z0-9:.-") && isRoleName(owner[1])
	}
	name, predefined := strings.CutPrefix(role, "roles/")
	return ok && predefined && isRoleName(name)
}

func isRoleName(s string) bool { return Only(s, 1, 128, "A-Za-z0-9._") }
