// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"net/http"
	"time"

	"github.com/stile-project/stile/lab/journal"
)

// An Instance is an EC2 instance, as far as its metadata service tells.
type Instance struct {
	ID      string // "i-0abc123def4567890"; the session name of its role
	Region  string
	Zone    string // availability zone; "" is the region's zone a
	RoleARN string // the role of its instance profile; "" is an instance without one

	AllowV1  bool // answer requests without a session token, as HttpTokens "optional" does
	Disabled bool // HttpEndpoint "disabled": every request is refused with 403

	// HopLimit is HttpPutResponseHopLimit, 1..64; zero is 1, as EC2 has it. Hops is how many the workload is away, zero
	// being 1; in a container it is 2. When the limit is lower, the answer to PUT never arrives: the request hangs until
	// the client gives up.
	HopLimit, Hops int
}

// EC2 is the instance metadata service of one instance, as it answers at 169.254.169.254.
//
// Source: EC2 User Guide, "Access instance metadata" and "How Instance Metadata Service Version 2 works".
func (c *Cloud) EC2(i Instance) http.Handler {
	if i.Zone == "" {
		i.Zone = i.Region + "a"
	}
	i.HopLimit, i.Hops = max(1, i.HopLimit), max(1, i.Hops)
	origin := map[string]string{"ec2_role_delivery": "2.0", "ec2_source_instance_arn": arn{partitionOf(i.Region), "ec2", i.Region, accountOf(i.RoleARN), "instance/" + i.ID}.String()}
	return &metadataServer{
		cloud: c, instance: i, launched: c.now(),
		role:   &delivery{cloud: c, role: i.RoleARN, session: i.ID, origin: origin},
		tokens: map[string]time.Time{},
	}
}

// ServeHTTP answers one request and writes one journal entry.
func (s *metadataServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := &journal.Entry{Time: s.cloud.clock(), Cloud: "AWS", Service: "EC2 metadata", Operation: r.Method + " " + r.URL.Path, Caller: s.instance.ID}
	a := s.answer(r, e)
	if a.lost {
		e.Message = "no answer"
		s.cloud.journal.Add(*e)
		<-r.Context().Done()
		panic(http.ErrAbortHandler) // closes the connection with nothing written
	}
	e.Status = a.status
	for name, value := range a.header {
		w.Header().Set(name, value)
	}
	w.Header().Set("Server", "EC2ws")
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write([]byte(a.body))
	}
	s.cloud.journal.Add(*e)
}
