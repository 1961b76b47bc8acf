// SPDX-License-Identifier: Apache-2.0

package awschain

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/stile-project/stile"
)

// findCredentials is the step that all places are part of.
const findCredentials = "find AWS credentials"

// A place is one source of credentials, as far as can be told without asking anyone.
type place struct {
	name   string
	here   bool     // something is set up: this place is taken unless an earlier one is
	detail string   // what is set up, or why nothing is; never a secret
	wrong  error    // set up in a way that cannot work
	id     []string // what tells this identity from another of the same place; nil: nothing local does. It may hold secrets

	// open gives the credentials. Nil: the AWS SDK resolves them, by the profile.
	open func(aws.Config) aws.CredentialsProvider
}

// environment reads variables as a person means them: blanks around a value do not count, and a variable of nothing
// else is unset.
type environment struct {
	lookup func(string) (string, bool)
}

func (e environment) get(name string) string {
	value, _ := e.lookup(name)
	return strings.TrimSpace(value)
}

// first is the first of several variables that is set, and its name.
func (e environment) first(names ...string) (value, name string) {
	for _, name := range names {
		if value := e.get(name); value != "" {
			return value, name
		}
	}
	return "", names[0]
}

// absent says how variables are not set: at all, or to nothing.
func (e environment) absent(names ...string) string {
	for _, name := range names {
		if value, set := e.lookup(name); set && strings.TrimSpace(value) == "" {
			return name + " is set to nothing, which counts as unset"
		}
	}
	if len(names) == 1 {
		return names[0] + " is unset"
	}
	return strings.Join(names, " and ") + " are unset"
}

// misconfigured makes the error of a place that is set up wrongly.
func misconfigured(hint, format string, args ...any) error {
	return &stile.Error{Op: findCredentials, Err: fmt.Errorf("%w: "+format, append([]any{stile.ErrMisuse}, args...)...), Hint: hint}
}

// explained is a provider whose errors say what happened in the words of the place.
type explained struct {
	aws.CredentialsProvider
	place   string
	explain func(context.Context, error) error // nil: the provider says it well enough
}

// Retrieve gives the credentials, or says why there are none or for whom the caller gave up waiting.
func (e explained) Retrieve(ctx context.Context) (aws.Credentials, error) {
	creds, err := e.CredentialsProvider.Retrieve(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		err = &stile.Error{Op: findCredentials, Err: fmt.Errorf("gave up waiting for %s: %w", e.place, context.Cause(ctx))}
	case err != nil && e.explain != nil:
		err = e.explain(ctx, err)
	}
	return creds, err
}

// IsCredentialsProvider answers for the provider inside: see [aws.IsCredentialsProvider].
func (e explained) IsCredentialsProvider(target aws.CredentialsProvider) bool {
	return aws.IsCredentialsProvider(e.CredentialsProvider, target)
}

// nowhere is the provider where nothing is set up.
type nowhere struct{ search *search }

// Retrieve fails with every place that was looked at.
func (n nowhere) Retrieve(context.Context) (aws.Credentials, error) {
	return aws.Credentials{}, n.search.nothing(nil)
}

// nothing is the error of a search that ended with nothing, which lists every link of the chain. last, where there is
// one, is why the last place failed when it was asked.
func (s *search) nothing(last error) error {
	var tried []string
	for _, p := range s.places {
		if last == nil || p.name != instanceMetadata {
			tried = append(tried, p.name+": "+p.detail)
		}
	}
	e := &stile.Error{Op: findCredentials, Hint: "run on AWS, or set AWS_PROFILE or AWS_ACCESS_KEY_ID; stile whoami --verbose shows the whole search"}
	if last == nil {
		e.Err = fmt.Errorf("%w: %s", stile.ErrNoIdentity, strings.Join(tried, "; "))
	} else {
		e.Err = fmt.Errorf("%w: %s; %s: %w", stile.ErrNoIdentity, strings.Join(tried, "; "), instanceMetadata, last)
	}
	return e
}

// inPod reports whether this is a container of a Kubernetes pod.
func (s *search) inPod() bool {
	return s.env.get("KUBERNETES_SERVICE_HOST") != "" || s.exists("/var/run/secrets/kubernetes.io/serviceaccount")
}

// inContainer reports whether a network of its own may lie between this workload and the instance.
func (s *search) inContainer() bool {
	v4, _ := s.env.first("ECS_CONTAINER_METADATA_URI_V4", "ECS_CONTAINER_METADATA_URI")
	return s.inPod() || v4 != "" || s.exists("/.dockerenv") || s.exists("/run/.containerenv")
}

func (s *search) exists(path string) bool {
	root := s.options.Root
	if root == "" {
		root = "/"
	}
	_, err := os.Stat(filepath.Join(root, path))
	return err == nil
}
