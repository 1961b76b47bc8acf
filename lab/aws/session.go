// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"encoding/xml"
	"time"
)

// What the AssumeRole family answers (AWS STS API reference; the order of elements is AWS's).
type assumeRoleResult struct {
	XMLName xml.Name
	sessionAnswer
}

type sessionAnswer struct {
	SourceIdentity              string `xml:",omitempty"`
	Audience                    string `xml:",omitempty"`
	AssumedRoleUser             assumedRoleUser
	Provider                    string `xml:",omitempty"`
	Credentials                 credentialsXML
	SubjectFromWebIdentityToken string `xml:",omitempty"`
	PackedPolicySize            int    `xml:",omitempty"`
	SessionTokenSize            int
	SessionTokenUtilization     int
}

type assumedRoleUser struct{ AssumedRoleId, Arn string }

type credentialsXML struct {
	AccessKeyId, SecretAccessKey, SessionToken, Expiration string
}

// open starts the session and says so in the journal. The caller adds what its own action answers.
func (c *stsCall) open(q sessionRequest, r *role, chained bool, who identity) (sessionAnswer, error) {
	life, err := c.life(q, r, chained)
	if err != nil {
		return sessionAnswer{}, err
	}
	packed, err := q.packedSize()
	if err != nil {
		c.entry.Fail("session policies and tags fit the space for them: %v", err)
		return sessionAnswer{}, err
	}
	keys := c.cloud.mint(credential{
		who: who, policies: q.policies, tags: q.tags, transitive: q.transitive, sourceIdentity: q.sourceIdentity,
	}, life, q.tokenSize)
	c.entry.OK("so %s gets keys that end at %s", who.arn, keys.Expires.Format(time.RFC3339))
	return sessionAnswer{
		SourceIdentity:          q.sourceIdentity,
		AssumedRoleUser:         assumedRoleUser{who.id, who.arn},
		Credentials:             credentialsXML{keys.AccessKeyID, keys.SecretAccessKey, keys.SessionToken, keys.Expires.Format(time.RFC3339)},
		PackedPolicySize:        packed,
		SessionTokenSize:        len(keys.SessionToken),
		SessionTokenUtilization: len(keys.SessionToken) * 100 / maxSessionToken,
	}, nil
}
