// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// A signedRequest is the subject token of an AWS workload: a GetCallerIdentity request it signed and did not send.
// Source: sts/v1 discovery, subjectToken.
type signedRequest struct {
	host    string
	url     string
	headers map[string]string // names in lower case
}

// targetHeader binds the request to one provider. When it is among the signed headers, AWS's check of the signature
// protects it; when it is not (Python, Node), only its value counts.
const targetHeader = "x-goog-cloud-target-resource"

// errNotJSON and errRequest are the two refusals Google is known to give for a subject token it cannot read.
var (
	errNotJSON = errors.New("Invalid format of AWS credentials:Error at line 0:0: Unexpected end of stream : expected '{'") //nolint:staticcheck // Google's words
	errRequest = errors.New("AWS request has invalid format.")                                                              //nolint:staticcheck // Google's words
)

// parseSignedRequest reads a subject token. Where libraries differ, all of them are accepted: + or %20 for a space,
// header names in any case, an empty body or none, a header given twice with one value. Everything else is refused with
// errNotJSON or errRequest, wrapped in what is wrong.
func parseSignedRequest(token string) (signedRequest, error) {
	if strings.ContainsAny(token, "{}\" \r\n\t") {
		return signedRequest{}, fmt.Errorf("%w (it is not percent-encoded)", errNotJSON)
	}
	text, err := url.QueryUnescape(token)
	if err != nil {
		return signedRequest{}, fmt.Errorf("%w (its percent-encoding is broken)", errNotJSON)
	}
	object, err := readObject([]byte(text))
	if err != nil {
		return signedRequest{}, fmt.Errorf("%w (%w)", errNotJSON, err)
	}
	return readSignedRequest(object)
}

func readSignedRequest(object map[string]any) (signedRequest, error) {
	for name, value := range object {
		switch name {
		case "url", "method", "headers":
		case "body":
			if value != nil && value != "" {
				return signedRequest{}, fmt.Errorf("%w (its body is not empty)", errRequest)
			}
		default:
			return signedRequest{}, fmt.Errorf("%w (it has a member %q)", errRequest, clip(name, 32))
		}
	}
	if object["method"] != http.MethodPost {
		return signedRequest{}, fmt.Errorf("%w (its method is not POST)", errRequest)
	}
	address, _ := object["url"].(string)
	host, err := identityHost(address)
	if err != nil {
		return signedRequest{}, err
	}
	headers, err := readHeaders(object["headers"])
	if err != nil {
		return signedRequest{}, err
	}
	if headers["host"] != host {
		return signedRequest{}, fmt.Errorf("%w (its host header is not the host of its URL)", errRequest)
	}
	return signedRequest{host: host, url: address, headers: headers}, nil
}

// stsHosts are the hosts of AWS STS in every region and partition, with the FIPS ones.
var stsHosts = regexp.MustCompile(`^(?:sts\.amazonaws\.com|sts(?:-fips)?\.[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}\.amazonaws\.com(?:\.cn)?)$`)

// identityHost gives the host of a URL that asks AWS STS for GetCallerIdentity and nothing else.
func identityHost(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("%w (its URL cannot be read)", errRequest)
	}
	if u.Scheme != "https" || u.User != nil || u.Fragment != "" || u.Opaque != "" || (u.Path != "" && u.Path != "/") || !stsHosts.MatchString(u.Host) {
		return "", fmt.Errorf("%w (its URL is not one of AWS STS)", errRequest)
	}
	if cn := strings.HasSuffix(u.Host, ".cn"); cn != strings.Contains(u.Host, ".cn-") {
		return "", fmt.Errorf("%w (its URL names a region of another partition)", errRequest)
	}
	query, err := url.ParseQuery(u.RawQuery)
	want := url.Values{"Action": {"GetCallerIdentity"}, "Version": {"2011-06-15"}}
	if err != nil || !maps.EqualFunc(query, want, slices.Equal) {
		return "", fmt.Errorf("%w (its URL does not ask for GetCallerIdentity, version 2011-06-15)", errRequest)
	}
	return u.Host, nil
}

// requiredHeaders must all be there. The session token need not: a user's own keys have none.
var requiredHeaders = []string{"authorization", "host", "x-amz-date", targetHeader}

func readHeaders(value any) (map[string]string, error) {
	list, ok := value.([]any)
	if !ok || len(list) > 64 {
		return nil, fmt.Errorf("%w (its headers are not a list)", errRequest)
	}
	headers := map[string]string{}
	for _, item := range list {
		if err := addHeader(headers, item); err != nil {
			return nil, err
		}
	}
	for _, name := range requiredHeaders {
		if headers[name] == "" {
			return nil, fmt.Errorf("%w (the header %s is missing)", errRequest, name)
		}
	}
	return headers, nil
}

func addHeader(headers map[string]string, item any) error {
	pair, _ := item.(map[string]any)
	key, keyOK := pair["key"].(string)
	value, valueOK := pair["value"].(string)
	if len(pair) != 2 || !keyOK || !valueOK {
		return fmt.Errorf(`%w (a header is not {"key": …, "value": …})`, errRequest)
	}
	name := strings.ToLower(key)
	if !sendable(name) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
		return fmt.Errorf("%w (the header %q cannot be sent to AWS)", errRequest, clip(key, 48))
	}
	// Java sends the target resource twice. One value is one value; two are a question of who reads which.
	if earlier, twice := headers[name]; twice && earlier != value {
		return fmt.Errorf("%w (the header %s is given twice with different values)", errRequest, name)
	}
	headers[name] = value
	return nil
}

var vendorHeader = regexp.MustCompile(`^x-(?:amz|goog)-[a-z0-9-]{1,64}$`)

// sendable keeps out the headers that steer a connection or a cache rather than describe the request.
func sendable(name string) bool {
	switch name {
	case "authorization", "host", "date", "content-type", "accept", "user-agent":
		return true
	}
	return vendorHeader.MatchString(name)
}

// checkTarget wants the request to be made out to this provider.
func (s signedRequest) checkTarget(p providerName) error {
	got := s.headers[targetHeader]
	if got == p.String() || got == "https:"+p.String() {
		return nil
	}
	return fmt.Errorf("it is made out to %s", clip(got, 200))
}

// targetSigned reports whether the signature covers the target resource.
func (s signedRequest) targetSigned() bool {
	_, rest, _ := strings.Cut(s.headers["authorization"], "SignedHeaders=")
	names, _, _ := strings.Cut(rest, ",")
	return slices.Contains(strings.Split(strings.TrimSpace(names), ";"), targetHeader)
}

// request is the request that the workload signed.
func (s signedRequest) request(ctx context.Context) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, http.NoBody)
	if err != nil {
		return nil, err
	}
	if r.URL.Path == "" {
		r.URL.Path = "/"
	}
	for name, value := range s.headers {
		if name != "host" {
			r.Header.Set(name, value)
		}
	}
	r.Host = s.host
	return r, nil
}
