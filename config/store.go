// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/stile-project/stile/internal/shape"
)

// A Store is where credentials are kept beyond one process. The zero Store is a folder of the user's on this machine.
type Store struct {
	URL          string   `json:"url,omitempty"`           // where machines share what is kept, with no password in it; [StoreNone]; empty: a folder on this machine
	PasswordFile string   `json:"password_file,omitempty"` // holds the password of the user in URL
	CAFile       string   `json:"ca_file,omitempty"`       // PEM: the authorities to trust in place of the system's
	Key          string   `json:"key,omitempty"`           // what seals credentials: a file's path, or the URL of a key service; needed where machines share
	OldKeys      []string `json:"old_keys,omitempty"`      // what still opens them, at most 5
	Namespace    string   `json:"namespace,omitempty"`     // keeps stores apart that use one engine; empty: "stile"
	Share        string   `json:"share,omitempty"`         // [ShareIdentity] or [ShareRole]; empty: [ShareIdentity]
	Deadline     Duration `json:"deadline,omitempty"`      // of one call to the store, 1s to 30s; 0: the keeper's own

	// Place is where the file names the store, FILE:LINE:COLUMN; empty without a file.
	Place string `json:"-"`
}

// StoreNone is the [Store] URL for keeping nothing beyond the process.
const StoreNone = "none"

// The values of [Store] Share.
const (
	ShareIdentity = "identity" // only who proves the very same identity
	ShareRole     = "role"     // all sessions of one AWS role, and all machines of one Google service account
)

// IsShared reports whether machines share what is kept.
func (s Store) IsShared() bool { return s.URL != "" && s.URL != StoreNone }

const (
	storeDeadlineLeast = time.Second
	storeDeadlineMost  = 30 * time.Second
	oldKeysLimit       = 5
)

// The kinds of URL that name an engine on hosts of its own, and those that name something at a cloud.
var (
	engineSchemes   = []string{"redis", "rediss", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel", "memcached", "memcached+tls"}
	databaseSchemes = []string{"firestore", "datastore", "dynamodb"}
	keySchemes      = []string{"awskms", "gcpkms", "hashivault"}
)

// store reads the store block. Machines share by choice, so what only sharing needs is refused without it.
func (r *reader) store(n *node) *Store {
	s := &Store{Place: n.at.String()}
	whole := r.mapping(n,
		may("url", r.text(&s.URL, r.allow.storeURL)),
		may("password_file", r.text(&s.PasswordFile, filePath)),
		may("ca_file", r.text(&s.CAFile, filePath)),
		may("key", r.text(&s.Key, r.allow.storeKey)),
		may("old_keys", r.texts(&s.OldKeys, oldKeysLimit, r.allow.storeKey)),
		may("namespace", r.text(&s.Namespace, storeNamespace)),
		may("share", r.text(&s.Share, oneOf(ShareIdentity, ShareRole))),
		may("deadline", r.duration(&s.Deadline, storeDeadlineLeast, storeDeadlineMost)),
	)
	if !whole {
		return s
	}
	u, named := n.field("url")
	if named {
		s.Place = u.value.at.String()
	}
	if named && s.URL == "" {
		return s // what is wrong with it has been said
	}
	r.storeFits(n, s)
	return s
}

// storeFits reports what does not go with the URL.
func (r *reader) storeFits(n *node, s *Store) {
	only := func(applies bool, why string, keys ...string) {
		for _, key := range keys {
			if f, ok := n.field(key); ok && !applies {
				r.problem(f.at, "%s is for %s: remove it", key, why)
			}
		}
	}
	scheme, _, _ := strings.Cut(s.URL, "://")
	only(s.IsShared(), "a store that machines share, and url names none", "key", "old_keys", "namespace", "share")
	only(strings.HasPrefix(scheme, "redis"), "Redis alone", "password_file")
	only(strings.HasPrefix(scheme, "rediss") || scheme == "memcached+tls", "connections with TLS (rediss://, memcached+tls://)", "ca_file")
	only(s.URL != StoreNone, "a store, and there is none", "deadline")
	if s.IsShared() && !n.has("key") {
		r.problem(n.at, "key is missing: what leaves this machine is always sealed. Add key: with the path of a file (openssl rand -base64 32) or the URL of a key service")
	}
}

// storeURL checks the URL of a store. What is wrong with it is never quoted: a password may be in it.
func (p ForeignPolicy) storeURL(s string) (string, error) {
	if s == StoreNone {
		return s, nil
	}
	scheme, rest, _ := strings.Cut(s, "://")
	known := slices.Concat(engineSchemes, databaseSchemes)
	if !slices.Contains(known, scheme) || rest == "" {
		return "", fmt.Errorf("want none, or a URL that begins with one of %s", joined(known))
	}
	if err := plainURL(rest); err != nil {
		return "", err
	}
	if slices.Contains(databaseSchemes, scheme) {
		return s, p.allowsWhole(s)
	}
	authority, _, _ := strings.Cut(rest, "?") // in the order of the engine that reads it
	authority, _, _ = strings.Cut(authority, "/")
	user, hosts, given := strings.Cut(authority, "@")
	if !given {
		user, hosts = "", authority
	}
	if strings.Contains(hosts, "@") || strings.Contains(user, ":") {
		return "", errors.New("the URL holds a password: write it to a file that only you can read, and name that as password_file")
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if err := p.allowsHost(host); err != nil {
			return "", err
		}
	}
	return s, nil
}

// storeKey checks the path of a key file, or the URL of a key at a key service.
func (p ForeignPolicy) storeKey(s string) (string, error) {
	scheme, rest, isURL := strings.Cut(s, "://")
	switch {
	case !isURL:
		return filePath(s)
	case scheme == "file":
		if !strings.HasPrefix(rest, "/") {
			return "", errors.New("want file:///PATH, or just the path")
		}
		return s, nil
	case scheme == "base64key":
		return "", errors.New("the URL is the key itself: write it to a file that only you can read, and give its path")
	case !slices.Contains(keySchemes, scheme) || rest == "":
		return "", fmt.Errorf("want the path of a key file, or a URL that begins with one of %s", joined(keySchemes))
	}
	if err := plainURL(rest); err != nil {
		return "", err
	}
	if strings.Contains(rest, "@") {
		return "", errors.New("the URL holds a user name or password: remove it")
	}
	return s, p.allowsWhole(s)
}

func plainURL(rest string) error {
	if strings.ContainsFunc(rest, func(c rune) bool { return c <= ' ' || c > '~' || c == '\\' }) || strings.Contains(rest, "#") {
		return errors.New("want a URL of printable ASCII, without a fragment")
	}
	return nil
}

// allowsHost wants a server, HOST or HOST:PORT, that a file which the user did not choose may send credentials to. They
// are sealed, but the same file names the key.
func (p ForeignPolicy) allowsHost(server string) error {
	host := server
	if colon := strings.LastIndexByte(server, ':'); colon > strings.LastIndexByte(server, ']') {
		host = server[:colon]
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	_, notAddress := netip.ParseAddr(bare)
	if !shape.Only(bare, 1, 253, "A-Za-z0-9._-") && notAddress != nil {
		return errors.New("want servers of the form HOST:PORT, with commas between them")
	}
	if p.AllowStores || slices.ContainsFunc(p.AllowHosts, func(allowed string) bool {
		return strings.EqualFold(allowed, server) || strings.EqualFold(strings.Trim(allowed, "[]"), bare)
	}) {
		return nil
	}
	return fmt.Errorf("credentials would be kept at %s, and you did not name this file: name it with --config, or allow that host by name if you trust it", bare)
}

// allowsWhole is the same for what a cloud keeps, where it is not the host that tells whose it is.
func (p ForeignPolicy) allowsWhole(s string) error {
	if p.AllowStores || slices.Contains(p.AllowHosts, s) {
		return nil
	}
	return errors.New("you did not name this file, and it names a store or a key: name it with --config, or allow that whole URL as a host if you trust it")
}

func storeNamespace(s string) (string, error) {
	if !shape.Only(s, 1, 64, "A-Za-z0-9._-") {
		return "", errors.New("want at most 64 letters, digits and ._-")
	}
	return s, nil
}

// Engine is what a store that machines share is called: Redis, Memcached, Firestore, Datastore or DynamoDB.
func (s Store) Engine() string {
	scheme, _, _ := strings.Cut(s.URL, "://")
	base, _, _ := strings.Cut(scheme, "+")
	return map[string]string{"redis": "Redis", "rediss": "Redis", "memcached": "Memcached", "firestore": "Firestore", "datastore": "Datastore",
		"dynamodb": "DynamoDB"}[base]
}
