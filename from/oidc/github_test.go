// SPDX-License-Identifier: Apache-2.0

package fromoidc_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stile-project/stile"
	fromoidc "github.com/stile-project/stile/from/oidc"
)

const githubURL = "https://pipelines.actions.example/x//idtoken/1/2?api-version=2.0"

func githubJob(changes map[string]string) func(string) (string, bool) {
	job := map[string]string{"GITHUB_ACTIONS": "true", "ACTIONS_ID_TOKEN_REQUEST_URL": githubURL, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-hunter2"}
	for name, value := range changes {
		job[name] = value
	}
	return environment(job)
}

// github makes out a token to whatever audience a good request asks for.
func github(r *http.Request) (*http.Response, error) {
	query := r.URL.Query()
	if r.Method != http.MethodGet || r.Header.Get("Authorization") != "Bearer request-hunter2" || query.Get("api-version") != "2.0" ||
		r.URL.Host != "pipelines.actions.example" || r.URL.Path != "/x//idtoken/1/2" || len(query["audience"]) != 1 {
		return answer(r, 401, `{"message":"Bad credentials"}`), nil
	}
	made := token(map[string]any{"sub": "repo:octo-org/octo-repo:ref:refs/heads/main", "aud": query.Get("audience")})
	return answer(r, 200, `{"count":1234,"value":"`+made+`"}`), nil
}

func TestGitHubActions(t *testing.T) {
	t.Parallel()
	for _, audience := range []string{audience, "sts.amazonaws.com", "https://a.example/?x=1&y=a b#c", "ünïcode+%20"} {
		source := &fromoidc.GitHubActions{Lookup: githubJob(nil), Client: &http.Client{Transport: roundTrip(github)}, Clock: clock}
		got, err := source.SubjectToken(t.Context(), audience)
		isToken(t, got, err, token(map[string]any{"sub": "repo:octo-org/octo-repo:ref:refs/heads/main", "aud": audience}),
			"repo:octo-org/octo-repo:ref:refs/heads/main", noon.Add(time.Hour))
		source.Audience = "api://x"
		got, err = source.SubjectToken(t.Context(), audience)
		isToken(t, got, err, token(map[string]any{"sub": "repo:octo-org/octo-repo:ref:refs/heads/main", "aud": "api://x"}),
			"repo:octo-org/octo-repo:ref:refs/heads/main", noon.Add(time.Hour))
	}
}

func TestGitHubActionsRefuses(t *testing.T) {
	t.Parallel()
	ok := &http.Client{Transport: roundTrip(github)}
	cases := map[string]struct {
		lookup func(string) (string, bool)
		client *http.Client
		kind   error
		words  string
	}{
		"no job":            {environment(nil), ok, stile.ErrNoIdentity, "this is no GitHub Actions job: GITHUB_ACTIONS is not true"},
		"no permission":     {environment(map[string]string{"GITHUB_ACTIONS": "true"}), ok, stile.ErrNoIdentity, "hint: give the job permissions: {id-token: write}"},
		"half a permission": {githubJob(map[string]string{"ACTIONS_ID_TOKEN_REQUEST_TOKEN": ""}), ok, stile.ErrNoIdentity, "permissions: {id-token: write}"},
		"plain http":        {githubJob(map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": "http://hunter2.example/"}), ok, stile.ErrMisuse, "ACTIONS_ID_TOKEN_REQUEST_URL: want https"},
		"line end":          {githubJob(map[string]string{"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "hunter2\n"}), ok, stile.ErrMisuse, "ACTIONS_ID_TOKEN_REQUEST_TOKEN: its value has control"},
		"stale permission":  {githubJob(map[string]string{"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "other"}), ok, stile.ErrRefused, "ask while it runs"},
		"not JSON":          {githubJob(nil), answering(200, "hunter2"), stile.ErrTemporary, "not a JSON object"},
		"no value":          {githubJob(nil), answering(200, `{"count":1}`), stile.ErrTemporary, `without "value"`},
		"a number":          {githubJob(nil), answering(200, `{"value":1}`), stile.ErrTemporary, "not a JSON string"},
		"empty":             {githubJob(nil), answering(200, `{"value":""}`), stile.ErrTemporary, "empty"},
		"no JWT":            {githubJob(nil), answering(200, `{"value":"hunter2"}`), stile.ErrTemporary, "no JWT"},
		"another audience":  {githubJob(nil), answering(200, `{"value":"`+token(map[string]any{"aud": "x"})+`"}`), stile.ErrTemporary, "made out to"},
		"expired":           {githubJob(nil), answering(200, `{"value":"`+token(map[string]any{"exp": 1})+`"}`), stile.ErrTemporary, "expired"},
		"echo":              {githubJob(nil), answering(403, `{"message":"no: request-hunter2"}`), stile.ErrRefused, "no: [secret]"},
		"throttled":         {githubJob(nil), answering(429, ""), stile.ErrTemporary, "429"},
		"broken":            {githubJob(nil), answering(503, "hunter2"), stile.ErrTemporary, "503"},
		"redirect":          {githubJob(nil), answering(307, ""), stile.ErrRefused, "redirect"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := (&fromoidc.GitHubActions{Lookup: c.lookup, Client: c.client, Clock: clock}).SubjectToken(t.Context(), audience)
			isRefusal(t, err, c.kind, c.words)
			if strings.Contains(err.Error(), "api-version") {
				t.Errorf("the error repeats the URL: %v", err)
			}
		})
	}
	_, err := (&fromoidc.GitHubActions{Lookup: githubJob(nil), Client: ok}).SubjectToken(t.Context(), "")
	isRefusal(t, err, stile.ErrMisuse, "no audience")
}

func TestGitHubActionsKeys(t *testing.T) {
	t.Parallel()
	distinct(t, map[string]*fromoidc.GitHubActions{
		"job": {Lookup: githubJob(nil)}, "another job": {Lookup: githubJob(map[string]string{"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x"})},
		"audience": {Lookup: githubJob(nil), Audience: "a"},
	})
	if !(&fromoidc.GitHubActions{Lookup: environment(nil)}).CacheKey().IsZero() {
		t.Error("there is no job, and there is a key")
	}
}
