// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"
)

// roleJSON is a role for a flow mapping.
const roleJSON = `role: "arn:aws:iam::111122223333:role/r"`

func TestParseRefusesSources(t *testing.T) {
	t.Parallel()
	const token = "{ token: { audience: vault } }"
	chain := func(second string) string {
		return both("\n      aws:\n        assume_role:\n        - { "+roleJSON+" }\n        - { "+second+" }", toGCP)
	}
	assume := func(settings string) string {
		return both("\n      aws: { assume_role: { "+roleJSON+", "+settings+" } }", toGCP)
	}
	oidc := func(settings string) string { return both("\n      oidc: { "+settings+" }", toGCP) }
	google := func(settings string) string { return both("\n      gcp: { "+settings+" }", toAWS) }
	for _, test := range []struct{ name, data, want string }{
		{"proof", both("\n      aws: { proof: faith }", toGCP), "5:21: proof: want signed_request or jwt"},
		{"request for a token", both("{ aws: {} }", token), "4:18: a token target needs a token, and AWS gives a signed request: write proof: jwt under aws"},
		{"chained duration", chain(roleJSON + ", duration: 2h"), "8:65: duration: want 15m to 1h: a role assumed with another role's session lasts an hour at most"},
		{"chained into another partition", chain(`role: "arn:aws-cn:iam::111122223333:role/r"`), "8:19: role: it is of another partition than the role before it, and no identity leads there: change one"},
		{"chain empty", both("\n      aws: { assume_role: [] }", toGCP), "5:27: assume_role has 0 roles: want 1 to 5"},
		{"role as text", both("\n      aws: { assume_role: r }", toGCP), "5:27: assume_role: want a mapping, not text"},
		{"tag key reserved", assume("tags: { 'AWS:x': y }"), "5:79: tags: keys that begin with aws: are Amazon's own"},
		{"tag twice", assume("tags: { Team: a, team: b }"), "5:88: duplicate key \"team\": it stands at line 5 already, remove one"},
		{"tag value", assume("tags: { a: 'x*' }"), "5:82: a: want values of at most 256 letters, digits, spaces and _.:/=+-@"},
		{"tag value a number", assume("tags: { a: 1 }"), "5:82: a: want text, not a number: put it in quotes"},
		{"tags empty", assume("tags: {}"), "5:77: tags has 0 entries: want 1 to 50"},
		{"transitive tag", assume("tags: { a: b }, transitive_tags: [c]"), "5:105: transitive_tags: tags has no such key: add it there, or remove it here"},
		{"source identity", assume("source_identity: a b"), "5:88: source_identity: want 2 to 64 letters, digits and _+=,.@-"},
		{"two ways", google("key_file: /k, application_default: {}"), "5:28: a source has one way to its identity: keep key_file or application_default"},
		{"format of no metadata", google("key_file: /k, format: full"), "5:28: format is for the metadata server, which key_file does without: remove one"},
		{"impersonated nobody", google("impersonate: {}"), "5:27: service_account is missing: add it under impersonate"},
		{"audience twice", both("\n      gcp: { audience: a }", token), "5:14: the token target says whom the token is made out to: remove audience here"},
		{"no token", oidc("audience: a"), "5:13: oidc names no source: write file:, url:, environment:, executable:, github_actions:, gitlab_ci:, kubernetes:, token_request: or spiffe: in it"},
		{"two tokens", oidc("file: { path: /t }, gitlab_ci: {}"), "5:35: oidc has one source: keep file or gitlab_ci"},
		{"mistyped", oidc("fil: { path: /t }"), `5:15: unknown key "fil": did you mean "file"?`},
		{"path empty", oidc("file: { path: ' ' }"), "5:29: path: want the path of a file"},
		{"URL by http", oidc("url: { url: 'http://broker.example/t' }"), "5:27: url: want https: http is for this machine and for metadata services"},
		{"URL with password", oidc("url: { url: 'https://u:p@broker.example/t' }"), "5:27: url: the URL holds a user name or password: remove it"},
		{"header", oidc("url: { url: 'https://b.example/t', headers: { host: x } }"), "5:61: headers: the request sets this header itself"},
		{"header with line end", oidc(`url: { url: 'https://b.example/t', headers: { x: "a\r\nb" } }`), "5:64: x: want a header's value of printable ASCII"},
		{"variable", oidc("environment: { variable: a-b }"), "5:40: variable: want the name of an environment variable"},
		{"program not allowed", oidc("executable: { command: [/bin/mint] }"), "5:27: executable: a program that a file names runs only where you allow it: give --allow-executables, or set GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1"},
		{"namespace", oidc("token_request: { namespace: A }"), "5:43: namespace: want the name of a Kubernetes namespace"},
		{"expiration", oidc("token_request: { expiration: 5m }"), "5:44: expiration: want 10m to 24h"},
		{"socket", oidc("spiffe: { socket: 'http://x' }"), "5:33: socket: want unix:///PATH or tcp://ADDRESS:PORT"},
		{"type of a known token", oidc("token_type: jwt, github_actions: {}"), "5:15: token_type is known for this source: remove it"},
		{"type for AWS", both("\n      oidc: { token_type: jwt, file: { path: /t } }", toAWS), "5:15: token_type is for Google Cloud to know: remove it"},
		{"type", oidc("token_type: saml2, file: { path: /t }"), "5:27: token_type: want jwt or id_token"},
	} {
		_, err := Parse("stile.yaml", []byte(test.data))
		if want := "stile.yaml:" + test.want; err == nil || err.Error() != want {
			t.Errorf("%s:\ngot  %v\nwant %s", test.name, err, want)
		}
	}
}

func TestParseRefusesPrograms(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, command, want string }{
		{"text", "/bin/mint", "4:44: command: want a list, not text"},
		{"none", "[]", "4:44: command has 0 words: want 1 to 100, the program first"},
		{"no program", "[' ', x]", "4:45: command: want a program and its arguments, without control characters"},
		{"timeout", "[x], timeout: 1s", "4:58: timeout: want 5s to 2m"},
	} {
		_, err := ParseAllowing("stile.yaml", []byte(both("{ oidc: { executable: { command: "+test.command+" } } }", toGCP)), programs)
		if want := "stile.yaml:" + test.want; err == nil || err.Error() != want {
			t.Errorf("%s:\ngot  %v\nwant %s", test.name, err, want)
		}
	}
}

func TestParseRefusesTargets(t *testing.T) {
	t.Parallel()
	const rule = "availableResource: //storage.googleapis.com/projects/_/buckets/b-1, availablePermissions: ['inRole:roles/storage.objectViewer']"
	boundary := func(value string) string { return gcp(provLine + "        boundary: " + value + "\n") }
	then := func(settings string) string {
		return aws(roleLine + "        then: { " + roleJSON + ", " + settings + " }\n")
	}
	for _, test := range []struct{ name, data, want string }{
		{"user project", gcp(provLine + "        workforce_user_project: my-project\n"), "8:9: workforce_user_project belongs to a workforce pool: remove it, or name a provider of one"},
		{"boundary of an ID token", gcp(provLine + acctLine + "        id_token: { audience: a }\n        boundary: { accessBoundaryRules: [{ " + rule + " }] }\n"), "10:9: an ID token has no boundary of its own to choose: remove boundary, or remove id_token"},
		{"boundary empty", boundary("{ accessBoundaryRules: [] }"), "8:42: accessBoundaryRules has 0 rules: want 1 to 10"},
		{"boundary too wide", boundary("{ accessBoundaryRules: [" + strings.Repeat("{},", 11) + "] }"), "8:42: accessBoundaryRules has 11 rules: want 1 to 10"},
		{"boundary elsewhere", boundary("{ accessBoundaryRules: [{ availableResource: //compute.googleapis.com/x, availablePermissions: ['inRole:roles/x'] }] }"), "8:64: availableResource: want //storage.googleapis.com/projects/_/buckets/BUCKET: boundaries exist for Cloud Storage only"},
		{"boundary permission", boundary("{ accessBoundaryRules: [{ availableResource: //storage.googleapis.com/projects/_/buckets/b-1, availablePermissions: [storage.objects.get] }] }"), "8:136: availablePermissions: want a role, such as inRole:roles/storage.objectViewer"},
		{"boundary condition mistyped", boundary("{ accessBoundaryRules: [{ " + rule + ", availabilityConditon: {} }] }"), `8:174: unknown key "availabilityConditon": did you mean "availabilityCondition"?`},
		{"boundary in two spellings", boundary("{ accessBoundary: { accessBoundaryRules: [{ " + rule + " }] }, accessBoundaryRules: [] }"), `8:197: unknown key "accessBoundaryRules": did you mean "accessBoundary"?`},
		{"boundary no JSON", boundary("'{'"), "8:19: boundary: in line 1 of its JSON: not valid JSON from here on: the file is cut off or damaged"},
		{"boundary JSON list", boundary("'[]'"), "8:19: boundary: in line 1 of its JSON: boundary: want a mapping, not a list"},
		{"boundary JSON mistyped", boundary(`'{"accessBoundaryRules": [{}]}'`), "8:19: boundary: in line 1 of its JSON: availableResource is missing: add it under accessBoundaryRules\nstile.yaml:8:19: boundary: in line 1 of its JSON: availablePermissions is missing: add it under accessBoundaryRules"},
		{"boundary too long", boundary("{ accessBoundaryRules: [{ " + rule + ", availabilityCondition: { expression: " + strings.Repeat("x", 2000) + " } }] }"), "8:19: boundary is too long: at most 2048 characters"},
		{"mtls", gcp(provLine + "        mtls: true\n        universe_domain: apis.example\n"), "8:9: mtls: the hosts that take a client certificate are in googleapis.com only: remove it, or remove universe_domain"},
		{"then too long", then("duration: 2h"), "8:69: duration: want 15m to 1h: a role assumed with another role's session lasts an hour at most"},
		{"then in another partition", aws(roleLine + "        then: { role: 'arn:aws-cn:iam::111122223333:role/r' }\n"), "8:23: role: it is of another partition than the role before it, and no identity leads there: change one"},
		{"then nobody", aws(roleLine + "        then: {}\n"), "8:15: role is missing: add it under then"},
		{"STS twice", aws(roleLine + "        sts_endpoint: https://sts.amazonaws.com\n        dual_stack: true\n"), "8:9: dual_stack chooses the STS host and so does sts_endpoint: keep one"},
		{"no target", both("{ aws: {} }", "{}"), "5:9: to names no target: write gcp:, aws: or token: in it"},
		{"token without audience", both("{ gcp: {} }", "{ token: {} }"), "5:18: audience is missing: add it under token"},
	} {
		_, err := ParseAllowing("stile.yaml", []byte(test.data), ForeignPolicy{AllowHosts: []string{"apis.example"}})
		if want := "stile.yaml:" + test.want; err == nil || err.Error() != want {
			t.Errorf("%s:\ngot  %v\nwant %s", test.name, err, want)
		}
	}
}
