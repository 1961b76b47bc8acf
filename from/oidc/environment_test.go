// SPDX-License-Identifier: Apache-2.0

package fromoidc_test

import (
	"testing"
	"time"

	"github.com/stile-project/stile"
	fromoidc "github.com/stile-project/stile/from/oidc"
)

func TestEnvironment(t *testing.T) {
	t.Parallel()
	good := token(nil)
	look := environment(map[string]string{"GOOD": good + "\n", "OPAQUE": "hunter2", "EMPTY": "", "BLANK": " \n",
		"ELSEWHERE": token(map[string]any{"aud": "x"}), "OLD": token(map[string]any{"exp": 1})})
	got, err := (&fromoidc.Environment{Name: "GOOD", Lookup: look, Clock: clock}).SubjectToken(t.Context(), audience)
	isToken(t, got, err, good, "workload", noon.Add(time.Hour))
	got, err = (&fromoidc.Environment{Name: "OPAQUE", Lookup: look, InsecureSkipAudience: true}).SubjectToken(t.Context(), audience)
	isToken(t, got, err, "hunter2", "", time.Time{})
	got, err = (&fromoidc.Environment{Name: "ELSEWHERE", Lookup: look, Audience: "x", Type: stile.TokenTypeIDToken, Clock: clock}).SubjectToken(t.Context(), audience)
	isToken(t, got, err, token(map[string]any{"aud": "x"}), "workload", noon.Add(time.Hour))
	if got.Type != stile.TokenTypeIDToken {
		t.Errorf("type %q", got.Type)
	}

	for name, c := range map[string]struct {
		variable string
		kind     error
		words    string
	}{
		"no name":          {"", stile.ErrMisuse, "no variable"},
		"not set":          {"NONE", stile.ErrNoIdentity, "the variable NONE: it is not set"},
		"empty":            {"EMPTY", stile.ErrNoIdentity, "set, to nothing"},
		"white space":      {"BLANK", stile.ErrNoIdentity, "set, to nothing"},
		"opaque":           {"OPAQUE", stile.ErrNoIdentity, "InsecureSkipAudience"},
		"another audience": {"ELSEWHERE", stile.ErrMisuse, `made out to "x"`},
		"expired":          {"OLD", stile.ErrNoIdentity, "the token expired"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := (&fromoidc.Environment{Name: c.variable, Lookup: look, Clock: clock}).SubjectToken(t.Context(), audience)
			isRefusal(t, err, c.kind, c.words)
		})
	}
	_, err = (&fromoidc.Environment{Name: "GOOD", Lookup: look}).SubjectToken(t.Context(), "")
	isRefusal(t, err, stile.ErrMisuse, "no audience")
}

func TestEnvironmentOfTheProcess(t *testing.T) {
	good := token(nil)
	t.Setenv("STILE_TEST_TOKEN", good)
	got, err := (&fromoidc.Environment{Name: "STILE_TEST_TOKEN", Clock: clock}).SubjectToken(t.Context(), audience)
	isToken(t, got, err, good, "workload", noon.Add(time.Hour))
}

func TestEnvironmentKeys(t *testing.T) {
	t.Parallel()
	one, two := environment(map[string]string{"A": "1", "B": "1"}), environment(map[string]string{"A": "2"})
	distinct(t, map[string]*fromoidc.Environment{
		"one": {Name: "A", Lookup: one}, "the same name elsewhere": {Name: "A", Lookup: two}, "another name": {Name: "B", Lookup: one},
		"audience": {Name: "A", Lookup: one, Audience: "a"}, "type": {Name: "A", Lookup: one, Type: "a"}, "any audience": {Name: "A", Lookup: one, InsecureSkipAudience: true},
	})
}

func TestGitLabCI(t *testing.T) {
	t.Parallel()
	good := token(map[string]any{"sub": "project_path:group/project:ref_type:branch:ref:main"})
	job := environment(map[string]string{"GITLAB_CI": "true", "GITLAB_OIDC_TOKEN": good, "OTHER": token(map[string]any{"aud": "x"})})
	got, err := (&fromoidc.GitLabCI{Lookup: job, Clock: clock}).SubjectToken(t.Context(), audience)
	isToken(t, got, err, good, "project_path:group/project:ref_type:branch:ref:main", noon.Add(time.Hour))
	got, err = (&fromoidc.GitLabCI{Variable: "OTHER", Audience: "x", Lookup: job, Clock: clock}).SubjectToken(t.Context(), audience)
	isToken(t, got, err, token(map[string]any{"aud": "x"}), "workload", noon.Add(time.Hour))

	for name, c := range map[string]struct {
		source fromoidc.GitLabCI
		kind   error
		words  string
	}{
		"no id_tokens":     {fromoidc.GitLabCI{Lookup: environment(map[string]string{"GITLAB_CI": "true"})}, stile.ErrNoIdentity, `hint: give the job id_tokens: {GITLAB_OIDC_TOKEN: {aud: "` + audience + `"}}`},
		"no GitLab":        {fromoidc.GitLabCI{Lookup: environment(nil)}, stile.ErrNoIdentity, "hint: run in GitLab CI/CD"},
		"another audience": {fromoidc.GitLabCI{Variable: "OTHER", Lookup: job}, stile.ErrMisuse, `hint: give the job id_tokens: {OTHER: {aud: "` + audience},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := c.source.SubjectToken(t.Context(), audience)
			isRefusal(t, err, c.kind, c.words)
		})
	}
	distinct(t, map[string]*fromoidc.GitLabCI{
		"one": {Lookup: job}, "other": {Lookup: job, Variable: "OTHER"}, "audience": {Lookup: job, Audience: "a"},
	})
	if !(&fromoidc.GitLabCI{Lookup: environment(nil)}).CacheKey().IsZero() {
		t.Error("there is no job, and there is a key")
	}
}
