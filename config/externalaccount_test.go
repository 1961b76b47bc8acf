// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stile-project/stile"
)

// external is a file as gcloud writes it with --enable-imdsv2, --service-account and a lifetime.
const external = `{
  "universe_domain": "googleapis.com",
  "type": "external_account",
  "audience": "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/aws-pool/providers/aws-provider",
  "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request",
  "token_url": "https://sts.googleapis.com/v1/token",
  "credential_source": {
    "environment_id": "aws1",
    "region_url": "http://169.254.169.254/latest/meta-data/placement/availability-zone",
    "url": "http://169.254.169.254/latest/meta-data/iam/security-credentials",
    "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
    "imdsv2_session_token_url": "http://[fd00:ec2::254]/latest/api/token"
  },
  "service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/wif-sa@demo-project.iam.gserviceaccount.com:generateAccessToken",
  "service_account_impersonation": {"token_lifetime_seconds": 1800}
}`

const externalProvider = "projects/123456789012/locations/global/workloadIdentityPools/aws-pool/providers/aws-provider"

func TestParseExternalAccount(t *testing.T) {
	t.Parallel()
	got, err := ParseExternalAccount("https://u:p@example.com/creds.json?sig=secret", []byte(external), ForeignPolicy{})
	if err != nil {
		t.Fatal(err)
	}
	want := Crossing{
		Name: "external_account", Origin: "https://example.com/creds.json",
		From: From{AWS: &FromAWS{External: &ExternalAWS{
			RegionURL:       "http://169.254.169.254/latest/meta-data/placement/availability-zone",
			URL:             "http://169.254.169.254/latest/meta-data/iam/security-credentials",
			VerificationURL: "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
			IMDSv2TokenURL:  "http://[fd00:ec2::254]/latest/api/token",
		}}},
		To: To{GCP: &ToGCP{
			Provider: externalProvider, ServiceAccount: "wif-sa@demo-project.iam.gserviceaccount.com", Lifetime: Duration(30 * time.Minute),
			UniverseDomain: "googleapis.com", TokenURL: "https://sts.googleapis.com/v1/token",
			ImpersonationURL: "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/wif-sa@demo-project.iam.gserviceaccount.com:generateAccessToken",
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// edited is external with top-level keys set, or removed where the value is nil; "source." reaches into
// credential_source. The result stands on one line.
func edited(t *testing.T, edits map[string]any) []byte {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal([]byte(external), &doc); err != nil {
		t.Fatal(err)
	}
	for key, value := range edits {
		at := doc
		if inner, ok := strings.CutPrefix(key, "source."); ok {
			at, key = doc["credential_source"].(map[string]any), inner
		}
		if at[key] = value; value == nil {
			delete(at, key)
		}
	}
	out, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestExternalAccountRefuses(t *testing.T) {
	t.Parallel()
	const email = "wif-sa@demo-project.iam.gserviceaccount.com"
	impersonation := func(host, path string) map[string]any {
		return map[string]any{"service_account_impersonation_url": host + path}
	}
	const jwt = "urn:ietf:params:oauth:token-type:jwt"
	source := func(key string, value any) map[string]any {
		return map[string]any{"credential_source": map[string]any{key: value}}
	}
	token := func(typ, key string, value any) map[string]any {
		edits := source(key, value)
		edits["subject_token_type"] = typ
		return edits
	}
	for _, test := range []struct {
		name  string
		edits map[string]any
		want  string
	}{
		{"type missing", map[string]any{"type": nil}, "type is missing: add it"},
		{"type unknown", map[string]any{"type": "other"}, `type: want "external_account"`},
		{"service_account key", map[string]any{"type": "service_account", "private_key": "s3cret"}, "this is a service_account key, not an external_account file: it holds a private key, which a crossing does without; make one with gcloud iam workload-identity-pools create-cred-config"},
		{"authorized_user", map[string]any{"type": "authorized_user"}, "this is an authorized_user file, a person's sign-in, not an external_account file: make one with gcloud iam workload-identity-pools create-cred-config"},
		{"audience missing", map[string]any{"audience": nil}, "audience is missing: add it"},
		{"audience short", map[string]any{"audience": externalProvider}, "audience: want //iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER"},
		{"audience project id", map[string]any{"audience": "//iam.googleapis.com/projects/my-project/locations/global/workloadIdentityPools/aws-pool/providers/aws-provider"}, "audience: it names the project by its id: use the project's number (gcloud projects describe PROJECT --format='value(projectNumber)')"},
		{"audience workforce", map[string]any{"audience": "//iam.googleapis.com/locations/global/workforcePools/my-pool/providers/prov"}, "audience: a workforce pool takes no signed request of AWS: name a workload identity pool provider"},
		{"audience workforce short", map[string]any{"audience": "//iam.googleapis.com/locations/global/workforcePools/pool/providers/prov"}, "audience: want 6 to 63 lower-case letters, digits and hyphens for the workforce pool"},
		{"audience a number", map[string]any{"audience": 1}, "audience: want text, not a number: put it in quotes"},
		{"token type unknown", map[string]any{"subject_token_type": "x"}, "subject_token_type: want urn:ietf:params:aws:token-type:aws4_request, or urn:ietf:params:oauth:token-type:jwt or …:id_token"},
		{"token type of another source", map[string]any{"subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}, "subject_token_type: want urn:ietf:params:aws:token-type:aws4_request for an AWS source"},
		{"token_url elsewhere", map[string]any{"token_url": "https://sts.evil.example/v1/token"}, "token_url: the host sts.evil.example is not that of Google's sts: allow it by name if you trust it"},
		{"token_url of another service", map[string]any{"token_url": "https://storage.googleapis.com/bucket"}, "token_url: the host storage.googleapis.com is not that of Google's sts: allow it by name if you trust it"},
		{"token_url looks like Google", map[string]any{"token_url": "https://sts.googleapis.com.evil.example/v1/token"}, "token_url: the host sts.googleapis.com.evil.example is not that of Google's sts: allow it by name if you trust it"},
		{"token_url with a dot at the end", map[string]any{"token_url": "https://sts.googleapis.com./v1/token"}, "token_url: the host sts.googleapis.com. is not that of Google's sts: allow it by name if you trust it"},
		{"token_url by http", map[string]any{"token_url": "http://sts.googleapis.com/v1/token"}, "token_url: want https: over http anyone on the way reads the token"},
		{"token_url on another port", map[string]any{"token_url": "https://sts.googleapis.com:8443/v1/token"}, "token_url: want port 443, or none"},
		{"token_url with user", map[string]any{"token_url": "https://sts.googleapis.com:x@evil.example/"}, "token_url: the URL holds a user name or password: remove it"},
		{"token_url with backslash", map[string]any{"token_url": `https://sts.googleapis.com\@evil.example/`}, "token_url: want a URL of printable ASCII"},
		{"token_url with query", map[string]any{"token_url": "https://sts.googleapis.com/v1/token?x=y"}, "token_url: the URL has a query: remove it from ? on"},
		{"token_url with fragment", map[string]any{"token_url": "https://sts.googleapis.com/v1/token#x"}, "token_url: the URL ends in a fragment: remove it from # on"},
		{"token_url a file", map[string]any{"token_url": "file:///etc/passwd"}, "token_url: want a URL that begins with https:// and a host"},
		{"token_url on loopback", map[string]any{"token_url": "http://127.0.0.1:8080/v1/token"}, "token_url: the host 127.0.0.1 is not that of Google's sts: allow it by name if you trust it"},
		{"token_url too long", map[string]any{"token_url": "https://sts.googleapis.com/" + strings.Repeat("x", textLimit)}, "token_url is too long: at most 2048 bytes"},
		{"token_info_url elsewhere", map[string]any{"token_info_url": "https://evil.example/"}, "token_info_url: the host evil.example is not that of Google's sts: allow it by name if you trust it"},
		{"impersonation elsewhere", impersonation("https://evil.example", "/v1/projects/-/serviceAccounts/"+email+":generateAccessToken"), "service_account_impersonation_url: the host evil.example is not that of Google's iamcredentials: allow it by name if you trust it"},
		{"impersonation method", impersonation("https://iamcredentials.googleapis.com", "/v1/projects/-/serviceAccounts/"+email+":generateIdToken"), "service_account_impersonation_url: want the path /v1/projects/-/serviceAccounts/EMAIL:generateAccessToken"},
		{"impersonation project", impersonation("https://iamcredentials.googleapis.com", "/v1/projects/p/serviceAccounts/"+email+":generateAccessToken"), "service_account_impersonation_url: want the path /v1/projects/-/serviceAccounts/EMAIL:generateAccessToken"},
		{"impersonation of a person", impersonation("https://iamcredentials.googleapis.com", "/v1/projects/-/serviceAccounts/jo@example.com:generateAccessToken"), "service_account_impersonation_url: the service account in it: this is not the e-mail of a service account: want NAME@PROJECT.iam.gserviceaccount.com"},
		{"impersonation by a hidden slash", impersonation("https://iamcredentials.googleapis.com", "/v1/projects/-/serviceAccounts/x%2f..%2f"+email+":generateAccessToken"), "service_account_impersonation_url: want the path /v1/projects/-/serviceAccounts/EMAIL:generateAccessToken"},
		{"lifetime short", map[string]any{"service_account_impersonation": map[string]any{"token_lifetime_seconds": 599}}, "token_lifetime_seconds: want a whole number of seconds, 600 to 43200"},
		{"lifetime long", map[string]any{"service_account_impersonation": map[string]any{"token_lifetime_seconds": 43201}}, "token_lifetime_seconds: want a whole number of seconds, 600 to 43200"},
		{"lifetime in parts", map[string]any{"service_account_impersonation": map[string]any{"token_lifetime_seconds": 1800.5}}, "token_lifetime_seconds: want a whole number of seconds, 600 to 43200"},
		{"lifetime as text", map[string]any{"service_account_impersonation": map[string]any{"token_lifetime_seconds": "1800"}}, "token_lifetime_seconds: want a number, not text"},
		{"universe", map[string]any{"universe_domain": "evil.example"}, "universe_domain: evil.example is not googleapis.com: allow that host by name if you trust it"},
		{"client", map[string]any{"client_secret": "s3cret"}, "client_secret: a stored secret, which a workload's crossing does without: remove client_id and client_secret"},
		{"workforce project", map[string]any{"workforce_pool_user_project": "my-project"}, "workforce_pool_user_project: it belongs to workforce pools, and the audience is none: remove it"},
		{"source missing", map[string]any{"credential_source": nil}, "credential_source is missing: add it"},
		{"source empty", map[string]any{"credential_source": map[string]any{}}, "credential_source names no source: want environment_id aws1, file, url or executable"},
		{"source text", map[string]any{"credential_source": "aws1"}, "credential_source: want a mapping, not text"},
		{"source certificate", source("certificate", map[string]any{}), "credential_source is certificate (an X.509 client certificate), which is not read here: use AWS, a file, a URL or a program"},
		{"source of file and URL", map[string]any{"credential_source": map[string]any{"file": "/t", "url": "https://b.example/t"}}, "credential_source is file and url at once: keep one"},
		{"file with an AWS request", source("file", "/t"), "subject_token_type: this source gives tokens: want urn:ietf:params:oauth:token-type:jwt or …:id_token"},
		{"file with SAML", token("urn:ietf:params:oauth:token-type:saml2", "file", "/t"), "subject_token_type: this source gives tokens: want urn:ietf:params:oauth:token-type:jwt or …:id_token"},
		{"file a number", token(jwt, "file", 1), "file: want text, not a number: put it in quotes"},
		{"format without field", map[string]any{"subject_token_type": jwt, "credential_source": map[string]any{"file": "/t", "format": map[string]any{"type": "json"}}}, "subject_token_field_name is missing: add it under format"},
		{"format unknown", map[string]any{"subject_token_type": jwt, "credential_source": map[string]any{"file": "/t", "format": map[string]any{"type": "xml"}}}, "type: want text or json"},
		{"URL by http", token(jwt, "url", "http://broker.example/t"), "url: want https: http is for this machine and for metadata services"},
		{"URL header twice", map[string]any{"subject_token_type": jwt, "credential_source": map[string]any{"url": "https://b.example/t", "headers": map[string]any{"X-A": "b", "x-a": "s3cret"}}}, `duplicate key "x-a": it stands at line 1 already, remove one`},
		{"URL header of two lines", map[string]any{"subject_token_type": jwt, "credential_source": map[string]any{"url": "https://b.example/t", "headers": map[string]any{"X-A": "b\r\ns3cret: c"}}}, "X-A: want a header's value of printable ASCII"},
		{"program not allowed", token(jwt, "executable", map[string]any{"command": "/bin/mint s3cret"}), "executable: a program that a file names runs only where you allow it: give --allow-executables, or set GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1"},
		{"source mixed", map[string]any{"source.executable": map[string]any{"command": "rm"}}, "credential_source is AWS and executable at once: keep one"},
		{"aws2", map[string]any{"source.environment_id": "aws2"}, "environment_id: the version of this AWS source is not known: want aws1, or use a newer stile"},
		{"azure", map[string]any{"source.environment_id": "azure1"}, "environment_id: want aws1"},
		{"metadata elsewhere", map[string]any{"source.url": "http://evil.example/creds"}, "url: the host evil.example is not 169.254.169.254 or [fd00:ec2::254], where EC2 keeps its metadata: allow it by name if you trust it"},
		{"metadata on another port", map[string]any{"source.region_url": "http://169.254.169.254:8080/"}, "region_url: want http and port 80: the metadata service speaks nothing else"},
		{"metadata by another spelling", map[string]any{"source.imdsv2_session_token_url": "http://2852039166/"}, "imdsv2_session_token_url: the host 2852039166 is not 169.254.169.254 or [fd00:ec2::254], where EC2 keeps its metadata: allow it by name if you trust it"},
		{"verification elsewhere", map[string]any{"source.regional_cred_verification_url": "https://sts.{region}.evil.example?Action=GetCallerIdentity&Version=2011-06-15"}, "regional_cred_verification_url: the host sts.us-east-1.evil.example is not that of AWS STS: allow it by name if you trust it"},
		{"verification of another action", map[string]any{"source.regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=AssumeRole&Version=2011-06-15"}, "regional_cred_verification_url: want https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseExternalAccount("creds.json", edited(t, test.edits), ForeignPolicy{})
			if err == nil {
				t.Fatal("parsed")
			}
			problems, ok := errors.AsType[Problems](err)
			if !ok || len(problems) != 1 || problems[0].Text != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
			if !errors.Is(err, stile.ErrMisuse) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("not ErrMisuse, or a secret: %v", err)
			}
		})
	}
}

func TestExternalAccountRefusesWhatIsNotJSON(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, data, want string }{
		{"empty", "", "creds.json:1:1: the file is empty"},
		{"cut off", external[:200], "creds.json:4:129: not valid JSON from here on: the file is cut off or damaged"},
		{"comma too many", "{\n  \"type\": \"external_account\",\n}", "creds.json:3:1: not valid JSON from here on: the file is cut off or damaged"},
		{"two values", external + "{}", "creds.json:16:2: not valid JSON from here on: the file is cut off or damaged"},
		{"list", "[]", "creds.json:1:1: the file: want a mapping, not a list"},
		{"duplicate", strings.Replace(external, "\"type\"", "\"token_url\": \"https://evil.example\",\n\"type\"", 1), "creds.json:3:16: token_url: the host evil.example is not that of Google's sts: allow it by name if you trust it\ncreds.json:7:3: duplicate key \"token_url\": it stands at line 3 already, remove one"},
		{"deep", `{"a":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + "}", "creds.json:1:38: nested too deep"},
		{"not UTF-8", "{\"\xff\": 1}", "creds.json:1:3: not UTF-8 from here on: save the file as UTF-8"},
		{"stile.yaml", "version: 1\n", "creds.json: this is a stile.yaml, not an external_account file: give it as the configuration"},
		{"PEM", "-----BEGIN PRIVATE KEY-----\nMII\n", "creds.json: this is a PEM key or certificate, not an external_account file: make one with gcloud iam workload-identity-pools create-cred-config"},
	} {
		if _, err := ParseExternalAccount("creds.json", []byte(test.data), ForeignPolicy{}); err == nil || err.Error() != test.want {
			t.Errorf("%s:\ngot  %v\nwant %s", test.name, err, test.want)
		}
	}
}

func TestExternalAccountAccepts(t *testing.T) {
	t.Parallel()
	const jwt = "urn:ietf:params:oauth:token-type:jwt"
	token := func(key, value string) map[string]any {
		return map[string]any{"subject_token_type": jwt, "credential_source": map[string]any{key: value}}
	}
	for _, test := range []struct {
		name  string
		edits map[string]any
		allow []string
	}{
		{"direct access", map[string]any{"service_account_impersonation_url": nil, "service_account_impersonation": nil, "token_info_url": "https://sts.googleapis.com/v1/introspect"}, nil},
		{"no URLs at all", map[string]any{"token_url": nil, "service_account_impersonation_url": nil, "service_account_impersonation": nil, "source.url": nil, "source.region_url": nil, "source.imdsv2_session_token_url": nil, "source.regional_cred_verification_url": nil}, nil},
		{"mTLS host", map[string]any{"token_url": "https://sts.mtls.googleapis.com/v1/token"}, nil},
		{"regional host", map[string]any{"token_url": "https://sts.europe-west1.rep.googleapis.com/v1/token"}, nil},
		{"older regional host", map[string]any{"token_url": "https://us-east1-sts.googleapis.com/v1/token"}, nil},
		{"private host", map[string]any{"token_url": "https://sts-corp.p.googleapis.com/v1/token"}, nil},
		{"port 443", map[string]any{"token_url": "https://sts.googleapis.com:443/v1/token"}, nil},
		{"FIPS verification", map[string]any{"source.regional_cred_verification_url": "https://sts-fips.us-east-1.amazonaws.com?Version=2011-06-15&Action=GetCallerIdentity"}, nil},
		{"China verification", map[string]any{"source.regional_cred_verification_url": "https://sts.cn-north-1.amazonaws.com.cn/?Action=GetCallerIdentity&Version=2011-06-15"}, nil},
		{"global verification", map[string]any{"source.regional_cred_verification_url": "https://sts.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"}, nil},
		{"allowed host", map[string]any{"token_url": "https://sts.corp.example/v1/token"}, []string{"sts.corp.example"}},
		{"allowed loopback by http", map[string]any{"token_url": "http://127.0.0.1:8080/v1/token", "source.url": "http://[::1]:9000/creds"}, []string{"127.0.0.1:8080", "::1"}},
		{"allowed universe", map[string]any{"universe_domain": "apis.example", "token_url": "https://sts.apis.example/v1/token", "service_account_impersonation_url": nil, "service_account_impersonation": nil}, []string{"apis.example"}},
		{"file", token("file", "/t"), nil},
		{"file, named text", map[string]any{"subject_token_type": jwt, "credential_source": map[string]any{"file": "/t", "format": map[string]any{"type": "text"}}}, nil},
		{"URL anywhere by https", token("url", "https://broker.example/t"), nil},
		{"URL of Azure's metadata", token("url", "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=x"), nil},
		{"URL without headers", map[string]any{"subject_token_type": jwt, "credential_source": map[string]any{"url": "https://b.example/t", "headers": map[string]any{}}}, nil},
		{"workforce pool", map[string]any{"subject_token_type": jwt, "credential_source": map[string]any{"file": "/t"}, "audience": "//iam.googleapis.com/locations/global/workforcePools/my-pool/providers/prov", "workforce_pool_user_project": "my-project"}, nil},
		{"quota project", map[string]any{"quota_project_id": "my-project"}, nil},
		{"e-mail percent-encoded", map[string]any{"service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/wif-sa%40demo-project.iam.gserviceaccount.com:generateAccessToken"}, nil},
	} {
		if c, err := ParseExternalAccount("creds.json", edited(t, test.edits), ForeignPolicy{AllowHosts: test.allow}); err != nil || len(c.Warnings) != 0 {
			t.Errorf("%s: %v %q", test.name, err, c.Warnings)
		}
		if test.allow != nil {
			if _, err := ParseExternalAccount("creds.json", edited(t, test.edits), ForeignPolicy{}); err == nil {
				t.Errorf("%s: passed without being allowed", test.name)
			}
		}
	}
	if _, err := ParseExternalAccount("creds.json", edited(t, map[string]any{"token_url": "http://sts.corp.example/"}), ForeignPolicy{AllowHosts: []string{"sts.corp.example"}}); err == nil {
		t.Error("an allowed host that is not loopback was taken by http")
	}
}

func TestExternalAccountWarns(t *testing.T) {
	t.Parallel()
	c, err := ParseExternalAccount("creds.json", edited(t, map[string]any{
		"service_account_impersonation_url": nil, "new_field": map[string]any{"a": []int{1}}, "source.newer": 1, "s3cr/t": 1,
	}), ForeignPolicy{})
	if err != nil {
		t.Fatal(err)
	}
	got := slices.Sorted(slices.Values(c.Warnings))
	want := []string{
		`line 1: service_account_impersonation has no effect without service_account_impersonation_url`,
		`line 1: unknown field "new_field" has no effect`,
		`line 1: unknown field "newer" has no effect`,
		`line 1: unknown field has no effect`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if c.To.GCP.Lifetime != 0 {
		t.Error("the lifetime without effect was kept")
	}
}

func TestExternalAccountPrograms(t *testing.T) {
	t.Parallel()
	program := func(settings map[string]any) []byte {
		return edited(t, map[string]any{"subject_token_type": "urn:ietf:params:oauth:token-type:id_token", "credential_source": map[string]any{"executable": settings}})
	}
	c, err := ParseExternalAccount("creds.json", program(map[string]any{"command": " /bin/mint  --aud x ", "timeout_millis": 5500, "output_file": "/run/out", "interactive_timeout_millis": 30000}), programs)
	if err != nil {
		t.Fatal(err)
	}
	want := &FromOIDC{TokenType: "id_token", Executable: &Executable{Command: []string{"/bin/mint", "--aud", "x"}, Timeout: Duration(5500 * time.Millisecond), OutputFile: "/run/out"}}
	if diff := cmp.Diff(want, c.From.OIDC); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"line 1: interactive_timeout_millis has no effect: nobody is asked here"}, c.Warnings); diff != "" {
		t.Error(diff)
	}
	for _, test := range []struct {
		name     string
		settings map[string]any
		want     string
	}{
		{"no command", map[string]any{}, "command is missing: add it under executable"},
		{"empty command", map[string]any{"command": " "}, "command: want a program and its arguments"},
		{"quotation", map[string]any{"command": `mint "s3cret x"`}, "command: a quotation mark, which Google's libraries read in different ways: put the call into a script"},
		{"timeout short", map[string]any{"command": "mint", "timeout_millis": 4999}, "timeout_millis: want a whole number of milliseconds, 5000 to 120000"},
		{"timeout long", map[string]any{"command": "mint", "timeout_millis": 120001}, "timeout_millis: want a whole number of milliseconds, 5000 to 120000"},
	} {
		_, err := ParseExternalAccount("creds.json", program(test.settings), programs)
		problems, ok := errors.AsType[Problems](err)
		if !ok || len(problems) != 1 || problems[0].Text != test.want {
			t.Errorf("%s:\ngot  %v\nwant %s", test.name, err, test.want)
		}
	}
}

// Files that gcloud wrote, where the checkout has them beside it; STILE_REQUIRE_VECTORS=1 insists on them. Each is
// written again as it was, byte for byte.
func TestExternalAccountFromGcloud(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("..", "..", "shared", "samples", "external_account", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		if os.Getenv("STILE_REQUIRE_VECTORS") == "1" {
			t.Fatal("no samples, though STILE_REQUIRE_VECTORS=1 requires them")
		}
		t.Skip("no samples beside this checkout; the inline ones are tested above")
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if program := strings.HasPrefix(filepath.Base(file), "executable"); program {
				if _, err := ParseExternalAccount(file, data, ForeignPolicy{}); err == nil || !strings.Contains(err.Error(), "--allow-executables") {
					t.Errorf("a program was not refused: %v", err)
				}
			}
			c, err := ParseExternalAccount(file, data, programs)
			if err != nil || c.To.GCP.Provider != externalProvider || len(c.Warnings) != 0 {
				t.Fatalf("got %+v, %v", c, err)
			}
			if impersonates := strings.Contains(file, "-sa"); impersonates != (c.To.GCP.ServiceAccount != "") {
				t.Errorf("service account %q", c.To.GCP.ServiceAccount)
			}
			written, err := WriteExternalAccount(c)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(data), string(written)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
