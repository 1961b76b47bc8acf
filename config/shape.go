// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"regexp"
	"strings"
	"unicode"

	"github.com/stile-project/stile/internal/shape"
)

var profilePattern = regexp.MustCompile(`^[^\x00-\x1f\x7f\[\]]{1,128}$`)

func profileName(s string) (string, error) {
	if !profilePattern.MatchString(s) {
		return "", errors.New("want the name of a profile, at most 128 characters, without brackets")
	}
	return s, nil
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

// metadataAccount is a service account as the metadata server names it.
func metadataAccount(s string) (string, error) {
	if s == "default" {
		return s, nil
	}
	if _, err := shape.ServiceAccount(s); err != nil {
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
