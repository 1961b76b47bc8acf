// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"cmp"
	"net"
	"slices"
	"strings"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/outlet"
	"github.com/stile-project/stile/serve/ecs"
)

// A Bearer is how a client gets the token of an ECS endpoint: one of the two.
type Bearer struct {
	File  string
	Value stile.Secret
}

// Variables are those by which SDKs find an endpoint of a kind, ecs, imds or gce, that hands out the crossing with this
// name. The address is HOST:PORT, or https://HOST:PORT where TLS is spoken. The region is for AWS; empty: not known.
func Variables(kind, address, crossing string, token Bearer, region string) []outlet.Variable {
	var vars []outlet.Variable
	url := "http://" + address
	if rest, ok := strings.CutPrefix(address, "https://"); ok {
		url, address = address, rest
	}
	switch kind {
	case "gce":
		// Each of Google's libraries and gcloud reads another of the first three. Python's would look for a machine's own
		// certificate, which an address of ours has none for.
		return []outlet.Variable{{Name: "GCE_METADATA_HOST", Value: address}, {Name: "GCE_METADATA_IP", Value: address}, {Name: "GCE_METADATA_ROOT", Value: address},
			{Name: "GCE_METADATA_MTLS_MODE", Value: "none"}}
	case "imds":
		vars = append(vars, outlet.Variable{Name: "AWS_EC2_METADATA_SERVICE_ENDPOINT", Value: url + "/"})
		if host, _, err := net.SplitHostPort(address); err == nil && strings.Contains(host, ":") {
			vars = append(vars, outlet.Variable{Name: "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", Value: "IPv6"})
		}
	default:
		vars = append(vars, outlet.Variable{Name: "AWS_CONTAINER_CREDENTIALS_FULL_URI", Value: url + ecs.Path(crossing)})
		if token.File != "" {
			vars = append(vars, outlet.Variable{Name: "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", Value: token.File})
		} else {
			vars = append(vars, outlet.Variable{Name: "AWS_CONTAINER_AUTHORIZATION_TOKEN", Value: token.Value.Reveal()})
		}
	}
	if region != "" {
		// Go and JavaScript read the one, botocore the other.
		vars = append(vars, outlet.Variable{Name: "AWS_REGION", Value: region}, outlet.Variable{Name: "AWS_DEFAULT_REGION", Value: region})
	}
	return vars
}

// NoProxy has programs ask at some addresses without a proxy, where the environment names one. NO_PROXY keeps what it has:
// programs that are to ask elsewhere by a proxy still do. It is nil where nothing is to be said.
//
// Go's library asks at loopback by no proxy whatever is set, and the AWS SDKs at an ECS endpoint. Google's libraries for
// Python and Node, and botocore at instance metadata, do so only for what NO_PROXY names, in either spelling.
func NoProxy(env func(string) string, addresses ...string) []outlet.Variable {
	proxied := slices.ContainsFunc([]string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"}, // gaxios takes any for any
		func(name string) bool { return env(name) != "" })
	if !proxied {
		return nil
	}
	var vars []outlet.Variable
	missing := false
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		set := env(name)
		value := cmp.Or(set, env("NO_PROXY"), env("no_proxy"))
		for _, address := range addresses {
			for _, host := range spellings(address) {
				if !unproxied(value, host) {
					value = strings.TrimPrefix(strings.TrimRight(value, ", ")+","+host, ",")
					missing = true
				}
			}
		}
		vars = append(vars, outlet.Variable{Name: name, Value: value})
	}
	if !missing {
		return nil // programs that read the one read the other, where there is but one
	}
	return vars
}

// spellings are how programs want an address's host in NO_PROXY: an IPv6 address with brackets, or without. The address is
// one as [Variables] takes it.
func spellings(address string) []string {
	host, _, err := net.SplitHostPort(strings.TrimPrefix(address, "https://"))
	switch {
	case err != nil:
		return nil
	case strings.Contains(host, ":"):
		return []string{host, "[" + host + "]"}
	}
	return []string{host}
}

// unproxied reports whether NO_PROXY names a host so that every program understands: ranges, ports and patterns only some
// do.
func unproxied(list, host string) bool {
	return strings.TrimSpace(list) == "*" || slices.ContainsFunc(strings.Split(list, ","), func(entry string) bool { return strings.TrimSpace(entry) == host })
}

// Shadowing names the variables that would win over what [Variables] sets, so that whoever sets it can remove them and
// say so. Source: the default credential chains of the AWS SDKs for Go, Python and JavaScript; AIP-4110; gcloud.
func Shadowing(kind string) []string {
	if kind == "gce" {
		return []string{"GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CREDENTIALS", "GOOGLE_OAUTH_ACCESS_TOKEN", "CLOUDSDK_AUTH_ACCESS_TOKEN",
			"CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE", "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT",
			"NO_GCE_CHECK", "METADATA_SERVER_DETECTION"}
	}
	// Go still reads AWS_ACCESS_KEY and AWS_SECRET_KEY, and botocore boto's own files.
	names := []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_CREDENTIAL_FILE", "BOTO_CONFIG", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"}
	if kind == "imds" {
		return append(names, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_EC2_METADATA_DISABLED", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE")
	}
	return append(names, "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
}
