// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/stile-project/stile"
)

// externalFile is an external_account file, its keys in gcloud's order.
type externalFile struct {
	UniverseDomain   string         `json:"universe_domain"`
	Type             string         `json:"type"`
	Audience         string         `json:"audience"`
	TokenType        string         `json:"subject_token_type"`
	TokenURL         string         `json:"token_url"`
	Source           externalSource `json:"credential_source"`
	UserProject      string         `json:"workforce_pool_user_project,omitempty"`
	ImpersonationURL string         `json:"service_account_impersonation_url,omitempty"`
	Impersonation    *lifetimeInfo  `json:"service_account_impersonation,omitempty"`
	TokenInfoURL     string         `json:"token_info_url,omitempty"`
	QuotaProject     string         `json:"quota_project_id,omitempty"` // gcloud adds it at the end, if at all
}

type lifetimeInfo struct {
	Seconds int64 `json:"token_lifetime_seconds"`
}

type externalSource struct {
	EnvironmentID   string            `json:"environment_id,omitempty"`
	RegionURL       string            `json:"region_url,omitempty"`
	File            string            `json:"file,omitempty"`
	URL             string            `json:"url,omitempty"`
	VerificationURL string            `json:"regional_cred_verification_url,omitempty"`
	IMDSv2TokenURL  string            `json:"imdsv2_session_token_url,omitempty"`
	Headers         map[string]string `json:"headers,omitempty"`
	Executable      *executableInfo   `json:"executable,omitempty"`
	Format          *formatInfo       `json:"format,omitempty"`
}

type executableInfo struct {
	Command    string `json:"command"`
	Timeout    int64  `json:"timeout_millis"`
	OutputFile string `json:"output_file,omitempty"`
}

type formatInfo struct {
	Type  string `json:"type"`
	Field string `json:"subject_token_field_name"`
}

// WriteExternalAccount writes the crossing as a credential configuration file of type external_account, byte for byte
// as gcloud iam workload-identity-pools create-cred-config writes it (with --enable-imdsv2 for an AWS identity that
// came from no such file). The file holds the headers of a URL source, which may be secrets. What such a file cannot
// say is an error that wraps [stile.ErrMisuse] and names it: whoever used the file would become someone else.
//
// Source: gcloud's cred_config.py.
func WriteExternalAccount(c Crossing) ([]byte, error) {
	to := c.To.GCP
	if to == nil {
		return nil, unwritable("the target is not in Google Cloud")
	}
	if err := writableTarget(to); err != nil {
		return nil, err
	}
	source, tokenType, err := writtenSource(c.From, to.Provider)
	if err != nil {
		return nil, err
	}
	f := externalFile{
		UniverseDomain: cmp.Or(to.UniverseDomain, googleUniverse), Type: "external_account", Audience: "//iam.googleapis.com/" + to.Provider,
		TokenType: tokenType, TokenURL: cmp.Or(to.TokenURL, to.host("sts")+"/v1/token"), Source: source, UserProject: to.WorkforceUserProject, QuotaProject: to.QuotaProject,
	}
	if to.ServiceAccount != "" {
		f.ImpersonationURL = to.impersonationHost() + "/v1/projects/-/serviceAccounts/" + to.ServiceAccount + ":generateAccessToken"
		if to.Lifetime != 0 {
			f.Impersonation = &lifetimeInfo{int64(to.Lifetime.Std() / time.Second)}
		}
	} else if base, ok := strings.CutSuffix(f.TokenURL, "/v1/token"); ok {
		f.TokenInfoURL = base + "/v1/introspect"
	}
	data, err := f.encode()
	if err != nil {
		return nil, err
	}
	if err := f.readsBack(data); err != nil {
		return nil, err
	}
	return data, nil
}

func unwritable(format string, args ...any) error {
	return fmt.Errorf("%w: an external_account file cannot hold this crossing: %s", stile.ErrMisuse, fmt.Sprintf(format, args...))
}

// A wish is a setting of the crossing, and whether the crossing has it.
type wish struct {
	name string
	had  bool
}

// placeless reports the first wish that the crossing has: the file has no place for it.
func placeless(wishes ...wish) error {
	for _, w := range wishes {
		if w.had {
			return unwritable("it has no place for %s", w.name)
		}
	}
	return nil
}

func writableTarget(to *ToGCP) error {
	if err := placeless(
		wish{"id_token", to.IDToken != nil}, wish{"delegates", len(to.Delegates) > 0}, wish{"scopes", len(to.Scopes) > 0},
		wish{"boundary", to.Boundary != nil}, wish{"lifetime without service_account", to.Lifetime != 0 && to.ServiceAccount == ""},
	); err != nil {
		return err
	}
	const least, most = externalLifetimeLeast * time.Second, externalLifetimeMost * time.Second
	if d := to.Lifetime.Std(); d != 0 && (d < least || d > most || d%time.Second != 0) {
		return unwritable("its lifetimes are whole seconds from %v to %v", Duration(least), Duration(most))
	}
	return nil
}

// host is scheme and host of a service in the crossing's universe.
func (t *ToGCP) host(service string) string {
	if t.MTLS {
		service += ".mtls"
	}
	return "https://" + service + "." + cmp.Or(t.UniverseDomain, googleUniverse)
}

// impersonationHost is that of ImpersonationURL, whose path may be another account's by now.
func (t *ToGCP) impersonationHost() string {
	if u, err := webURL(t.ImpersonationURL); err == nil {
		return u.Scheme + "://" + u.Host
	}
	return t.host("iamcredentials")
}

func writtenSource(from From, provider string) (externalSource, string, error) {
	switch {
	case from.AWS != nil:
		if isWorkforce(provider) {
			return externalSource{}, "", unwritable("a workforce pool takes no signed request of AWS")
		}
		s, err := writtenAWS(from.AWS)
		return s, awsTokenType, err
	case from.OIDC != nil:
		s, err := writtenOIDC(from.OIDC)
		return s, "urn:ietf:params:oauth:token-type:" + cmp.Or(from.OIDC.TokenType, "jwt"), err
	}
	return externalSource{}, "", unwritable("it has no source of Google Cloud's own")
}

func writtenAWS(from *FromAWS) (externalSource, error) {
	if err := placeless(
		wish{"proof: jwt", from.Proof == ProofJWT}, wish{"assume_role", len(from.AssumeRole) > 0}, wish{"profile (set AWS_PROFILE where the file is used)", from.Profile != ""},
		wish{"region (set AWS_REGION where the file is used)", from.Region != ""}, wish{"fips", from.FIPS},
	); err != nil {
		return externalSource{}, err
	}
	x := from.External
	if x == nil {
		const metadata = "http://169.254.169.254/latest/"
		x = &ExternalAWS{
			RegionURL: metadata + "meta-data/placement/availability-zone", URL: metadata + "meta-data/iam/security-credentials",
			VerificationURL: "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15", IMDSv2TokenURL: metadata + "api/token",
		}
	}
	return externalSource{EnvironmentID: "aws1", RegionURL: x.RegionURL, URL: x.URL, VerificationURL: x.VerificationURL, IMDSv2TokenURL: x.IMDSv2TokenURL}, nil
}

// podToken is where Kubernetes puts a pod's own token.
const podToken = "/var/run/secrets/kubernetes.io/serviceaccount/token"

func writtenOIDC(from *FromOIDC) (s externalSource, err error) {
	switch {
	case from.File != nil:
		s.File, s.Format = from.File.Path, format(from.File.Field)
	case from.Kubernetes != nil:
		s.File = cmp.Or(from.Kubernetes.Path, podToken)
	case from.URL != nil:
		s.URL, s.Format = from.URL.URL, format(from.URL.Field)
		for name, value := range from.URL.Headers {
			if s.Headers == nil {
				s.Headers = make(map[string]string)
			}
			s.Headers[name] = value.Reveal()
		}
	case from.Executable != nil:
		if from.Audience != "" {
			return s, unwritable("it tells a program the provider's audience and no other: remove audience")
		}
		s.Executable, err = written(from.Executable)
	default:
		err = unwritable("it has sources for AWS, a file, a URL and a program only")
	}
	return s, err
}

func format(field string) *formatInfo {
	if field == "" {
		return nil
	}
	return &formatInfo{"json", field}
}

func written(e *Executable) (*executableInfo, error) {
	for _, word := range e.Command {
		if word == "" || len(strings.Fields(word)) != 1 || strings.TrimSpace(word) != word || strings.ContainsAny(word, "\"'`") {
			return nil, unwritable("it splits a command at white space and knows no quotation: put the call into a script")
		}
	}
	timeout := cmp.Or(e.Timeout.Std(), 30*time.Second) // gcloud writes its default too
	if timeout%time.Millisecond != 0 {
		return nil, unwritable("its timeouts are whole milliseconds")
	}
	return &executableInfo{strings.Join(e.Command, " "), timeout.Milliseconds(), e.OutputFile}, nil
}

// encode writes what Python's json.dumps(…, indent=2) does: ASCII only, and no line end at the end.
func (f externalFile) encode() ([]byte, error) {
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	if err := out.Encode(f); err != nil {
		return nil, err
	}
	var ascii []byte
	for _, c := range strings.TrimSuffix(b.String(), "\n") {
		switch {
		case c < 0x7f:
			ascii = append(ascii, byte(c)) //nolint:gosec // one byte, as just checked
		case c < 0x10000:
			ascii = fmt.Appendf(ascii, `\u%04x`, c)
		default:
			high, low := utf16.EncodeRune(c)
			ascii = fmt.Appendf(ascii, `\u%04x\u%04x`, high, low)
		}
	}
	return ascii, nil
}

// readsBack holds the file to the rules for reading one, whatever the crossing was made of. Its hosts are the caller's
// own choice.
func (f externalFile) readsBack(data []byte) error {
	allow := ForeignPolicy{AllowHosts: []string{f.UniverseDomain}, AllowExecutables: true}
	for _, raw := range []string{f.TokenURL, f.ImpersonationURL, f.TokenInfoURL, f.Source.RegionURL, f.Source.URL, f.Source.IMDSv2TokenURL} {
		if u, err := url.Parse(raw); err == nil && u.Host != "" && !slices.Contains(allow.AllowHosts, u.Host) {
			allow.AllowHosts = append(allow.AllowHosts, u.Host)
		}
	}
	_, err := ParseExternalAccount("external_account", data, allow)
	if problems, ok := errors.AsType[Problems](err); ok {
		return unwritable("%s", problems[0].Text)
	}
	return err
}
