// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stile-project/stile"
)

// What gcloud writes for each kind of source, from one stile.yaml.
func TestWriteExternalAccount(t *testing.T) {
	t.Parallel()
	const head = `{
  "universe_domain": "googleapis.com",
  "type": "external_account",
  "audience": "//iam.googleapis.com/` + externalProvider + `",
  "subject_token_type": "urn:ietf:params:`
	const direct = `
  "token_info_url": "https://sts.googleapis.com/v1/introspect"
}`
	jwt := func(source string) string {
		return head + `oauth:token-type:jwt",
  "token_url": "https://sts.googleapis.com/v1/token",
  "credential_source": {
` + source + `
  },` + direct
	}
	to := To{GCP: &ToGCP{Provider: externalProvider}}
	for _, test := range []struct {
		name string
		c    Crossing
		want string
	}{
		{"AWS as a person writes it", Crossing{From: From{AWS: &FromAWS{AllowNodeRole: true}}, To: to}, head + `aws:token-type:aws4_request",
  "token_url": "https://sts.googleapis.com/v1/token",
  "credential_source": {
    "environment_id": "aws1",
    "region_url": "http://169.254.169.254/latest/meta-data/placement/availability-zone",
    "url": "http://169.254.169.254/latest/meta-data/iam/security-credentials",
    "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
    "imdsv2_session_token_url": "http://169.254.169.254/latest/api/token"
  },` + direct},
		{"file", Crossing{From: From{OIDC: &FromOIDC{Audience: "other", File: &TokenFile{Path: "/run/é𝄞<&>"}}}, To: to}, jwt(`    "file": "/run/\u00e9\ud834\udd1e<&>"`)},
		{"pod", Crossing{From: From{OIDC: &FromOIDC{Kubernetes: &Kubernetes{}}}, To: to}, jwt(`    "file": "/var/run/secrets/kubernetes.io/serviceaccount/token"`)},
		{"Azure", Crossing{From: From{OIDC: &FromOIDC{URL: &TokenURL{URL: "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=x", Headers: map[string]stile.Secret{"Metadata": stile.NewSecret("True")}, Field: "access_token"}}}, To: to},
			jwt(`    "url": "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=x",
    "headers": {
      "Metadata": "True"
    },
    "format": {
      "type": "json",
      "subject_token_field_name": "access_token"
    }`)},
		{"program", Crossing{From: From{OIDC: &FromOIDC{Executable: &Executable{Command: []string{"/bin/mint", "--aud", "x"}}}}, To: to}, jwt(`    "executable": {
      "command": "/bin/mint --aud x",
      "timeout_millis": 30000
    }`)},
		{"workforce over mTLS", Crossing{From: From{OIDC: &FromOIDC{TokenType: "id_token", File: &TokenFile{Path: "/t"}}}, To: To{GCP: &ToGCP{
			Provider: "locations/global/workforcePools/my-pool/providers/prov", WorkforceUserProject: "my-project", MTLS: true, QuotaProject: "other-project",
			ServiceAccount: "a@my-project.iam.gserviceaccount.com", Lifetime: Duration(time.Hour),
		}}}, `{
  "universe_domain": "googleapis.com",
  "type": "external_account",
  "audience": "//iam.googleapis.com/locations/global/workforcePools/my-pool/providers/prov",
  "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
  "token_url": "https://sts.mtls.googleapis.com/v1/token",
  "credential_source": {
    "file": "/t"
  },
  "workforce_pool_user_project": "my-project",
  "service_account_impersonation_url": "https://iamcredentials.mtls.googleapis.com/v1/projects/-/serviceAccounts/a@my-project.iam.gserviceaccount.com:generateAccessToken",
  "service_account_impersonation": {
    "token_lifetime_seconds": 3600
  },
  "quota_project_id": "other-project"
}`},
	} {
		got, err := WriteExternalAccount(test.c)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if diff := cmp.Diff(test.want, string(got)); diff != "" {
			t.Errorf("%s:\n%s", test.name, diff)
		}
	}
}

// Another account than the file's is written at the file's host.
func TestWriteExternalAccountChanged(t *testing.T) {
	t.Parallel()
	c, err := ParseExternalAccount("creds.json", []byte(external), ForeignPolicy{})
	if err != nil {
		t.Fatal(err)
	}
	c.To.GCP.ServiceAccount = "other@demo-project.iam.gserviceaccount.com"
	got, err := WriteExternalAccount(c)
	if err != nil || !strings.Contains(string(got), "/serviceAccounts/other@demo-project.iam.gserviceaccount.com:generateAccessToken") {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestWriteExternalAccountRefuses(t *testing.T) {
	t.Parallel()
	file := From{OIDC: &FromOIDC{File: &TokenFile{Path: "/t"}}}
	google := func(edit func(*ToGCP)) To {
		to := &ToGCP{Provider: externalProvider, ServiceAccount: "a@my-project.iam.gserviceaccount.com"}
		edit(to)
		return To{GCP: to}
	}
	plain := google(func(*ToGCP) {})
	for _, test := range []struct {
		name string
		c    Crossing
		want string
	}{
		{"AWS target", Crossing{From: file, To: To{AWS: &ToAWS{}}}, "the target is not in Google Cloud"},
		{"no source", Crossing{To: plain}, "it has no source of Google Cloud's own"},
		{"ID token", Crossing{From: file, To: google(func(t *ToGCP) { t.IDToken = &IDToken{} })}, "it has no place for id_token"},
		{"delegates", Crossing{From: file, To: google(func(t *ToGCP) { t.Delegates = []string{"b"} })}, "it has no place for delegates"},
		{"scopes", Crossing{From: file, To: google(func(t *ToGCP) { t.Scopes = []string{"openid"} })}, "it has no place for scopes"},
		{"boundary", Crossing{From: file, To: google(func(t *ToGCP) { t.Boundary = &Boundary{} })}, "it has no place for boundary"},
		{"lifetime", Crossing{From: file, To: google(func(t *ToGCP) { t.Lifetime = Duration(time.Minute) })}, "its lifetimes are whole seconds from 10m to 12h"},
		{"AWS token", Crossing{From: From{AWS: &FromAWS{Proof: ProofJWT}}, To: plain}, "it has no place for proof: jwt"},
		{"profile", Crossing{From: From{AWS: &FromAWS{Profile: "etl"}}, To: plain}, "it has no place for profile (set AWS_PROFILE where the file is used)"},
		{"role", Crossing{From: From{AWS: &FromAWS{AssumeRole: []AssumeRole{{}}}}, To: plain}, "it has no place for assume_role"},
		{"AWS into a workforce pool", Crossing{From: From{AWS: &FromAWS{}}, To: google(func(t *ToGCP) { t.Provider = "locations/global/workforcePools/my-pool/providers/prov" })}, "a workforce pool takes no signed request of AWS"},
		{"GitHub", Crossing{From: From{OIDC: &FromOIDC{GitHubActions: &GitHubActions{}}}, To: plain}, "it has sources for AWS, a file, a URL and a program only"},
		{"words with spaces", Crossing{From: From{OIDC: &FromOIDC{Executable: &Executable{Command: []string{"mint", "a b"}}}}, To: plain}, "it splits a command at white space and knows no quotation: put the call into a script"},
		{"program for another audience", Crossing{From: From{OIDC: &FromOIDC{Audience: "a", Executable: &Executable{Command: []string{"mint"}}}}, To: plain}, "it tells a program the provider's audience and no other: remove audience"},
		{"provider", Crossing{From: file, To: google(func(t *ToGCP) { t.Provider = "x" })}, "audience: want projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER"},
		{"account", Crossing{From: file, To: google(func(t *ToGCP) { t.ServiceAccount = "jo@example.com" })}, "service_account_impersonation_url: the service account in it: this is not the e-mail of a service account: want NAME@PROJECT.iam.gserviceaccount.com"},
		{"no path", Crossing{From: From{OIDC: &FromOIDC{File: &TokenFile{}}}, To: plain}, "credential_source names no source: want environment_id aws1, file, url or executable"},
	} {
		got, err := WriteExternalAccount(test.c)
		if want := "misused: an external_account file cannot hold this crossing: " + test.want; err == nil || err.Error() != want || !errors.Is(err, stile.ErrMisuse) || got != nil {
			t.Errorf("%s:\ngot  %s %v\nwant %s", test.name, got, err, want)
		}
	}
}
