// SPDX-License-Identifier: Apache-2.0

package fromoidc

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/stile-project/stile"
)

// DefaultGitLabVariable is the name that GitLab's own guides give the variable of an id_tokens entry.
const DefaultGitLabVariable = "GITLAB_OIDC_TOKEN"

// GitLabCI is a [stile.Source] that takes the ID token which GitLab CI/CD puts into a job's variable:
//
//	job:
//	  id_tokens:
//	    GITLAB_OIDC_TOKEN:
//	      aud: AUDIENCE
//
// The job fixes the audience, so it is checked. The token lasts as long as the job may (at least 5 minutes).
// Source: GitLab CI/CD YAML syntax reference, id_tokens.
type GitLabCI struct {
	// Variable is the entry's name. Empty: [DefaultGitLabVariable].
	Variable string
	// Audience is the entry's aud, where that is another name than the target's own. Empty: the target's.
	Audience string
	// Lookup finds variables. Nil: os.LookupEnv.
	Lookup func(string) (string, bool)
	// Clock tells whether the token is still good. Nil: time.Now.
	Clock func() time.Time
}

func (g *GitLabCI) environment() *Environment {
	return &Environment{Name: cmp.Or(g.Variable, DefaultGitLabVariable), Audience: g.Audience, Lookup: g.Lookup, Clock: g.Clock}
}

// CacheKey is that of an [Environment].
func (g *GitLabCI) CacheKey() stile.Key { return g.environment().CacheKey() }

// SubjectToken takes the job's token and checks that it is for audience.
func (g *GitLabCI) SubjectToken(_ context.Context, audience string) (stile.SubjectToken, error) {
	e := g.environment()
	entry := fmt.Sprintf("give the job id_tokens: {%s: {aud: %q}}", e.Name, cmp.Or(g.Audience, audience))
	set := entry
	if in, _ := lookup(g.Lookup)("GITLAB_CI"); in != "true" {
		set = "run in GitLab CI/CD, where GITLAB_CI is true, and " + entry
	}
	return e.subjectToken(audience, set, entry)
}
