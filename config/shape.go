// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/stile-project/stile/internal/shape"
)

func profileName(s string) (string, error) {
	if s == "" || utf8.RuneCountInString(s) > 128 || strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f || c == '[' || c == ']' }) {
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

func variable(s string) (string, error) {
	if !shape.Only(s, 1, 128, "A-Za-z0-9_") || !shape.Begins(s, "A-Za-z_") {
		return "", errors.New("want the name of an environment variable")
	}
	return s, nil
}

func namespace(s string) (string, error) {
	if !shape.Name(s, 1, 63, "a-z0-9-") {
		return "", errors.New("want the name of a Kubernetes namespace")
	}
	return s, nil
}

func objectName(s string) (string, error) {
	if !shape.Name(s, 1, 253, "a-z0-9.-") {
		return "", errors.New("want the name of a Kubernetes service account")
	}
	return s, nil
}

// workloadSocket is where the SPIFFE Workload API answers. Source: SPIFFE Workload Endpoint, section 4.
func workloadSocket(s string) (string, error) {
	path, unix := strings.CutPrefix(s, "unix:///")
	address, tcp := strings.CutPrefix(s, "tcp://")
	if unix && shape.Only(path, 1, 200, "!-~") || tcp && isAddressPort(address) {
		return s, nil
	}
	return "", errors.New("want unix:///PATH or tcp://ADDRESS:PORT")
}

// isAddressPort wants the letters of an address, in brackets where it is one of IPv6, and a port.
func isAddressPort(s string) bool {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || !shape.Only(s[i+1:], 1, 5, "0-9") {
		return false
	}
	host := s[:i]
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		return ok && shape.Only(inner, 2, 39, "0-9a-f:")
	}
	return shape.Only(host, 7, 15, "0-9.")
}

func tagKey(s string) (string, error) {
	switch {
	case !shape.IsTag(s, 1, 128):
		return "", errors.New("want keys of 1 to 128 letters, digits, spaces and _.:/=+-@")
	case strings.HasPrefix(strings.ToLower(s), "aws:"):
		return "", errors.New("keys that begin with aws: are Amazon's own")
	}
	return s, nil
}

func tagValue(s string) (string, error) {
	if !shape.IsTag(s, 0, 256) {
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

// headerName keeps a name from changing where the request goes. Source: RFC 9110, section 5.6.2.
func headerName(s string) error {
	own := []string{"Host", "Content-Length", "Transfer-Encoding", "Connection", "Trailer"}
	switch {
	case !shape.Only(s, 1, 100, "A-Za-z0-9!#$%&'*+.^_`|~-"):
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
