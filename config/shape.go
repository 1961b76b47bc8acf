// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// A shape checks one value and gives it in its canonical spelling. Its error says what is wanted and never quotes.
type shape func(string) (string, error)

func matching(pattern, want string) shape {
	p := regexp.MustCompile(`^(?:` + pattern + `)$`)
	return func(s string) (string, error) {
		if !p.MatchString(s) {
			return "", errors.New(want)
		}
		return s, nil
	}
}

// atMost is s for values of up to n bytes, where a pattern cannot count that far.
func atMost(n int, s shape) shape {
	return func(v string) (string, error) {
		if len(v) > n {
			return "", fmt.Errorf("want at most %d characters", n)
		}
		return s(v)
	}
}

// The shapes of AWS names. Partitions beside the three public ones are spelt aws-iso…, aws-eusc.
var (
	roleARN = matching(`arn:aws(?:-[a-z]{1,8}){0,3}:iam::[0-9]{12}:role/(?:[\x21-\x7e]{1,510}/)?[\w+=,.@-]{1,64}`,
		"want arn:PARTITION:iam::ACCOUNT:role/NAME with the 12 digits of the account")
	policyARN = matching(`arn:aws(?:-[a-z]{1,8}){0,3}:iam::(?:[0-9]{12}|aws):policy/(?:[\x21-\x7e]{1,510}/)?[\w+=,.@-]{1,128}`,
		"want arn:PARTITION:iam::ACCOUNT:policy/NAME, with aws for the account of a policy of Amazon's own")
	sessionName = matching(`[\w+=,.@-]{2,64}`, "want 2 to 64 letters, digits and _+=,.@-")
	externalID  = atMost(1224, matching(`[\w+=,.@:/-]{2,}`, "want 2 to 1224 letters, digits and _+=,.@:/-"))
	regionName  = matching(`[a-z]{2,5}(?:-[a-z]{1,12}){1,3}-[0-9]{1,2}`, "want a region such as eu-west-1")
	zoneName    = regexp.MustCompile(`^[a-z]{2,5}(?:-[a-z]{1,12}){1,3}-[0-9]{1,2}(?:-[a-z]{3}-[0-9])?[a-z]$`)
	profileName = matching(`[^\x00-\x1f\x7f\[\]]{1,128}`, "want the name of a profile, at most 128 characters, without brackets")
)

func region(s string) (string, error) {
	if zoneName.MatchString(s) {
		return "", errors.New("this is an availability zone: name its region, such as eu-west-1")
	}
	return regionName(s)
}

// partitionOf tells the partition that a region lies in. Source: AWS General Reference, partitions.
func partitionOf(region string) string {
	for _, p := range []struct{ prefix, partition string }{
		{"cn-", "aws-cn"}, {"us-gov-", "aws-us-gov"}, {"us-isob-", "aws-iso-b"}, {"us-iso-", "aws-iso"},
		{"eu-isoe-", "aws-iso-e"}, {"us-isof-", "aws-iso-f"}, {"eusc-", "aws-eusc"},
	} {
		if strings.HasPrefix(region, p.prefix) {
			return p.partition
		}
	}
	return "aws"
}

func partitionOfARN(arn string) string {
	parts := strings.SplitN(arn, ":", 3)
	if len(parts) < 3 {
		return ""
	}
	return parts[1]
}

// sessionPolicy takes a JSON object of at most 2048 characters. Source: AWS STS API, AssumeRoleWithWebIdentity, Policy.
func sessionPolicy(s string) (string, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(s), &object); err != nil || object == nil {
		return "", errors.New(`want an IAM policy as a JSON object, {"Version": "2012-10-17", "Statement": […]}`)
	}
	if _, ok := object["Statement"]; !ok {
		return "", errors.New("want an IAM policy: this object has no Statement")
	}
	return s, nil
}

var (
	providerName = regexp.MustCompile(`^projects/([^/]+)/locations/([^/]+)/workloadIdentityPools/([^/]+)/providers/([^/]+)$`)
	poolID       = regexp.MustCompile(`^[a-z0-9-]{4,32}$`)
	digits       = regexp.MustCompile(`^[0-9]{1,19}$`)
	projectID    = regexp.MustCompile(`^(?:[a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$`)
)

// provider takes the resource name of a workload identity pool provider, with or without the service in front, and
// gives it from "projects/" on. Source: AIP-4117 and gcloud's cred_config.py.
func provider(s string) (string, error) {
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
		return "", errors.New("want 4 to 32 lower-case letters, digits and hyphens for the pool and for the provider")
	}
	return name, nil
}

var (
	accountEmail  = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?@(?:[a-z0-9-]{1,63}\.){1,8}gserviceaccount\.com$`)
	accountNumber = regexp.MustCompile(`^[0-9]{15,30}$`)
)

func serviceAccount(s string) (string, error) {
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

// metadataAccount is a service account as the metadata server names it.
func metadataAccount(s string) (string, error) {
	if s == "default" {
		return s, nil
	}
	if _, err := serviceAccount(s); err != nil {
		return "", errors.New(`want "default" or the e-mail of a service account that the machine carries`)
	}
	return s, nil
}

// audience is free text that both sides compare: anything that can be seen and has no spaces.
func audience(s string) (string, error) {
	if s == "" || strings.ContainsFunc(s, func(c rune) bool { return unicode.IsSpace(c) || !unicode.IsPrint(c) }) {
		return "", errors.New("want what the token is made out to, such as https://example.com, without spaces")
	}
	return s, nil
}

func identityFormat(s string) (string, error) {
	if s != "standard" && s != "full" {
		return "", errors.New("want standard or full")
	}
	return s, nil
}

var scopeURL = regexp.MustCompile(`^https://[\x21-\x7e]{3,240}$`)

func scope(s string) (string, error) {
	switch {
	case scopeURL.MatchString(s), s == "openid", s == "email", s == "profile":
		return s, nil
	case strings.ContainsAny(s, " ,\t\n"):
		return "", errors.New("want one scope in each entry of the list")
	}
	return "", errors.New("want a whole scope, https://www.googleapis.com/auth/NAME")
}

func quotaProject(s string) (string, error) {
	if !projectID.MatchString(s) && !digits.MatchString(s) {
		return "", errors.New("want the id of a Google Cloud project")
	}
	return s, nil
}
