// SPDX-License-Identifier: Apache-2.0

package issuers

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const audience = "https://vault.example"

func (s *setup) run(j GitHubJob) *Runner {
	s.t.Helper()
	r, err := s.GitHub.Run(j)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func where(v Variables, audience string) string {
	return v["ACTIONS_ID_TOKEN_REQUEST_URL"] + "&audience=" + url.QueryEscape(audience)
}

func TestGitHubToken(t *testing.T) {
	t.Parallel()
	s := start(t)
	r := s.run(GitHubJob{Repository: "octo-org/app", IDToken: true})
	v := r.Variables()
	status, body := s.do("GET", where(v, audience), v["ACTIONS_ID_TOKEN_REQUEST_TOKEN"], "")
	var answer map[string]any
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != 200 || len(answer) != 2 {
		t.Fatalf("got %d, %v, %d members", status, err, len(answer))
	}
	raw, _ := answer["value"].(string)
	if answer["count"] != float64(len(raw)) {
		t.Errorf("count %v, want the token's length, %d", answer["count"], len(raw))
	}
	got := s.claims(GitHubIssuer, raw)
	now := s.time().Unix()
	want := map[string]any{
		"iss": GitHubIssuer, "sub": "repo:octo-org/app:ref:refs/heads/main", "aud": audience,
		"iat": number(now), "nbf": number(now - 600), "exp": number(now + 300),
		"repository": "octo-org/app", "repository_owner": "octo-org", "ref": "refs/heads/main", "ref_type": "branch", "ref_protected": "false",
		"repository_visibility": "private", "workflow": "deploy", "workflow_ref": "octo-org/app/.github/workflows/deploy.yml@refs/heads/main",
		"job_workflow_ref": "octo-org/app/.github/workflows/deploy.yml@refs/heads/main", "event_name": "push", "actor": "octocat",
		"base_ref": "", "head_ref": "", "run_number": "10", "run_attempt": "1", "runner_environment": "github-hosted", "run_id": v["GITHUB_RUN_ID"],
		"sha": v["GITHUB_SHA"], "workflow_sha": v["GITHUB_SHA"], "job_workflow_sha": v["GITHUB_SHA"],
	}
	for _, id := range []string{"jti", "repository_id", "repository_owner_id", "actor_id"} {
		if text, ok := got[id].(string); !ok || text == "" {
			t.Errorf("%s is %v, want a string", id, got[id])
		}
		want[id] = got[id]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}

func TestGitHubSubjects(t *testing.T) {
	t.Parallel()
	for want, j := range map[string]GitHubJob{
		"repo:o/r:ref:refs/heads/main":     {Repository: "o/r"},
		"repo:o/r:ref:refs/tags/v1":        {Repository: "o/r", Ref: "refs/tags/v1"},
		"repo:o/r:pull_request":            {Repository: "o/r", Event: "pull_request", Ref: "refs/pull/1/merge"},
		"repo:o/r:environment:production":  {Repository: "o/r", Environment: "production", Event: "pull_request"},
		"repo:o/r:environment:eu%3Aproduc": {Repository: "o/r", Environment: "eu:produc"},
	} {
		if got := j.Subject(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestGitHubRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method      string
		change      func(r *Runner, v Variables) // of the request's URL, bearer token and audience, which are in v
		status      int
		key, reason string
	}{
		"no bearer":              {"GET", func(_ *Runner, v Variables) { v["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = "" }, 401, "UnauthorizedRequestException", "carries none"},
		"wrong bearer":           {"GET", func(_ *Runner, v Variables) { v["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] += "x" }, 401, "UnauthorizedRequestException", "carries another"},
		"another job's bearer":   {"GET", func(r *Runner, v Variables) { v["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = other(r) }, 401, "UnauthorizedRequestException", "carries another"},
		"the job has finished":   {"GET", func(r *Runner, _ Variables) { r.Finish() }, 401, "UnauthorizedRequestException", "has finished"},
		"no api-version":         {"GET", func(_ *Runner, v Variables) { cut(v, "api-version=2.0") }, 400, "VssVersionNotSpecifiedException", "version"},
		"two audiences":          {"GET", func(_ *Runner, v Variables) { v["ACTIONS_ID_TOKEN_REQUEST_URL"] += "&audience=a" }, 400, "VssPropertyValidationException", "one audience"},
		"an audience too long":   {"GET", func(_ *Runner, v Variables) { v["AUDIENCE"] = strings.Repeat("a", 1001) }, 400, "VssPropertyValidationException", "one audience"},
		"posted":                 {"POST", func(*Runner, Variables) {}, 405, "VssRequestMethodNotAllowedException", "GET"},
		"without id-token:write": {"GET", func(r *Runner, _ Variables) { r.job.IDToken = false }, 403, "AccessDeniedException", "id-token: write"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			r := s.run(GitHubJob{Repository: "octo-org/app", IDToken: true})
			v := r.Variables()
			v["AUDIENCE"] = audience
			c.change(r, v)
			status, body := s.do(c.method, where(v, v["AUDIENCE"]), v["ACTIONS_ID_TOKEN_REQUEST_TOKEN"], "")
			var answer struct{ TypeKey, Message, Value string }
			if err := json.Unmarshal([]byte(body), &answer); err != nil || status != c.status || answer.TypeKey != c.key || answer.Message == "" || answer.Value != "" {
				t.Errorf("got %d %s, want %d %s", status, body, c.status, c.key)
			}
			if why := s.reason(); !strings.Contains(why, c.reason) {
				t.Errorf("the journal says %q, want something about %q", why, c.reason)
			}
		})
	}
}

func cut(v Variables, text string) {
	v["ACTIONS_ID_TOKEN_REQUEST_URL"] = strings.Replace(v["ACTIONS_ID_TOKEN_REQUEST_URL"], text, "", 1)
}

func other(r *Runner) string {
	second, err := r.github.Run(GitHubJob{Repository: "octo-org/app", IDToken: true})
	if err != nil {
		panic(err)
	}
	return second.bearer
}

func TestGitHubJobWithoutPermissionCannotAsk(t *testing.T) {
	t.Parallel()
	v := start(t).run(GitHubJob{Repository: "octo-org/app"}).Variables()
	for _, name := range []string{"ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"} {
		if _, ok := v.Lookup(name); ok {
			t.Errorf("%s is set", name)
		}
	}
	if in, _ := v.Lookup("GITHUB_ACTIONS"); in != "true" {
		t.Error("it is no job")
	}
}

func TestGitHubRunRefuses(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, j := range []GitHubJob{{}, {Repository: "app"}, {Repository: "a/b/c"}, {Repository: "a/b c"}, {Repository: "a/b", Ref: "main"}} {
		if _, err := s.GitHub.Run(j); err == nil {
			t.Errorf("%+v runs", j)
		}
	}
}

func TestGitLabJob(t *testing.T) {
	t.Parallel()
	s := start(t)
	v, err := s.GitLab.Start(GitLabJob{Project: "group/sub/app", Environment: "production", IDTokens: map[string][]string{"ONE": {audience}, "TWO": {"a", "b"}}})
	if err != nil {
		t.Fatal(err)
	}
	got, now := s.claims(GitLabIssuer, v["ONE"]), s.time().Unix()
	for name, want := range map[string]any{
		"iss": GitLabIssuer, "sub": "project_path:group/sub/app:ref_type:branch:ref:main", "aud": audience,
		"iat": number(now), "nbf": number(now - 5), "exp": number(now + 3600),
		"project_path": "group/sub/app", "namespace_path": "group/sub", "ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main",
		"pipeline_source": "push", "user_login": "sally", "environment": "production", "runner_id": json.Number("1"), "ref_protected": "true",
	} {
		if diff := cmp.Diff(want, got[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if diff := cmp.Diff([]any{"a", "b"}, s.claims(GitLabIssuer, v["TWO"])["aud"]); diff != "" {
		t.Errorf("two audiences (-want +got):\n%s", diff)
	}
	if v["GITLAB_CI"] != "true" || v["CI_PROJECT_PATH"] != "group/sub/app" || v["CI_COMMIT_BRANCH"] != "main" {
		t.Errorf("the job does not find what a job finds: %v", v)
	}
}

func TestGitLabTokenLivesAsLongAsTheJobMay(t *testing.T) {
	t.Parallel()
	s := start(t)
	for timeout, want := range map[time.Duration]time.Duration{0: time.Hour, time.Minute: 5 * time.Minute, 2 * time.Hour: 2 * time.Hour} {
		v, err := s.GitLab.Start(GitLabJob{Project: "g/p", Timeout: timeout, IDTokens: map[string][]string{"T": {"a"}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.claims(GitLabIssuer, v["T"])["exp"]; got != number(s.time().Add(want).Unix()) {
			t.Errorf("timeout %v: exp %v, want %v from now", timeout, got, want)
		}
	}
}

func TestGitLabStartRefuses(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, j := range []GitLabJob{
		{}, {Project: "p"}, {Project: "g/p/"}, {Project: "g/p", IDTokens: map[string][]string{"T": nil}}, {Project: "g/p", IDTokens: map[string][]string{"a b": {"x"}}},
	} {
		if v, err := s.GitLab.Start(j); err == nil {
			t.Errorf("%+v starts: %v", j, v)
		}
	}
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, issuer := range []string{EKSIssuer("eu-west-1", "c"), GKEIssuer("p", "europe-west1", "c"), "https://oidc.plain.example"} {
		if _, err := s.AddCluster(Cluster{Name: "c" + numberOf(issuer, 3), Issuer: issuer}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.AddTrustDomain(TrustDomain{Name: "example.org"}); err != nil {
		t.Fatal(err)
	}
	for issuer, keys := range map[string]string{
		GitHubIssuer:                         GitHubIssuer + "/.well-known/jwks",
		GitLabIssuer:                         GitLabIssuer + "/oauth/discovery/keys",
		EKSIssuer("eu-west-1", "c"):          EKSIssuer("eu-west-1", "c") + "/keys",
		GKEIssuer("p", "europe-west1", "c"):  "https://container.googleapis.com/v1/projects/p/locations/europe-west1/clusters/c/jwks",
		"https://oidc.plain.example":         "https://oidc.plain.example/openid/v1/jwks",
		"https://oidc-discovery.example.org": "https://oidc-discovery.example.org/keys",
	} {
		status, body := s.do("GET", issuer+"/.well-known/openid-configuration", "", "")
		var doc struct {
			Issuer string
			JWKS   string `json:"jwks_uri"`
		}
		if err := json.Unmarshal([]byte(body), &doc); err != nil || status != 200 || doc.Issuer != issuer || doc.JWKS != keys {
			t.Errorf("%s: %d, %v, keys at %q, want %q", issuer, status, err, doc.JWKS, keys)
		}
		if status, body := s.do("GET", keys, "", ""); status != 200 || !strings.Contains(body, `"kid"`) {
			t.Errorf("%s: %d %s", keys, status, body)
		}
		if status, _ := s.do("POST", keys, "", ""); status != 405 {
			t.Errorf("POST %s: %d, want 405", keys, status)
		}
	}
}

func TestTwoClustersOfARegionShareItsHost(t *testing.T) {
	t.Parallel()
	s := start(t)
	var tokens []string
	for _, name := range []string{"one", "two"} {
		c, err := s.AddCluster(Cluster{Name: name, Issuer: EKSIssuer("eu-west-1", name)})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := c.Token(map[string]any{"sub": name})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.claims(c.Issuer(), raw)["sub"]; got != name {
			t.Errorf("got %v, want %s", got, name)
		}
		tokens = append(tokens, raw)
	}
	if tokens[0] == tokens[1] {
		t.Error("the clusters have one key")
	}
	if _, err := s.AddCluster(Cluster{Name: "three", Issuer: EKSIssuer("eu-west-1", "one")}); err == nil {
		t.Error("two clusters have one issuer")
	}
	if status, _ := s.do("GET", "https://oidc.eks.eu-west-1.amazonaws.com/id/NONE/keys", "", ""); status != 404 {
		t.Errorf("a cluster that is not there answers %d", status)
	}
}

func TestNothingPrintsTokens(t *testing.T) {
	t.Parallel()
	s := start(t)
	r := s.run(GitHubJob{Repository: "octo-org/app", IDToken: true})
	v := maps.Clone(r.Variables())
	text := fmt.Sprintf("%v %+v %#v %s %v", v, v, v, v, Files{"/token": "eyJsecret"})
	for _, secret := range []string{r.bearer, "eyJsecret"} {
		if strings.Contains(text, secret) {
			t.Errorf("printed: %s", text)
		}
	}
	if !strings.Contains(text, "ACTIONS_ID_TOKEN_REQUEST_TOKEN") || !strings.Contains(text, "/token") {
		t.Errorf("the names are not shown: %s", text)
	}
	s.do("GET", where(v, audience), r.bearer, "")
	s.do("GET", where(v, audience), "wrong", "")
	entries, err := json.Marshal(s.journal.Take())
	if err != nil || strings.Contains(string(entries), r.bearer) || strings.Contains(string(entries), "eyJ") || !strings.Contains(string(entries), "octo-org/app") {
		t.Errorf("the journal: %s, %v", entries, err)
	}
}
