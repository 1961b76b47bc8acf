// SPDX-License-Identifier: Apache-2.0

package config

import (
	"regexp"
	"slices"
	"time"

	"github.com/stile-project/stile/internal/shape"
)

var crossingName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Limits of the clouds. Sources: AWS STS API, DurationSeconds and PolicyArns; IAM Credentials API, lifetime.
const (
	sessionLeast   = 15 * time.Minute
	sessionMost    = 12 * time.Hour
	lifetimeLeast  = time.Minute // below, a token is gone before it is used
	lifetimeMost   = 12 * time.Hour
	policyARNLimit = 10
	listLimit      = 100 // scopes, delegates
)

// Parse reads a stile.yaml of version 1, strictly: a key it does not know is an error, which names the nearest one it
// does. The name stands in messages and becomes each crossing's Origin. The error is [Problems].
func Parse(name string, data []byte) (*File, error) {
	return ParseAllowing(name, data, ForeignPolicy{})
}

// ParseAllowing is [Parse] for a file that may name the hosts that allow lists.
func ParseAllowing(name string, data []byte, allow ForeignPolicy) (*File, error) {
	name = shownName(name)
	r := newReader(allow)
	switch kind := Sniff(data); kind {
	case KindUnknown, KindStile, KindOtherJSON:
	default:
		r.problem(position{file: name}, "this is %v, not a stile.yaml", kind)
		return nil, r.err()
	}
	root := r.yaml(name, data)
	if root == nil || len(r.problems) > 0 {
		return nil, r.err()
	}
	f := r.file(name, root)
	if err := r.err(); err != nil {
		return nil, err
	}
	return f, nil
}

func (r *reader) file(name string, root *node) *File {
	f := &File{Version: 1, Crossings: make(map[string]Crossing), name: name}
	if v, ok := root.field("version"); ok && v.value.kind == number && v.value.text != "1" {
		r.problem(v.value.at, "this version of the file is not known here: write version: 1, or use a newer stile")
		return nil // the rest would be measured by the wrong rules
	}
	r.mapping(root,
		must("version", r.version),
		must("crossings", func(n *node) { r.crossings(f, n) }),
	)
	return f
}

func (r *reader) version(n *node) {
	if n.kind != number { // another number has been refused before
		r.problem(n.at, "version: want the number 1")
	}
}

func (r *reader) crossings(f *File, n *node) {
	if n.kind != mapping {
		r.wrongKind(n, mapping)
		return
	}
	if len(n.fields) == 0 {
		r.problem(n.at, "crossings is empty: add one, with a name, from and to")
	}
	first := make(map[string]position, len(n.fields))
	for _, c := range n.fields {
		if at, again := first[c.key]; again {
			r.duplicate(c, at)
			continue
		}
		first[c.key] = c.at
		if !crossingName.MatchString(c.key) {
			r.problem(c.at, "the name of a crossing: want at most 64 letters, digits and ._- beginning with a letter or digit")
			continue
		}
		f.names = append(f.names, c.key)
		f.Crossings[c.key] = r.crossing(c.key, f.name, c.value)
	}
}

func (r *reader) crossing(name, origin string, n *node) Crossing {
	c := Crossing{Name: name, Origin: origin}
	if !r.mapping(n,
		must("from", func(n *node) { c.From = r.from(n) }),
		must("to", func(n *node) { c.To = r.to(n) }),
	) {
		return c
	}
	from, _ := n.field("from")
	to, _ := n.field("to")
	if from.value == nil || to.value == nil || len(from.value.fields) != 1 || len(to.value.fields) != 1 {
		return c
	}
	if cloud := from.value.fields[0].key; cloud == to.value.fields[0].key && (cloud == "aws" || cloud == "gcp") {
		r.problem(to.value.at, "from and to are both %s: a crossing leads into the other cloud, change one", cloud)
	}
	return c
}

// one reports a mapping that does not hold exactly one key.
func (r *reader) one(n *node, what string) {
	if n.kind != mapping {
		return
	}
	switch len(n.fields) {
	case 0:
		r.problem(n.at, "%s names no cloud: write aws: or gcp: in it", n.key)
	case 2:
		if n.has("aws") && n.has("gcp") {
			r.problem(n.fields[1].at, "a crossing has one %s: keep aws or gcp", what)
		}
	}
}

func (r *reader) from(n *node) (f From) {
	r.mapping(n,
		may("aws", func(n *node) { f.AWS = r.fromAWS(n) }),
		may("gcp", func(n *node) { f.GCP = r.fromGCP(n) }),
	)
	r.one(n, "source")
	return f
}

func (r *reader) to(n *node) (t To) {
	r.mapping(n,
		may("gcp", func(n *node) { t.GCP = r.toGCP(n) }),
		may("aws", func(n *node) { t.AWS = r.toAWS(n) }),
	)
	r.one(n, "target")
	return t
}

func (r *reader) fromAWS(n *node) *FromAWS {
	f := new(FromAWS)
	r.mapping(n,
		may("profile", r.text(&f.Profile, profileName)),
		may("region", r.text(&f.Region, shape.Region)),
		may("assume_role", func(n *node) { f.AssumeRole = r.assumeRole(n) }),
		may("fips", r.truth(&f.FIPS)),
	)
	if f.AssumeRole != nil {
		r.samePartition(n, f.AssumeRole.Role, f.Region)
	}
	return f
}

func (r *reader) assumeRole(n *node) *AssumeRole {
	a := new(AssumeRole)
	r.mapping(n,
		must("role", r.text(&a.Role, shape.RoleARN)),
		may("session_name", r.text(&a.SessionName, shape.SessionName)),
		may("external_id", r.text(&a.ExternalID, shape.ExternalID)),
		may("duration", r.duration(&a.Duration, sessionLeast, sessionMost)),
	)
	return a
}

func (r *reader) fromGCP(n *node) *FromGCP {
	f := new(FromGCP)
	r.mapping(n,
		may("audience", r.text(&f.Audience, audience)),
		may("service_account", r.text(&f.ServiceAccount, metadataAccount)),
		may("format", r.text(&f.Format, identityFormat)),
	)
	return f
}

func (r *reader) toGCP(n *node) *ToGCP {
	t := new(ToGCP)
	r.mapping(n,
		must("provider", r.text(&t.Provider, shape.Provider)),
		may("service_account", r.text(&t.ServiceAccount, shape.ServiceAccount)),
		may("delegates", r.texts(&t.Delegates, listLimit, shape.ServiceAccount)),
		may("scopes", r.texts(&t.Scopes, listLimit, shape.Scope)),
		may("lifetime", r.duration(&t.Lifetime, lifetimeLeast, lifetimeMost)),
		may("id_token", func(n *node) { t.IDToken = r.idToken(n) }),
		may("quota_project", r.text(&t.QuotaProject, shape.Project)),
		may("universe_domain", r.text(&t.UniverseDomain, r.allow.universe)),
	)
	for _, key := range []string{"delegates", "lifetime", "id_token"} {
		if f, ok := n.field(key); ok && !n.has("service_account") {
			r.problem(f.at, "%s needs a service_account to impersonate: add it, or remove %s", key, key)
		}
	}
	for _, key := range []string{"scopes", "lifetime"} {
		if f, ok := n.field(key); ok && n.has("id_token") {
			r.problem(f.at, "an ID token has no %s of its own to choose: remove %s, or remove id_token", key, key)
		}
	}
	return t
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
		may("fips", r.truth(&t.FIPS)),
		may("sts_endpoint", r.text(&t.STSEndpoint, r.allow.stsEndpoint)),
	)
	if f, ok := n.field("sts_endpoint"); ok && t.FIPS {
		r.problem(f.at, "fips chooses the STS host and so does sts_endpoint: keep one")
	}
	r.samePartition(n, t.Role, t.Region)
	if i := slices.IndexFunc(t.PolicyARNs, func(arn string) bool {
		return arn != "" && t.Role != "" && partitionOfARN(arn) != partitionOfARN(t.Role)
	}); i >= 0 {
		f, _ := n.field("policy_arns")
		r.problem(f.value.items[i].at, "policy_arns: the policy is of another partition than the role: use one of %s", partitionOfARN(t.Role))
	}
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
