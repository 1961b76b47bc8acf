// SPDX-License-Identifier: Apache-2.0

package fromoidc

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/remote"
)

const (
	githubURL   = "ACTIONS_ID_TOKEN_REQUEST_URL"
	githubToken = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
)

// GitHubActions is a [stile.Source] that asks GitHub for the ID token of a workflow's job. The job needs
// permissions: {id-token: write}; a pull request from a fork does not get it. The zero GitHubActions is ready for use.
// Source: GitHub docs, "OpenID Connect reference", methods for requesting the OIDC token.
type GitHubActions struct {
	// Audience is whom the token is made out to, where that is another name than the target's own. Empty: the target's.
	Audience string
	// Lookup finds ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN. Nil: os.LookupEnv.
	Lookup func(string) (string, bool)
	// Client makes the request. Nil: http.DefaultClient.
	Client *http.Client
	// Clock tells whether the token is still good. Nil: time.Now.
	Clock func() time.Time
}

// CacheKey covers the job, by what GitHub gave it to ask with, and the audience. Where there is no such job it is the
// zero Key.
func (g *GitHubActions) CacheKey() stile.Key {
	where, _ := lookup(g.Lookup)(githubURL)
	bearer, _ := lookup(g.Lookup)(githubToken)
	if where == "" || bearer == "" {
		return stile.Key{}
	}
	return stile.NewKey("from/oidc GitHub Actions", where, bearer, g.Audience)
}

// SubjectToken asks for a token for audience.
func (g *GitHubActions) SubjectToken(ctx context.Context, audience string) (stile.SubjectToken, error) {
	const op = "ask GitHub Actions for an ID token"
	p := proof{op: op, from: "what GitHub gave", audience: cmp.Or(g.Audience, audience), now: now(g.Clock), kinds: issued}
	if p.audience == "" {
		return stile.SubjectToken{}, noAudience(op)
	}
	q, client, err := g.request(op, p.audience)
	if err != nil {
		return stile.SubjectToken{}, err
	}
	res, err := remote.Do(ctx, client, q)
	if err != nil {
		return stile.SubjectToken{}, err
	}
	if !res.OK() {
		code, message := spoken(res.Body)
		return stile.SubjectToken{}, q.Refusal(res, code, message, "a job's request token dies with the job: ask while it runs")
	}
	raw, err := member(res.Body, "value")
	if err != nil {
		return stile.SubjectToken{}, q.Malformed(res, err.Error())
	}
	return p.subjectToken(raw)
}

func (g *GitHubActions) request(op, audience string) (remote.Request, *http.Client, error) {
	raw, _ := lookup(g.Lookup)(githubURL)
	bearer, _ := lookup(g.Lookup)(githubToken)
	if raw == "" || bearer == "" {
		return remote.Request{}, nil, g.absent(op)
	}
	where, err := safeURL(raw)
	if err != nil {
		return remote.Request{}, nil, &stile.Error{Op: op, Err: fmt.Errorf("%w: %s: %w", stile.ErrMisuse, githubURL, err)}
	}
	if err := fitHeader("Authorization", bearer); err != nil {
		return remote.Request{}, nil, &stile.Error{Op: op, Err: fmt.Errorf("%w: %s: %w", stile.ErrMisuse, githubToken, err)}
	}
	query := where.Query() // it has an api-version of GitHub's own
	query.Set("audience", audience)
	where.RawQuery = query.Encode()
	return remote.Request{Op: op, Cloud: "GitHub", Method: http.MethodGet, URL: where.String(), Limit: maxContent,
		Header:  http.Header{"Authorization": {"Bearer " + bearer}, "Accept": {"application/json"}},
		Secrets: []stile.Secret{stile.NewSecret(bearer)}, Sent: []slog.Attr{slog.String("audience", audience)},
	}, clientFor(g.Client, where), nil
}

// absent tells a job that may not ask from a place that is no job.
func (g *GitHubActions) absent(op string) error {
	if in, _ := lookup(g.Lookup)("GITHUB_ACTIONS"); in != "true" {
		return &stile.Error{Op: op, Hint: "run in a GitHub Actions job",
			Err: fmt.Errorf("%w: this is no GitHub Actions job: GITHUB_ACTIONS is not true, and %s and %s are not both set", stile.ErrNoIdentity, githubURL, githubToken)}
	}
	return &stile.Error{Op: op,
		Hint: "give the job permissions: {id-token: write}, and so for the caller of a reusable workflow; a pull request from a fork cannot have it",
		Err:  fmt.Errorf("%w: this GitHub Actions job may not ask for ID tokens: %s and %s are not both set", stile.ErrNoIdentity, githubURL, githubToken)}
}
