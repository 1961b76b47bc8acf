// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

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

func oneOf(words ...string) shape.Shape {
	return func(s string) (string, error) {
		if !slices.Contains(words, s) {
			return "", fmt.Errorf("want %s", strings.Join(words, " or "))
		}
		return s, nil
	}
}

// provider takes a provider of a workload identity pool or of a workforce pool.
func provider(s string) (string, error) {
	if strings.Contains(s, "/workforcePools/") && !strings.Contains(s, "projects/") {
		return shape.WorkforceProvider(s)
	}
	return shape.Provider(s)
}

func isWorkforce(provider string) bool { return strings.HasPrefix(provider, "locations/") }

// filePath is whatever may name a file.
func filePath(s string) (string, error) {
	if strings.TrimSpace(s) == "" || strings.ContainsFunc(s, unicode.IsControl) {
		return "", errors.New("want the path of a file")
	}
	return s, nil
}

// memberName is the name of a member of a JSON object.
func memberName(s string) (string, error) {
	if s == "" || len(s) > 256 || strings.ContainsFunc(s, unicode.IsControl) {
		return "", errors.New("want the name of the JSON object's member that holds the token")
	}
	return s, nil
}

func pattern(p, want string) shape.Shape {
	re := regexp.MustCompile(`^(?:` + p + `)$`)
	return func(s string) (string, error) {
		if !re.MatchString(s) {
			return "", errors.New(want)
		}
		return s, nil
	}
}

var (
	variable   = pattern(`[A-Za-z_][A-Za-z0-9_]{0,127}`, "want the name of an environment variable")
	namespace  = pattern(`[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?`, "want the name of a Kubernetes namespace")
	objectName = pattern(`[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?`, "want the name of a Kubernetes service account")

	// Source: SPIFFE Workload Endpoint, section 4.
	workloadSocket = pattern(`unix:///[\x21-\x7e]{1,200}|tcp://(?:[0-9.]{7,15}|\[[0-9a-f:]{2,39}\]):[0-9]{1,5}`, "want unix:///PATH or tcp://ADDRESS:PORT")
)

// What a session tag may hold. Source: AWS STS API, Tag.
var tagPattern = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

func tagKey(s string) (string, error) {
	switch {
	case s == "" || utf8.RuneCountInString(s) > 128 || !tagPattern.MatchString(s):
		return "", errors.New("want keys of 1 to 128 letters, digits, spaces and _.:/=+-@")
	case strings.HasPrefix(strings.ToLower(s), "aws:"):
		return "", errors.New("keys that begin with aws: are Amazon's own")
	}
	return s, nil
}

func tagValue(s string) (string, error) {
	if utf8.RuneCountInString(s) > 256 || !tagPattern.MatchString(s) {
		return "", errors.New("want values of at most 256 letters, digits, spaces and _.:/=+-@")
	}
	return s, nil
}

// sourceIdentity is what sts:SourceIdentity compares. Source: AWS STS API, AssumeRole, SourceIdentity.
func sourceIdentity(s string) (string, error) {
	if _, err := shape.SessionName(s); err != nil {
		return "", err
	}
	if strings.HasPrefix(strings.ToLower(s), "aws:") {
		return "", errors.New("what begins with aws: is Amazon's own")
	}
	return s, nil
}

var headerPattern = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")

// headerName keeps a name from changing where the request goes. Source: RFC 9110, section 5.6.2.
func headerName(s string) error {
	own := []string{"Host", "Content-Length", "Transfer-Encoding", "Connection", "Trailer"}
	switch {
	case !headerPattern.MatchString(s):
		return errors.New("want the letters of a header's name")
	case slices.ContainsFunc(own, func(o string) bool { return strings.EqualFold(o, s) }):
		return errors.New("the request sets this header itself")
	}
	return nil
}

func headerValue(s string) (string, error) {
	if s == "" || s != strings.TrimSpace(s) || strings.ContainsFunc(s, func(c rune) bool { return c < ' ' && c != '\t' || c > '~' }) {
		return "", errors.New("want a header's value of printable ASCII")
	}
	return s, nil
}
