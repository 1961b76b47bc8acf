// SPDX-License-Identifier: Apache-2.0

// Package issuers is everyone else who issues OIDC tokens that both clouds can be told to trust, and the places that hand
// them out: GitHub Actions, GitLab CI/CD, Kubernetes clusters and SPIFFE trust domains. They are as strict as the real
// ones.
//
//	d := issuers.New(issuers.Config{Clock: clock, Journal: j})
//	runner, err := d.GitHub.Run(issuers.GitHubJob{Repository: "octo-org/app", IDToken: true})
//	cluster, err := d.AddCluster(issuers.Cluster{Name: "prod", Issuer: issuers.EKSIssuer("eu-west-1", "prod")})
//	domain, err := d.AddTrustDomain(issuers.TrustDomain{Name: "example.org"})
//
// A [Directory] is all of them by host name. The clouds find their keys there, by discovery.
package issuers

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/stile-project/stile/lab/journal"
	"github.com/stile-project/stile/lab/oidc"
)

// Config is what the issuers need from the world around them.
type Config struct {
	Clock   func() time.Time // required
	Journal *journal.Journal // nil: nothing is recorded
}

// A Directory is every issuer of a world, by host name. It is safe for concurrent use.
type Directory struct {
	GitHub *GitHub
	GitLab *GitLab

	clock   func() time.Time
	journal *journal.Journal

	mu    sync.Mutex
	pages map[string]map[string]http.Handler // by host, then by the path that its pages begin with
}

// New makes a directory with GitHub and GitLab in it, which are there for everyone.
func New(c Config) *Directory {
	if c.Clock == nil {
		panic("issuers: Config.Clock is required: the lab shares one clock")
	}
	if c.Journal == nil {
		c.Journal = &journal.Journal{}
	}
	d := &Directory{clock: c.Clock, journal: c.Journal, pages: map[string]map[string]http.Handler{}}
	d.GitHub = newGitHub(d)
	d.GitLab = newGitLab(d)
	return d
}

// Handler answers for a host name, given without a port. Clusters' issuers live on hosts that are a cloud's own: next
// answers for whatever no issuer here has, and may be nil. It reports false for a host that has no issuer.
func (d *Directory) Handler(host string, next http.Handler) (http.Handler, bool) {
	host = strings.ToLower(host)
	if next == nil {
		next = http.NotFoundHandler()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pages[host] == nil {
		return nil, false
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := d.page(host, r.URL.Path); h != nil {
			h.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	}), true
}

// page finds the longest path that is path itself or a folder above it.
func (d *Directory) page(host, path string) (found http.Handler) {
	d.mu.Lock()
	defer d.mu.Unlock()
	longest := -1
	for at, h := range d.pages[host] {
		if len(at) > longest && (path == at || strings.HasPrefix(path, at+"/")) {
			found, longest = h, len(at)
		}
	}
	return found
}

// add registers h for a path of a host and all below it. An empty path is the whole host.
func (d *Directory) add(host, path string, h http.Handler) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	host = strings.ToLower(host)
	if d.pages[host] == nil {
		d.pages[host] = map[string]http.Handler{}
	}
	if d.pages[host][path] != nil {
		return fmt.Errorf("https://%s%s is taken", host, path)
	}
	d.pages[host][path] = h
	return nil
}

// An issuer is made when it is first asked for: an RSA key takes a tenth of a second to find, and most tests need none.
type issuer struct {
	url, who string
	made     func() *oidc.Issuer
}

// newIssuer registers the pages of one. who names it in the journal: "GitHub".
func (d *Directory) newIssuer(who, issuerURL string, options ...oidc.Option) (*issuer, error) {
	u, err := issuerName(issuerURL)
	if err != nil {
		return nil, err
	}
	i := &issuer{url: issuerURL, who: who, made: sync.OnceValue(func() *oidc.Issuer { return oidc.NewIssuer(issuerURL, d.clock, options...) })}
	return i, d.add(u.Host, u.Path, d.published(i))
}

// issuerName reads https://HOST or https://HOST/PATH with nothing more, which is what both clouds take.
func issuerName(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.Port() != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(u.Path, "/") {
		return nil, fmt.Errorf("issuer %.128q: want https://HOST/PATH with no port and no slash at the end", raw)
	}
	return u, nil
}

// published serves an issuer's two pages, which anyone may read, and notes that they were read.
func (d *Directory) published(i *issuer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		i.made().Handler().ServeHTTP(seen, r)
		e := journal.Entry{Time: d.clock(), Cloud: i.who, Service: "OIDC issuer", Operation: "JWKS", Status: seen.status}
		if strings.HasSuffix(r.URL.Path, "/openid-configuration") {
			e.Operation = "discovery"
		}
		if seen.status == http.StatusOK {
			e.OK("anyone may read this page of %s", i.url)
		} else {
			e.Fail("%s has such a page, and it is only read", i.url)
		}
		d.journal.Add(e)
	})
}

// A statusWriter remembers how a handler answered.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// now is the world's clock in whole seconds, as tokens have it.
func (d *Directory) now() time.Time { return d.clock().UTC().Truncate(time.Second) }

var errName = errors.New("want letters, digits, dots, hyphens and underscores, with slashes between")

var pathName = regexp.MustCompile(`^(?:[A-Za-z0-9_.-]+/)+[A-Za-z0-9_.-]+$`)

// uuidOf makes an id that looks random and is the same in every lab.
func uuidOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	return uuid(sum[:16])
}

func newUUID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return uuid(b)
}

func uuid(b []byte) string {
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// numberOf makes an id of n digits that is the same in every lab.
func numberOf(name string, n int) string {
	sum := sha256.Sum256([]byte(name))
	digits := make([]byte, n)
	for i := range digits {
		digits[i] = '0' + sum[i]%10
	}
	digits[0] = '1' + sum[0]%9
	return string(digits)
}

// hexOf makes n hexadecimal digits that are the same in every lab: a commit, or a cluster's id.
func hexOf(name string, n int) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])[:n]
}
