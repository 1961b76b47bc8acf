// SPDX-License-Identifier: Apache-2.0

package config

import (
	"slices"

	"github.com/stile-project/stile/internal/shape"
)

func (r *reader) from(n *node) (f From) {
	r.mapping(n,
		may("aws", func(n *node) { f.AWS = r.fromAWS(n) }),
		may("gcp", func(n *node) { f.GCP = r.fromGCP(n) }),
		may("oidc", func(n *node) { f.OIDC = r.fromOIDC(n) }),
	)
	r.one(n, "a crossing", "source", []string{"aws", "gcp", "oidc"})
	return f
}

func (r *reader) fromAWS(n *node) *FromAWS {
	f := new(FromAWS)
	r.mapping(n,
		may("profile", r.text(&f.Profile, profileName)),
		may("region", r.text(&f.Region, shape.Region)),
		may("assume_role", func(n *node) { f.AssumeRole = r.assumeRoles(n) }),
		may("fips", r.truth(&f.FIPS)),
		may("proof", r.text(&f.Proof, oneOf(ProofSignedRequest, ProofJWT))),
		may("allow_node_role", r.truth(&f.AllowNodeRole)),
	)
	if len(f.AssumeRole) > 0 {
		r.samePartition(n, f.AssumeRole[0].Role, f.Region)
	}
	return f
}

// assumeRoles reads one role, or a list of roles of which each is assumed from the one before.
func (r *reader) assumeRoles(n *node) (roles []AssumeRole) {
	if n.kind != list {
		return []AssumeRole{r.assumeRole(n, r.duration)}
	}
	if len(n.items) == 0 || len(n.items) > rolesLimit {
		r.problem(n.at, "%s has %d roles: want 1 to %d", n.key, len(n.items), rolesLimit)
		return nil
	}
	for i, item := range n.items {
		if i == 0 {
			roles = append(roles, r.assumeRole(item, r.duration))
			continue
		}
		role := r.assumeRole(item, r.chained)
		if f, ok := item.field("role"); ok && role.Role != "" && foreign(role.Role, roles[0].Role) {
			r.problem(f.value.at, "role: it is of another partition than the role before it, and no identity leads there: change one")
		}
		roles = append(roles, role)
	}
	return roles
}

func (r *reader) assumeRole(n *node, duration durationReader) AssumeRole {
	var a AssumeRole
	r.mapping(n,
		must("role", r.text(&a.Role, shape.RoleARN)),
		may("session_name", r.text(&a.SessionName, shape.SessionName)),
		may("external_id", r.text(&a.ExternalID, shape.ExternalID)),
		may("duration", duration(&a.Duration, sessionLeast, sessionMost)),
		may("tags", r.tags(&a.Tags)),
		may("transitive_tags", r.texts(&a.TransitiveTags, tagLimit, tagKey)),
		may("source_identity", r.text(&a.SourceIdentity, sourceIdentity)),
	)
	for i, key := range a.TransitiveTags {
		if _, ok := a.Tags[key]; key != "" && !ok {
			f, _ := n.field("transitive_tags")
			r.problem(f.value.items[i].at, "transitive_tags: tags has no such key: add it there, or remove it here")
		}
	}
	return a
}

func (r *reader) fromGCP(n *node) *FromGCP {
	f := new(FromGCP)
	r.mapping(n,
		may("audience", r.text(&f.Audience, audience)),
		may("service_account", r.text(&f.ServiceAccount, metadataAccount)),
		may("format", r.text(&f.Format, oneOf("standard", "full"))),
		may("key_file", r.text(&f.KeyFile, filePath)),
		may("impersonate", func(n *node) { f.Impersonate = r.impersonate(n) }),
		may("sign_jwt", func(n *node) { f.SignJWT = r.signJWT(n) }),
		may("application_default", func(n *node) {
			f.ApplicationDefault = new(ApplicationDefault)
			r.mapping(n, may("service_account", r.text(&f.ApplicationDefault.ServiceAccount, shape.ServiceAccount)))
		}),
	)
	r.oneWayInGCP(n)
	return f
}

// oneWayInGCP reports ways to an identity that stand beside one another.
func (r *reader) oneWayInGCP(n *node) {
	way := ""
	for _, f := range n.fields {
		if !slices.Contains([]string{"key_file", "impersonate", "sign_jwt", "application_default"}, f.key) || f.key == way {
			continue
		}
		if way != "" {
			r.problem(f.at, "a source has one way to its identity: keep %s or %s", way, f.key)
			return
		}
		way = f.key
	}
	for _, key := range []string{"service_account", "format"} {
		if f, ok := n.field(key); ok && way != "" {
			r.problem(f.at, "%s is for the metadata server, which %s does without: remove one", key, way)
		}
	}
}

func (r *reader) impersonate(n *node) *Impersonate {
	i := new(Impersonate)
	r.mapping(n,
		must("service_account", r.text(&i.ServiceAccount, shape.ServiceAccount)),
		may("delegates", r.texts(&i.Delegates, listLimit, shape.ServiceAccount)),
		may("include_email", r.truth(&i.IncludeEmail)),
	)
	return i
}

func (r *reader) signJWT(n *node) *SignJWT {
	s := new(SignJWT)
	r.mapping(n,
		must("service_account", r.text(&s.ServiceAccount, shape.ServiceAccount)),
		may("delegates", r.texts(&s.Delegates, listLimit, shape.ServiceAccount)),
	)
	return s
}

func (r *reader) fromOIDC(n *node) *FromOIDC {
	f := new(FromOIDC)
	r.mapping(n,
		may("audience", r.text(&f.Audience, audience)),
		may("token_type", r.text(&f.TokenType, oneOf("jwt", "id_token"))),
		may("file", func(n *node) { f.File = r.tokenFile(n) }),
		may("url", func(n *node) { f.URL = r.tokenURL(n) }),
		may("environment", func(n *node) { f.Environment = r.tokenVariable(n) }),
		may("executable", func(n *node) { f.Executable = r.executable(n) }),
		may("github_actions", func(n *node) { f.GitHubActions = new(GitHubActions); r.mapping(n) }),
		may("gitlab_ci", func(n *node) { f.GitLabCI = r.gitLabCI(n) }),
		may("kubernetes", func(n *node) { f.Kubernetes = r.kubernetes(n) }),
		may("token_request", func(n *node) { f.TokenRequest = r.tokenRequest(n) }),
		may("spiffe", func(n *node) { f.SPIFFE = r.spiffe(n) }),
	)
	typed := []string{"file", "url", "environment", "executable"}
	r.one(n, "oidc", "source", append(typed, "github_actions", "gitlab_ci", "kubernetes", "token_request", "spiffe"), "audience", "token_type")
	if t, ok := n.field("token_type"); ok && !slices.ContainsFunc(typed, n.has) {
		r.problem(t.at, "token_type is known for this source: remove it")
	}
	return f
}

func (r *reader) tokenFile(n *node) *TokenFile {
	t := new(TokenFile)
	r.mapping(n,
		must("path", r.text(&t.Path, filePath)),
		may("field", r.text(&t.Field, memberName)),
	)
	return t
}

func (r *reader) tokenURL(n *node) *TokenURL {
	t := new(TokenURL)
	r.mapping(n,
		must("url", r.text(&t.URL, r.allow.tokenURL)),
		may("headers", r.headers(&t.Headers)),
		may("field", r.text(&t.Field, memberName)),
	)
	return t
}

func (r *reader) tokenVariable(n *node) *TokenVariable {
	t := new(TokenVariable)
	r.mapping(n, must("variable", r.text(&t.Variable, variable)))
	return t
}

func (r *reader) executable(n *node) *Executable {
	e := new(Executable)
	r.mapping(n,
		must("command", r.words(&e.Command)),
		may("timeout", r.duration(&e.Timeout, timeoutLeast, timeoutMost)),
		may("output_file", r.text(&e.OutputFile, filePath)),
	)
	r.allowed(n)
	return e
}

// allowed reports a program that the file names and the caller does not allow.
func (r *reader) allowed(n *node) {
	if !r.allow.AllowExecutables {
		r.problem(n.at, "%s: a program that a file names runs only where you allow it: give --allow-executables, or set GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1", n.key)
	}
}

func (r *reader) gitLabCI(n *node) *GitLabCI {
	g := new(GitLabCI)
	r.mapping(n, may("variable", r.text(&g.Variable, variable)))
	return g
}

func (r *reader) kubernetes(n *node) *Kubernetes {
	k := new(Kubernetes)
	r.mapping(n, may("path", r.text(&k.Path, filePath)))
	return k
}

func (r *reader) tokenRequest(n *node) *TokenRequest {
	t := new(TokenRequest)
	r.mapping(n,
		may("namespace", r.text(&t.Namespace, namespace)),
		may("service_account", r.text(&t.ServiceAccount, objectName)),
		may("expiration", r.duration(&t.Expiration, requestedLeast, requestedMost)),
	)
	return t
}

func (r *reader) spiffe(n *node) *SPIFFE {
	s := new(SPIFFE)
	r.mapping(n, may("socket", r.text(&s.Socket, workloadSocket)))
	return s
}
