// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Machine is a virtual machine on Compute Engine.
type Machine struct {
	Project string // the project's id
	Zone    string // such as europe-west1-b
	Name    string

	ServiceAccount string   // its e-mail; empty: the machine has none
	Scopes         []string // empty: cloud-platform

	Licenses   []string          // ids of the licences of its disks, such as 1000204
	Attributes map[string]string // instance/attributes
}

// VM starts a machine and gives its metadata server, which clients know as http://metadata.google.internal. Each
// machine has its own. It answers 404 for the account of a machine whose service account or project does not exist.
func (c *Cloud) VM(m Machine) http.Handler {
	if len(m.Scopes) == 0 {
		m.Scopes = []string{scopePlatform}
	}
	return c.metadataHandler(c.newMetadataServer(m, digits(m.Project+"/"+m.Name, 19)))
}

func (c *Cloud) newMetadataServer(m Machine, id string) *metadataServer {
	s := &metadataServer{cloud: c, machine: m, started: c.clock(), id: id, kept: map[string]keptToken{}}
	s.instance, s.serviceAccounts, s.identity = s.vmInstance, s.attachedAccount, s.vmIdentity
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.projects[m.Project]; p != nil {
		s.number = p.number
	}
	return s
}

// A metadataServer answers for one machine, or one place of another kind that has less to tell.
type metadataServer struct {
	cloud   *Cloud
	machine Machine
	number  string // of the project
	id      string
	started time.Time
	bare    bool // only what the platform documents

	instance        func() directory
	serviceAccounts func() directory
	identity        func(q *call, sa ServiceAccount, audience string) (string, error)

	mu   sync.Mutex
	kept map[string]keptToken // by what was asked
}

type keptToken struct {
	text    string
	expires time.Time
}

// account is the machine's service account, if it has one.
func (s *metadataServer) account() (ServiceAccount, bool) {
	if s.machine.ServiceAccount == "" {
		return ServiceAccount{}, false
	}
	return s.cloud.findAccount(s.machine.ServiceAccount)
}

// replacedEarly is how long before its end a token is replaced. The real server hands out one token until four to five
// minutes before its end, and clients rely on getting another one then.
const replacedEarly = 5 * time.Minute

// token gives the machine's token for some scopes: the same one as before until replacedEarly before its end.
func (s *metadataServer) token(sa ServiceAccount, scopes []string, now time.Time) (t keptToken, kept bool) {
	t, kept, _ = s.keep("token "+strings.Join(scopes, " "), now, func() (keptToken, error) {
		return keptToken{s.cloud.accountToken(sa, scopes, now, tokenLife), now.Add(tokenLife)}, nil
	})
	return t, kept
}

// keep gives what was made before for the same question, until replacedEarly before its end.
func (s *metadataServer) keep(question string, now time.Time, fresh func() (keptToken, error)) (t keptToken, kept bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.kept[question]; now.Before(t.expires.Add(-replacedEarly)) {
		return t, true, nil
	}
	if len(s.kept) >= 64 { // a client that makes up scopes does not fill the memory
		clear(s.kept)
	}
	if t, err = fresh(); err == nil {
		s.kept[question] = t
	}
	return t, false, err
}

// granted are the scopes a token gets. A machine with cloud-platform may be asked for less; one that was given narrower
// scopes has those, whatever is asked for.
func (s *metadataServer) granted(asked string) []string {
	if asked == "" || !slices.Contains(s.machine.Scopes, scopePlatform) {
		return s.machine.Scopes
	}
	return strings.Split(asked, ",")
}

// vmIdentity signs an ID token of the machine's account; the full format tells about the machine too.
func (s *metadataServer) vmIdentity(q *call, sa ServiceAccount, audience string) (string, error) {
	var extra map[string]any
	query := q.r.URL.Query()
	if query.Get("format") == "full" {
		extra = emailClaims(sa)
		extra["google"] = map[string]any{"compute_engine": s.engine(strings.EqualFold(query.Get("licenses"), "TRUE"))}
	}
	return s.cloud.idToken(sa, audience, sa.UniqueID, q.now, extra)
}

func (s *metadataServer) engine(licenses bool) map[string]any {
	engine := map[string]any{
		"project_id":                  s.machine.Project,
		"project_number":              number(s.number),
		"zone":                        s.machine.Zone,
		"instance_id":                 s.id,
		"instance_name":               s.machine.Name,
		"instance_creation_timestamp": s.started.Unix(),
	}
	if licenses && len(s.machine.Licenses) > 0 {
		engine["license_id"] = s.machine.Licenses
	}
	return engine
}

// region is a zone without its last part.
func region(zone string) string {
	if i := strings.LastIndexByte(zone, '-'); i > 0 {
		return zone[:i]
	}
	return zone
}

func (s *metadataServer) within(kind, name string) string {
	return fmt.Sprintf("projects/%s/%s/%s", s.number, kind, name)
}
