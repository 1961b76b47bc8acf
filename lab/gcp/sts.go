// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stile-project/stile/trust/gcp"
)

// The words of RFC 8693 and of Google STS.
const (
	grantExchange   = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
	typeAWSRequest  = "urn:ietf:params:aws:token-type:aws4_request"
	typeJWT         = "urn:ietf:params:oauth:token-type:jwt"
	typeIDToken     = "urn:ietf:params:oauth:token-type:id_token"
)

// Codes of an OAuth error answer.
const (
	invalidRequest     = "invalid_request"
	invalidTarget      = "invalid_target"
	invalidGrant       = "invalid_grant"
	invalidScope       = "invalid_scope"
	unauthorizedClient = "unauthorized_client"
)

// Descriptions that Google STS is known to give, word for word.
const (
	textAudience = `Invalid value for "audience". This value should be the full resource name of the Identity Provider. ` +
		`See https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token for the list of possible formats.`
	textTarget = `The target service indicated by the "audience" parameters is invalid. This might either be because the pool or provider ` +
		`is disabled or deleted or because it doesn't exist.`
	textCondition = "The given credential is rejected by the attribute condition."
	textIssuer    = "Error connecting to the given credential's issuer."
)

// maxForm is the longest form that is read: options alone may take 4 MB.
const maxForm = 5 << 20

func (c *Cloud) stsHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /v1/token", c.serve("STS", "token exchange", (*call).exchange))
	mux.Handle("POST /v1/introspect", c.serve("STS", "introspect", (*call).introspect))
	mux.Handle("/", c.serve("STS", "unknown path", (*call).unknownPath))
	return mux
}

// An exchangeRequest is a token exchange whose form is in order.
type exchangeRequest struct {
	provider     *provider
	userProject  string
	subjectToken string
	tokenType    string
	scopes       []string
}

// exchange answers POST /v1/token: it finds the provider, asks whoever issued the subject token whether it is genuine,
// maps what they say to Google's attributes, and gives a federated token for the result.
func (q *call) exchange() (answer, error) {
	form, err := q.readExchangeForm()
	if err != nil {
		return answer{}, err
	}
	if form.Get("subject_token_type") == typeAccessToken {
		return q.downscope(form.Values, form.options)
	}
	req, err := q.readExchange(form)
	if err != nil {
		return answer{}, err
	}
	assertion, notAfter, err := q.verifySubject(req)
	if err != nil {
		return answer{}, err
	}
	attributes, err := q.admit(req.provider, assertion)
	if err != nil {
		return answer{}, err
	}
	return q.federatedToken(req, attributes, notAfter), nil
}

// A requestForm is a form whose options are read.
type requestForm struct {
	url.Values
	options map[string]any
}

func (q *call) readExchangeForm() (requestForm, error) {
	if err := q.checkClientAuth(); err != nil {
		return requestForm{}, err
	}
	form, err := q.readForm()
	if err != nil {
		return requestForm{}, err
	}
	options, err := q.checkGrant(form)
	return requestForm{form, options}, err
}

func (q *call) readExchange(form requestForm) (_ exchangeRequest, err error) {
	req := exchangeRequest{subjectToken: form.Get("subject_token"), tokenType: form.Get("subject_token_type")}
	if req.provider, err = q.audienceProvider(form.Get("audience")); err != nil {
		return exchangeRequest{}, err
	}
	if req.userProject, err = q.readUserProject(req.provider, form.options); err != nil {
		return exchangeRequest{}, err
	}
	if req.scopes, err = q.readScopes(form.Get("scope")); err != nil {
		return exchangeRequest{}, err
	}
	return req, q.checkTokenType(req)
}

// checkClientAuth tolerates Basic authentication, which gcloud sends with its own public client. Workload identity
// federation makes nothing of it.
func (q *call) checkClientAuth() error {
	values := q.r.Header.Values("Authorization")
	if len(values) == 0 {
		return nil
	}
	if _, _, ok := q.r.BasicAuth(); !ok || len(values) > 1 {
		return q.refuse(oauthError(http.StatusUnauthorized, "invalid_client", "The OAuth client was invalid."),
			"the Authorization header is not Basic client authentication")
	}
	q.entry.OK("the client names itself by Basic authentication, which decides nothing here")
	return nil
}

// readForm reads a form in which every field is given at most once (RFC 6749, section 3.2).
func (q *call) readForm() (url.Values, error) {
	kind, _, err := mime.ParseMediaType(q.r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, q.badForm("the Content-Type is not application/x-www-form-urlencoded")
	}
	body, err := q.readBody(maxForm)
	if errors.Is(err, errTooLong) {
		return nil, q.refuse(oauthError(http.StatusRequestEntityTooLarge, invalidRequest, "Request body is too large."), "the body is longer than %d bytes", maxForm)
	}
	if err != nil {
		return nil, q.badForm("the body broke off")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, q.badForm("the body is not a form")
	}
	for name, values := range form {
		if len(values) > 1 || !utf8.ValidString(values[0]) {
			return nil, q.badForm(fmt.Sprintf("the field %s is given more than once or is not UTF-8", clip(name, 40)))
		}
	}
	return form, nil
}

func (q *call) badForm(why string) error {
	return q.refuse(oauthError(http.StatusBadRequest, invalidRequest, "Invalid request: "+why+"."), "%s", why)
}

// checkGrant looks at the fields that have one right value. The wording of these refusals is ours.
func (q *call) checkGrant(form url.Values) (options map[string]any, err error) {
	if got := form.Get("grant_type"); got != grantExchange {
		return nil, q.refuse(oauthError(http.StatusBadRequest, "unsupported_grant_type", "Invalid grant type."), "the grant type is %q", clip(got, 80))
	}
	if got := form.Get("requested_token_type"); got != typeAccessToken {
		return nil, q.refuse(oauthError(http.StatusBadRequest, invalidRequest, "Invalid requested token type."), "the requested token type is %q", clip(got, 80))
	}
	if text := form.Get("options"); text != "" {
		if options, err = readObject([]byte(text)); err != nil {
			return nil, q.refuse(oauthError(http.StatusBadRequest, invalidRequest, `Invalid value for "options".`), "the options are no JSON object: %v", err)
		}
	}
	q.entry.OK("the form asks to exchange a subject token for an access token")
	return options, nil
}

func (q *call) audienceProvider(audience string) (*provider, error) {
	name, err := parseProviderName(audience)
	if err != nil {
		return nil, q.refuse(oauthError(http.StatusBadRequest, invalidRequest, textAudience), "the audience is not a provider's full name: %v", err)
	}
	p, note := q.findProvider(name)
	if p == nil {
		return nil, q.refuse(oauthError(http.StatusBadRequest, invalidTarget, textTarget), "%s", note)
	}
	q.entry.OK("the audience names the provider %s in the pool %s", name.provider, name.pool)
	return p, nil
}

// readScopes wants at least one scope. Source: sts/v1 discovery, "scope: … required for this exchange".
func (q *call) readScopes(scope string) ([]string, error) {
	scopes := strings.Fields(scope)
	if len(scopes) == 0 {
		return nil, q.refuse(oauthError(http.StatusBadRequest, invalidScope, "Scope must be provided."), "no scope is asked for")
	}
	for _, s := range scopes {
		if !knownScope(s) {
			return nil, q.refuse(oauthError(http.StatusBadRequest, invalidScope, "Some requested scopes were invalid."), "%q is no scope of Google's", clip(s, 80))
		}
	}
	q.entry.OK("the scopes asked for are %s", listed(scopes))
	return scopes, nil
}

func (q *call) checkTokenType(req exchangeRequest) error {
	wanted := []string{typeJWT, typeIDToken}
	if req.provider.AWSAccount != "" {
		wanted = []string{typeAWSRequest}
	}
	if !slices.Contains(wanted, req.tokenType) {
		return q.refuse(oauthError(http.StatusBadRequest, invalidRequest, "Invalid subject token type for the given provider."),
			"the subject token is said to be %q; this provider takes %s", clip(req.tokenType, 80), strings.Join(wanted, " or "))
	}
	if req.subjectToken == "" {
		return q.refuse(oauthError(http.StatusBadRequest, invalidRequest, "Missing required parameter: subject_token"), "there is no subject token")
	}
	return nil
}

// verifySubject gives what the token's issuer says of its bearer, and how long that is good for; zero is no limit.
func (q *call) verifySubject(req exchangeRequest) (assertion map[string]any, notAfter time.Time, err error) {
	if req.provider.AWSAccount != "" {
		assertion, err = q.verifyAWS(req.provider, req.subjectToken)
		return assertion, time.Time{}, err
	}
	return q.verifyJWT(req.provider, req.subjectToken)
}

// admit maps the assertion to attributes and applies the provider's condition.
func (q *call) admit(p *provider, assertion map[string]any) (gcptrust.Attributes, error) {
	attributes, err := p.rules.Map(assertion)
	if limit, ok := errors.AsType[*gcptrust.LimitError](err); ok {
		return attributes, q.refuse(oauthError(http.StatusBadRequest, invalidRequest, limit.Error()), "the mapped attributes are too long: %s", clip(limit.Error(), 200))
	}
	if err != nil {
		// Google's wording for a mapping that fails is not known; this one is ours.
		return attributes, q.refuse(oauthError(http.StatusBadRequest, invalidRequest, "The attribute mapping could not be applied to the given credential."),
			"the attribute mapping fails: %s", clip(err.Error(), 200))
	}
	q.entry.OK("the mapping makes it google.subject %s%s", clip(attributes.Subject, 140), customText(attributes.Custom))
	admitted, err := p.rules.Admits(assertion, attributes)
	if err != nil || !admitted {
		why := strings.ReplaceAll(p.rules.Explain(assertion, attributes), "\n", "; ")
		return attributes, q.refuse(oauthError(http.StatusBadRequest, unauthorizedClient, textCondition), "the provider's condition is not true: %s", clip(why, 600))
	}
	if p.Condition != "" {
		q.entry.OK("the provider's condition holds: %s", clip(p.Condition, 300))
	}
	return attributes, nil
}

func customText(custom map[string]string) string {
	var b strings.Builder
	for _, name := range sortedKeys(custom) {
		fmt.Fprintf(&b, ", attribute.%s %s", name, clip(custom[name], 140))
	}
	return b.String()
}

// federatedToken lives an hour, or as long as the subject token if that is less. An AWS request has no end of its own.
// (Whether Google gives AWS workloads an hour or 15 minutes is not settled in public; the field mostly sees an hour.)
func (q *call) federatedToken(req exchangeRequest, a gcptrust.Attributes, notAfter time.Time) answer {
	expires := q.now.Add(tokenLife)
	if !notAfter.IsZero() && notAfter.Before(expires) {
		expires = notAfter
	}
	pool := req.provider.name.poolName()
	principal := "principal://iam.googleapis.com/" + pool + "/subject/" + a.Subject
	text := q.mint("d", accessToken{
		principal:   principal,
		pool:        pool,
		provider:    req.provider.name.String(),
		userProject: req.userProject,
		members:     append(a.Members(pool), "allUsers"),
		scopes:      req.scopes,
		issued:      q.now,
		expires:     expires,
	})
	q.entry.Caller = principal
	life := lifeSeconds(q.now, expires)
	q.entry.OK("a federated token is given out for %d s", life)
	return noStore(jsonAnswer(http.StatusOK, map[string]any{
		"access_token":      text,
		"issued_token_type": typeAccessToken,
		"token_type":        "Bearer",
		"expires_in":        life,
	}))
}

// lifeSeconds is a token's remaining life as Google states it, one second short so that it is never too long.
func lifeSeconds(now, expires time.Time) int {
	return max(int(expires.Sub(now)/time.Second)-1, 1)
}

func noStore(a answer) answer { return a.with("Cache-Control", "no-cache, no-store") }

// introspect answers POST /v1/introspect, which gcloud asks for the name to show for a federated credential.
func (q *call) introspect() (answer, error) {
	if err := q.checkClientAuth(); err != nil {
		return answer{}, err
	}
	form, err := q.readForm()
	if err != nil {
		return answer{}, err
	}
	token, failed := q.lookup(form.Get("token"), q.now)
	if failed != nil || token.pool == "" {
		q.entry.Fail("the token is not a federated token in force")
		return jsonAnswer(http.StatusOK, map[string]any{"active": false}), nil //nolint:nilerr // that is the answer
	}
	q.entry.Caller = token.principal
	q.entry.OK("the token is in force for another %s", spell(token.expires.Sub(q.now)))
	return jsonAnswer(http.StatusOK, map[string]any{
		"active":     true,
		"iss":        "https://sts.googleapis.com/",
		"username":   token.principal,
		"sub":        token.principal,
		"scope":      join(token.scopes),
		"iat":        token.issued.Unix(),
		"exp":        token.expires.Unix(),
		"token_type": "Bearer",
	}), nil
}
