// SPDX-License-Identifier: Apache-2.0

package togcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/remote"
)

type client struct {
	http      *http.Client
	clock     func() time.Time
	endpoints Endpoints
}

func (c *client) now() time.Time {
	if c.clock == nil {
		return time.Now()
	}
	return c.clock()
}

// The words of RFC 8693.
const (
	grantExchange   = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
)

// A trade is one exchange of a subject token.
type trade struct {
	provider    string
	userProject string
	scopes      []string
	token       stile.SubjectToken
}

// federate makes the RFC 8693 exchange at Google STS.
// Source: Google STS v1, token; AIP-4117.
func (c *client) federate(ctx context.Context, t trade) (stile.Credential, error) {
	form := url.Values{
		"grant_type":           {grantExchange},
		"audience":             {audience(t.provider)},
		"requested_token_type": {typeAccessToken},
		"scope":                {strings.Join(t.scopes, " ")},
		"subject_token":        {t.token.Value.Reveal()},
		"subject_token_type":   {string(t.token.Type)},
	}
	if t.userProject != "" {
		options, err := json.Marshal(map[string]string{"userProject": t.userProject})
		if err != nil {
			return stile.Credential{}, err
		}
		form.Set("options", string(options))
	}
	q := c.stsRequest("exchange the subject token", form, t.token.Value, slog.String("audience", audience(t.provider)), slog.String("subject", t.token.Subject))
	asked := c.now()
	res, err := remote.Do(ctx, c.http, q)
	if err != nil {
		return stile.Credential{}, err
	}
	if !res.OK() {
		return stile.Credential{}, stsRefusal(q, res)
	}
	token, life, err := readToken(res.Body)
	if err == nil && life == 0 {
		err = errors.New("no expires_in")
	}
	if err != nil {
		return stile.Credential{}, q.Malformed(res, err.Error())
	}
	return stile.Credential{
		Kind: stile.KindAccessToken, Token: stile.NewSecret(token), Principal: "federated identity of " + strings.TrimPrefix(audience(t.provider), "//iam.googleapis.com/"),
		Expires: asked.Add(life),
	}, nil
}

func (c *client) stsRequest(op string, form url.Values, secret stile.Secret, sent ...slog.Attr) remote.Request {
	return remote.Request{
		Op: op, Cloud: "Google STS", Method: http.MethodPost, URL: c.endpoints.sts(), Body: []byte(form.Encode()),
		Header:  http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}},
		Secrets: []stile.Secret{secret}, Sent: sent,
	}
}

func stsRefusal(q remote.Request, res *remote.Response) error {
	var body struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(res.Body, &body) != nil || body.Error == "" {
		return q.Refusal(res, "", "an answer without an OAuth error", "")
	}
	return q.Refusal(res, body.Error, body.Description, stsHint(body.Error, body.Description))
}

// stsHint turns the refusals people meet most into the step that mends them.
func stsHint(code, description string) string {
	says := func(words string) bool { return strings.Contains(description, words) }
	switch {
	case code == "invalid_target":
		return "check that the pool and provider exist and are enabled, and that the name has the project's number, not its id"
	case says("userProject"):
		return "a workforce pool needs UserProject, the project that the person's calls are charged to; a workload identity pool takes none"
	case code == "unauthorized_client":
		return "compare the provider's attribute condition with what stile whoami prints: an AWS role is arn:aws:sts::ACCOUNT:assumed-role/NAME there"
	case says("127 bytes"):
		return "map google.subject to something shorter than the whole ARN, such as assertion.arn.extract('assumed-role/{role}/')"
	case says("audience"):
		return "the audience must be the provider's full name, //iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER"
	case says("expired"), says("not yet current"), says("stale"):
		return "check this machine's clock: AWS signatures live 5 minutes"
	case says("account"):
		return "the provider trusts another AWS account than this workload's"
	}
	return ""
}

// accessToken acts as a service account.
// Source: IAM Credentials v1, projects.serviceAccounts.generateAccessToken.
func (c *client) accessToken(ctx context.Context, bearer stile.Secret, t *AccessToken) (stile.Credential, error) {
	ask := struct {
		Delegates []string `json:"delegates,omitempty"`
		Scope     []string `json:"scope"`
		Lifetime  string   `json:"lifetime,omitempty"`
	}{delegates(t.Delegates), t.scopes(), ""}
	if t.Lifetime != 0 {
		ask.Lifetime = fmt.Sprintf("%ds", t.Lifetime/time.Second)
	}
	q, res, err := c.impersonate(ctx, "act as the service account", "generateAccessToken", t.ServiceAccount, bearer, ask)
	if err != nil {
		return stile.Credential{}, err
	}
	var answer struct {
		AccessToken string    `json:"accessToken"`
		ExpireTime  time.Time `json:"expireTime"`
	}
	if err := json.Unmarshal(res.Body, &answer); err != nil || answer.AccessToken == "" || answer.ExpireTime.IsZero() {
		return stile.Credential{}, q.Malformed(res, "no accessToken with an expireTime")
	}
	return stile.Credential{Kind: stile.KindAccessToken, Token: stile.NewSecret(answer.AccessToken), Principal: t.ServiceAccount, Expires: answer.ExpireTime}, nil
}

// idToken has Google sign an ID token of a service account.
// Source: IAM Credentials v1, projects.serviceAccounts.generateIdToken.
func (c *client) idToken(ctx context.Context, bearer stile.Secret, t *IDToken) (stile.Credential, error) {
	q, res, err := c.impersonate(ctx, "ask for the service account's ID token", "generateIdToken", t.ServiceAccount, bearer, struct {
		Delegates    []string `json:"delegates,omitempty"`
		Audience     string   `json:"audience"`
		IncludeEmail bool     `json:"includeEmail,omitempty"`
	}{delegates(t.Delegates), t.TokenAudience, t.IncludeEmail})
	if err != nil {
		return stile.Credential{}, err
	}
	var answer struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(res.Body, &answer); err != nil || answer.Token == "" {
		return stile.Credential{}, q.Malformed(res, "no token")
	}
	expires, err := checkIDToken(answer.Token, t.TokenAudience)
	if err != nil {
		return stile.Credential{}, q.Malformed(res, err.Error())
	}
	return stile.Credential{Kind: stile.KindIDToken, Token: stile.NewSecret(answer.Token), Principal: t.ServiceAccount, Expires: expires}, nil
}

func (c *client) impersonate(ctx context.Context, op, method, account string, bearer stile.Secret, ask any) (remote.Request, *remote.Response, error) {
	q := remote.Request{
		Op: op, Cloud: "IAM Credentials", Method: http.MethodPost,
		URL:     c.endpoints.iam() + "/v1/projects/-/serviceAccounts/" + account + ":" + method,
		Header:  http.Header{"Authorization": {"Bearer " + bearer.Reveal()}, "Content-Type": {"application/json"}},
		Secrets: []stile.Secret{bearer}, Sent: []slog.Attr{slog.String("service account", account)},
	}
	body, err := json.Marshal(ask)
	if err != nil {
		return q, nil, err
	}
	q.Body = body
	res, err := remote.Do(ctx, c.http, q)
	if err != nil {
		return q, nil, err
	}
	if !res.OK() {
		return q, nil, apiRefusal(q, res, account)
	}
	return q, res, nil
}

func apiRefusal(q remote.Request, res *remote.Response, account string) error {
	var body struct {
		Error struct {
			Status  string `json:"status"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(res.Body, &body) != nil {
		return q.Refusal(res, "", "an answer without a Google API error", "")
	}
	hint := ""
	switch {
	case strings.Contains(body.Error.Message, "serviceusage.services.use"):
		hint = "grant roles/serviceusage.serviceUsageConsumer on the project that the calls are charged to"
	case body.Error.Status == "PERMISSION_DENIED":
		hint = "grant roles/iam.workloadIdentityUser on " + account + " to principalSet://iam.googleapis.com/POOL/attribute.aws_role/arn:aws:sts::ACCOUNT:assumed-role/ROLE (an arn:aws:iam::…:role/ value never matches); a grant may need some minutes"
	case strings.Contains(body.Error.Message, "lifetime"):
		hint = "ask for 1h or less, or list the account in the organization policy iam.allowServiceAccountCredentialLifetimeExtension"
	}
	return q.Refusal(res, body.Error.Status, body.Error.Message, hint)
}

func delegates(emails []string) []string {
	names := make([]string, 0, len(emails))
	for _, email := range emails {
		names = append(names, "projects/-/serviceAccounts/"+email)
	}
	return names
}
