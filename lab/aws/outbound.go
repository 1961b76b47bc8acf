// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"encoding/json"
	"encoding/xml"
	"maps"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	awstrust "github.com/stile-project/stile/trust/aws"
)

// Limits of GetWebIdentityToken (AWS STS API reference).
const (
	maxAudiences               = 10
	maxAudience                = 1000     // characters of one; the figure is ours
	minTokenLife, maxTokenLife = 60, 3600 // seconds
	defaultTokenLife           = 5 * time.Minute
	maxTokenPayload            = 8 << 10 // bytes of claims; the figure is ours

	// outboundClaims is the claim that holds what AWS adds of its own.
	outboundClaims = "https://sts.amazonaws.com/"
)

var signingAlgorithm = regexp.MustCompile(`^(?:RS256|ES384)$`)

// A tokenRequest is what a caller wants of its token.
type tokenRequest struct {
	audiences []string
	algorithm string
	life      time.Duration
	tags      map[string]string
}

type webIdentityTokenResult struct {
	XMLName          xml.Name `xml:"GetWebIdentityTokenResult"`
	WebIdentityToken string
	Expiration       string
}

// getWebIdentityToken gives a signed caller a token of its account's own issuer, for clouds and services that take OIDC
// tokens (AWS STS API, GetWebIdentityToken). Only regional endpoints know the action.
func (c *stsCall) getWebIdentityToken() (any, error) {
	if c.at.global {
		c.entry.Fail("the endpoint is a region's: %s does not serve GetWebIdentityToken", c.request.Host)
		return nil, refuse(400, "InvalidAction", "Could not find operation GetWebIdentityToken for version %s", stsVersion)
	}
	caller, err := c.signedBy()
	if err != nil {
		return nil, err
	}
	q, err := c.tokenRequest()
	if err != nil {
		c.entry.Fail("the parameters keep to the limits of the API: %v", err)
		return nil, err
	}
	issuer, err := c.outboundIssuer(caller)
	if err != nil {
		return nil, err
	}
	if err := c.mayGetToken(caller, q); err != nil {
		return nil, err
	}
	now := c.cloud.now()
	expires := now.Add(q.life)
	if !caller.Expires.IsZero() && expires.After(caller.Expires) {
		c.entry.Fail("the token ends no later than the caller's own session: that ends at %s", caller.Expires.Format(time.RFC3339))
		return nil, refuse(403, "SessionDurationEscalationException", "The requested token duration would extend the session beyond its original expiration time.")
	}
	token, err := issuer.sign(q.algorithm, caller.claims(issuer.url(), c.at.region, q, now))
	if err != nil {
		c.entry.Fail("the token can be made: %v", err)
		return nil, err
	}
	c.entry.OK("so %s gets a token for %s that ends at %s", caller.who.principalARN(), strings.Join(q.audiences, ", "), expires.Format(time.RFC3339))
	return webIdentityTokenResult{WebIdentityToken: token, Expiration: expires.Format(time.RFC3339)}, nil
}

func (c *stsCall) tokenRequest() (tokenRequest, error) {
	check := &constraints{form: c.form}
	q := tokenRequest{audiences: c.form.list("Audience", ""), life: defaultTokenLife}
	switch n := len(q.audiences); {
	case n == 0:
		check.wrong = append(check.wrong, "Value null at 'audience' failed to satisfy constraint: Member must not be null")
	case n > maxAudiences:
		check.wrong = append(check.wrong, "Value at 'audience' failed to satisfy constraint: Member must have length less than or equal to 10")
	}
	for _, audience := range q.audiences {
		if n := utf8.RuneCountInString(audience); n < 1 || n > maxAudience {
			check.wrong = append(check.wrong, "Value at 'audience' failed to satisfy constraint: Member must satisfy constraint: [Member must have length between 1 and 1000]")
		}
	}
	q.algorithm = c.form["SigningAlgorithm"]
	if _, given := c.form["SigningAlgorithm"]; !given {
		check.violate("SigningAlgorithm", "Member must not be null")
	} else if !signingAlgorithm.MatchString(q.algorithm) {
		check.violate("SigningAlgorithm", "Member must satisfy enum value set: [RS256, ES384]")
	}
	if seconds := check.number("DurationSeconds", minTokenLife, maxTokenLife); seconds != 0 {
		q.life = time.Duration(seconds) * time.Second
	}
	if err := check.err(); err != nil {
		return q, err
	}
	tagged := sessionRequest{tags: map[string]string{}}
	if err := tagged.addTags(c.form.list("Tags", "Key"), c.form.list("Tags", "Value"), nil); err != nil {
		return q, err
	}
	q.tags = tagged.tags
	return q, nil
}

// outboundIssuer is the issuer of the caller's account, which somebody has to have switched on.
func (c *stsCall) outboundIssuer(caller credential) (*outboundIssuer, error) {
	c.cloud.mu.Lock()
	defer c.cloud.mu.Unlock()
	if a := c.cloud.accounts[caller.who.account]; a != nil && a.outbound != nil && a.outbound.enabled {
		c.entry.OK("outbound web identity federation is enabled in account %s", caller.who.account)
		return a.outbound, nil
	}
	c.entry.Fail("outbound web identity federation is enabled in account %s: nobody called iam:EnableOutboundWebIdentityFederation", caller.who.account)
	return nil, refuse(403, "OutboundWebIdentityFederationDisabledException", "Outbound web identity federation is not enabled for this account. To use this feature, call the EnableOutboundWebIdentityFederation API.")
}

// mayGetToken asks the caller's own policies; there is no other side to ask.
func (c *stsCall) mayGetToken(caller credential, q tokenRequest) error {
	actions := []string{"sts:GetWebIdentityToken"}
	if len(q.tags) > 0 {
		actions = append(actions, "sts:TagGetWebIdentityToken")
	}
	ctx := with(c.cloud.requestContext(c.request, c.at, &caller), q.context())
	for _, action := range actions {
		v := c.cloud.identityAllows(caller, awstrust.Request{Action: action, Resource: "*", Context: maps.Clone(ctx)}, c.entry)
		if !v.allowed {
			return refuse(403, "AccessDenied", "User: %s is not authorized to perform: %s on resource: * %s", caller.who.arn, action, v.why)
		}
	}
	return nil
}

// context is what a policy can ask about the token (Service Authorization Reference, AWS STS).
func (q tokenRequest) context() map[string][]string {
	ctx := map[string][]string{
		"sts:IdentityTokenAudience": q.audiences,
		"sts:SigningAlgorithm":      {q.algorithm},
		"sts:DurationSeconds":       {decimal(q.life)},
	}
	for key, value := range q.tags {
		ctx["aws:RequestTag/"+key] = []string{value}
		ctx["aws:TagKeys"] = append(ctx["aws:TagKeys"], key)
	}
	return ctx
}

// claims are what AWS says of the caller. The subject is the role, not its session (IAM User Guide, "Outbound identity
// federation", token claims).
func (c credential) claims(issuer, region string, q tokenRequest, now time.Time) map[string]any {
	about := map[string]any{"aws_account": c.who.account, "source_region": region, "request_tags": q.tags, "principal_tags": orEmpty(c.tags)}
	for name, value := range c.origin {
		about[name] = value
	}
	if !c.Expires.IsZero() {
		about["original_session_exp"] = c.Expires.Format(time.RFC3339)
	}
	if c.who.federated != "" {
		about["federated_provider"] = c.who.federated
	}
	if c.sourceIdentity != "" {
		about["source_identity"] = c.sourceIdentity
	}
	claims := map[string]any{
		"iss": issuer, "sub": c.who.principalARN(), "aud": q.audiences[0], "iat": now.Unix(), "exp": now.Add(q.life).Unix(),
		"jti": newRequestID(), outboundClaims: about,
	}
	if len(q.audiences) > 1 {
		claims["aud"] = q.audiences
	}
	return claims
}

func orEmpty(tags map[string]string) map[string]string {
	if tags == nil {
		return map[string]string{}
	}
	return tags
}

// sign makes the token, unless its claims are too many.
func (o *outboundIssuer) sign(algorithm string, claims map[string]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	if len(payload) > maxTokenPayload {
		return "", refuse(400, "JWTPayloadSizeExceededException", "The JWT payload size exceeds the maximum allowed size.")
	}
	if algorithm == "ES384" {
		return o.elliptic.Sign(claims)
	}
	return o.main.Sign(claims)
}
