// SPDX-License-Identifier: Apache-2.0

// Package assemble turns the description of a crossing into the crossing itself. It is the one place that knows every
// source and every target, so that neither they nor the files that name them need know each other.
package assemble

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
)

// Surroundings are what a crossing takes from the process that makes it, beside its description.
type Surroundings struct {
	// Lookup reads the environment. Required.
	Lookup func(string) (string, bool)
	// Client asks the clouds. Required.
	Client *http.Client
	// AWSClient is the same for the AWS SDK, which insists on a client that it can add AWS_CA_BUNDLE to. Required.
	AWSClient awsconfig.HTTPClient
	// LinkLocal reaches Google's metadata server. Nil: a client that uses no proxy.
	LinkLocal *http.Client
	// ClientCertificate says that Client presents one, which targets with mtls need.
	ClientCertificate bool
	// AllowExecutables lets a description name a program to run.
	AllowExecutables bool
	// Root is the folder under which the files lie that a cluster or a container puts in fixed places. Empty: "/".
	Root string
	// MFA asks a person for a code. Nil: nobody is there to ask.
	MFA func(serial string) (string, error)
	// Warn hears what a person should know though nothing failed. Required.
	Warn func(string)
}

// Crossing builds the source and the target and joins them. It asks no network.
func (s Surroundings) Crossing(ctx context.Context, c config.Crossing) (stile.Crossing, error) {
	source, err := s.Source(ctx, c)
	if err != nil {
		return stile.Crossing{}, err
	}
	target, err := s.Target(c)
	if err != nil {
		return stile.Crossing{}, err
	}
	return stile.Cross(source, target), nil
}

// Region is the first that is named: by the crossing, then by either of the variables that AWS SDKs read.
func (s Surroundings) Region(named string) string {
	return cmp.Or(named, s.env("AWS_REGION"), s.env("AWS_DEFAULT_REGION"))
}

func (s Surroundings) env(name string) string {
	value, _ := s.Lookup(name)
	return value
}

func misuse(op, format string, args ...any) error {
	return &stile.Error{Op: op, Err: fmt.Errorf("%w: "+format, append([]any{stile.ErrMisuse}, args...)...)}
}

// stsEndpoint is the crossing's own, or that of the variable which AWS SDKs read.
func (s Surroundings) stsEndpoint(named string) (string, error) {
	fromEnv := s.env("AWS_ENDPOINT_URL_STS")
	if named != "" || fromEnv == "" {
		return named, nil
	}
	if u, err := url.Parse(fromEnv); err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return "", misuse("find the STS endpoint", "AWS_ENDPOINT_URL_STS is not a URL: want https://HOST")
	}
	return fromEnv, nil
}
