// SPDX-License-Identifier: Apache-2.0

package fromgcp

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/remote"
)

const (
	tokenEndpoint = "https://oauth2.googleapis.com/token"
	grantBearer   = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	grantRefresh  = "refresh_token"
	cloudPlatform = "https://www.googleapis.com/auth/cloud-platform"

	// assertionLife is how long a signed JWT asks to live: the most that Google takes, so that a slow clock does no
	// harm. It is presented at once.
	assertionLife = time.Hour
	// early moves iat back, as Google's own libraries do, so that a fast clock does no harm.
	early = 10 * time.Second
)

// knownTokenURLs are what key files have been written with over the years. They name one service.
var knownTokenURLs = []string{"", tokenEndpoint, "https://www.googleapis.com/oauth2/v4/token", "https://accounts.google.com/o/oauth2/token", "https://oauth2.mtls.googleapis.com/token"}

func knownTokenURL(u string) bool { return slices.Contains(knownTokenURLs, u) }

// A tokenClient asks Google's OAuth 2.0 token endpoint.
type tokenClient struct {
	url    string // empty: tokenEndpoint
	client *http.Client
	now    func() time.Time
}

func (c tokenClient) endpoint() string {
	if c.url == "" {
		return tokenEndpoint
	}
	return c.url
}

func clockOr(clock func() time.Time) func() time.Time {
	if clock == nil {
		return time.Now
	}
	return clock
}

// assertion are the claims of a JWT that trades itself for an ID token, or with a scope for an access token.
// Source: Google Identity, "Using OAuth 2.0 for Server to Server Applications"; RFC 7523.
func (c tokenClient) assertion(email, audience string) map[string]any {
	issued := c.now().Add(-early)
	claims := map[string]any{"iss": email, "sub": email, "aud": c.endpoint(), "iat": issued.Unix(), "exp": issued.Add(assertionLife).Unix()}
	if audience == "" {
		claims["scope"] = cloudPlatform
	} else {
		claims["target_audience"] = audience
	}
	return claims
}

// idToken trades a signed JWT for the ID token that it asks for.
func (c tokenClient) idToken(ctx context.Context, op, email, audience, signed string) (stile.SubjectToken, error) {
	q := c.request(op, slog.String("service account", email), slog.String("audience", audience))
	answer, res, err := c.grant(ctx, &q, grantBearer, map[string]stile.Secret{"assertion": stile.NewSecret(signed)})
	if err != nil {
		return stile.SubjectToken{}, err
	}
	if answer.IDToken == "" {
		return stile.SubjectToken{}, q.Malformed(res, "no id_token")
	}
	return presentable(op, q.Cloud, answer.IDToken, audience, c.now())
}

// accessToken trades a signed JWT or a refresh token for an access token of whoever it speaks for.
func (c tokenClient) accessToken(ctx context.Context, op, who, grant string, fields map[string]stile.Secret) (stile.Credential, error) {
	q := c.request(op, slog.String("account", who))
	asked := c.now()
	answer, res, err := c.grant(ctx, &q, grant, fields)
	if err != nil {
		return stile.Credential{}, err
	}
	if answer.AccessToken == "" || answer.ExpiresIn <= 0 || answer.ExpiresIn > 24*3600 {
		return stile.Credential{}, q.Malformed(res, "no access_token, or an expires_in that is no number of seconds")
	}
	// The ID token beside a user's access token is for gcloud itself; it only tells who the user is.
	if claims, err := unverified(answer.IDToken); err == nil && claims.Email != "" {
		who = claims.Email
	}
	return stile.Credential{Kind: stile.KindAccessToken, Token: stile.NewSecret(answer.AccessToken), Principal: who,
		Expires: asked.Add(time.Duration(answer.ExpiresIn) * time.Second)}, nil
}

func (c tokenClient) request(op string, sent ...slog.Attr) remote.Request {
	return remote.Request{Op: op, Cloud: "Google's token endpoint", Method: http.MethodPost, URL: c.endpoint(), Sent: sent,
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}}
}

type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	IDToken     string `json:"id_token"`
	ExpiresIn   int64  `json:"expires_in"`
}

func (c tokenClient) grant(ctx context.Context, q *remote.Request, grant string, fields map[string]stile.Secret) (tokenAnswer, *remote.Response, error) {
	form := url.Values{"grant_type": {grant}}
	for name, value := range fields {
		form.Set(name, value.Reveal())
		q.Secrets = append(q.Secrets, value)
	}
	q.Body = []byte(form.Encode())
	res, err := remote.Do(ctx, c.client, *q)
	if err != nil {
		return tokenAnswer{}, nil, err
	}
	if !res.OK() {
		return tokenAnswer{}, res, tokenRefusal(*q, res)
	}
	var answer tokenAnswer
	if err := json.Unmarshal(res.Body, &answer); err != nil {
		return tokenAnswer{}, res, q.Malformed(res, "not the JSON of a token answer")
	}
	return answer, res, nil
}

func tokenRefusal(q remote.Request, res *remote.Response) error {
	var body struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
		Subtype     string `json:"error_subtype"`
	}
	if json.Unmarshal(res.Body, &body) != nil || body.Error == "" {
		return q.Refusal(res, "", "an answer without an OAuth error", "")
	}
	return q.Refusal(res, body.Error, body.Description, tokenHint(body.Error, body.Description, body.Subtype))
}

// signInAgain is the command that renews a developer's own credentials.
const signInAgain = "sign in again: gcloud auth application-default login"

// tokenHint turns the refusals people meet most into the step that mends them.
func tokenHint(code, description, subtype string) string {
	says := func(words string) bool { return strings.Contains(description, words) }
	switch {
	case says("JWT Signature"):
		return "the key was deleted, or is disabled: gcloud iam service-accounts keys list --iam-account EMAIL shows the account's keys"
	case says("account not found"):
		return "the service account was deleted, or its e-mail is misspelt"
	case says("short-lived token"):
		return "check this machine's clock"
	case says("audience provided"), says("audience check"):
		return "check the token endpoint's URL, and the audience asked"
	case subtype == "invalid_rapt", says("invalid_rapt"):
		return "your organization asks you to prove yourself from time to time; " + signInAgain
	case says("expired or revoked"), code == "invalid_client", code == "deleted_client":
		return signInAgain
	}
	return ""
}
