// SPDX-License-Identifier: Apache-2.0

// Package labgcp is Google Cloud in memory, as strict as the real one where identity is concerned: token exchange for
// AWS and OIDC workloads, IAM Credentials, the OAuth 2.0 token endpoint, the metadata server of a machine, and enough of
// Cloud Storage, Resource Manager and Cloud Functions to use a credential on.
//
//	google := labgcp.New(labgcp.Config{Clock: clock, Net: world, Journal: journal})
//	err := google.AddProject("demo-proj", "123456789012")
//	err = google.AddPool("demo-proj", "aws-pool")
//	err = google.AddProvider(labgcp.Provider{Project: "demo-proj", Pool: "aws-pool", ID: "aws-prov", AWSAccount: "111122223333"})
//	handler, ok := google.Handler("sts.googleapis.com")
//
// Everything a handler answers, refusals included, has the status, code and words of the real service as far as they
// are known; where they are not, a comment says that the words are ours.
package labgcp

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/stile-project/stile/lab/journal"
	"github.com/stile-project/stile/lab/oidc"
)

// Config is what a cloud takes from the world around it.
type Config struct {
	Clock   func() time.Time  // zero: the machine's clock
	Net     http.RoundTripper // how Google reaches AWS STS and OIDC issuers; zero: it reaches nobody
	Journal *journal.Journal  // zero: entries go nowhere
}

// A Cloud is one Google Cloud with all its projects. It is safe for concurrent use.
type Cloud struct {
	clock   func() time.Time
	net     http.RoundTripper
	journal *journal.Journal
	issuer  *oidc.Issuer // https://accounts.google.com
	objects *s3mem.Backend

	mu          sync.Mutex
	propagation time.Duration
	projects    map[string]*project // by id
	accounts    map[string]*account // by e-mail
	buckets     map[string]*bucket
	functions   map[string]*function // by host and path
	users       map[string]*user     // by e-mail
	workforce   map[string]*pool     // by id
	bindings    []binding
	tokens      map[string]accessToken
	forgetAt    int // how many tokens there are when the old ones are next looked for

	writing sync.Mutex // one upload or delete at a time, so that a precondition and the write it guards are one step
}

// The issuer of Google's ID tokens, and the page its keys are on.
const (
	issuerURL = "https://accounts.google.com"
	certsURL  = "https://www.googleapis.com/oauth2/v3/certs"
)

// New makes a cloud with nothing in it.
func New(config Config) *Cloud {
	c := &Cloud{
		clock:     config.Clock,
		net:       config.Net,
		journal:   config.Journal,
		projects:  map[string]*project{},
		accounts:  map[string]*account{},
		buckets:   map[string]*bucket{},
		functions: map[string]*function{},
		users:     map[string]*user{},
		workforce: map[string]*pool{},
		tokens:    map[string]accessToken{},
	}
	if c.clock == nil {
		c.clock = time.Now
	}
	if c.net == nil {
		c.net = unreachable{}
	}
	if c.journal == nil {
		c.journal = &journal.Journal{}
	}
	c.issuer = oidc.NewIssuer(issuerURL, c.clock, oidc.JWKSURI(certsURL))
	c.objects = s3mem.New(s3mem.WithTimeSource(timeSource(c.clock)))
	return c
}

// SetPropagation makes every grant from now on take effect only d after it is made, by the cloud's clock. Zero, as at
// the start, means at once. Real grants take seconds to some minutes.
func (c *Cloud) SetPropagation(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.propagation = d
}

// timeSource is a clock as the object engine wants it.
type timeSource func() time.Time

func (t timeSource) Now() time.Time                        { return t() }
func (t timeSource) Since(earlier time.Time) time.Duration { return t().Sub(earlier) }

// unreachable is the network of a cloud that was given none.
type unreachable struct{}

func (unreachable) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	return nil, errors.New("this cloud has no network")
}

// randomText is n random bytes as text that fits a token.
func randomText(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: it ends the program instead
	return base64.RawURLEncoding.EncodeToString(b)
}
