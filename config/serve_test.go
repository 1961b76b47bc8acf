// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// serving puts a serve block, indented by two, behind two crossings. Its first line is the 8th.
func serving(block string) string {
	return "version: 1\ncrossings:\n  images: { from: { gcp: {} }, to: " + toAWS + " }\n  warehouse: { from: { aws: {} }, to: " + toGCP + " }\n" +
		"  visa: { from: { gcp: {} }, to: { token: { audience: a } } }\n" +
		"  function: { from: { aws: {} }, to: { gcp: { provider: projects/1/locations/global/workloadIdentityPools/p/providers/q, service_account: a@my-project.iam.gserviceaccount.com, id_token: { audience: x } } } }\n" +
		"serve:\n" + block
}

const everyServeKey = `  admin: 127.0.0.1:9911
  admin_tls: { cert: ~/admin.pem, key: ./~admin.key }
  hosts: [stile.default.svc, fd00::7]
  allow_users: [app, "1000", 0, 4294967295]
  endpoints:
    - ecs: [images]
      listen: 127.0.0.1:9912
      token_file: /run/stile/ecs-token
      token_mode: "0640"
      token_group: 1000
      root: images
    - imds: images
      listen: 0.0.0.0:9913
      allow_remote: true
      allow_v1: false
      hop_limit: 1
      tls: { cert: /etc/stile/tls.crt, key: /etc/stile/tls.key }
    - gce: warehouse
      listen: unix:/run/stile/gce.sock
      mode: "0660"
      project: demo-proj
      project_number: "123456789012"
      zone: europe-west1-b
    - gce: warehouse
      listen: 127.0.0.1:9912
    - gce: warehouse
      listen: "[::1]:0"
    - gce: warehouse
      listen: "[::1]:0"
  files:
    - crossing: images
      aws_profile: { path: ~/.aws/credentials, profile: images, mode: "0640", group: 0, insecure_folder: true }
    - crossing: visa
      token: { path: /run/stile/token, form: line, mode: "0440", group: "1000", insecure_folder: false }
    - { crossing: images, token: { path: /run/stile/session, form: json } }
    - { crossing: function, token: { path: /run/stile/function, form: executable } }
  traces: { endpoint: "http://127.0.0.1:4318" }
`

func TestParseServe(t *testing.T) {
	t.Parallel()
	f, err := Parse("stile.yaml", []byte(serving(everyServeKey)))
	if err != nil {
		t.Fatal(err)
	}
	want := &Serve{
		Admin: "127.0.0.1:9911", AdminTLS: &TLS{"~/admin.pem", "./~admin.key"}, Hosts: []string{"stile.default.svc", "fd00::7"}, AllowUsers: []string{"app", "1000", "0", "4294967295"},
		Endpoints: []Endpoint{
			{ECS: []string{"images"}, Listen: "127.0.0.1:9912", TokenFile: "/run/stile/ecs-token", TokenMode: "0640", TokenGroup: "1000", Root: "images", Place: "stile.yaml:13:7"},
			{IMDS: "images", Listen: "0.0.0.0:9913", AllowRemote: true, HopLimit: 1, TLS: &TLS{"/etc/stile/tls.crt", "/etc/stile/tls.key"}, Place: "stile.yaml:19:7"},
			{GCE: "warehouse", Listen: "unix:/run/stile/gce.sock", Mode: "0660", Project: "demo-proj", ProjectNumber: "123456789012", Zone: "europe-west1-b", Place: "stile.yaml:25:7"},
			{GCE: "warehouse", Listen: "127.0.0.1:9912", Place: "stile.yaml:31:7"},
			{GCE: "warehouse", Listen: "[::1]:0", Place: "stile.yaml:33:7"},
			{GCE: "warehouse", Listen: "[::1]:0", Place: "stile.yaml:35:7"},
		},
		Files: []KeptFile{
			{Crossing: "images", AWSProfile: &KeptAWSProfile{"~/.aws/credentials", "images", "0640", "0", true}, Place: "stile.yaml:38:7"},
			{Crossing: "visa", Token: &KeptToken{"/run/stile/token", "line", "0440", "1000", false}, Place: "stile.yaml:40:7"},
			{Crossing: "images", Token: &KeptToken{Path: "/run/stile/session", Form: "json"}, Place: "stile.yaml:42:7"},
			{Crossing: "function", Token: &KeptToken{Path: "/run/stile/function", Form: "executable"}, Place: "stile.yaml:43:7"},
		},
		Traces: &Traces{Endpoint: "http://127.0.0.1:4318", Place: "stile.yaml:44:23"},
	}
	if diff := cmp.Diff(want, f.Serve); diff != "" {
		t.Error(diff)
	}
	for i, kind := range []string{"ecs", "imds", "gce"} {
		if e := f.Serve.Endpoints[i]; e.Kind() != kind || len(e.Crossings()) != 1 {
			t.Errorf("endpoint %d is of %s and serves %q", i, e.Kind(), e.Crossings())
		}
	}
	if a, b := ParseMode("0640"), ParseMode(""); a != 0o640 || b != 0 {
		t.Errorf("modes: %o, %o", a, b)
	}
}

// The block may stand before the crossings that it names.
func TestParseServeFirst(t *testing.T) {
	t.Parallel()
	text := serving("  endpoints: [{ ecs: [images], listen: '127.0.0.1:1' }]\n")
	head, block, _ := strings.Cut(text, "serve:\n")
	f, err := Parse("stile.yaml", []byte("serve:\n"+block+head))
	if err != nil || len(f.Serve.Endpoints) != 1 {
		t.Errorf("got %v, %v", f, err)
	}
}

// What looks like one address and is two, or the other way round.
func TestParseTakesNeighbours(t *testing.T) {
	t.Parallel()
	for _, two := range [][2]string{
		{"127.0.0.1:1", "127.0.0.1:2"}, {"127.0.0.1:1", "127.0.0.2:1"}, {"127.0.0.1:1", "[::1]:1"}, {"localhost:0", "127.0.0.1:0"}, {"unix:/a/s", "unix:/a/t"}, {"unix:/1", "127.0.0.1:1"},
	} {
		if _, err := Parse("f", []byte(serving("  endpoints: [{ ecs: [images], listen: '"+two[0]+"' }, { imds: images, listen: '"+two[1]+"' }]\n"))); err != nil {
			t.Errorf("%q: %v", two, err)
		}
	}
}

func TestParseRefusesServe(t *testing.T) {
	t.Parallel()
	const good = "  endpoints: [{ ecs: [images], listen: '127.0.0.1:1' }]\n"
	ends := func(lines ...string) string { return "  endpoints:\n    - " + strings.Join(lines, "\n    - ") + "\n" }
	file := func(lines ...string) string { return "  files:\n    - " + strings.Join(lines, "\n    - ") + "\n" }
	for _, test := range []struct{ name, block, want string }{
		{"a word", "  endponts: []\n" + good, `8:3: unknown key "endponts": did you mean "endpoints"?`},
		{"nothing", "  admin: 127.0.0.1:1\n", "8:3: serve has nothing to serve: add endpoints or files"},
		{"empty", "  {}\n", "8:3: serve has nothing to serve: add endpoints or files"},
		{"a list", "  - ecs\n", "8:3: serve: want a mapping, not a list"},
		{"endpoints as mapping", "  endpoints: {}\n", "8:14: endpoints: want a list, not a mapping"},
		{"endpoint as text", "  endpoints: [images]\n", "8:15: endpoints: want a mapping, not text"},
		{"admin", "  admin: example.com:80\n" + good, "8:10: admin: want 127.0.0.1:PORT, [::1]:PORT, localhost:PORT or unix:/PATH"},
		{"a socket's path", ends("{ ecs: [images], listen: 'unix:/" + strings.Repeat("s", 107) + "' }"), "9:32: listen: the path of a Unix socket has at most 107 bytes, and this has 108"},
		{"port", ends("{ ecs: [images], listen: '127.0.0.1:99999' }"), "9:32: listen: the port is a number from 0 to 65535"},
		{"socket", ends("{ ecs: [images], listen: 'unix:run/s' }"), "9:32: listen: want unix:/PATH, from the root on"},
		{"users", "  allow_users: [0o17]\n" + good, "8:17: allow_users: want text, not a number: put it in quotes"},
		{"a user that leads with a zero", "  allow_users: [017]\n" + good, "8:17: allow_users: want text, not a number: put it in quotes"},
		{"a user below all", "  allow_users: [-1]\n" + good, "8:17: allow_users: want a name, or a number of at most 32 bits"},
		{"a user past all", "  allow_users: [4294967296]\n" + good, "8:17: allow_users: want a name, or a number of at most 32 bits"},
		{"a user past all as text", "  allow_users: ['99999999999999999999']\n" + good, "8:17: allow_users: want a name, or a number of at most 32 bits"},
		{"one user, written in two ways", "  allow_users: [1000, '1000']\n" + good, "8:23: allow_users: this entry stands there twice, remove one"},
		{"users as a number", "  allow_users: 1000\n" + good, "8:16: allow_users: want a list, not a number"},
		{"tls as text", ends("{ ecs: [images], listen: '127.0.0.1:1', tls: /cert }"), "9:52: tls: want a mapping, not text"},
		{"tls without a key", ends("{ ecs: [images], listen: '127.0.0.1:1', tls: { cert: /cert } }"), "9:52: key is missing: add it under tls"},
		{"tls with a word", ends("{ ecs: [images], listen: '127.0.0.1:1', tls: { cert: /cert, kye: /key, key: /k } }"), `9:67: unknown key "kye": did you mean "key"?`},
		{"tls of gce", ends("{ gce: warehouse, listen: '127.0.0.1:1', tls: { cert: /c, key: /k } }"), "9:48: tls is not for gce: Google's libraries ask a metadata server by plain HTTP: remove it"},
		{"tls of a socket", ends("{ ecs: [images], listen: 'unix:/s', tls: { cert: /c, key: /k } }"), "9:43: tls is not for a Unix socket: remove it"},
		{"tls of one of two", ends("{ ecs: [images], listen: '127.0.0.1:1', tls: { cert: /c, key: /k } }", "{ imds: images, listen: '127.0.0.1:1' }"), "10:7: line 9 shares this address: write the same tls for both"},
		{"two certificates", ends("{ ecs: [images], listen: '127.0.0.1:1', tls: { cert: /c, key: /k } }", "{ imds: images, listen: '127.0.0.1:1', tls: { cert: /d, key: /k } }"), "10:7: line 9 shares this address: write the same tls for both"},
		{"tls of no admin", "  admin_tls: { cert: /c, key: /k }\n" + good, "8:3: admin_tls is for admin, and there is none: remove it, or add admin: ADDRESS"},
		{"tls of an admin's socket", "  admin: unix:/s\n  admin_tls: { cert: /c, key: /k }\n" + good, "9:3: admin_tls is not for a Unix socket: remove it"},
		{"another root", ends("{ ecs: [images], listen: '127.0.0.1:1', root: visa }"), "9:53: root: this endpoint does not serve that crossing: write one of its ecs list"},
		{"a root of imds", ends("{ imds: images, listen: '127.0.0.1:1', root: images }"), "9:46: root is for ecs: remove it"},
		{"another's home", ends("{ ecs: [images], listen: '127.0.0.1:1', token_file: ~root/token }"), "9:59: token_file: only \"~/\" is read as a home, that of the user who runs serve: write the whole path, or ./ before a name that begins with ~"},
		{"a home", file("{ crossing: images, aws_profile: { path: '~' } }"), "9:48: path: only \"~/\" is read as a home, that of the user who runs serve: write the whole path, or ./ before a name that begins with ~"},
		{"another's home, for a token", file("{ crossing: warehouse, token: { path: ~me/t } }"), "9:45: path: only \"~/\" is read as a home, that of the user who runs serve: write the whole path, or ./ before a name that begins with ~"},
		{"localhost and its address", ends("{ ecs: [images], listen: 'localhost:1' }", "{ imds: images, listen: '127.0.0.1:1' }"), "10:7: line 9 listens on localhost:1, which takes this address too: write the same listen for both, or another port"},
		{"localhost and its other address", ends("{ ecs: [images], listen: '[::1]:01' }", "{ imds: images, listen: 'localhost:1' }"), "10:7: line 9 listens on [::1]:01, which takes this address too: write the same listen for both, or another port"},
		{"all addresses and one", ends("{ ecs: [images], listen: '127.0.0.1:1' }", "{ imds: images, listen: ':1', allow_remote: true }"), "10:7: line 9 listens on 127.0.0.1:1, which takes this address too: write the same listen for both, or another port"},
		{"one socket", ends("{ ecs: [images], listen: 'unix:/a/s' }", "{ imds: images, listen: 'unix:/a//s' }"), "10:7: line 9 listens on unix:/a/s, which takes this address too: write the same listen for both, or another port"},
		{"admin everywhere", "  admin: 0.0.0.0:1\n" + good, "9:15: admin listens on 0.0.0.0:1, which takes this address too: give it one of its own"},
		{"the default profile by its name", file("{ crossing: images, aws_profile: { path: /p } }", "{ crossing: images, aws_profile: { path: /p, profile: default } }"), "10:7: the same file stands at line 9 already: remove one"},
		{"a host with a port", "  hosts: [stile, 'stile:80']\n" + good, "8:18: hosts: want a host's name or address, without a port or a *"},
		{"an address with a port", "  hosts: ['[fd00::7]:80']\n" + good, "8:11: hosts: want a host's name or address, without a port or a *"},
		{"any host", "  hosts: ['*.svc']\n" + good, "8:11: hosts: want a host's name or address, without a port or a *"},
		{"a host's URL", "  hosts: ['http://stile/']\n" + good, "8:11: hosts: want a host's name or address, without a port or a *"},
		{"no host", "  hosts: ['a..b']\n" + good, "8:11: hosts: want a host's name or address, without a port or a *"},
		{"no address", "  hosts: ['10.0.0.256']\n" + good, "8:11: hosts: want a host's name or address"},
		{"an address of one link", "  hosts: ['fe80::1%eth0']\n" + good, "8:11: hosts: want a host's name or address, without a port or a *"},
		{"host as text", "  hosts: stile\n" + good, "8:10: hosts: want a list, not text"},
		{"no hosts", "  hosts: []\n" + good, "8:10: hosts is an empty list: remove it or fill it"},
		{"a host twice", "  hosts: [stile, stile]\n" + good, "8:18: hosts: this entry stands there twice, remove one"},
		{"a token's mode", ends("{ ecs: [images], listen: '127.0.0.1:1', token_mode: '0666' }"), "9:59: token_mode: want 0400 or 0440 or 0444 or 0600 or 0640 or 0644"},
		{"a token's mode as a number", ends("{ ecs: [images], listen: '127.0.0.1:1', token_mode: 0640 }"), "9:59: token_mode: want text, not a number: put it in quotes"},
		{"a token's group", ends("{ ecs: [images], listen: '127.0.0.1:1', token_mode: '0640', token_group: 'a b' }"), "9:80: token_group: want a name or a number"},
		{"a group that may not read", ends("{ ecs: [images], listen: '127.0.0.1:1', token_group: app }"), `9:47: token_group: the group may not read the file: write token_mode: "0640" too`},
		{"another's token", ends("{ imds: images, listen: '127.0.0.1:1', token_mode: '0600' }"), "9:46: token_mode is for ecs: remove it"},
		{"no listen", ends("{ ecs: [images] }"), "9:7: listen is missing: add it under endpoints"},
		{"a key", ends("{ ecs: [images], listn: 'unix:/s', listen: 'unix:/s' }"), `9:24: unknown key "listn": did you mean "listen"?`},
		{"two protocols", ends("{ ecs: [images], gce: warehouse, listen: '127.0.0.1:1' }"), "9:24: an endpoint has one protocol: keep ecs or gce"},
		{"no protocol", ends("{ listen: '127.0.0.1:1' }"), "9:7: endpoints names no protocol: write ecs:, imds: or gce: in it"},
		{"ecs as text", ends("{ ecs: images, listen: '127.0.0.1:1' }"), "9:14: ecs: want a list, not text: write [NAME]"},
		{"twice", ends("{ ecs: [images, images], listen: '127.0.0.1:1' }"), "9:23: ecs: this entry stands there twice, remove one"},
		{"no crossing, near", ends("{ ecs: [image], listen: '127.0.0.1:1' }"), `9:15: there is no such crossing: did you mean "images"?`},
		{"no crossing, far", ends("{ imds: zebra, listen: '127.0.0.1:1' }"), `9:15: there is no such crossing under crossings`},
		{"ecs into Google", ends("{ ecs: [images, warehouse], listen: '127.0.0.1:1' }"), "9:23: the crossing warehouse does not lead into AWS"},
		{"imds of a token", ends("{ imds: visa, listen: '127.0.0.1:1' }"), "9:15: the crossing visa does not lead into AWS"},
		{"gce into AWS", ends("{ gce: images, listen: '127.0.0.1:1' }"), "9:14: the crossing images does not lead into Google Cloud"},
		{"gce of an ID token", ends("{ gce: function, listen: '127.0.0.1:1' }"), "9:14: the crossing function gives ID tokens for one audience: name one without id_token, and clients ask for the audiences they need"},
		{"another's setting", ends("{ gce: warehouse, listen: '127.0.0.1:1', hop_limit: 1 }"), "9:48: hop_limit is for imds: remove it"},
		{"hops", ends("{ imds: images, listen: '127.0.0.1:1', hop_limit: 65 }"), "9:57: hop_limit: want 1 to 64"},
		{"hops as text", ends("{ imds: images, listen: '127.0.0.1:1', hop_limit: far }"), "9:57: hop_limit: want a number, not text"},
		{"hops of a socket", ends("{ imds: images, listen: 'unix:/s', hop_limit: 1 }"), "9:42: hop_limit is not for a Unix socket: remove it"},
		{"mode of a port", ends("{ imds: images, listen: '127.0.0.1:1', mode: '0660' }"), "9:46: mode is for a Unix socket: remove it"},
		{"remote", ends("{ imds: images, listen: '10.0.0.1:80' }"), "9:31: listen: other machines could reach this address, and whoever reaches it gets credentials: write 127.0.0.1, or allow_remote: true if that is meant"},
		{"remote by nothing", ends("{ imds: images, listen: ':80' }"), "9:31: listen: other machines could reach this address, and whoever reaches it gets credentials: write 127.0.0.1, or allow_remote: true if that is meant"},
		{"number", ends("{ gce: warehouse, listen: '127.0.0.1:1', project_number: 12 }"), "9:64: project_number: want text, not a number: put it in quotes"},
		{"two gce", ends("{ gce: warehouse, listen: '127.0.0.1:1' }", "{ gce: warehouse, listen: '127.0.0.1:1' }"), "10:7: line 9 serves gce at this address already, and the paths are the same: give this one another"},
		{"two imds", ends("{ imds: images, listen: '127.0.0.1:1' }", "{ imds: images, listen: '127.0.0.1:1' }"), "10:7: line 9 serves imds at this address already, and the paths are the same: give this one another"},
		{"two ecs", ends("{ ecs: [images], listen: '127.0.0.1:1' }", "{ ecs: [images], listen: '127.0.0.1:1' }"), "10:7: line 9 serves ecs at this address already: put the names into one list"},
		{"shared otherwise", ends("{ ecs: [images], listen: 'unix:/s' }", "{ imds: images, listen: 'unix:/s', mode: '0660' }"), "10:7: line 9 shares this address: write the same allow_remote and mode for both"},
		{"admin's address", "  admin: 127.0.0.1:1\n" + good, "9:15: admin has this address: give it one of its own"},
		{"traces as text", good + "  traces: http://127.0.0.1:4318\n", "9:11: traces: want a mapping, not text"},
		{"traces of nothing", good + "  traces: {}\n", "9:11: endpoint is missing: add it under traces"},
		{"traces to nowhere", good + "  traces: { endpoint: '127.0.0.1:4318' }\n", "9:23: endpoint: want a URL, https://HOST/PATH"},
		{"traces by another way", good + "  traces: { endpoint: 'grpc://127.0.0.1:4317' }\n", "9:23: endpoint: want a URL that begins with http:// or https://, of OTLP over HTTP"},
		{"traces with a password", good + "  traces: { endpoint: 'http://me:hush@127.0.0.1:4318' }\n", "9:23: endpoint: the URL holds a user name or password: remove it"},
		{"traces with a query", good + "  traces: { endpoint: 'http://127.0.0.1:4318/?key=hush' }\n", "9:23: endpoint: the URL ends in a query: remove it from ? on"},
		{"traces, whole", good + "  traces: { endpoint: 'http://127.0.0.1:4318/v1/traces' }\n", "9:23: endpoint: /v1/traces is added to the URL: remove it"},
		{"traces elsewhere", good + "  traces: { endpoint: 'https://otel.example.com' }\n", "9:23: endpoint: traces would be sent to otel.example.com, and you did not name this file: name it with --config, or allow that host by name if you trust it"},
		{"file of nothing", file("{ crossing: images }"), "9:7: files names no form: write aws_profile: or token: in it"},
		{"file of two", file("{ crossing: images, aws_profile: { path: /p }, token: { path: /q, form: json } }"), "9:54: a file has one form: keep aws_profile or token"},
		{"file of no crossing", file("{ crossing: image, aws_profile: { path: /p } }"), `9:19: there is no such crossing: did you mean "images"?`},
		{"profile of a token", file("{ crossing: visa, aws_profile: { path: /p } }"), "9:19: the crossing visa does not lead into AWS"},
		{"token of a session", file("{ crossing: images, token: { path: /p } }"), "9:19: the crossing images gives an AWS session, which is no token: write form: json under token, or aws_profile in its place"},
		{"executable of an access token", file("{ crossing: warehouse, token: { path: /p, form: executable } }"), "9:30: form executable holds ID tokens, and the crossing gives none"},
		{"a mode for all", file("{ crossing: visa, token: { path: /p, mode: '0666' } }"), "9:50: mode: want 0400 or 0440 or 0444 or 0600 or 0640 or 0644"},
		{"a profile's name", file("{ crossing: images, aws_profile: { path: /p, profile: 'a b' } }"), "9:61: profile: want a profile's name of letters, digits and _/.%@:+-"},
		{"a file twice", file("{ crossing: visa, token: { path: /p } }", "{ crossing: warehouse, token: { path: /./p } }"), "10:7: the same file stands at line 9 already: remove one"},
	} {
		_, err := Parse("f", []byte(serving(test.block)))
		if err == nil || err.Error() != "f:"+test.want {
			t.Errorf("%s:\n got %v\nwant f:%s", test.name, err, test.want)
		}
	}
}

// Whoever chose the file, or allowed the host, may send traces there; without either they stay on this machine.
func TestTracesGoWhereTheUserSays(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		endpoint string
		policy   ForeignPolicy
		good     bool
	}{
		"this machine":     {"http://localhost:4318", ForeignPolicy{}, true},
		"a file chosen":    {"http://otel-collector:4318/otlp", ForeignPolicy{AllowStores: true}, true},
		"a host allowed":   {"https://otel.example.com", ForeignPolicy{AllowHosts: []string{"otel.example.com"}}, true},
		"another allowed":  {"https://otel.example.com", ForeignPolicy{AllowHosts: []string{"example.com"}}, false},
		"allowed, in text": {"http://otel.example.com", ForeignPolicy{AllowHosts: []string{"otel.example.com"}}, false},
	} {
		text := serving("  endpoints: [{ ecs: [images], listen: '127.0.0.1:1' }]\n  traces: { endpoint: '" + test.endpoint + "' }\n")
		f, err := ParseAllowing("stile.yaml", []byte(text), test.policy)
		if (err == nil) != test.good {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && f.Serve.Traces.Endpoint != test.endpoint {
			t.Errorf("%s: got %q", name, f.Serve.Traces.Endpoint)
		}
	}
}
