// SPDX-License-Identifier: Apache-2.0

package fromaws

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/jwt"
	"github.com/stile-project/stile/internal/remote"
)

const getToken = "get a web identity token"

// WebIdentityToken is a [stile.Source] whose subject token is a JSON Web Token that AWS itself issues: for Google Cloud
// providers of the OIDC kind, and for any other service that takes OIDC tokens. The account has to have outbound web
// identity federation enabled; the far side trusts the issuer URL that AWS gave the account then. The token's subject
// is the role's ARN, without the session. Tokens are of type [stile.TokenTypeJWT] and signed with RS256, which every
// far side takes.
// Source: AWS STS API, GetWebIdentityToken; IAM User Guide, outbound identity federation.
type WebIdentityToken struct {
	// Credentials signs. Required.
	Credentials aws.CredentialsProvider
	// Region picks the STS endpoint: see [FixedRegion]. The global endpoint does not serve these tokens. Required.
	Region func(context.Context) (string, error)
	// FIPS picks the FIPS endpoint of the region.
	FIPS bool
	// Lifetime is in whole seconds, from 1 min to 1 h, and no longer than what the credentials have left. Zero: STS
	// gives 5 min.
	Lifetime time.Duration
	// Tags go into the token, at most 50, as request_tags. The role needs sts:TagGetWebIdentityToken for them.
	Tags map[string]string
	// Clock dates the signature. Nil: time.Now.
	Clock func() time.Time
	// ID tells this identity from every other, as [Caller.ID] does.
	ID string

	Endpoint string       // replaces the STS endpoint, as AWS_ENDPOINT_URL_STS does; empty: by Region
	Client   *http.Client // nil: http.DefaultClient
}

// CacheKey covers the identity and what is asked of AWS about it.
func (w *WebIdentityToken) CacheKey() stile.Key {
	if w.ID == "" {
		return stile.Key{}
	}
	parts := []string{w.ID, fmt.Sprint(w.FIPS), w.Lifetime.String(), w.Endpoint}
	for _, key := range slices.Sorted(maps.Keys(w.Tags)) {
		parts = append(parts, key, w.Tags[key])
	}
	return stile.NewKey("from/aws web identity token", parts...)
}

// SubjectToken asks AWS for a token that is made out to audience.
func (w *WebIdentityToken) SubjectToken(ctx context.Context, audience string) (stile.SubjectToken, error) {
	if err := w.check(audience); err != nil {
		return stile.SubjectToken{}, &stile.Error{Op: getToken, Err: fmt.Errorf("%w: %w", stile.ErrMisuse, err)}
	}
	now := time.Now
	if w.Clock != nil {
		now = w.Clock
	}
	creds, region, err := retrieve(ctx, w.Credentials, w.Region, now)
	if err != nil {
		return stile.SubjectToken{}, err
	}
	q, err := w.request(ctx, creds, region, audience, now().UTC())
	if err != nil {
		return stile.SubjectToken{}, err
	}
	res, err := remote.Do(ctx, w.Client, q)
	if err != nil {
		return stile.SubjectToken{}, err
	}
	if !res.OK() {
		return stile.SubjectToken{}, tokenRefusal(q, res, now())
	}
	return readToken(q, res, audience)
}

func (w *WebIdentityToken) check(audience string) error {
	switch {
	case w.Credentials == nil || w.Region == nil:
		return fmt.Errorf("the WebIdentityToken has no Credentials or no Region")
	case audience == "":
		return fmt.Errorf("no audience to make the token out to")
	case w.Lifetime != 0 && (w.Lifetime < time.Minute || w.Lifetime > time.Hour || w.Lifetime%time.Second != 0):
		return fmt.Errorf("lifetime %s: want whole seconds from 1m to 1h", w.Lifetime)
	}
	return checkTags(w.Tags)
}

// checkTags holds tags to the limits of STS (AWS STS API, Tag).
func checkTags(tags map[string]string) error {
	if len(tags) > 50 {
		return fmt.Errorf("%d tags: at most 50", len(tags))
	}
	for key, value := range tags {
		if n := utf8.RuneCountInString(key); n < 1 || n > 128 {
			return fmt.Errorf("tag key %.40q: want 1 to 128 characters", key)
		}
		if utf8.RuneCountInString(value) > 256 {
			return fmt.Errorf("the value of tag %.40q: want at most 256 characters", key)
		}
	}
	return nil
}

// request signs the call. The signature goes stale in minutes, so it is made last.
func (w *WebIdentityToken) request(ctx context.Context, creds aws.Credentials, region, audience string, now time.Time) (remote.Request, error) {
	endpoint := strings.TrimSuffix(w.Endpoint, "/")
	if endpoint == "" {
		u, err := resolve(ctx, region, w.FIPS)
		if err != nil {
			return remote.Request{}, err
		}
		endpoint = u.String()
	}
	body := []byte(w.form(audience).Encode())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint+"/", nil)
	if err != nil {
		return remote.Request{}, &stile.Error{Op: getToken, Err: fmt.Errorf("%w: the STS endpoint is not a URL", stile.ErrMisuse)}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), "sts", region, now); err != nil {
		return remote.Request{}, &stile.Error{Op: getToken, Err: err}
	}
	return remote.Request{Op: getToken, Cloud: "AWS STS", Method: http.MethodPost, URL: endpoint + "/", Header: req.Header, Body: body,
		Sent:    []slog.Attr{slog.String("audience", audience), slog.String("access key", creds.AccessKeyID)},
		Secrets: []stile.Secret{stile.NewSecret(creds.SecretAccessKey), stile.NewSecret(creds.SessionToken)}}, nil
}

func (w *WebIdentityToken) form(audience string) url.Values {
	form := url.Values{"Action": {"GetWebIdentityToken"}, "Version": {"2011-06-15"}, "SigningAlgorithm": {"RS256"}, "Audience.member.1": {audience}}
	if w.Lifetime != 0 {
		form.Set("DurationSeconds", strconv.FormatInt(int64(w.Lifetime/time.Second), 10))
	}
	for i, key := range slices.Sorted(maps.Keys(w.Tags)) {
		member := "Tags.member." + strconv.Itoa(i+1)
		form.Set(member+".Key", key)
		form.Set(member+".Value", w.Tags[key])
	}
	return form
}

func readToken(q remote.Request, res *remote.Response, audience string) (stile.SubjectToken, error) {
	var answer struct {
		XMLName xml.Name `xml:"GetWebIdentityTokenResponse"`
		Token   string   `xml:"GetWebIdentityTokenResult>WebIdentityToken"`
	}
	if err := xml.Unmarshal(res.Body, &answer); err != nil {
		return stile.SubjectToken{}, q.Malformed(res, "not the XML of GetWebIdentityToken")
	}
	claims, err := jwt.Unverified(answer.Token)
	switch {
	case err != nil:
		return stile.SubjectToken{}, q.Malformed(res, "no JSON Web Token: "+err.Error())
	case !claims.IsFor(audience):
		return stile.SubjectToken{}, q.Malformed(res, "a token for another audience")
	case claims.Expires.IsZero():
		return stile.SubjectToken{}, q.Malformed(res, "a token that does not say when it expires")
	}
	return stile.SubjectToken{Value: stile.NewSecret(answer.Token), Type: stile.TokenTypeJWT, Subject: q.Clean(claims.Subject), Expires: claims.Expires}, nil
}

func tokenRefusal(q remote.Request, res *remote.Response, now time.Time) error {
	var answer struct {
		XMLName xml.Name `xml:"ErrorResponse"`
		Error   struct{ Code, Message string }
	}
	if xml.Unmarshal(res.Body, &answer) != nil || answer.Error.Code == "" {
		return q.Refusal(res, "", "an answer without an AWS error", "")
	}
	code, message := answer.Error.Code, answer.Error.Message
	e := q.Refusal(res, code, message, tokenHint(code))
	if code == "SignatureDoesNotMatch" || code == "RequestExpired" {
		e.Hint = clockHint(res.Header, now)
	}
	if code == "Throttling" {
		e.Err = stile.ErrTemporary
	}
	return e
}

func tokenHint(code string) string {
	switch code {
	case "OutboundWebIdentityFederationDisabledException":
		return "enable it in this account (aws iam enable-outbound-web-identity-federation), and let the far side trust the issuer URL it gives"
	case "SessionDurationEscalationException":
		return "ask for a shorter lifetime: the token cannot outlive the session that asks for it"
	case "AccessDenied", "AccessDeniedException":
		return "allow sts:GetWebIdentityToken in this role's policies, and sts:TagGetWebIdentityToken if the token has tags"
	case "InvalidAction":
		return "name the region's own STS endpoint: the global one does not serve these tokens"
	case "ExpiredToken", "InvalidClientTokenId":
		return "this workload's AWS credentials are no longer good: stile whoami --verbose shows where they came from"
	case "RegionDisabledException":
		return "enable the region in the account, or name another"
	}
	return ""
}

// clockHint compares this machine's clock with the far side's, which every answer tells.
func clockHint(header http.Header, now time.Time) string {
	theirs, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return "check this machine's clock, and that the secret access key belongs to the access key id"
	}
	switch off := now.Sub(theirs).Round(time.Second); {
	case off > time.Minute:
		return fmt.Sprintf("this machine's clock is %s ahead of AWS's: set it right", off)
	case off < -time.Minute:
		return fmt.Sprintf("this machine's clock is %s behind AWS's: set it right", -off)
	}
	return "the clock is right: check that the secret access key belongs to the access key id"
}
