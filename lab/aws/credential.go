// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"time"

	awstrust "github.com/stile-project/stile/trust/aws"
)

// Keys are AWS credentials. A user's long-term keys have no session token and a zero Expires.
type Keys struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string
	Expires         time.Time
}

// Format keeps keys out of logs and test output: only the access key id, which is no secret, is printed.
func (k Keys) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "[keys %s]", k.AccessKeyID) }

// MarshalText does the same for JSON and slog.
func (k Keys) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "[keys %s]", k.AccessKeyID), nil }

// An identity is whom a credential speaks for.
type identity struct {
	account, partition string
	arn                string // as GetCallerIdentity tells it
	id                 string // "AIDA…", or "AROA…:SESSION"
	kind               string // "User" or "AssumedRole"
	user               string // the user's name
	role               string // the role's ARN, path and all
	federated          string // the provider that vouched, "" otherwise
}

// A credential is what AWS remembers about keys it gave out.
type credential struct {
	Keys
	who            identity
	issued         time.Time
	policies       []*awstrust.Policy // session policies, each of which must allow
	tags           map[string]string
	transitive     []string
	sourceIdentity string
	origin         map[string]string // how a service that delivered the keys is named in outbound tokens
}

// keptSessions is how many sessions are remembered before expired ones are forgotten; until then an expired one is
// answered with ExpiredToken rather than as an unknown key.
const keptSessions = 4096

// mint makes keys for k, with a session token of at least tokenSize characters, and remembers them.
func (c *Cloud) mint(k credential, life time.Duration, tokenSize int) Keys {
	k.issued = c.now()
	k.Keys = Keys{
		AccessKeyID:     newID("ASIA")[:20],
		SecretAccessKey: newSecret(),
		SessionToken:    newSessionToken(tokenSize),
		Expires:         k.issued.Add(life),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.sessions) >= keptSessions {
		for id, old := range c.sessions {
			if !old.Expires.IsZero() && old.Expires.Before(k.issued) {
				delete(c.sessions, id)
			}
		}
	}
	c.sessions[k.AccessKeyID] = k
	return k.Keys
}

// lookup finds keys that belong to a partition.
func (c *Cloud) lookup(accessKeyID, partition string) (credential, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.sessions[accessKeyID]
	return k, ok && k.who.partition == partition
}

// Session gives keys for a role as an AWS service would deliver them to a workload: with no check of the role's trust
// policy, and for as long as life says.
func (c *Cloud) Session(roleARN, sessionName string, life time.Duration) (Keys, error) {
	return c.deliver(roleARN, sessionName, life, nil)
}

func (c *Cloud) deliver(roleARN, sessionName string, life time.Duration, origin map[string]string) (Keys, error) {
	r := c.findRole(roleARN)
	if r == nil {
		return Keys{}, fmt.Errorf("session of role %.128q: no such role", roleARN)
	}
	if !sessionNamePattern.MatchString(sessionName) || len(sessionName) < minSessionName || len(sessionName) > maxSessionName {
		return Keys{}, fmt.Errorf(`session of role %.128q: name: want 2 to 64 of [\w+=,.@-]`, roleARN)
	}
	if life <= 0 {
		return Keys{}, fmt.Errorf("session of role %.128q: life %v: want more than nothing", roleARN, life)
	}
	return c.mint(credential{who: r.assumedBy(sessionName), origin: origin}, life, 0), nil
}

// assumedBy is the identity of a session. The role's path is not part of it.
func (r *role) assumedBy(session string) identity {
	return identity{
		account: r.arn.account, partition: r.arn.partition, kind: "AssumedRole", role: r.arn.String(),
		arn: arn{r.arn.partition, "sts", "", r.arn.account, "assumed-role/" + r.name + "/" + session}.String(),
		id:  r.id + ":" + session,
	}
}

// newID is a unique id of 21 characters, whose first four say what it names (IAM User Guide, "Unique identifiers").
func newID(prefix string) string { return prefix + rand.Text()[:17] }

func newSecret() string { return randomBase64(30) }

// newSessionToken is opaque, and at least so many characters long. Today's begin like this one.
func newSessionToken(least int) string {
	const head = "IQoJb3JpZ2luX2Vj"
	return head + randomBase64(max(270, (least-len(head)+3)/4*3))
}

func randomBase64(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return base64.StdEncoding.EncodeToString(b)
}

// newRequestID is a random UUID.
func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
