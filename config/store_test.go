// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// storing puts settings of a store, indented by two, behind a whole file. The first setting stands at line 7.
func storing(settings string) string {
	return both("{ aws: {} }", toGCP) + "store:\n" + settings
}

const everyStoreKey = `  url: rediss+cluster://stile@cache-1:6380,cache-2:6380
  password_file: /run/secrets/redis
  ca_file: /etc/cache.pem
  key: awskms:///alias/stile?region=eu-west-1
  old_keys: [/etc/old.key, "file:///etc/older.key"]
  namespace: etl
  share: role
  deadline: 2s
`

func TestParseStore(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		data string
		want *Store
	}{
		"without": {both("{ aws: {} }", toGCP), nil},
		"empty":   {both("{ aws: {} }", toGCP) + "store: {}\n", &Store{Place: "stile.yaml:6:8"}},
		"none":    {storing("  url: none\n"), &Store{URL: "none", Place: "stile.yaml:7:8"}},
		"all": {storing(everyStoreKey), &Store{
			URL: "rediss+cluster://stile@cache-1:6380,cache-2:6380", PasswordFile: "/run/secrets/redis", CAFile: "/etc/cache.pem",
			Key: "awskms:///alias/stile?region=eu-west-1", OldKeys: []string{"/etc/old.key", "file:///etc/older.key"},
			Namespace: "etl", Share: ShareRole, Deadline: Duration(2 * time.Second), Place: "stile.yaml:7:8",
		}},
		"a sentinel's master": {storing("  url: redis+sentinel://[::1]:26379/main/2?master=x\n  key: k\n"),
			&Store{URL: "redis+sentinel://[::1]:26379/main/2?master=x", Key: "k", Place: "stile.yaml:7:8"}},
		"a database": {storing("  url: firestore://projects/p/databases/(default)/documents/c\n  key: gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k\n"),
			&Store{URL: "firestore://projects/p/databases/(default)/documents/c", Key: "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k", Place: "stile.yaml:7:8"}},
	} {
		f, err := ParseAllowing("stile.yaml", []byte(test.data), programs)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(test.want, f.Store); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestParseRefusesStores(t *testing.T) {
	t.Parallel()
	const key = "  key: /k\n"
	for name, test := range map[string]struct{ settings, want string }{
		"a word":             {"  urll: none\n", `7:3: unknown key "urll": did you mean "url"?`},
		"no key":             {"  url: redis://cache\n", "7:3: key is missing: what leaves this machine is always sealed. Add key: with the path of a file (openssl rand -base64 32) or the URL of a key service"},
		"a password":         {"  url: redis://me:hushhush@cache\n" + key, "7:8: url: the URL holds a password: write it to a file that only you can read, and name that as password_file"},
		"a password with @":  {"  url: redis://me:hush@hush@cache\n" + key, "7:8: url: the URL holds a password: write it to a file that only you can read, and name that as password_file"},
		"a password alone":   {"  url: redis://:hushhush@cache\n" + key, "7:8: url: the URL holds a password: write it to a file that only you can read, and name that as password_file"},
		"a bad host":         {"  url: redis://hush!hush\n" + key, "7:8: url: want servers of the form HOST:PORT, with commas between them"},
		"another scheme":     {"  url: mysql://cache\n" + key, "7:8: url: want none, or a URL that begins with one of redis, rediss, redis+cluster, rediss+cluster, redis+sentinel, rediss+sentinel, memcached, memcached+tls, firestore, datastore and dynamodb"},
		"a fragment":         {"  url: redis://cache#hush\n" + key, "7:8: url: want a URL of printable ASCII, without a fragment"},
		"the key itself":     {"  url: redis://cache\n  key: base64key://aHVzaA==\n", "8:8: key: the URL is the key itself: write it to a file that only you can read, and give its path"},
		"a key elsewhere":    {"  url: redis://cache\n  key: azurekeyvault://k\n", "8:8: key: want the path of a key file, or a URL that begins with one of awskms, gcpkms and hashivault"},
		"a key's password":   {"  url: redis://cache\n  key: hashivault://me:hush@k\n", "8:8: key: the URL holds a user name or password: remove it"},
		"a relative file":    {"  url: redis://cache\n  key: file://k\n", "8:8: key: want file:///PATH, or just the path"},
		"sharing, no store":  {"  share: role\n", "7:3: share is for a store that machines share, and url names none: remove it"},
		"a key, no store":    {"  url: none\n" + key, "8:3: key is for a store that machines share, and url names none: remove it"},
		"patience, no store": {"  url: none\n  deadline: 1s\n", "8:3: deadline is for a store, and there is none: remove it"},
		"memcached's user":   {"  url: memcached://cache\n  password_file: /p\n" + key, "8:3: password_file is for Redis alone: remove it"},
		"a CA without TLS":   {"  url: redis://cache\n  ca_file: /p\n" + key, "8:3: ca_file is for connections with TLS (rediss://, memcached+tls://): remove it"},
	} {
		_, err := ParseAllowing("stile.yaml", []byte(storing(test.settings)), programs)
		if err == nil || err.Error() != "stile.yaml:"+test.want {
			t.Errorf("%s:\n got %v\nwant stile.yaml:%s", name, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: the error shows a secret", name)
		}
	}
}

// A file that the user did not choose says where sealed credentials go, and what unseals them.
func TestForeignFilesNameNoStore(t *testing.T) {
	t.Parallel()
	const local, cloud = "redis://127.0.0.1:6379,cache-2:6379", "dynamodb://table?region=eu-west-1"
	const elsewhere = "awskms:///alias/stile"
	for name, test := range map[string]struct {
		url, key string
		allow    ForeignPolicy
		want     string
	}{
		"hosts":             {local, "/k", ForeignPolicy{}, "kept at 127.0.0.1, and you did not name this file"},
		"one of two":        {local, "/k", ForeignPolicy{AllowHosts: []string{"127.0.0.1"}}, "kept at cache-2, and you did not name"},
		"both":              {local, "/k", ForeignPolicy{AllowHosts: []string{"127.0.0.1:6379", "CACHE-2"}}, ""},
		"another port":      {local, "/k", ForeignPolicy{AllowHosts: []string{"127.0.0.1:1", "cache-2"}}, "kept at 127.0.0.1"},
		"after a user":      {"redis://cache-2@evil", "/k", ForeignPolicy{AllowHosts: []string{"cache-2"}}, "kept at evil"},
		"hidden in a query": {"redis://evil?@cache-2", "/k", ForeignPolicy{AllowHosts: []string{"cache-2"}}, "kept at evil"},
		"hidden in a path":  {"redis://evil/@cache-2", "/k", ForeignPolicy{AllowHosts: []string{"cache-2"}}, "kept at evil"},
		"before a query":    {"redis://evil?cache-2", "/k", ForeignPolicy{AllowHosts: []string{"cache-2"}}, "kept at evil"},
		"a cloud":           {cloud, "/k", ForeignPolicy{}, "it names a store or a key"},
		"a cloud, by host":  {cloud, "/k", ForeignPolicy{AllowHosts: []string{"table"}}, "it names a store or a key"},
		"a cloud, by name":  {cloud, "/k", ForeignPolicy{AllowHosts: []string{cloud}}, ""},
		"a key":             {local, elsewhere, ForeignPolicy{AllowHosts: []string{"127.0.0.1", "cache-2"}}, "it names a store or a key"},
		"a key, by name":    {local, elsewhere, ForeignPolicy{AllowHosts: []string{"127.0.0.1", "cache-2", elsewhere}}, ""},
		"the user's choice": {local, elsewhere, ForeignPolicy{AllowStores: true}, ""},
		"none":              {"none", "", ForeignPolicy{}, ""},
	} {
		data := storing("  url: " + test.url + "\n")
		if test.key != "" {
			data += "  key: " + test.key + "\n"
		}
		_, err := ParseAllowing("stile.yaml", []byte(data), test.allow)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}

func TestEngine(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{"rediss+sentinel://a/m": "Redis", "memcached+tls://a": "Memcached", "dynamodb://t": "DynamoDB", "none": "", "": ""} {
		if got := (Store{URL: url}).Engine(); got != want {
			t.Errorf("%q: got %q, want %q", url, got, want)
		}
	}
}
