// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"encoding/xml"
	"maps"
	"regexp"
	"slices"
	"strings"

	awstrust "github.com/stile-project/stile/trust/aws"
)

var externalIDPattern = regexp.MustCompile(`^[\w+=,.@:\/-]*$`)

// assumeRole gives a signed caller a session of a role that trusts it (AWS STS API, AssumeRole).
func (c *stsCall) assumeRole() (any, error) {
	caller, err := c.signedBy()
	if err != nil {
		return nil, err
	}
	check := &constraints{form: c.form}
	check.text("ExternalId", 2, 1224, externalIDPattern, true)
	check.text("SerialNumber", 9, 256, serialPattern, true)
	check.text("TokenCode", 6, 6, codePattern, true)
	source := check.text("SourceIdentity", minSessionName, maxSessionName, sessionNamePattern, true)
	q, err := c.sessionRequest(check)
	if err != nil {
		return nil, err
	}
	if q.sourceIdentity, err = c.sourceIdentity(caller, source); err != nil {
		return nil, err
	}
	if err := c.tagSession(&q, caller); err != nil {
		return nil, err
	}
	r := c.cloud.findRole(q.roleARN)
	if err := c.mayAssume(q, r, caller); err != nil {
		return nil, err
	}
	chained := caller.who.kind == "AssumedRole"
	who := r.assumedBy(q.name)
	c.inherit(&q, caller)
	answer, err := c.open(q, r, chained, who)
	if err != nil {
		return nil, err
	}
	return assumeRoleResult{xml.Name{Local: "AssumeRoleResult"}, answer}, nil
}

// sourceIdentity settles what the session carries: once set, it stays through every further role.
func (c *stsCall) sourceIdentity(caller credential, asked string) (string, error) {
	if set := caller.sourceIdentity; set != "" && asked != "" && asked != set {
		c.entry.Fail("the source identity stays what it was: %s is set, %s is asked for", set, asked)
		return "", c.notAuthorized(caller, "sts:SetSourceIdentity")
	} else if set != "" {
		return set, nil
	}
	return asked, nil
}

func (c *stsCall) tagSession(q *sessionRequest, caller credential) error {
	err := q.addTags(c.form.list("Tags", "Key"), c.form.list("Tags", "Value"), c.form.list("TransitiveTagKeys", ""))
	if err != nil {
		c.entry.Fail("the session tags keep to the limits of the API: %v", err)
		return err
	}
	for key := range q.tags {
		if slices.ContainsFunc(caller.transitive, func(k string) bool { return strings.EqualFold(k, key) }) {
			c.entry.Fail("session tag %s may be set: it is transitive in the calling session", key)
			return refuse(400, "InvalidParameterValue", "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
		}
	}
	return nil
}

// inherit carries the caller's transitive tags into the new session. They were agreed on when they were set.
func (c *stsCall) inherit(q *sessionRequest, caller credential) {
	for _, key := range caller.transitive {
		q.tags[key] = caller.tags[key]
	}
	q.transitive = append(slices.Clone(q.transitive), caller.transitive...)
}

// mayAssume holds both sides to the call: the role's trust policy always; the caller's own policies when the role is in
// another account, or when the trust policy names the account rather than the caller.
func (c *stsCall) mayAssume(q sessionRequest, r *role, caller credential) error {
	if r == nil || r.arn.partition != caller.who.partition {
		c.entry.Fail("role %s exists", q.roleARN)
		return c.notAuthorized(caller, "sts:AssumeRole")
	}
	mfa, err := c.multiFactor(caller)
	if err != nil {
		return err
	}
	ctx := with(with(c.cloud.requestContext(c.request, c.at, &caller), q.context()), mfa)
	if id, ok := c.form["ExternalId"]; ok {
		ctx["sts:ExternalId"] = []string{id}
	}
	direct := r.arn.account == caller.who.account && namesDirectly(r.trustDoc, caller.who.names())
	for _, action := range q.actions("sts:AssumeRole") {
		if !trusts(r, awstrust.Principal{Kind: awstrust.AWS, ID: caller.who.arn}, action, ctx, c.entry) {
			return c.notAuthorized(caller, action)
		}
		v := c.callerAllows(caller, direct, awstrust.Request{Action: action, Resource: r.arn.String(), Context: maps.Clone(ctx)})
		if !v.allowed {
			return c.notAuthorized(caller, action)
		}
	}
	return nil
}

// callerAllows is the caller's side. A caller whom the role names needs no permission of its own, but an explicit deny
// holds, and so do the bounds that a session policy sets.
func (c *stsCall) callerAllows(caller credential, direct bool, q awstrust.Request) verdict {
	if !direct {
		return c.cloud.identityAllows(caller, q, c.entry)
	}
	q.Principal = awstrust.Principal{Kind: awstrust.AWS, ID: caller.who.arn}
	if p := c.cloud.permissionsOf(caller.who); p != nil && p.Evaluate(q).ExplicitDeny {
		return judge(p, q, "identity-based", c.entry)
	}
	c.entry.OK("the trust policy names the caller itself, and both are in one account: no permission of its own is needed")
	v := verdict{allowed: true}
	for _, p := range caller.policies {
		if v = judge(p, q, "session", c.entry); !v.allowed {
			return v
		}
	}
	return v
}

func (c *stsCall) notAuthorized(caller credential, action string) error {
	return refuse(403, "AccessDenied", "User: %s is not authorized to perform: %s on resource: %s", caller.who.arn, action, c.form["RoleArn"])
}
