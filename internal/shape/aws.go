// SPDX-License-Identifier: Apache-2.0

package shape

import (
	"encoding/json"
	"errors"
	"regexp"
)

// The shapes of AWS names. Partitions beside the three public ones are spelt aws-iso…, aws-eusc.
var (
	// RoleARN is an IAM role's, with its path.
	RoleARN = matching(`arn:aws(?:-[a-z]{1,8}){0,3}:iam::[0-9]{12}:role/(?:[\x21-\x7e]{1,510}/)?[\w+=,.@-]{1,64}`,
		"want arn:PARTITION:iam::ACCOUNT:role/NAME with the 12 digits of the account")
	// PolicyARN is a managed policy's, of an account or of Amazon's own.
	PolicyARN = matching(`arn:aws(?:-[a-z]{1,8}){0,3}:iam::(?:[0-9]{12}|aws):policy/(?:[\x21-\x7e]{1,510}/)?[\w+=,.@-]{1,128}`,
		"want arn:PARTITION:iam::ACCOUNT:policy/NAME, with aws for the account of a policy of Amazon's own")
	// SessionName is a RoleSessionName.
	SessionName = matching(`[\w+=,.@-]{2,64}`, "want 2 to 64 letters, digits and _+=,.@-")
	// ExternalID is what sts:ExternalId compares.
	ExternalID = atMost(1224, matching(`[\w+=,.@:/-]{2,}`, "want 2 to 1224 letters, digits and _+=,.@:/-"))

	regionName = matching(`[a-z]{2,5}(?:-[a-z]{1,12}){1,3}-[0-9]{1,2}`, "want a region such as eu-west-1")
	zoneName   = regexp.MustCompile(`^[a-z]{2,5}(?:-[a-z]{1,12}){1,3}-[0-9]{1,2}(?:-[a-z]{3}-[0-9])?[a-z]$`)
)

// Region is an AWS region's name, and not a zone's.
func Region(s string) (string, error) {
	if zoneName.MatchString(s) {
		return "", errors.New("this is an availability zone: name its region, such as eu-west-1")
	}
	return regionName(s)
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
