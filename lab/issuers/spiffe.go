// SPDX-License-Identifier: Apache-2.0

package issuers

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/stile-project/stile/lab/journal"
	"github.com/stile-project/stile/lab/oidc"
)

// svidLife is how long a JWT-SVID lives unless the trust domain says otherwise.
// Source: SPIRE server configuration, default_jwt_svid_ttl.
const svidLife = 5 * time.Minute

// A TrustDomain is a SPIFFE trust domain whose JWT-SVIDs others can check by OIDC discovery.
type TrustDomain struct {
	Name   string        // example.org; required
	Issuer string        // the iss of its tokens; empty: https://oidc-discovery.NAME
	Life   time.Duration // of a JWT-SVID, at least 1s; zero: 5m
}

// A TrustDomainServer is a trust domain: its issuer, and the agents that hand out its identities. It signs with ES256, as
// SPIRE does when it is told nothing.
type TrustDomainServer struct {
	directory *Directory
	domain    TrustDomain
	issuer    *issuer
}

var (
	trustDomainName = regexp.MustCompile(`^[a-z0-9._-]{1,255}$`)
	spiffeID        = regexp.MustCompile(`^spiffe://([a-z0-9._-]{1,255})((?:/[a-zA-Z0-9._-]+)*)$`)
)

// AddTrustDomain makes a trust domain. Its issuer answers under its own host name.
func (d *Directory) AddTrustDomain(t TrustDomain) (*TrustDomainServer, error) {
	if !trustDomainName.MatchString(t.Name) {
		return nil, fmt.Errorf("adding trust domain %.128q: want lower-case letters, digits, dots, hyphens and underscores", t.Name)
	}
	if t.Issuer == "" {
		t.Issuer = "https://oidc-discovery." + t.Name
	}
	if t.Life == 0 {
		t.Life = svidLife
	}
	if t.Life < time.Second {
		return nil, fmt.Errorf("adding trust domain %s: life %v: want at least 1s", t.Name, t.Life)
	}
	i, err := d.newIssuer("SPIFFE", t.Issuer, oidc.ES256(), oidc.JWKSURI(t.Issuer+"/keys"))
	if err != nil {
		return nil, fmt.Errorf("adding trust domain %s: %w", t.Name, err)
	}
	return &TrustDomainServer{directory: d, domain: t, issuer: i}, nil
}

// Issuer is the iss of the trust domain's tokens.
func (t *TrustDomainServer) Issuer() string { return t.domain.Issuer }

// ID is the SPIFFE ID of a path in the trust domain, which begins with a slash.
func (t *TrustDomainServer) ID(path string) string { return "spiffe://" + t.domain.Name + path }

// checkID is the syntax of SPIFFE IDs, the path's dots among it.
// Source: SPIFFE, "The SPIFFE Identity and Verifiable Identity Document", section 2.
func checkID(id string) error {
	parts := spiffeID.FindStringSubmatch(id)
	switch {
	case !strings.HasPrefix(id, "spiffe://"):
		return fmt.Errorf("scheme is missing or invalid")
	case len(id) > 2048 || parts == nil:
		return fmt.Errorf("the ID is not of the form spiffe://TRUST-DOMAIN/PATH")
	}
	if segments := strings.Split(parts[2], "/"); slices.Contains(segments, ".") || slices.Contains(segments, "..") {
		return fmt.Errorf("path cannot contain dot segments")
	}
	return nil
}

// An Agent is the agent of a trust domain on a machine, as the one workload that reaches its socket sees it. As an
// http.Handler it is the Workload API: gRPC, over HTTP/2 with prior knowledge.
//
// Source: SPIFFE Workload API and SPIFFE Workload Endpoint; the words of refusals are SPIRE's.
type Agent struct {
	domain     *TrustDomainServer
	identities []string
}

// Agent makes an agent whose workload is entitled to these SPIFFE IDs. None: no registration matches the workload.
func (t *TrustDomainServer) Agent(ids ...string) (*Agent, error) {
	for _, id := range ids {
		if err := checkID(id); err != nil {
			return nil, fmt.Errorf("SPIFFE ID %.128q: %w", id, err)
		}
		if !strings.HasPrefix(id, t.ID("/")) {
			return nil, fmt.Errorf("SPIFFE ID %.128q: want a path in trust domain %s", id, t.domain.Name)
		}
	}
	return &Agent{domain: t, identities: slices.Clone(ids)}, nil
}

// ServeHTTP answers one call of the Workload API and writes one journal entry. Of its methods the lab has FetchJWTSVID.
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := journal.Entry{Time: a.domain.directory.now(), Cloud: "SPIFFE", Service: "Workload API", Operation: "FetchJWTSVID", Status: http.StatusOK}
	if !acceptable(r) {
		e.Fail("the call is gRPC: POST, HTTP/2, Content-Type application/grpc")
		e.Status = http.StatusUnsupportedMediaType
		a.domain.directory.journal.Add(e)
		http.Error(w, "this is a gRPC endpoint", e.Status)
		return
	}
	message, fault := a.answer(r, &e)
	if fault != nil {
		e.Code, e.Message = fault.code.String(), fault.message
	}
	a.domain.directory.journal.Add(e) // first, so that whoever has the answer finds the entry
	if fault != nil {
		fault.write(w)
		return
	}
	writeMessage(w, message)
}

func (a *Agent) answer(r *http.Request, e *journal.Entry) ([]byte, *grpcFault) {
	if fault := method(r.URL.Path); fault != nil {
		e.Operation = "unknown method"
		e.Fail("the Workload API of the lab has this method")
		return nil, fault
	}
	if marks := r.Header.Values("workload.spiffe.io"); len(marks) != 1 || marks[0] != "true" {
		e.Fail("the call carries workload.spiffe.io: true, which a browser led astray would not")
		return nil, &grpcFault{invalidArgument, "security header missing from request"}
	}
	e.OK("the call carries workload.spiffe.io: true")
	body, fault := readMessage(r)
	if fault != nil {
		e.Fail("the call holds one message: %s", fault.message)
		return nil, fault
	}
	q, err := parseSVIDRequest(body)
	if err != nil {
		e.Fail("the message is a JWTSVIDRequest: %v", err)
		return nil, &grpcFault{internal, "grpc: error unmarshalling request: " + err.Error()}
	}
	return a.fetch(q, e)
}

func (a *Agent) fetch(q svidRequest, e *journal.Entry) ([]byte, *grpcFault) {
	if len(q.audiences) == 0 || slices.Contains(q.audiences, "") {
		e.Fail("the request names an audience")
		return nil, &grpcFault{invalidArgument, "audience must be specified"}
	}
	if q.spiffeID != "" {
		if err := checkID(q.spiffeID); err != nil {
			e.Fail("the SPIFFE ID asked for is one: %v", err)
			return nil, &grpcFault{invalidArgument, "invalid requested SPIFFE ID: " + err.Error()}
		}
	}
	var svids []svid
	for _, id := range a.identities {
		if q.spiffeID != "" && q.spiffeID != id {
			continue
		}
		token, err := a.domain.svid(id, q.audiences)
		if err != nil {
			e.Fail("the token can be signed: %v", err)
			return nil, &grpcFault{unavailable, "could not fetch JWT-SVID"}
		}
		svids = append(svids, svid{id, token})
	}
	if len(svids) == 0 {
		e.Fail("a registration entitles the workload to %s", orAny(q.spiffeID))
		return nil, &grpcFault{permissionDenied, "no identity issued"}
	}
	e.Caller = svids[0].id
	e.OK("so the workload gets %d JWT-SVID for %.200q, good for %v", len(svids), q.audiences, a.domain.domain.Life)
	return svidResponse(svids), nil
}

func orAny(id string) string {
	if id == "" {
		return "any identity"
	}
	return clip(id, 200)
}

// svid makes one token. aud is a list even of one.
func (t *TrustDomainServer) svid(id string, audiences []string) (string, error) {
	now := t.directory.now()
	return t.Token(map[string]any{"iss": t.domain.Issuer, "sub": id, "aud": audiences, "iat": now.Unix(), "exp": now.Add(t.domain.Life).Unix()})
}

// Token signs claims with the trust domain's key, whatever they are: for tests of what is refused.
func (t *TrustDomainServer) Token(claims map[string]any) (string, error) {
	return t.issuer.made().Sign(maps.Clone(claims))
}
