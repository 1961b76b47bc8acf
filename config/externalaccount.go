// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/stile-project/stile/internal/shape"
)

// The lifetime that an external_account file may ask for. Source: AIP-4117, token_lifetime_seconds.
const (
	externalLifetimeLeast = 600
	externalLifetimeMost  = 43200
)

const awsTokenType = "urn:ietf:params:aws:token-type:aws4_request"

// ParseExternalAccount reads a credential configuration file of type external_account whose source is AWS. Such a file
// comes from elsewhere: its URLs must lead to Google, to AWS STS and to the instance metadata service, or to a host
// that allow names. Fields it does not know become warnings, since Google adds some over time. The error is [Problems].
//
// Source of the fields: AIP-4117 and gcloud's cred_config.py.
func ParseExternalAccount(name string, data []byte, allow ForeignPolicy) (Crossing, error) {
	name = shownName(name)
	r := newReader(allow)
	r.unknown = r.warnUnknown
	switch kind := Sniff(data); kind {
	case KindUnknown, KindExternalAccount, KindOtherJSON:
	default:
		r.problem(position{file: name}, "this is %v, not an external_account file%s", kind, remedy(kind))
		return Crossing{}, r.err()
	}
	root := r.json(name, data)
	if root == nil {
		return Crossing{}, r.err()
	}
	c := r.externalAccount(root)
	if err := r.err(); err != nil {
		return Crossing{}, err
	}
	c.Name, c.Origin, c.Warnings = "external_account", name, r.warnings
	return c, nil
}

func remedy(k Kind) string {
	switch k {
	case KindServiceAccount, KindGDCHServiceAccount:
		return ": it holds a private key, which a crossing does without; make one with gcloud iam workload-identity-pools create-cred-config"
	case KindStile:
		return ": give it as the configuration"
	}
	return ": make one with gcloud iam workload-identity-pools create-cred-config"
}

func (r *reader) externalAccount(root *node) Crossing {
	from, to := &ExternalAWS{}, &ToGCP{}
	universe := googleUniverse
	if f, ok := root.field("universe_domain"); ok {
		if u, err := r.allow.universe(f.value.text); err == nil {
			universe = u
		}
	}
	url := func(service string) shape.Shape { return r.allow.google(service, universe) }
	read := r.mapping(root,
		must("type", r.fixed("external_account")),
		must("audience", r.text(&to.Provider, externalAudience)),
		must("subject_token_type", r.tokenType),
		must("credential_source", func(n *node) { r.credentialSource(from, n) }),
		may("universe_domain", r.text(&to.UniverseDomain, r.allow.universe)),
		may("token_url", r.text(&to.TokenURL, url("sts"))),
		may("token_info_url", r.text(new(string), url("sts"))),
		may("service_account_impersonation_url", r.text(&to.ImpersonationURL, url("iamcredentials"))),
		may("service_account_impersonation", func(n *node) {
			r.mapping(n, may("token_lifetime_seconds", r.seconds(&to.Lifetime, externalLifetimeLeast, externalLifetimeMost)))
		}),
		may("quota_project_id", r.text(&to.QuotaProject, shape.Project)),
		may("client_id", r.refused("an OAuth client has no part in a workload's crossing: remove client_id and client_secret")),
		may("client_secret", r.refused("a stored secret, which a workload's crossing does without: remove client_id and client_secret")),
		may("workforce_pool_user_project", r.refused("it belongs to workforce pools, which sign in people: remove it")),
	)
	if read {
		r.impersonated(to, root)
	}
	return Crossing{From: From{AWS: &FromAWS{External: from}}, To: To{GCP: to}}
}

func (r *reader) fixed(want string) func(*node) {
	return func(n *node) {
		if s, ok := r.textOf(n); ok && s != want {
			r.problem(n.at, "%s: want %q", n.key, want)
		}
	}
}

func (r *reader) refused(why string) func(*node) {
	return func(n *node) { r.problem(n.at, "%s: %s", n.key, why) }
}

// seconds reads a JSON integer.
func (r *reader) seconds(dst *Duration, least, most int) func(*node) {
	return func(n *node) {
		if n.kind != number {
			r.wrongKind(n, number)
			return
		}
		v, err := strconv.Atoi(n.text)
		if err != nil || v < least || v > most {
			r.problem(n.at, "%s: want a whole number of seconds, %d to %d", n.key, least, most)
			return
		}
		*dst = Duration(time.Duration(v) * time.Second)
	}
}

// externalAudience wants the canonical name: unlike stile.yaml, where the prefix may be left out, this file is sent as
// it is by other programs.
func externalAudience(s string) (string, error) {
	if !strings.Contains(s, "//iam.googleapis.com/") {
		return "", errors.New("want //iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER")
	}
	return shape.Provider(s)
}

var otherTokenTypes = map[string]bool{
	"urn:ietf:params:oauth:token-type:jwt":      true,
	"urn:ietf:params:oauth:token-type:id_token": true,
	"urn:ietf:params:oauth:token-type:saml2":    true,
	"urn:ietf:params:oauth:token-type:mtls":     true,
}

// tokenType leaves the known types of other sources to credentialSource, which says more.
func (r *reader) tokenType(n *node) {
	s, ok := r.textOf(n)
	if ok && s != awsTokenType && !otherTokenTypes[s] {
		r.problem(n.at, "%s: want %s", n.key, awsTokenType)
	}
}

// credentialSource tells the kinds of source apart as Google's libraries do, and refuses a mixture.
func (r *reader) credentialSource(from *ExternalAWS, n *node) {
	if n.kind != mapping {
		r.wrongKind(n, mapping)
		return
	}
	if !n.has("environment_id") {
		r.unsupportedSource(n)
		return
	}
	for _, other := range []string{"file", "executable", "certificate"} {
		if f, ok := n.field(other); ok {
			r.problem(f.at, "credential_source is AWS and %s at once: keep one", other)
		}
	}
	r.mapping(n,
		must("environment_id", r.environment),
		may("region_url", r.text(&from.RegionURL, r.allow.metadata)),
		may("url", r.text(&from.URL, r.allow.metadata)),
		may("regional_cred_verification_url", r.text(&from.VerificationURL, verificationURL)),
		may("imdsv2_session_token_url", r.text(&from.IMDSv2TokenURL, r.allow.metadata)),
		may("file", ignored), may("executable", ignored), may("certificate", ignored),
	)
}

func ignored(*node) {}

func (r *reader) unsupportedSource(n *node) {
	for _, source := range []struct{ key, what string }{
		{"file", "a file that holds a token"},
		{"url", "a URL that answers a token"},
		{"executable", "a program that prints a token"},
		{"certificate", "a client certificate"},
	} {
		if f, ok := n.field(source.key); ok {
			r.problem(f.at, "credential_source is %s (%s): only AWS is read here, with environment_id aws1", source.key, source.what)
			return
		}
	}
	r.problem(n.at, "credential_source names no source: want environment_id aws1")
}

var environmentID = regexp.MustCompile(`^aws[0-9]{1,4}$`)

func (r *reader) environment(n *node) {
	s, ok := r.textOf(n)
	switch {
	case !ok || s == "aws1":
	case environmentID.MatchString(s):
		r.problem(n.at, "environment_id: the version of this AWS source is not known: want aws1, or use a newer stile")
	default:
		r.problem(n.at, "environment_id: want aws1")
	}
}

var impersonationPath = regexp.MustCompile(`^/v1/projects/-/serviceAccounts/([^/:]+):generateAccessToken$`)

// impersonated cuts the service account out of the impersonation URL and checks what hangs on it.
func (r *reader) impersonated(to *ToGCP, root *node) {
	if f, ok := root.field("service_account_impersonation"); ok && !root.has("service_account_impersonation_url") {
		r.warnings = append(r.warnings, fmt.Sprintf("line %d: %s has no effect without service_account_impersonation_url", f.at.line, f.key))
		to.Lifetime = 0
	}
	if f, ok := root.field("subject_token_type"); ok && otherTokenTypes[f.value.text] && sourceIsAWS(root) {
		r.problem(f.value.at, "subject_token_type: want %s for an AWS source", awsTokenType)
	}
	if to.ImpersonationURL == "" {
		return
	}
	f, _ := root.field("service_account_impersonation_url")
	u, err := webURL(to.ImpersonationURL)
	if err != nil { // it has been checked before
		return
	}
	m := impersonationPath.FindStringSubmatch(u.Path)
	if m == nil {
		r.problem(f.value.at, "%s: want the path /v1/projects/-/serviceAccounts/EMAIL:generateAccessToken", f.key)
		return
	}
	email, err := shape.ServiceAccount(m[1])
	if err != nil {
		r.problem(f.value.at, "%s: the service account in it: %v", f.key, err)
		return
	}
	to.ServiceAccount = email
}

func sourceIsAWS(root *node) bool {
	f, ok := root.field("credential_source")
	return ok && f.value.has("environment_id")
}
