// SPDX-License-Identifier: Apache-2.0

package shape

import (
	"encoding/json"
	"errors"
	"strings"
)

// word is what the names of roles, policies and sessions are made of.
const word = "A-Za-z0-9_+=,.@-"

// RoleARN is an IAM role's, with its path.
func RoleARN(s string) (string, error) {
	account, name := iamARN(s, "role/")
	if !isAccount(account) || !Only(name, 1, 64, word) {
		return "", errors.New("want arn:PARTITION:iam::ACCOUNT:role/NAME with the 12 digits of the account")
	}
	return s, nil
}

// PolicyARN is a managed policy's, of an account or of Amazon's own.
func PolicyARN(s string) (string, error) {
	account, name := iamARN(s, "policy/")
	if !isAccount(account) && account != "aws" || !Only(name, 1, 128, word) {
		return "", errors.New("want arn:PARTITION:iam::ACCOUNT:policy/NAME, with aws for the account of a policy of Amazon's own")
	}
	return s, nil
}

// iamARN takes account and name out of an ARN of IAM. The name is empty where s is no such ARN.
func iamARN(s, kind string) (account, name string) {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || !isPartition(parts[1]) || parts[2] != "iam" || parts[3] != "" {
		return "", ""
	}
	name, ok := strings.CutPrefix(parts[5], kind)
	if !ok {
		return "", ""
	}
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		if !Only(name[:i], 1, 510, "!-~") {
			return "", ""
		}
		name = name[i+1:]
	}
	return parts[4], name
}

// isPartition takes those beside the three public ones too, which are spelt aws-iso…, aws-eusc.
func isPartition(s string) bool {
	parts := strings.Split(s, "-")
	if parts[0] != "aws" || len(parts) > 4 {
		return false
	}
	for _, part := range parts[1:] {
		if !Only(part, 1, 8, "a-z") {
			return false
		}
	}
	return true
}

func isAccount(s string) bool { return Only(s, 12, 12, "0-9") }

// SessionName is a RoleSessionName.
func SessionName(s string) (string, error) {
	if !Only(s, 2, 64, word) {
		return "", errors.New("want 2 to 64 letters, digits and _+=,.@-")
	}
	return s, nil
}

// ExternalID is what sts:ExternalId compares.
func ExternalID(s string) (string, error) {
	switch {
	case len(s) > 1224:
		return "", errors.New("want at most 1224 characters")
	case !Only(s, 2, 1224, ":/"+word):
		return "", errors.New("want 2 to 1224 letters, digits and _+=,.@:/-")
	}
	return s, nil
}

// Region is an AWS region's name, and not a zone's.
func Region(s string) (string, error) {
	switch {
	case isZone(s):
		return "", errors.New("this is an availability zone: name its region, such as eu-west-1")
	case !isRegion(s):
		return "", errors.New("want a region such as eu-west-1")
	}
	return s, nil
}

// isRegion wants two to four words of letters and then a number: eu-west-1, us-gov-west-1.
func isRegion(s string) bool {
	parts := strings.Split(s, "-")
	last := len(parts) - 1
	if last < 2 || last > 4 || !Only(parts[0], 2, 5, "a-z") || !Only(parts[last], 1, 2, "0-9") {
		return false
	}
	for _, part := range parts[1:last] {
		if !Only(part, 1, 12, "a-z") {
			return false
		}
	}
	return true
}

// isZone wants a region and a letter, eu-west-1a, or a local zone's city between them, us-west-2-lax-1a.
func isZone(s string) bool {
	before := len(s) - 1
	if before < 0 || !within(s[before], "a-z") {
		return false
	}
	if isRegion(s[:before]) {
		return true
	}
	city := before - len("-lax-1")
	return city > 0 && s[city] == '-' && Only(s[city+1:city+4], 3, 3, "a-z") && s[city+4] == '-' &&
		within(s[city+5], "0-9") && isRegion(s[:city])
}

// SessionPolicy takes a JSON object of at most 2048 characters.
// Source: AWS STS API, AssumeRoleWithWebIdentity, Policy.
func SessionPolicy(s string) (string, error) {
	if len(s) > 2048 {
		return "", errors.New("want at most 2048 characters")
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(s), &object); err != nil || object == nil {
		return "", errors.New(`want an IAM policy as a JSON object, {"Version": "2012-10-17", "Statement": […]}`)
	}
	if _, ok := object["Statement"]; !ok {
		return "", errors.New("want an IAM policy: this object has no Statement")
	}
	return s, nil
}
