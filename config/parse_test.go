// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stile-project/stile"
)

// full sets every key that a stile.yaml knows; the schema test holds it to that.
const full = `# every key
version: 1
crossings:
  warehouse:
    from:
      aws:
        profile: etl
        region: eu-west-1
        fips: true
        assume_role:
          role: arn:aws:iam::111122223333:role/path/etl
          session_name: etl-1
          external_id: "12345"
          duration: 30m
    to:
      gcp:
        provider: //iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/pool-1/providers/aws-1
        service_account: etl@my-project.iam.gserviceaccount.com
        delegates: [hop@my-project.iam.gserviceaccount.com]
        scopes: [https://www.googleapis.com/auth/cloud-platform, openid]
        lifetime: 1h30m
        quota_project: my-project
        universe_domain: googleapis.com
  function:
    from: { aws: {} }
    to:
      gcp:
        provider: projects/123456789012/locations/global/workloadIdentityPools/pool-1/providers/aws-1
        service_account: etl@my-project.iam.gserviceaccount.com
        id_token: { audience: "https://fn.example.com", include_email: true }
  images:
    from:
      gcp: { audience: https://images.example.com, service_account: default, format: full }
    to:
      aws:
        role: arn:aws:iam::111122223333:role/from-gcp
        region: eu-west-1
        session_name: images
        duration: 1h
        policy: |
          {"Version": "2012-10-17", "Statement": []}
        policy_arns: [arn:aws:iam::aws:policy/ReadOnlyAccess]
        fips: false
        sts_endpoint: https://sts.eu-west-1.amazonaws.com
` + everySource + everyTarget

// everySource has one crossing for each source that is not in full.
const everySource = `  chain:
    from:
      aws:
        proof: jwt
        allow_node_role: true
        assume_role:
          - role: arn:aws:iam::111122223333:role/first
            duration: 2h
            tags: { team: data, "cost center": "" }
            transitive_tags: [team]
            source_identity: etl@example.com
          - { role: "arn:aws:iam::444455556666:role/second", duration: 1h }
    to: { token: { audience: vault } }
  key: { from: { gcp: { key_file: /etc/key.json } }, to: { token: { audience: vault } } }
  impersonated:
    from: { gcp: { impersonate: { service_account: a@my-project.iam.gserviceaccount.com, delegates: [b@my-project.iam.gserviceaccount.com], include_email: true } } }
    to: { token: { audience: vault } }
  signed:
    from: { gcp: { sign_jwt: { service_account: a@my-project.iam.gserviceaccount.com, delegates: [b@my-project.iam.gserviceaccount.com] } } }
    to: { token: { audience: vault } }
  developer: { from: { gcp: { application_default: {} } }, to: { token: { audience: vault } } }
  file: { from: { oidc: { audience: a, token_type: id_token, file: { path: /run/token, field: id_token } } }, to: { gcp: { provider: projects/1/locations/global/workloadIdentityPools/p/providers/q } } }
  url: { from: { oidc: { url: { url: "http://127.0.0.1:8080/t", headers: { Authorization: Bearer x }, field: value } } }, to: { token: { audience: vault } } }
  environment: { from: { oidc: { environment: { variable: TOKEN } } }, to: { token: { audience: vault } } }
  executable: { from: { oidc: { executable: { command: [/bin/mint, --aud, x x], timeout: 10s, output_file: /run/out } } }, to: { token: { audience: vault } } }
  github: { from: { oidc: { github_actions: {} } }, to: { token: { audience: vault } } }
  gitlab: { from: { oidc: { gitlab_ci: { variable: GITLAB_OIDC_TOKEN } } }, to: { token: { audience: vault } } }
  pod: { from: { oidc: { kubernetes: { path: /var/run/token } } }, to: { token: { audience: vault } } }
  requested: { from: { oidc: { token_request: { namespace: jobs, service_account: etl, expiration: 10m } } }, to: { token: { audience: vault } } }
  workload: { from: { oidc: { spiffe: { socket: "unix:///run/spire.sock" } } }, to: { token: { audience: vault } } }
`

// everyTarget sets what full and everySource leave out.
const everyTarget = `  person:
    from: { oidc: { file: { path: /run/token } } }
    to:
      gcp:
        provider: locations/global/workforcePools/my-pool/providers/prov
        workforce_user_project: my-project
        mtls: true
        boundary:
          accessBoundaryRules:
            - availableResource: //storage.googleapis.com/projects/_/buckets/images
              availablePermissions: ["inRole:roles/storage.objectViewer"]
              availabilityCondition: { expression: "resource.name != ''", title: some, description: some objects }
  wrapped:
    from: { aws: {} }
    to:
      gcp:
        provider: projects/1/locations/global/workloadIdentityPools/p/providers/q
        boundary: { accessBoundary: { accessBoundaryRules: [{ availableResource: //storage.googleapis.com/projects/_/buckets/images, availablePermissions: ["inRole:roles/storage.objectViewer"] }] } }
  json:
    from: { aws: {} }
    to:
      gcp:
        provider: projects/1/locations/global/workloadIdentityPools/p/providers/q
        boundary: '{"accessBoundary": {"accessBoundaryRules": [{"availableResource": "//storage.googleapis.com/projects/_/buckets/images", "availablePermissions": ["inRole:roles/storage.objectViewer"]}]}}'
  further:
    from: { gcp: {} }
    to:
      aws:
        role: arn:aws:iam::111122223333:role/from-gcp
        dual_stack: true
        then:
          role: arn:aws:iam::444455556666:role/next
          session_name: next
          external_id: "12345"
          duration: 1h
          policy: '{"Statement": []}'
          tags: { team: data }
`

// programs allows files to name programs, and stores.
var programs = ForeignPolicy{AllowExecutables: true, AllowStores: true}

// unseen compares secrets as far as a printed crossing shows them.
var unseen = cmp.Comparer(func(a, b stile.Secret) bool { return a.IsZero() == b.IsZero() })

func TestParseFull(t *testing.T) {
	t.Parallel()
	const provider = "projects/123456789012/locations/global/workloadIdentityPools/pool-1/providers/aws-1"
	want := map[string]Crossing{
		"warehouse": {
			Name: "warehouse", Origin: "stile.yaml",
			From: From{AWS: &FromAWS{Profile: "etl", Region: "eu-west-1", FIPS: true, AssumeRole: []AssumeRole{{
				Role: "arn:aws:iam::111122223333:role/path/etl", SessionName: "etl-1", ExternalID: "12345", Duration: Duration(30 * time.Minute),
			}}}},
			To: To{GCP: &ToGCP{
				Provider: provider, ServiceAccount: "etl@my-project.iam.gserviceaccount.com",
				Delegates: []string{"hop@my-project.iam.gserviceaccount.com"},
				Scopes:    []string{"https://www.googleapis.com/auth/cloud-platform", "openid"},
				Lifetime:  Duration(90 * time.Minute), QuotaProject: "my-project", UniverseDomain: "googleapis.com",
			}},
		},
		"function": {
			Name: "function", Origin: "stile.yaml", From: From{AWS: &FromAWS{}},
			To: To{GCP: &ToGCP{
				Provider: provider, ServiceAccount: "etl@my-project.iam.gserviceaccount.com",
				IDToken: &IDToken{Audience: "https://fn.example.com", IncludeEmail: true},
			}},
		},
		"images": {
			Name: "images", Origin: "stile.yaml",
			From: From{GCP: &FromGCP{Audience: "https://images.example.com", ServiceAccount: "default", Format: "full"}},
			To: To{AWS: &ToAWS{
				Role: "arn:aws:iam::111122223333:role/from-gcp", Region: "eu-west-1", SessionName: "images", Duration: Duration(time.Hour),
				Policy:     "{\"Version\": \"2012-10-17\", \"Statement\": []}\n",
				PolicyARNs: []string{"arn:aws:iam::aws:policy/ReadOnlyAccess"}, STSEndpoint: "https://sts.eu-west-1.amazonaws.com",
			}},
		},
	}
	const bucket, account = "//storage.googleapis.com/projects/_/buckets/images", "a@my-project.iam.gserviceaccount.com"
	rule := BoundaryRule{Resource: bucket, Permissions: []string{"inRole:roles/storage.objectViewer"}}
	bounded := To{GCP: &ToGCP{Provider: "projects/1/locations/global/workloadIdentityPools/p/providers/q", Boundary: &Boundary{[]BoundaryRule{rule}}}}
	rule.Condition = &BoundaryCondition{Expression: "resource.name != ''", Title: "some", Description: "some objects"}
	want["person"] = Crossing{From: From{OIDC: &FromOIDC{File: &TokenFile{Path: "/run/token"}}}, To: To{GCP: &ToGCP{
		Provider: "locations/global/workforcePools/my-pool/providers/prov", WorkforceUserProject: "my-project", MTLS: true, Boundary: &Boundary{[]BoundaryRule{rule}},
	}}}
	want["wrapped"] = Crossing{From: From{AWS: &FromAWS{}}, To: bounded}
	want["json"] = Crossing{From: From{AWS: &FromAWS{}}, To: bounded}
	want["further"] = Crossing{From: From{GCP: &FromGCP{}}, To: To{AWS: &ToAWS{Role: "arn:aws:iam::111122223333:role/from-gcp", DualStack: true, Then: &NextRole{
		Role: "arn:aws:iam::444455556666:role/next", SessionName: "next", ExternalID: "12345", Duration: Duration(time.Hour), Policy: `{"Statement": []}`, Tags: map[string]string{"team": "data"},
	}}}}
	want["file"] = Crossing{
		From: From{OIDC: &FromOIDC{Audience: "a", TokenType: "id_token", File: &TokenFile{Path: "/run/token", Field: "id_token"}}},
		To:   To{GCP: &ToGCP{Provider: "projects/1/locations/global/workloadIdentityPools/p/providers/q"}},
	}
	for name, from := range map[string]From{
		"chain": {AWS: &FromAWS{Proof: ProofJWT, AllowNodeRole: true, AssumeRole: []AssumeRole{
			{Role: "arn:aws:iam::111122223333:role/first", Duration: Duration(2 * time.Hour), Tags: map[string]string{"team": "data", "cost center": ""}, TransitiveTags: []string{"team"}, SourceIdentity: "etl@example.com"},
			{Role: "arn:aws:iam::444455556666:role/second", Duration: Duration(time.Hour)},
		}}},
		"key":          {GCP: &FromGCP{KeyFile: "/etc/key.json"}},
		"impersonated": {GCP: &FromGCP{Impersonate: &Impersonate{ServiceAccount: account, Delegates: []string{"b" + account[1:]}, IncludeEmail: true}}},
		"signed":       {GCP: &FromGCP{SignJWT: &SignJWT{ServiceAccount: account, Delegates: []string{"b" + account[1:]}}}},
		"developer":    {GCP: &FromGCP{ApplicationDefault: &ApplicationDefault{}}},
		"url":          {OIDC: &FromOIDC{URL: &TokenURL{URL: "http://127.0.0.1:8080/t", Headers: map[string]stile.Secret{"Authorization": stile.NewSecret("Bearer x")}, Field: "value"}}},
		"environment":  {OIDC: &FromOIDC{Environment: &TokenVariable{"TOKEN"}}},
		"executable":   {OIDC: &FromOIDC{Executable: &Executable{Command: []string{"/bin/mint", "--aud", "x x"}, Timeout: Duration(10 * time.Second), OutputFile: "/run/out"}}},
		"github":       {OIDC: &FromOIDC{GitHubActions: &GitHubActions{}}},
		"gitlab":       {OIDC: &FromOIDC{GitLabCI: &GitLabCI{"GITLAB_OIDC_TOKEN"}}},
		"pod":          {OIDC: &FromOIDC{Kubernetes: &Kubernetes{"/var/run/token"}}},
		"requested":    {OIDC: &FromOIDC{TokenRequest: &TokenRequest{"jobs", "etl", Duration(10 * time.Minute)}}},
		"workload":     {OIDC: &FromOIDC{SPIFFE: &SPIFFE{"unix:///run/spire.sock"}}},
	} {
		want[name] = Crossing{From: from, To: To{Token: &ToToken{"vault"}}}
	}
	for name, c := range want {
		c.Name, c.Origin = name, "stile.yaml"
		want[name] = c
	}
	revealed := cmp.Comparer(func(a, b stile.Secret) bool { return a.Reveal() == b.Reveal() })
	order := strings.Fields("warehouse function images chain key impersonated signed developer file url environment executable github gitlab pod requested workload person wrapped json further")
	for name, data := range map[string]string{
		"as written":      full,
		"carriage return": strings.ReplaceAll(full, "\n", "\r\n"),
		"byte order mark": "\xef\xbb\xbf" + full,
		"document marks":  "---\n" + full + "...\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := ParseAllowing("stile.yaml", []byte(data), programs)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, f.Crossings, revealed); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(order, f.Names()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// gcp and aws put settings, indented by eight, into a whole file. The first setting stands at line 7.
func gcp(settings string) string {
	return "version: 1\ncrossings:\n  w:\n    from: { aws: {} }\n    to:\n      gcp:\n" + settings
}

func aws(settings string) string {
	return "version: 1\ncrossings:\n  w:\n    from: { gcp: {} }\n    to:\n      aws:\n" + settings
}

func both(from, to string) string {
	return "version: 1\ncrossings:\n  w:\n    from: " + from + "\n    to: " + to + "\n"
}

const (
	provLine = "        provider: projects/123456789012/locations/global/workloadIdentityPools/pool-1/providers/aws-1\n"
	acctLine = "        service_account: a@my-project.iam.gserviceaccount.com\n"
	roleLine = "        role: arn:aws:iam::111122223333:role/r\n"
	toGCP    = "{ gcp: { provider: projects/123456789012/locations/global/workloadIdentityPools/pool-1/providers/aws-1 } }"
	toAWS    = "{ aws: { role: arn:aws:iam::111122223333:role/r } }"
)

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, data, want string }{
		{"empty", "", "1:1: the file is empty"},
		{"only a comment", "# nothing\n", "1:1: the file is empty"},
		{"only a mark", "---\n", "1:1: the file is empty"},
		{"not UTF-8", "version: 1\nx: \xff", "2:4: not UTF-8 from here on: save the file as UTF-8"},
		{"UTF-16", "\xff\xfev\x00", "1:1: the file is in UTF-16: save it as UTF-8"},
		{"control character", "version: 1\nx: a\x00b", "2:5: a control character: this is no text file, or it is damaged"},
		{"too long", "version: 1\n#" + strings.Repeat("x", sizeLimit), "1:1: the file is over 1 MiB: it is no configuration"},
		{"plain text", "hello", "1:1: the file: want a mapping, not text"},
		{"a list", "- a\n", "1:1: the file: want a mapping, not a list"},
		{"no version", "crossings:\n  w:\n    from: { aws: {} }\n    to: " + toGCP, "1:1: version is missing: add it"},
		{"version 2", "version: 2\nother: stuff\n", "1:10: this version of the file is not known here: write version: 1, or use a newer stile"},
		{"version as text", "version: '1'\ncrossings:\n  w:\n    from: { aws: {} }\n    to: " + toGCP, "1:10: version: want the number 1"},
		{"no crossings", "version: 1\n", "1:1: crossings is missing: add it"},
		{"crossings empty", "version: 1\ncrossings: {}\n", "2:12: crossings is empty: add one, with a name, from and to"},
		{"crossings a list", "version: 1\ncrossings: [a]\n", "2:12: crossings: want a mapping, not a list"},
		{"crossings null", "version: 1\ncrossings:\n", "2:12: crossings has no value: write {} where nothing is to be said"},
		{"bad name", "version: 1\ncrossings:\n  a b: {}\n", "3:3: the name of a crossing: want at most 64 letters, digits and ._- beginning with a letter or digit"},
		{"duplicate crossing", both("{ aws: {} }", toGCP) + "  w:\n    from: { aws: {} }\n", "6:3: duplicate key \"w\": it stands at line 3 already, remove one"},
		{"duplicate key", gcp(provLine + provLine), "8:9: duplicate key \"provider\": it stands at line 7 already, remove one"},
		{"unknown key, near", gcp(provLine + "        servce_account: x\n"), `8:9: unknown key "servce_account": did you mean "service_account"?`},
		{"unknown key, camel", gcp(provLine + "        serviceAccount: x\n"), `8:9: unknown key "serviceAccount": did you mean "service_account"?`},
		{"unknown key, far", both("{ aws: {}, zebra: 1 }", toGCP), `4:22: unknown key "zebra": remove it, known here are aws, gcp and oidc`},
		{"unknown key not quoted", both("{ aws: {}, s3cr3t/K: 1 }", toGCP), `4:22: unknown key: remove it, known here are aws, gcp and oidc`},
		{"only from external_account", gcp(provLine + "        token_url: https://sts.googleapis.com/v1/token\n"), `8:9: unknown key "token_url": remove it, known here are provider, service_account, delegates, scopes, lifetime, id_token, boundary, quota_project, workforce_user_project, universe_domain and mtls`},
		{"no from", "version: 1\ncrossings:\n  w:\n    to: " + toGCP, "4:5: from is missing: add it under w"},
		{"no to", "version: 1\ncrossings:\n  w:\n    from: { aws: {} }\n", "4:5: to is missing: add it under w"},
		{"two sources", both("{ aws: {}, gcp: {} }", toGCP), "4:22: a crossing has one source: keep aws or gcp"},
		{"two targets", both("{ aws: {} }", toGCP[:len(toGCP)-2]+", "+toAWS[2:]), "5:115: a crossing has one target: keep gcp or aws"},
		{"no source", both("{}", toGCP), "4:11: from names no source: write aws:, gcp: or oidc: in it"},
		{"source without value", both("{ aws: }", toGCP), "4:17: aws has no value: write {} where nothing is to be said"},
		{"same cloud aws", both("{ aws: {} }", toAWS), "5:11: from and to are both aws: a crossing leads into the other cloud, change one"},
		{"same cloud gcp", both("{ gcp: {} }", toGCP), "5:11: from and to are both gcp: a crossing leads into the other cloud, change one"},
		{"provider missing", gcp(acctLine), "7:9: provider is missing: add it under gcp"},
		{"provider by project id", gcp("        provider: projects/my-project/locations/global/workloadIdentityPools/pool-1/providers/aws-1\n"), "7:19: provider: it names the project by its id: use the project's number (gcloud projects describe PROJECT --format='value(projectNumber)')"},
		{"provider short", gcp("        provider: pool-1/aws-1\n"), "7:19: provider: want projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER"},
		{"provider elsewhere", gcp("        provider: projects/1/locations/eu/workloadIdentityPools/pool-1/providers/aws-1\n"), "7:19: provider: want locations/global: workload identity pools stand nowhere else"},
		{"provider workforce", gcp("        provider: locations/global/workforcePools/pool-1/providers/aws-1\n"), "4:18: a workforce pool takes no signed request of AWS: write proof: jwt under aws, or name a workload identity pool provider"},
		{"pool id", gcp("        provider: projects/1/locations/global/workloadIdentityPools/Pool/providers/aws-1\n"), "7:19: provider: want up to 32 lower-case letters, digits and hyphens for the pool and for the provider"},
		{"person's e-mail", gcp(provLine + "        service_account: jo@example.com\n"), "8:26: service_account: this is not the e-mail of a service account: want NAME@PROJECT.iam.gserviceaccount.com"},
		{"unique id", gcp(provLine + "        service_account: '104857600000000000001'\n"), "8:26: service_account: this is the service account's number: use its e-mail"},
		{"e-mail in capitals", gcp(provLine + "        service_account: A@my-project.iam.gserviceaccount.com\n"), "8:26: service_account: write the service account's e-mail in lower case and without spaces"},
		{"scopes as text", gcp(provLine + "        scopes: https://www.googleapis.com/auth/cloud-platform\n"), "8:17: scopes: want a list, not text"},
		{"short scope", gcp(provLine + "        scopes: [cloud-platform]\n"), "8:18: scopes: want a whole scope, https://www.googleapis.com/auth/NAME"},
		{"scopes in one", gcp(provLine + "        scopes: [openid email]\n"), "8:18: scopes: want one scope in each entry of the list"},
		{"scopes empty", gcp(provLine + "        scopes: []\n"), "8:17: scopes is an empty list: remove it or fill it"},
		{"scope twice", gcp(provLine + "        scopes: [openid, openid]\n"), "8:26: scopes: this entry stands there twice, remove one"},
		{"lifetime alone", gcp(provLine + "        lifetime: 1h\n"), "8:9: lifetime needs a service_account to impersonate: add it, or remove lifetime"},
		{"delegates alone", gcp(provLine + "        delegates: [a@b-c.iam.gserviceaccount.com]\n"), "8:9: delegates needs a service_account to impersonate: add it, or remove delegates"},
		{"id_token alone", gcp(provLine + "        id_token: { audience: a }\n"), "8:9: id_token needs a service_account to impersonate: add it, or remove id_token"},
		{"id_token with scopes", gcp(provLine + acctLine + "        id_token: { audience: a }\n        scopes: [openid]\n"), "10:9: an ID token has no scopes of its own to choose: remove scopes, or remove id_token"},
		{"id_token without audience", gcp(provLine + acctLine + "        id_token: { include_email: true }\n"), "9:19: audience is missing: add it under id_token"},
		{"audience with space", gcp(provLine + acctLine + "        id_token: { audience: a b }\n"), "9:31: audience: want what the token is made out to, such as https://example.com, without spaces"},
		{"audience empty", gcp(provLine + acctLine + "        id_token: { audience: '' }\n"), "9:31: audience: want what the token is made out to, such as https://example.com, without spaces"},
		{"audience too long", gcp(provLine + acctLine + "        id_token: { audience: " + strings.Repeat("a", 2049) + " }\n"), "9:31: audience is too long: at most 2048 bytes"},
		{"lifetime too long", gcp(provLine + acctLine + "        lifetime: 13h\n"), "9:19: lifetime: want 1m to 12h"},
		{"yes is text", gcp(provLine + acctLine + "        id_token: { audience: a, include_email: yes }\n"), "9:49: include_email: want true or false, not text"},
		{"foreign universe", gcp(provLine + "        universe_domain: evil.example\n"), "8:26: universe_domain: evil.example is not googleapis.com: allow that host by name if you trust it"},
		{"quota project", gcp(provLine + "        quota_project: My Project\n"), "8:24: quota_project: want the id of a Google Cloud project"},
		{"role missing", aws("        region: eu-west-1\n"), "7:9: role is missing: add it under aws"},
		{"role of a session", aws("        role: arn:aws:sts::111122223333:assumed-role/r/s\n"), "7:15: role: want arn:PARTITION:iam::ACCOUNT:role/NAME with the 12 digits of the account"},
		{"role as number", aws("        role: 1\n"), "7:15: role: want text, not a number: put it in quotes"},
		{"zone", aws(roleLine + "        region: eu-west-1a\n"), "8:17: region: this is an availability zone: name its region, such as eu-west-1"},
		{"local zone", aws(roleLine + "        region: us-west-2-lax-1a\n"), "8:17: region: this is an availability zone: name its region, such as eu-west-1"},
		{"region name", aws(roleLine + "        region: Ireland\n"), "8:17: region: want a region such as eu-west-1"},
		{"other partition", aws(roleLine + "        region: cn-north-1\n"), "8:17: region: it lies in the partition aws-cn and the role in another: change one"},
		{"source in other partition", both("{ aws: { region: us-gov-west-1, assume_role: { role: arn:aws:iam::111122223333:role/r } } }", toGCP), "4:28: region: it lies in the partition aws-us-gov and the role in another: change one"},
		{"too many keys", strings.Repeat("k: v\n", keyLimit+1), "20001:2: too many keys: split the file"},
		{"policy of other partition", aws(roleLine + "        policy_arns: [arn:aws-cn:iam::aws:policy/P]\n"), "8:23: policy_arns: the policy is of another partition than the role: use one of aws"},
		{"session name", aws(roleLine + "        session_name: a b\n"), "8:23: session_name: want 2 to 64 letters, digits and _+=,.@-"},
		{"duration as number", aws(roleLine + "        duration: 3600\n"), `8:19: duration: want a duration such as "1h" or "45m", not a bare number: add its unit`},
		{"duration of parts of seconds", aws(roleLine + "        duration: 3600.5s\n"), `8:19: duration: want a duration in whole seconds, such as "1h" or "45m"`},
		{"duration short", aws(roleLine + "        duration: 14m59s\n"), "8:19: duration: want 15m to 12h"},
		{"duration negative", aws(roleLine + "        duration: -1h\n"), `8:19: duration: want a duration in whole seconds, such as "1h" or "45m"`},
		{"policy not JSON", aws(roleLine + "        policy: allow all\n"), `8:17: policy: want an IAM policy as a JSON object, {"Version": "2012-10-17", "Statement": […]}`},
		{"policy without statement", aws(roleLine + "        policy: '{}'\n"), "8:17: policy: want an IAM policy: this object has no Statement"},
		{"too many policies", aws(roleLine + "        policy_arns: [" + strings.Repeat("a,", 11) + "]\n"), "8:22: policy_arns has 11 entries: at most 10"},
		{"foreign STS", aws(roleLine + "        sts_endpoint: https://sts.evil.example\n"), "8:23: sts_endpoint: the host sts.evil.example is not that of AWS STS: allow it by name if you trust it"},
		{"STS by http", aws(roleLine + "        sts_endpoint: http://sts.eu-west-1.amazonaws.com\n"), "8:23: sts_endpoint: want https: over http anyone on the way reads the token"},
		{"STS twice", aws(roleLine + "        sts_endpoint: https://sts.amazonaws.com\n        fips: true\n"), "8:9: fips chooses the STS host and so does sts_endpoint: keep one"},
		{"format", both("{ gcp: { format: big } }", toAWS), "4:28: format: want standard or full"},
		{"metadata account", both("{ gcp: { service_account: jo } }", toAWS), `4:37: service_account: want "default" or the e-mail of a service account that the machine carries`},
		{"external id", both("{ aws: { assume_role: { role: arn:aws:iam::111122223333:role/r, external_id: 12345 } } }", toGCP), "4:88: external_id: want text, not a number: put it in quotes"},
		{"tab", "version: 1\ncrossings:\n\tw: {}\n", "3:1: a tab: indent with spaces"},
		{"second document", both("{ aws: {} }", toGCP) + "---\nversion: 1\n", "6:1: a second document begins: keep one in a file"},
		{"anchor", "version: 1\ncrossings: &all\n  w: {}\n", "2:12: anchors, aliases and merges are not read here: write the value out"},
		{"alias", "version: 1\ncrossings: *all\n", "2:12: anchors, aliases and merges are not read here: write the value out"},
		{"merge", "version: 1\n<<: {}\n", "2:1: anchors, aliases and merges are not read here: write the value out"},
		{"tag", "version: !!int 1\n", "1:10: tags and directives are not read here: remove it"},
		{"question key", "? version\n: 1\n", `1:1: "?" keys are not read here: write "key: value"`},
		{"open bracket", "version: 1\ncrossings: [\n", `2:12: "[" opens here and nothing closes it`},
		{"open quotation", "version: 1\ncrossings: \"a\n", "2:12: a quotation mark opens here and nothing closes it"},
		{"colon in a value", "version: 1: 2\n", `1:10: a second ": " on one line, or a wrong indentation: put the value in quotes`},
		{"deep flow", "version: " + strings.Repeat("[", 100_000), "1:42: nested too deep"},
		{"deep entries", strings.Repeat("- ", 100_000), "1:65: nested too deep"},
		{"external_account instead", `{"type": "external_account"}`, " this is an external_account file, not a stile.yaml"},
		{"service_account instead", `{"type": "service_account", "private_key": "k"}`, " this is a service_account key, not a stile.yaml"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("stile.yaml", []byte(test.data))
			if err == nil {
				t.Fatal("parsed")
			}
			if want := "stile.yaml:" + test.want; err.Error() != want {
				t.Errorf("got  %s\nwant %s", err, want)
			}
			if !errors.Is(err, stile.ErrMisuse) {
				t.Error("the error is not ErrMisuse")
			}
		})
	}
}

func TestParseReportsEverything(t *testing.T) {
	t.Parallel()
	_, err := Parse("stile.yaml", []byte(`version: 1
crossings:
  a:
    form: { aws: {} }
    to: { gcp: { provider: x } }
  b:
    from: { gcp: { audence: x } }
    to: { aws: { role: x, duration: x } }
`))
	want := `stile.yaml:4:5: unknown key "form": did you mean "from"?
stile.yaml:4:5: from is missing: add it under a
stile.yaml:5:28: provider: want projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER
stile.yaml:7:20: unknown key "audence": did you mean "audience"?
stile.yaml:8:24: role: want arn:PARTITION:iam::ACCOUNT:role/NAME with the 12 digits of the account
stile.yaml:8:37: duration: want a duration in whole seconds, such as "1h" or "45m"`
	if err == nil {
		t.Fatal("parsed")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
	problems, ok := errors.AsType[Problems](err)
	if !ok || len(problems) != 6 || problems[5].Line != 8 || problems[5].Column != 37 {
		t.Errorf("got problems %v", problems)
	}
}

func TestParseStopsListing(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("version: 1\ncrossings:\n")
	for i := range 50 {
		fmt.Fprintf(&b, "  c%d: 1\n", i)
	}
	_, err := Parse("stile.yaml", []byte(b.String()))
	if err == nil || strings.Count(err.Error(), "\n") != 20 || !strings.HasSuffix(err.Error(), "stile.yaml: and 30 more") {
		t.Errorf("got %v", err)
	}
}

func TestParseNeverQuotesValues(t *testing.T) {
	t.Parallel()
	const secret = "wJalrXUtnFEMI/K7MDENG"
	for _, data := range []string{
		secret,
		secret + ": x\n",
		"version: " + secret + "\n",
		"version: 1\ncrossings:\n  " + secret + ": {}\n",
		gcp("        provider: " + secret + "\n"),
		gcp("        provider: [" + secret + "\n"),
		gcp("        provider: \"" + secret + "\n"),
		gcp("        service_account: a: " + secret + "\n"),
		aws("        role: " + secret + "\n        " + secret + ": x\n        sts_endpoint: https://u:" + secret + "@h/\n        duration: " + secret + "\n"),
		"aws_secret_access_key = " + secret + "\n",
		"%TAG " + secret,
		"&" + secret,
		"!<" + secret,
	} {
		_, err := Parse("https://u:"+secret+"@h/stile.yaml?sig="+secret, []byte(data))
		if err == nil {
			t.Errorf("%q parsed", data)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("quoted: %v", err)
		}
	}
}

func TestParseAllowing(t *testing.T) {
	t.Parallel()
	data := []byte(aws(roleLine + "        sts_endpoint: http://127.0.0.1:4566\n"))
	if _, err := Parse("stile.yaml", data); err == nil {
		t.Error("a loopback host was allowed though nobody named it")
	}
	f, err := ParseAllowing("stile.yaml", data, ForeignPolicy{AllowHosts: []string{"127.0.0.1:4566"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Crossings["w"].To.AWS.STSEndpoint; got != "http://127.0.0.1:4566" {
		t.Errorf("got endpoint %q", got)
	}
}

func TestFileCrossing(t *testing.T) {
	t.Parallel()
	f, err := ParseAllowing("stile.yaml", []byte(full), programs)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := f.Crossing("images"); err != nil || c.Name != "images" {
		t.Errorf("images: got %q, %v", c.Name, err)
	}
	for name, want := range map[string]string{
		"imags": `misused: stile.yaml has no crossing "imags": did you mean "images"?`,
		"zzz":   `misused: stile.yaml has no crossing "zzz": it has warehouse, function, images, chain, key, impersonated, signed, developer, file, url, …`,
		"":      `misused: stile.yaml has 21 crossings, say which: warehouse, function, images, chain, key, impersonated, signed, developer, file, url, …`,
	} {
		if _, err := f.Crossing(name); err == nil || err.Error() != want || !errors.Is(err, stile.ErrMisuse) {
			t.Errorf("%q: got %v, want %s", name, err, want)
		}
	}
	one, err := Parse("stile.yaml", []byte(both("{ aws: {} }", toGCP)))
	if err != nil {
		t.Fatal(err)
	}
	if c, err := one.Crossing(""); err != nil || c.Name != "w" {
		t.Errorf("the only crossing: got %q, %v", c.Name, err)
	}
}

// A large file is refused or read in bearable time; a parser whose time explodes shows here as a test that does not end.
func TestParseLargeInputs(t *testing.T) {
	t.Parallel()
	const size = sizeLimit / 4
	repeat := func(s string) []byte { return []byte(strings.Repeat(s, size/len(s))) }
	var keys strings.Builder
	for i := 0; keys.Len() < size; i++ {
		fmt.Fprintf(&keys, "k%d: v\n", i)
	}
	for name, data := range map[string][]byte{
		"keys": []byte(keys.String()), "braces": repeat("{"), "questions": repeat("? "), "documents": repeat("---\n"),
		"aliases": repeat("*a "), "quotes": repeat("'' "), "spaces": repeat(" "), "lines": repeat("a\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := Parse(name, data); err == nil {
				t.Error("parsed")
			}
		})
	}
}
