// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
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

// ParseExternalAccount reads a credential configuration file of type external_account whose source is AWS, a file, a
// URL or a program. Such a file comes from elsewhere: its URLs must lead to Google, to AWS STS and to the instance
// metadata service, or to a host that allow names, and it may name a program only where allow says so; a URL that
// answers the token may lead anywhere by https. A file with several sources is refused: Google's libraries take one of
// them and say nothing of the others. Fields it does not know become warnings, since Google adds some over time. The
// error is [Problems].
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
	to := &ToGCP{}
	c := Crossing{To: To{GCP: to}}
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
		must("credential_source", func(n *node) { c.From = r.credentialSource(n) }),
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
		may("workforce_pool_user_project", r.text(&to.WorkforceUserProject, shape.Project)),
	)
	if read {
		r.impersonated(to, root)
		r.presented(&c, root)
		r.workforce(&c, root)
	}
	to.MTLS = isMTLS(to.TokenURL)
	return c
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
	return r.integer(dst, time.Second, "seconds", least, most)
}

func (r *reader) integer(dst *Duration, unit time.Duration, name string, least, most int) func(*node) {
	return func(n *node) {
		if n.kind != number {
			r.wrongKind(n, number)
			return
		}
		v, err := strconv.Atoi(n.text)
		if err != nil || v < least || v > most {
			r.problem(n.at, "%s: want a whole number of %s, %d to %d", n.key, name, least, most)
			return
		}
		*dst = Duration(time.Duration(v) * unit)
	}
}

// externalAudience wants the canonical name: unlike stile.yaml, where the prefix may be left out, this file is sent as
// it is by other programs.
func externalAudience(s string) (string, error) {
	if !strings.Contains(s, "//iam.googleapis.com/") {
		return "", errors.New("want //iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER")
	}
	return provider(s)
}

// The token types that an external_account file may name, and what they are called here.
var tokenTypes = map[string]string{
	awsTokenType:                                "",
	"urn:ietf:params:oauth:token-type:jwt":      "jwt",
	"urn:ietf:params:oauth:token-type:id_token": "id_token",
	"urn:ietf:params:oauth:token-type:saml2":    "",
	"urn:ietf:params:oauth:token-type:mtls":     "",
}

func (r *reader) tokenType(n *node) {
	s, ok := r.textOf(n)
	if _, known := tokenTypes[s]; ok && !known {
		r.problem(n.at, "%s: want %s, or urn:ietf:params:oauth:token-type:jwt or …:id_token", n.key, awsTokenType)
	}
}

// presented holds the type of the token to the source, once both are known.
func (r *reader) presented(c *Crossing, root *node) {
	f, ok := root.field("subject_token_type")
	if !ok || f.value.kind != text {
		return
	}
	name, known := tokenTypes[f.value.text]
	switch {
	case !known:
	case c.From.AWS != nil && f.value.text != awsTokenType:
		r.problem(f.value.at, "subject_token_type: want %s for an AWS source", awsTokenType)
	case c.From.OIDC != nil && name == "":
		r.problem(f.value.at, "subject_token_type: this source gives tokens: want urn:ietf:params:oauth:token-type:jwt or …:id_token")
	case c.From.OIDC != nil:
		c.From.OIDC.TokenType = name
	}
}

func (r *reader) workforce(c *Crossing, root *node) {
	to := c.To.GCP
	if f, ok := root.field("workforce_pool_user_project"); ok && to.Provider != "" && !isWorkforce(to.Provider) {
		r.problem(f.value.at, "%s: it belongs to workforce pools, and the audience is none: remove it", f.key)
	}
	if f, ok := root.field("audience"); ok && c.From.AWS != nil && isWorkforce(to.Provider) {
		r.problem(f.value.at, "audience: a workforce pool takes no signed request of AWS: name a workload identity pool provider")
	}
}

// externalSources are the kinds of source and the key that tells each, in the order in which Google's Go library looks.
// An AWS source has a url as well.
var externalSources = []struct{ key, name string }{
	{"environment_id", "AWS"}, {"file", "file"}, {"url", "url"}, {"executable", "executable"}, {"certificate", "certificate"},
}

// credentialSource tells the kinds of source apart as Google's libraries do, and refuses a mixture.
func (r *reader) credentialSource(n *node) From {
	if n.kind != mapping {
		r.wrongKind(n, mapping)
		return From{}
	}
	kind, name := "", ""
	for _, s := range externalSources {
		f, ok := n.field(s.key)
		switch {
		case !ok || s.key == "url" && kind == "environment_id":
		case kind == "":
			kind, name = s.key, s.name
		default:
			r.problem(f.at, "credential_source is %s and %s at once: keep one", name, s.name)
			return From{}
		}
	}
	switch kind {
	case "environment_id":
		return From{AWS: r.externalAWS(n)}
	case "file", "url":
		return From{OIDC: r.externalToken(n, kind)}
	case "executable":
		return From{OIDC: r.externalExecutable(n)}
	case "certificate":
		f, _ := n.field(kind)
		r.problem(f.at, "credential_source is certificate (an X.509 client certificate), which is not read here: use AWS, a file, a URL or a program")
	default:
		r.problem(n.at, "credential_source names no source: want environment_id aws1, file, url or executable")
	}
	return From{}
}

func (r *reader) externalAWS(n *node) *FromAWS {
	from := new(ExternalAWS)
	r.mapping(n,
		must("environment_id", r.environment),
		may("region_url", r.text(&from.RegionURL, r.allow.metadata)),
		may("url", r.text(&from.URL, r.allow.metadata)),
		may("regional_cred_verification_url", r.text(&from.VerificationURL, verificationURL)),
		may("imdsv2_session_token_url", r.text(&from.IMDSv2TokenURL, r.allow.metadata)),
	)
	return &FromAWS{External: from}
}

func (r *reader) externalToken(n *node, kind string) *FromOIDC {
	file, url, member := new(TokenFile), new(TokenURL), ""
	format := may("format", func(n *node) { member = r.format(n) })
	if kind == "file" {
		r.mapping(n, must("file", r.text(&file.Path, filePath)), format)
		file.Field = member
		return &FromOIDC{File: file}
	}
	headers := func(n *node) {
		if n.kind != mapping || len(n.fields) > 0 {
			r.headers(&url.Headers)(n)
		}
	}
	r.mapping(n, must("url", r.text(&url.URL, r.allow.tokenURL)), may("headers", headers), format)
	url.Field = member
	return &FromOIDC{URL: url}
}

// format gives the member of a JSON object that holds the token, or "" for text.
func (r *reader) format(n *node) (member string) {
	var kind string
	r.mapping(n,
		may("type", r.text(&kind, oneOf("text", "json"))),
		may("subject_token_field_name", r.text(&member, memberName)),
	)
	switch {
	case kind == "json" && !n.has("subject_token_field_name"):
		r.problem(n.at, "subject_token_field_name is missing: add it under %s", n.key)
	case kind != "json" && member != "":
		f, _ := n.field("subject_token_field_name")
		r.warnings = append(r.warnings, fmt.Sprintf("line %d: %s has no effect without type json", f.at.line, f.key))
		return ""
	}
	return member
}

const (
	timeoutMillisLeast = int(timeoutLeast / time.Millisecond)
	timeoutMillisMost  = int(timeoutMost / time.Millisecond)
)

func (r *reader) externalExecutable(n *node) *FromOIDC {
	e := new(Executable)
	read := func(n *node) {
		r.mapping(n,
			must("command", func(n *node) { e.Command = r.commandLine(n) }),
			may("timeout_millis", r.integer(&e.Timeout, time.Millisecond, "milliseconds", timeoutMillisLeast, timeoutMillisMost)),
			may("output_file", r.text(&e.OutputFile, filePath)),
			may("interactive_timeout_millis", func(n *node) {
				r.warnings = append(r.warnings, fmt.Sprintf("line %d: %s has no effect: nobody is asked here", n.at.line, n.key))
			}),
		)
		r.allowed(n)
	}
	r.mapping(n, must("executable", read))
	return &FromOIDC{Executable: e}
}

// commandLine splits a command at white space and nowhere else, as Google's Go library does. Its library for Python
// reads quotation marks, so a command with one means two things.
func (r *reader) commandLine(n *node) []string {
	s, ok := r.textOf(n)
	words := strings.Fields(s)
	switch {
	case !ok:
	case len(words) == 0:
		r.problem(n.at, "%s: want a program and its arguments", n.key)
	case len(words) > listLimit:
		r.problem(n.at, "%s has %d words: at most %d", n.key, len(words), listLimit)
	case strings.ContainsAny(s, "\"'`"):
		r.problem(n.at, "%s: a quotation mark, which Google's libraries read in different ways: put the call into a script", n.key)
	}
	return words
}

// isEnvironmentID takes the versions to come as well.
func isEnvironmentID(s string) bool {
	version, ok := strings.CutPrefix(s, "aws")
	return ok && shape.Only(version, 1, 4, "0-9")
}

func (r *reader) environment(n *node) {
	s, ok := r.textOf(n)
	switch {
	case !ok || s == "aws1":
	case isEnvironmentID(s):
		r.problem(n.at, "environment_id: the version of this AWS source is not known: want aws1, or use a newer stile")
	default:
		r.problem(n.at, "environment_id: want aws1")
	}
}

// impersonated cuts the service account out of the impersonation URL and checks what hangs on it.
func (r *reader) impersonated(to *ToGCP, root *node) {
	if f, ok := root.field("service_account_impersonation"); ok && !root.has("service_account_impersonation_url") {
		r.warnings = append(r.warnings, fmt.Sprintf("line %d: %s has no effect without service_account_impersonation_url", f.at.line, f.key))
		to.Lifetime = 0
	}
	if to.ImpersonationURL == "" {
		return
	}
	f, _ := root.field("service_account_impersonation_url")
	u, err := webURL(to.ImpersonationURL)
	if err != nil { // it has been checked before
		return
	}
	account, ok := accountInPath(u.Path)
	if !ok {
		r.problem(f.value.at, "%s: want the path /v1/projects/-/serviceAccounts/EMAIL:generateAccessToken", f.key)
		return
	}
	email, err := shape.ServiceAccount(account)
	if err != nil {
		r.problem(f.value.at, "%s: the service account in it: %v", f.key, err)
		return
	}
	to.ServiceAccount = email
}

func accountInPath(path string) (account string, ok bool) {
	rest, begins := strings.CutPrefix(path, "/v1/projects/-/serviceAccounts/")
	account, ends := strings.CutSuffix(rest, ":generateAccessToken")
	return account, begins && ends && account != "" && !strings.ContainsAny(account, "/:")
}

// isMTLS reports whether a URL of Google's leads to the hosts that take a client certificate.
func isMTLS(url string) bool {
	u, err := webURL(url)
	return err == nil && strings.Contains(u.Hostname(), ".mtls.")
}
