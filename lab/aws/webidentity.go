// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"encoding/xml"
	"slices"

	awstrust "github.com/stile-project/stile/trust/aws"
)

const maxWebToken, minWebToken = 20000, 4

// assumeRoleWithWebIdentity gives whoever holds an ID token a session of a role that trusts it (AWS STS API,
// AssumeRoleWithWebIdentity). The call itself is not signed.
func (c *stsCall) assumeRoleWithWebIdentity() (any, error) {
	if err := c.unsigned(); err != nil {
		return nil, err
	}
	check := &constraints{form: c.form}
	check.text("WebIdentityToken", minWebToken, maxWebToken, nil, false)
	check.text("ProviderId", 4, 2048, nil, true)
	q, err := c.sessionRequest(check)
	if err != nil {
		return nil, err
	}
	if id, ok := c.form["ProviderId"]; ok {
		c.entry.Fail("ProviderId is absent, as it must be with an ID token: %.64q was sent", id)
		return nil, validation("ProviderId should not be specified for OpenID Connect ID tokens")
	}
	account := accountOf(q.roleARN)
	if err := c.regionEnabled(account); err != nil {
		return nil, err
	}
	t, err := c.webToken(account)
	if err != nil {
		return nil, err
	}
	if err := t.describe(&q); err != nil {
		c.entry.Fail("the session tags and source identity in the token can be read: %v", err)
		return nil, err
	}
	r, err := c.mayAssumeWith(t, q)
	if err != nil {
		return nil, err
	}
	who := r.assumedBy(q.name)
	who.federated = t.provider
	answer, err := c.open(q, r, false, who)
	if err != nil {
		return nil, err
	}
	answer.Audience, answer.Provider, answer.SubjectFromWebIdentityToken = t.audience(), t.provider, t.subject
	return assumeRoleResult{xml.Name{Local: "AssumeRoleWithWebIdentityResult"}, answer}, nil
}

// unsigned refuses a call that carries AWS credentials of its own. AWS's words for it mislead, and are kept.
func (c *stsCall) unsigned() error {
	query := c.request.URL.Query()
	for _, name := range []string{"Authorization", "X-Amz-Security-Token"} {
		_, inForm := c.form[name]
		if c.request.Header.Get(name) != "" || inForm || query.Has(name) {
			c.entry.Fail("the call is unsigned, as it must be: it carries %s", name)
			return noVerificationKey()
		}
	}
	c.entry.OK("the call carries no AWS credentials of its own")
	return nil
}

// mayAssumeWith asks the role's trust policy. Whatever is wrong, the caller is told the same.
func (c *stsCall) mayAssumeWith(t webToken, q sessionRequest) (*role, error) {
	denied := refuse(403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
	r := c.cloud.findRole(q.roleARN)
	if r == nil || r.arn.partition != c.at.partition {
		c.entry.Fail("role %s exists", q.roleARN)
		return nil, denied
	}
	ctx := with(c.cloud.requestContext(c.request, c.at, nil), with(q.context(), t.context()))
	for _, action := range q.actions("sts:AssumeRoleWithWebIdentity") {
		if !trusts(r, awstrust.Principal{Kind: awstrust.Federated, ID: t.provider}, action, ctx, c.entry) {
			return nil, denied
		}
	}
	return r, nil
}

func accountOf(roleARN string) string {
	a, _, _, _ := parseRoleARN(roleARN) // checked before
	return a.account
}

// acceptsAudience reports whether the provider is registered for the token's party.
func (p provider) acceptsAudience(t webToken) bool {
	if t.party != "" {
		return slices.Contains(p.clientIDs, t.party)
	}
	return slices.ContainsFunc(t.audiences, func(a string) bool { return slices.Contains(p.clientIDs, a) })
}
