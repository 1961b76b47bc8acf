// SPDX-License-Identifier: Apache-2.0

// Package labaws is Amazon Web Services in memory, as far as credentials that cross clouds need it, and as strict as the
// real one: STS, S3, and every place that gives a workload its identity: EC2, ECS, EKS, Lambda, and a person's sign-on.
//
//	cloud := labaws.New(labaws.Config{Clock: clock, Net: world, Journal: j})
//	err := cloud.AddRole(labaws.Role{Account: "111122223333", Name: "from-gcp", Trust: trust, Permissions: permissions})
//	handler, ok := cloud.Handler("sts.eu-west-1.amazonaws.com")
//
// What AWS refuses, it refuses, with AWS's status, code and words; where AWS keeps the reason to itself, the journal
// tells it. It recomputes every signature, checks every token against its issuer's published keys, evaluates trust and
// permission policies on every call, and lets nothing outlive its expiry.
package labaws

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/stile-project/stile/lab/journal"
)

// Config is what a Cloud needs from the world around it.
type Config struct {
	Clock   func() time.Time  // required
	Net     http.RoundTripper // how this cloud reaches issuers of tokens; required for AssumeRoleWithWebIdentity alone
	Journal *journal.Journal  // nil: nothing is recorded
}

// A Cloud is all of AWS: accounts with their roles, users, identity providers and buckets. It is safe for concurrent use.
type Cloud struct {
	clock   func() time.Time
	net     http.RoundTripper
	journal *journal.Journal

	objects *s3mem.Backend
	storage http.Handler // gofakes3 over objects

	mu       sync.Mutex
	accounts map[string]*account
	sessions map[string]credential // by access key id
	buckets  map[string]bucket
	managed  map[string]string       // managed policy documents by ARN
	issuers  map[string]http.Handler // hosts that publish keys: accounts' own issuers, and clusters'
	signOns  map[string]signOn       // by the portal's bearer token
}

// New makes an empty cloud.
func New(c Config) *Cloud {
	if c.Clock == nil {
		panic("labaws: Config.Clock is required: the lab's clouds share one clock")
	}
	if c.Journal == nil {
		c.Journal = &journal.Journal{}
	}
	source := s3clock{c.Clock}
	objects := s3mem.New(s3mem.WithTimeSource(source), s3mem.WithVersionSeed(1))
	return &Cloud{
		clock: c.Clock, net: c.Net, journal: c.Journal,
		objects:  objects,
		storage:  gofakes3.New(objects, gofakes3.WithTimeSource(source), gofakes3.WithTimeSkewLimit(0)).Server(),
		accounts: map[string]*account{},
		sessions: map[string]credential{},
		buckets:  map[string]bucket{},
		managed:  managedPolicies(),
		issuers:  map[string]http.Handler{},
		signOns:  map[string]signOn{},
	}
}

// Handler is what answers under a host name, given without a port; ok is false where AWS has no such name or the lab
// no such service.
func (c *Cloud) Handler(host string) (handler http.Handler, ok bool) {
	host = strings.ToLower(host)
	if h, ok := c.issuer(host); ok {
		return h, true
	}
	at, ok := parseHost(host)
	if !ok {
		return nil, false
	}
	switch at.service {
	case "sts":
		return &stsServer{cloud: c, at: at}, true
	case "sso":
		return &portalServer{cloud: c, region: at.region}, true
	}
	return &s3Server{cloud: c, at: at}, true
}

// now is the cloud's clock, in whole seconds: AWS writes no fractions.
func (c *Cloud) now() time.Time { return c.clock().UTC().Truncate(time.Second) }
