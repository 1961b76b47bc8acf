// SPDX-License-Identifier: Apache-2.0

package issuers

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/stile-project/stile/lab/oidc"
)

const (
	// GitLabIssuer is the iss of the tokens of GitLab.com.
	GitLabIssuer = "https://gitlab.com"

	gitlabShortest  = 5 * time.Minute
	gitlabUsual     = time.Hour       // the usual timeout of a job
	gitlabBackdated = 5 * time.Second // how far nbf lies before iat
)

// GitLab is GitLab.com as an issuer of tokens. It puts them into a job's environment; there is nothing to ask.
//
// Source: GitLab docs, "OpenID Connect (OIDC) authentication using ID tokens", and CI/CD YAML reference, id_tokens.
type GitLab struct {
	directory *Directory
	issuer    *issuer
}

func newGitLab(d *Directory) *GitLab {
	i, err := d.newIssuer("GitLab", GitLabIssuer, oidc.JWKSURI(GitLabIssuer+"/oauth/discovery/keys"))
	if err != nil {
		panic("issuers: " + err.Error()) // a constant of ours is wrong
	}
	return &GitLab{directory: d, issuer: i}
}

// A GitLabJob is one job of a pipeline, as far as its tokens tell.
type GitLabJob struct {
	Project     string        // GROUP/PROJECT, with more groups between; required
	Ref         string        // a branch's or tag's bare name; "": main
	Tag         bool          // Ref is a tag
	Source      string        // what started the pipeline; "": push
	Environment string        // "": none
	User        string        // "": sally
	Timeout     time.Duration // of the job, and so of its tokens; 0: 1h, and never below 5m

	// IDTokens are the job's id_tokens: the audiences of each variable.
	IDTokens map[string][]string
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Start starts a job and gives the variables it finds, its tokens among them.
func (g *GitLab) Start(j GitLabJob) (Variables, error) {
	if !pathName.MatchString(j.Project) {
		return nil, fmt.Errorf("starting a job of %.128q: %w", j.Project, errName)
	}
	j = j.filled()
	v := Variables{
		"CI": "true", "GITLAB_CI": "true", "CI_SERVER_URL": GitLabIssuer, "CI_SERVER_HOST": "gitlab.com", "CI_PROJECT_PATH": j.Project,
		"CI_PROJECT_NAMESPACE": path.Dir(j.Project), "CI_PROJECT_NAME": path.Base(j.Project), "CI_PIPELINE_SOURCE": j.Source,
		"CI_COMMIT_REF_NAME": j.Ref, "CI_COMMIT_SHA": hexOf(j.Project+j.Ref, 40), "CI_JOB_ID": numberOf(newUUID(), 10),
	}
	if j.Tag {
		v["CI_COMMIT_TAG"] = j.Ref
	} else {
		v["CI_COMMIT_BRANCH"] = j.Ref
	}
	for name, audiences := range j.IDTokens {
		if !variableName.MatchString(name) || len(audiences) == 0 {
			return nil, fmt.Errorf("starting a job of %s: id_tokens: %.64q: want a variable's name, and an aud", j.Project, name)
		}
		token, err := g.Token(g.claims(j, audiences))
		if err != nil {
			return nil, fmt.Errorf("starting a job of %s: %w", j.Project, err)
		}
		v[name] = token
	}
	return v, nil
}

func (j GitLabJob) filled() GitLabJob {
	for field, usual := range map[*string]string{&j.Ref: "main", &j.Source: "push", &j.User: "sally"} {
		if *field == "" {
			*field = usual
		}
	}
	if j.Timeout == 0 {
		j.Timeout = gitlabUsual
	}
	j.Timeout = max(j.Timeout, gitlabShortest)
	return j
}

// Subject is the sub of the job's tokens.
func (j GitLabJob) Subject() string {
	j = j.filled()
	return "project_path:" + j.Project + ":ref_type:" + j.refType() + ":ref:" + j.Ref
}

func (j GitLabJob) refType() string {
	if j.Tag {
		return "tag"
	}
	return "branch"
}

// claims are those of GitLab's documentation, in the types of its examples. One audience is a string, more are a list.
func (g *GitLab) claims(j GitLabJob, audiences []string) map[string]any {
	now := g.directory.now()
	group, full := path.Dir(j.Project), "refs/heads/"+j.Ref
	if j.Tag {
		full = "refs/tags/" + j.Ref
	}
	commit := hexOf(j.Project+j.Ref, 40)
	c := map[string]any{
		"jti": newUUID(), "iss": GitLabIssuer, "sub": j.Subject(), "aud": audiences[0],
		"iat": now.Unix(), "nbf": now.Add(-gitlabBackdated).Unix(), "exp": now.Add(j.Timeout).Unix(),
		"namespace_id": numberOf(group, 5), "namespace_path": group, "project_id": numberOf(j.Project, 7), "project_path": j.Project,
		"project_visibility": "private", "user_id": numberOf(j.User, 6), "user_login": j.User, "user_email": j.User + "@example.com",
		"user_access_level": "developer", "pipeline_id": numberOf(newUUID(), 9), "pipeline_source": j.Source, "job_id": numberOf(newUUID(), 10),
		"ref": j.Ref, "ref_type": j.refType(), "ref_path": full, "ref_protected": "true", "groups_direct": []string{strings.Split(group, "/")[0]},
		"runner_id": 1, "runner_environment": "gitlab-hosted", "sha": commit,
		"ci_config_ref_uri": "gitlab.com/" + j.Project + "//.gitlab-ci.yml@" + full, "ci_config_sha": commit,
	}
	if len(audiences) > 1 {
		c["aud"] = audiences
	}
	if j.Environment != "" {
		c["environment"], c["environment_protected"] = j.Environment, "false"
	}
	return c
}

// Token signs claims with GitLab's key, whatever they are: for tests of what the clouds refuse.
func (g *GitLab) Token(claims map[string]any) (string, error) {
	return g.issuer.made().Sign(maps.Clone(claims))
}
