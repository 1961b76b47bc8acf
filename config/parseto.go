// SPDX-License-Identifier: Apache-2.0

package config

import (
	"slices"

	"github.com/stile-project/stile/internal/shape"
)

func (r *reader) to(n *node) (t To) {
	r.mapping(n,
		may("gcp", func(n *node) { t.GCP = r.toGCP(n) }),
		may("aws", func(n *node) { t.AWS = r.toAWS(n) }),
		may("token", func(n *node) { t.Token = r.toToken(n) }),
	)
	r.one(n, "a crossing", "target", []string{"gcp", "aws", "token"})
	return t
}

func (r *reader) toGCP(n *node) *ToGCP {
	t := new(ToGCP)
	r.mapping(n,
		must("provider", r.text(&t.Provider, provider)),
		may("service_account", r.text(&t.ServiceAccount, shape.ServiceAccount)),
		may("delegates", r.texts(&t.Delegates, listLimit, shape.ServiceAccount)),
		may("scopes", r.texts(&t.Scopes, listLimit, shape.Scope)),
		may("lifetime", r.duration(&t.Lifetime, lifetimeLeast, lifetimeMost)),
		may("id_token", func(n *node) { t.IDToken = r.idToken(n) }),
		may("boundary", func(n *node) { t.Boundary = r.boundary(n) }),
		may("quota_project", r.text(&t.QuotaProject, shape.Project)),
		may("workforce_user_project", r.text(&t.WorkforceUserProject, shape.Project)),
		may("universe_domain", r.text(&t.UniverseDomain, r.allow.universe)),
		may("mtls", r.truth(&t.MTLS)),
	)
	r.gcpTogether(t, n)
	return t
}

// gcpTogether reports settings of a Google target that do not go together.
func (r *reader) gcpTogether(t *ToGCP, n *node) {
	for _, key := range []string{"delegates", "lifetime", "id_token"} {
		if f, ok := n.field(key); ok && !n.has("service_account") {
			r.problem(f.at, "%s needs a service_account to impersonate: add it, or remove %s", key, key)
		}
	}
	for _, key := range []string{"scopes", "lifetime", "boundary"} {
		if f, ok := n.field(key); ok && n.has("id_token") {
			r.problem(f.at, "an ID token has no %s of its own to choose: remove %s, or remove id_token", key, key)
		}
	}
	if f, ok := n.field("workforce_user_project"); ok && t.Provider != "" && !isWorkforce(t.Provider) {
		r.problem(f.at, "workforce_user_project belongs to a workforce pool: remove it, or name a provider of one")
	}
	if f, ok := n.field("mtls"); ok && t.MTLS && t.UniverseDomain != "" && t.UniverseDomain != googleUniverse {
		r.problem(f.at, "mtls: the hosts that take a client certificate are in %s only: remove it, or remove universe_domain", googleUniverse)
	}
}

func (r *reader) idToken(n *node) *IDToken {
	t := new(IDToken)
	r.mapping(n,
		must("audience", r.text(&t.Audience, audience)),
		may("include_email", r.truth(&t.IncludeEmail)),
	)
	return t
}

func (r *reader) toAWS(n *node) *ToAWS {
	t := new(ToAWS)
	r.mapping(n,
		must("role", r.text(&t.Role, shape.RoleARN)),
		may("region", r.text(&t.Region, shape.Region)),
		may("session_name", r.text(&t.SessionName, shape.SessionName)),
		may("duration", r.duration(&t.Duration, sessionLeast, sessionMost)),
		may("policy", r.text(&t.Policy, shape.SessionPolicy)),
		may("policy_arns", r.texts(&t.PolicyARNs, policyARNLimit, shape.PolicyARN)),
		may("then", func(n *node) { t.Then = r.nextRole(n) }),
		may("fips", r.truth(&t.FIPS)),
		may("dual_stack", r.truth(&t.DualStack)),
		may("sts_endpoint", r.text(&t.STSEndpoint, r.allow.stsEndpoint)),
	)
	r.awsTogether(t, n)
	return t
}

// awsTogether reports settings of an AWS target that do not go together.
func (r *reader) awsTogether(t *ToAWS, n *node) {
	if f, ok := n.field("sts_endpoint"); ok && t.FIPS {
		r.problem(f.at, "fips chooses the STS host and so does sts_endpoint: keep one")
	}
	if f, ok := n.field("sts_endpoint"); ok && t.DualStack {
		r.problem(f.at, "dual_stack chooses the STS host and so does sts_endpoint: keep one")
	}
	r.samePartition(n, t.Role, t.Region)
	if i := slices.IndexFunc(t.PolicyARNs, func(arn string) bool { return arn != "" && foreign(arn, t.Role) }); i >= 0 {
		f, _ := n.field("policy_arns")
		r.problem(f.value.items[i].at, "policy_arns: the policy is of another partition than the role: use one of %s", partitionOfARN(t.Role))
	}
	if t.Then != nil && t.Then.Role != "" && foreign(t.Then.Role, t.Role) {
		f, _ := n.field("then")
		f, _ = f.value.field("role")
		r.problem(f.value.at, "role: it is of another partition than the role before it, and no identity leads there: change one")
	}
}

func foreign(arn, role string) bool { return role != "" && partitionOfARN(arn) != partitionOfARN(role) }

func (r *reader) nextRole(n *node) *NextRole {
	t := new(NextRole)
	r.mapping(n,
		must("role", r.text(&t.Role, shape.RoleARN)),
		may("session_name", r.text(&t.SessionName, shape.SessionName)),
		may("external_id", r.text(&t.ExternalID, shape.ExternalID)),
		may("duration", r.chained(&t.Duration, sessionLeast, sessionMost)),
		may("policy", r.text(&t.Policy, shape.SessionPolicy)),
		may("tags", r.tags(&t.Tags)),
	)
	return t
}

func (r *reader) toToken(n *node) *ToToken {
	t := new(ToToken)
	r.mapping(n, must("audience", r.text(&t.Audience, audience)))
	return t
}

// samePartition reports a region that the role cannot be reached from: AWS's partitions share no identities.
func (r *reader) samePartition(n *node, role, region string) {
	if role == "" || region == "" || partitionOfARN(role) == partitionOf(region) {
		return
	}
	f, _ := n.field("region")
	r.problem(f.value.at, "region: it lies in the partition %s and the role in another: change one", partitionOf(region))
}
