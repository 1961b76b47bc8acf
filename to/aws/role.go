// SPDX-License-Identifier: Apache-2.0

// Package toaws exchanges an OIDC token for an AWS session by sts:AssumeRoleWithWebIdentity.
//
// Package awscreds below hands the session to the AWS SDK.
package toaws

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/remote"
	"github.com/stile-project/stile/internal/shape"
)

// DefaultAudience is the audience that most AWS trust policies name.
const DefaultAudience = "sts.amazonaws.com"

// Role is a [stile.Target] that gives a session of an AWS role. The request is unsigned: the token is the proof.
// Source: AWS STS API, AssumeRoleWithWebIdentity.
type Role struct {
	// ARN is the role's. Required.
	ARN string
	// Region names the STS endpoint: tokens of a regional endpoint work in every region. Required.
	Region string
	// WebAudience is the audience of the token: what the trust policy checks with accounts.google.com:oaud.
	// Empty: [DefaultAudience].
	WebAudience string
	// SessionName is 2 to 64 characters of letters, digits and _+=,.@-. Empty: made from the token's subject.
	SessionName string
	// Duration is in whole seconds, from 15 min to the role's own maximum, at most 12 h. Zero: STS gives 1 h.
	Duration time.Duration
	// Policy is a session policy, JSON of at most 2048 characters: the session can do what both it and the role allow.
	Policy string
	// PolicyARNs are managed session policies, at most 10.
	PolicyARNs []string
	// Then is a further role, assumed with this one's session, which is given up. Its session lasts 1 h at most, and
	// so must this one's. Nil: none.
	Then *NextRole
	// FIPS picks the region's FIPS endpoint.
	FIPS bool
	// DualStack picks the region's endpoint that answers over IPv6 as well.
	DualStack bool

	Endpoint string           // replaces the STS endpoint, as AWS_ENDPOINT_URL_STS does; empty: by Region
	Client   *http.Client     // nil: http.DefaultClient
	Clock    func() time.Time // dates the signature for Then; nil: time.Now
}

// Session tags and a source identity travel inside the token, under https://aws.amazon.com/tags and
// https://aws.amazon.com/source_identity; the call itself has no place for them. Google's tokens cannot carry them.

// Audience is WebAudience or its default.
func (r *Role) Audience() string {
	if r.WebAudience == "" {
		return DefaultAudience
	}
	return r.WebAudience
}

// CacheKey covers every field that decides the session.
func (r *Role) CacheKey() stile.Key {
	return stile.NewKey("to/aws role", r.ARN, r.Region, r.Audience(), r.SessionName, r.Duration.String(), r.Policy,
		fmt.Sprintf("%q", r.PolicyARNs), strconv.FormatBool(r.FIPS), strconv.FormatBool(r.DualStack), r.Endpoint, r.Then.key())
}

// Exchange calls AssumeRoleWithWebIdentity, and AssumeRole where there is a further role.
func (r *Role) Exchange(ctx context.Context, token stile.SubjectToken) (stile.Credential, error) {
	const op = "assume the role by web identity"
	if err := r.check(); err != nil {
		return stile.Credential{}, &stile.Error{Op: "read the AWS target", Err: err}
	}
	endpoint, err := r.endpoint(ctx)
	if err != nil {
		return stile.Credential{}, &stile.Error{Op: "find the STS endpoint", Err: fmt.Errorf("%w: %w", stile.ErrMisuse, err)}
	}
	session := r.SessionName
	if session == "" {
		session = SessionName(token.Subject)
	}
	q := remote.Request{
		Op: op, Cloud: "AWS STS", Method: http.MethodPost, URL: endpoint,
		// Neither Authorization nor X-Amz-Security-Token: the latter breaks the call with a misleading error.
		Header:  http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}},
		Body:    []byte(r.form(session, token).Encode()),
		Secrets: []stile.Secret{token.Value},
		Sent:    []slog.Attr{slog.String("role", r.ARN), slog.String("audience", r.Audience()), slog.String("subject", token.Subject)},
	}
	cred, err := ask(ctx, r.Client, q, "AssumeRoleWithWebIdentity", r.ARN, hint)
	if err != nil || r.Then == nil {
		return cred, err
	}
	return r.next(ctx, endpoint, session, cred)
}

// ask makes one request for a session of role and reads it.
func ask(ctx context.Context, client *http.Client, q remote.Request, action, role string, hint func(code, message string) string) (stile.Credential, error) {
	res, err := remote.Do(ctx, client, q)
	if err != nil {
		return stile.Credential{}, err
	}
	if !res.OK() {
		return stile.Credential{}, refusal(q, res, hint)
	}
	cred, err := readSession(action, res.Body)
	if err != nil {
		return stile.Credential{}, q.Malformed(res, err.Error())
	}
	if cred.Session.AccountID == "" {
		cred.Session.AccountID = accountOf(role)
	}
	return cred, nil
}

func (r *Role) now() time.Time {
	if r.Clock == nil {
		return time.Now()
	}
	return r.Clock()
}

func (r *Role) form(session string, token stile.SubjectToken) url.Values {
	form := url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"},
		"RoleArn": {r.ARN}, "RoleSessionName": {session}, "WebIdentityToken": {token.Value.Reveal()},
	}
	if r.Duration != 0 {
		form.Set("DurationSeconds", strconv.FormatInt(int64(r.Duration/time.Second), 10))
	}
	if r.Policy != "" {
		form.Set("Policy", r.Policy)
	}
	for i, arn := range r.PolicyARNs {
		form.Set(fmt.Sprintf("PolicyArns.member.%d.arn", i+1), arn)
	}
	return form
}

func (r *Role) endpoint(ctx context.Context) (string, error) {
	if r.Endpoint != "" {
		return strings.TrimSuffix(r.Endpoint, "/") + "/", nil
	}
	found, err := sts.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, sts.EndpointParameters{
		Region: aws.String(r.Region), UseFIPS: aws.Bool(r.FIPS), UseDualStack: aws.Bool(r.DualStack), UseGlobalEndpoint: aws.Bool(false),
	})
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(found.URI.String(), "/") + "/", nil
}

// check finds what is missing or malformed before any cloud is asked.
func (r *Role) check() error {
	bad := func(what, value string, err error) error {
		return fmt.Errorf("%w: %s %.200q: %w", stile.ErrMisuse, what, value, err)
	}
	if _, err := shape.RoleARN(r.ARN); err != nil {
		return bad("role", r.ARN, err)
	}
	if r.Region == "" && r.Endpoint == "" {
		return fmt.Errorf("%w: no region for STS: name one, such as eu-west-1", stile.ErrMisuse)
	}
	for _, field := range []struct {
		what, value string
		shape       shape.Shape
	}{
		{"region", r.Region, shape.Region}, {"session name", r.SessionName, shape.SessionName},
	} {
		if _, err := field.shape(field.value); field.value != "" && err != nil {
			return bad(field.what, field.value, err)
		}
	}
	if r.Duration != 0 && (r.Duration < 15*time.Minute || r.Duration > 12*time.Hour || r.Duration%time.Second != 0) {
		return fmt.Errorf("%w: duration %s: want whole seconds from 15m to 12h", stile.ErrMisuse, r.Duration)
	}
	if r.Then != nil {
		if err := r.checkThen(); err != nil {
			return err
		}
	}
	return r.checkPolicies()
}

func (r *Role) checkThen() error {
	if r.Region == "" {
		return fmt.Errorf("%w: no region: a further role takes a signature, which names one", stile.ErrMisuse)
	}
	if r.Duration > maxChained {
		return fmt.Errorf("%w: duration %s: the session that comes of it is the further role's, which AWS ends after 1h", stile.ErrMisuse, r.Duration)
	}
	return r.Then.check()
}

func (r *Role) checkPolicies() error {
	if _, err := shape.SessionPolicy(r.Policy); r.Policy != "" && err != nil {
		return fmt.Errorf("%w: the session policy: %w", stile.ErrMisuse, err)
	}
	if len(r.PolicyARNs) > 10 {
		return fmt.Errorf("%w: %d session policy ARNs: at most 10", stile.ErrMisuse, len(r.PolicyARNs))
	}
	for _, arn := range r.PolicyARNs {
		if _, err := shape.PolicyARN(arn); err != nil {
			return fmt.Errorf("%w: session policy ARN %.200q: %w", stile.ErrMisuse, arn, err)
		}
	}
	return nil
}

// SessionName makes a legal RoleSessionName of whom a token speaks for: CloudTrail shows it beside the role.
// It is "stile" where nothing legal is left.
func SessionName(subject string) string {
	name := strings.Map(func(c rune) rune {
		if _, err := shape.SessionName(string(c) + string(c)); err != nil {
			return '-'
		}
		return c
	}, subject)
	name = strings.Trim(name, "-")
	if len(name) > 64 {
		name = name[:64]
	}
	if len(name) < 2 {
		return "stile"
	}
	return name
}
