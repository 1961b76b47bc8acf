// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stile-project/stile/lab/journal"
	awstrust "github.com/stile-project/stile/trust/aws"
)

// requestContext is what any policy can ask about a request, and about the caller where there is one.
func (c *Cloud) requestContext(r *http.Request, at endpoint, caller *credential) map[string][]string {
	now := c.now()
	ctx := map[string][]string{
		"aws:CurrentTime":     {now.Format(time.RFC3339)},
		"aws:EpochTime":       {strconv.FormatInt(now.Unix(), 10)},
		"aws:SecureTransport": {"true"},
		"aws:RequestedRegion": {at.region},
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		ctx["aws:SourceIp"] = []string{host}
	}
	if agent := r.UserAgent(); agent != "" {
		ctx["aws:UserAgent"] = []string{agent}
	}
	if caller == nil {
		return ctx
	}
	who := caller.who
	ctx["aws:PrincipalArn"] = []string{who.principalARN()}
	ctx["aws:PrincipalAccount"] = []string{who.account}
	ctx["aws:PrincipalType"] = []string{who.kind}
	ctx["aws:userid"] = []string{who.id}
	if who.user != "" {
		ctx["aws:username"] = []string{who.user}
	}
	if who.federated != "" {
		ctx["aws:FederatedProvider"] = []string{who.federated}
	}
	if !caller.Expires.IsZero() {
		ctx["aws:TokenIssueTime"] = []string{caller.issued.Format(time.RFC3339)}
	}
	if caller.sourceIdentity != "" {
		ctx["aws:SourceIdentity"] = []string{caller.sourceIdentity}
	}
	for key, value := range caller.tags {
		ctx["aws:PrincipalTag/"+key] = []string{value}
	}
	return ctx
}

// principalARN is what aws:PrincipalArn holds: the role itself for a session (IAM User Guide, global condition keys).
func (w identity) principalARN() string {
	if w.role != "" {
		return w.role
	}
	return w.arn
}

// names are all the ARNs under which a policy can mean this caller.
func (w identity) names() []string {
	if w.role != "" {
		return []string{w.arn, w.role}
	}
	return []string{w.arn}
}

// permissionsOf is the identity policy that holds for a caller now, nil when it has none.
func (c *Cloud) permissionsOf(who identity) *awstrust.Policy {
	if who.role != "" {
		if r := c.findRole(who.role); r != nil {
			return r.permissions
		}
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.accounts[who.account]; a != nil && a.users[who.user] != nil {
		return a.users[who.user].permissions
	}
	return nil
}

// A verdict is what the policies on the caller's side say.
type verdict struct {
	allowed, explicitDeny bool
	why                   string // ends AWS's message: "because …"
}

// identityAllows asks the caller's own policies: its identity policy and every session policy must allow.
func (c *Cloud) identityAllows(caller credential, q awstrust.Request, e *journal.Entry) verdict {
	q.Principal = awstrust.Principal{Kind: awstrust.AWS, ID: caller.who.arn}
	v := judge(c.permissionsOf(caller.who), q, "identity-based", e)
	for _, p := range caller.policies {
		if s := judge(p, q, "session", e); !s.allowed && (v.allowed || s.explicitDeny && !v.explicitDeny) {
			v = s
		}
	}
	return v
}

func judge(p *awstrust.Policy, q awstrust.Request, kind string, e *journal.Entry) verdict {
	var d awstrust.Decision
	if p != nil {
		d = p.Evaluate(q)
	}
	switch {
	case d.ExplicitDeny:
		e.Fail("the %s policy allows %s on %s: %s denies it", kind, q.Action, q.Resource, d.Statement)
		return verdict{explicitDeny: true, why: "with an explicit deny in " + article(kind) + " policy"}
	case !d.Allowed:
		e.Fail("the %s policy allows %s on %s: %s", kind, q.Action, q.Resource, reasons(p, d))
		return verdict{why: "because no " + kind + " policy allows the " + q.Action + " action"}
	}
	e.OK("the %s policy allows %s on %s (%s)", kind, q.Action, q.Resource, d.Statement)
	return verdict{allowed: true}
}

func article(kind string) string {
	if strings.HasPrefix(kind, "i") {
		return "an " + kind
	}
	return "a " + kind
}

func reasons(p *awstrust.Policy, d awstrust.Decision) string {
	if p == nil {
		return "there is no such policy"
	}
	return strings.Join(d.Reasons, "; ")
}

// trusts asks a role's trust policy about one principal and one action.
func trusts(r *role, who awstrust.Principal, action string, ctx map[string][]string, e *journal.Entry) bool {
	d := r.trust.Evaluate(awstrust.Request{Principal: who, Action: action, Resource: r.arn.String(), Context: ctx})
	question := "the trust policy of " + r.name + " allows " + action + " to " + who.ID
	switch {
	case d.ExplicitDeny:
		e.Fail("%s: %s denies it", question, d.Statement)
	case !d.Allowed:
		e.Fail("%s: %s", question, strings.Join(d.Reasons, "; "))
	default:
		e.OK("%s (%s)", question, d.Statement)
		return true
	}
	return false
}

// namesDirectly reports whether an Allow statement of a trust policy names one of these ARNs, or everybody. Within one
// account that is enough; a policy that names the account leaves the choice to the caller's own policies (IAM User
// Guide, "Policy evaluation logic").
func namesDirectly(doc string, names []string) bool {
	var policy struct{ Statement json.RawMessage }
	if json.Unmarshal([]byte(doc), &policy) != nil {
		return false
	}
	type statement struct {
		Effect    string
		Principal json.RawMessage
	}
	var list []statement
	if json.Unmarshal(policy.Statement, &list) != nil {
		list = make([]statement, 1)
		if json.Unmarshal(policy.Statement, &list[0]) != nil {
			return false
		}
	}
	for _, s := range list {
		for _, principal := range principals(s.Principal) {
			if s.Effect == "Allow" && (principal == "*" || slices.Contains(names, principal)) {
				return true
			}
		}
	}
	return false
}

// principals are the AWS principals of a statement: "*", {"AWS": "…"} or {"AWS": ["…"]}.
func principals(raw json.RawMessage) []string {
	var everybody string
	if json.Unmarshal(raw, &everybody) == nil {
		return []string{everybody}
	}
	var byKind map[string]json.RawMessage
	if json.Unmarshal(raw, &byKind) != nil {
		return nil
	}
	var many []string
	if json.Unmarshal(byKind["AWS"], &many) == nil {
		return many
	}
	var one string
	if json.Unmarshal(byKind["AWS"], &one) == nil {
		return []string{one}
	}
	return nil
}

// with is a context and more.
func with(ctx, more map[string][]string) map[string][]string {
	maps.Copy(ctx, more)
	return ctx
}
