// SPDX-License-Identifier: Apache-2.0

package fromaws_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/stile-project/stile"
	fromaws "github.com/stile-project/stile/from/aws"
	"github.com/stile-project/stile/internal/jwt"
	"github.com/stile-project/stile/lab"
	labaws "github.com/stile-project/stile/lab/aws"
	labgcp "github.com/stile-project/stile/lab/gcp"
	"github.com/stile-project/stile/lab/stage"
	togcp "github.com/stile-project/stile/to/gcp"
)

const jwtProvider = stage.Pool + "/providers/aws-jwt"

// A scene is the stage with outbound federation enabled, and a provider in Google Cloud that trusts AWS's issuer.
type scene struct {
	*stage.Stage
	t *testing.T
}

func set(t *testing.T) scene {
	t.Helper()
	s, err := stage.Set(lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := s.World.AWS.EnableOutboundFederation(stage.Account)
	if err != nil {
		t.Fatal(err)
	}
	sc := scene{s, t}
	sc.permit(`["sts:GetWebIdentityToken","sts:TagGetWebIdentityToken"]`)
	if err := s.World.Google.AddProvider(labgcp.Provider{Project: stage.Project, Pool: "aws-pool", ID: "aws-jwt", Issuer: issuer,
		Mapping:   map[string]string{"google.subject": "assertion.sub", "attribute.team": "assertion['https://sts.amazonaws.com/'].request_tags['team']"},
		Condition: "assertion.sub == '" + stage.Role + "'"}); err != nil {
		t.Fatal(err)
	}
	return sc
}

// permit gives the role another policy.
func (s scene) permit(actions string) {
	s.t.Helper()
	if err := s.World.AWS.AddRole(labaws.Role{Account: stage.Account, Name: "etl-role",
		Trust:       `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`,
		Permissions: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":` + actions + `,"Resource":"*"}]}`}); err != nil {
		s.t.Fatal(err)
	}
}

// delivered are the keys that a workload of the role has, as EC2 gives them out.
func (s scene) delivered(life time.Duration) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		keys, err := s.World.AWS.Session(stage.Role, "i-0abc123def4567890", life)
		return aws.Credentials{AccessKeyID: keys.AccessKeyID, SecretAccessKey: keys.SecretAccessKey, SessionToken: keys.SessionToken}, err
	})
}

func (s scene) source() *fromaws.WebIdentityToken {
	return &fromaws.WebIdentityToken{Credentials: s.delivered(time.Hour), Region: fromaws.FixedRegion(stage.Region),
		Tags: map[string]string{"team": "data"}, Client: &http.Client{Transport: s.World.Network(nil)}}
}

func TestWebIdentityTokenCrosses(t *testing.T) {
	t.Parallel()
	s := set(t)
	target := &togcp.AccessToken{Provider: jwtProvider, Client: &http.Client{Transport: s.World.Network(nil)}}
	cred, err := stile.Cross(s.source(), target).Credential(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if cred.Kind != stile.KindAccessToken || cred.Token.IsZero() {
		t.Errorf("got %+v", cred)
	}
}

func TestWebIdentityTokenSaysWhoAndForWhom(t *testing.T) {
	t.Parallel()
	s := set(t)
	source := s.source()
	source.Lifetime = 10 * time.Minute
	token, err := source.SubjectToken(t.Context(), "https://vault.example")
	if err != nil {
		t.Fatal(err)
	}
	claims, err := jwt.Unverified(token.Value.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if token.Type != stile.TokenTypeJWT || token.Subject != stage.Role || !token.Expires.Equal(claims.Expires) || !claims.IsFor("https://vault.example") {
		t.Errorf("got %+v of %+v", token, claims)
	}
	if left := time.Until(token.Expires); left < 9*time.Minute || left > 10*time.Minute {
		t.Errorf("good for %s, want 10m", left)
	}
	about, _ := claims.All["https://sts.amazonaws.com/"].(map[string]any)
	if tags, _ := about["request_tags"].(map[string]any); tags["team"] != "data" || about["source_region"] != stage.Region {
		t.Errorf("AWS adds %v", about)
	}
}

func TestWebIdentityTokenRefused(t *testing.T) {
	t.Parallel()
	skewed := func(d time.Duration) func(scene, *fromaws.WebIdentityToken) {
		return func(_ scene, w *fromaws.WebIdentityToken) { w.Clock = func() time.Time { return time.Now().Add(d) } }
	}
	for name, c := range map[string]struct {
		change      func(scene, *fromaws.WebIdentityToken)
		kind        error
		code, hint  string
		errorStatus int
	}{
		"not enabled": {func(s scene, _ *fromaws.WebIdentityToken) { s.World.AWS.DisableOutboundFederation(stage.Account) },
			stile.ErrRefused, "OutboundWebIdentityFederationDisabledException", "enable-outbound-web-identity-federation", 403},
		"no permission":          {func(s scene, _ *fromaws.WebIdentityToken) { s.permit(`"s3:GetObject"`) }, stile.ErrRefused, "AccessDenied", "sts:GetWebIdentityToken", 403},
		"no permission for tags": {func(s scene, _ *fromaws.WebIdentityToken) { s.permit(`"sts:GetWebIdentityToken"`) }, stile.ErrRefused, "AccessDenied", "sts:TagGetWebIdentityToken", 403},
		"longer than the session": {func(s scene, w *fromaws.WebIdentityToken) {
			w.Credentials, w.Lifetime = s.delivered(time.Minute), time.Hour
		}, stile.ErrRefused, "SessionDurationEscalationException", "shorter", 403},
		"the global endpoint": {func(_ scene, w *fromaws.WebIdentityToken) {
			w.Endpoint, w.Region = "https://sts.amazonaws.com", fromaws.FixedRegion("us-east-1")
		}, stile.ErrRefused, "InvalidAction", "region's own", 400},
		"a clock that is ahead":  {skewed(20 * time.Minute), stile.ErrRefused, "SignatureDoesNotMatch", "clock", 403},
		"a clock that is behind": {skewed(-20 * time.Minute), stile.ErrRefused, "SignatureDoesNotMatch", "clock", 403},
		"somebody else's keys":   {func(_ scene, w *fromaws.WebIdentityToken) { w.Credentials = fixed(example) }, stile.ErrRefused, "InvalidClientTokenId", "whoami --verbose", 403},
		"throttled": {func(s scene, _ *fromaws.WebIdentityToken) {
			s.World.Faults.Add(lab.Fault{Host: "sts.eu-west-1.amazonaws.com", Status: 400, Body: `<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>`})
		}, stile.ErrTemporary, "Throttling", "", 400},
		"broken": {func(s scene, _ *fromaws.WebIdentityToken) {
			s.World.Faults.Add(lab.Fault{Host: "sts.eu-west-1.amazonaws.com", Status: 503, Body: "<html>"})
		}, stile.ErrTemporary, "", "", 503},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := set(t)
			source := s.source()
			c.change(s, source)
			_, err := source.SubjectToken(t.Context(), "https://vault.example")
			var e *stile.Error
			if !errors.As(err, &e) || !errors.Is(err, c.kind) || e.Code != c.code || e.Status != c.errorStatus || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("got %v, want %d %s with the hint %q", err, c.errorStatus, c.code, c.hint)
			}
		})
	}
}

// answering gives one answer with a date.
type answering struct {
	status int
	body   []byte
	date   time.Time
}

func (a answering) RoundTrip(*http.Request) (*http.Response, error) {
	header := http.Header{}
	if !a.date.IsZero() {
		header.Set("Date", a.date.UTC().Format(http.TimeFormat))
	}
	return &http.Response{StatusCode: a.status, Header: header, Body: io.NopCloser(bytes.NewReader(a.body))}, nil
}

func TestClockHintSaysWhichWay(t *testing.T) {
	t.Parallel()
	body := []byte(`<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>Signature expired</Message></Error></ErrorResponse>`)
	now := time.Now()
	for name, c := range map[string]struct {
		date time.Time
		want string
	}{
		"ahead":   {now.Add(-time.Hour), "ahead of AWS's"},
		"behind":  {now.Add(time.Hour), "behind AWS's"},
		"right":   {now, "the clock is right"},
		"no date": {time.Time{}, "check this machine's clock"},
	} {
		source := &fromaws.WebIdentityToken{Credentials: fixed(example), Region: fromaws.FixedRegion("eu-west-1"),
			Clock: func() time.Time { return now }, Client: &http.Client{Transport: answering{403, body, c.date}}}
		_, err := source.SubjectToken(t.Context(), "a")
		var e *stile.Error
		if !errors.As(err, &e) || !strings.Contains(e.Hint, c.want) {
			t.Errorf("%s: got hint %q of %v", name, e.Hint, err)
		}
	}
}

func TestWebIdentityTokenRefusesBadSettings(t *testing.T) {
	t.Parallel()
	good := fromaws.WebIdentityToken{Credentials: fixed(example), Region: fromaws.FixedRegion("eu-west-1")}
	many := map[string]string{}
	for i := range 51 {
		many[strings.Repeat("k", i+1)] = "v"
	}
	for name, c := range map[string]struct {
		change   func(*fromaws.WebIdentityToken)
		audience string
		words    string
	}{
		"no credentials": {func(w *fromaws.WebIdentityToken) { w.Credentials = nil }, "a", "no Credentials"},
		"no audience":    {func(*fromaws.WebIdentityToken) {}, "", "no audience"},
		"too short":      {func(w *fromaws.WebIdentityToken) { w.Lifetime = 59 * time.Second }, "a", "from 1m to 1h"},
		"too long":       {func(w *fromaws.WebIdentityToken) { w.Lifetime = time.Hour + time.Second }, "a", "from 1m to 1h"},
		"fractions":      {func(w *fromaws.WebIdentityToken) { w.Lifetime = time.Minute + 1 }, "a", "whole seconds"},
		"too many tags":  {func(w *fromaws.WebIdentityToken) { w.Tags = many }, "a", "51 tags"},
		"long tag":       {func(w *fromaws.WebIdentityToken) { w.Tags = map[string]string{"a": strings.Repeat("v", 257)} }, "a", "at most 256"},
		"empty tag key":  {func(w *fromaws.WebIdentityToken) { w.Tags = map[string]string{"": "v"} }, "a", "1 to 128"},
		"a zone":         {func(w *fromaws.WebIdentityToken) { w.Region = fromaws.FixedRegion("eu-west-1a") }, "a", "availability zone"},
		"not a URL":      {func(w *fromaws.WebIdentityToken) { w.Endpoint = "https://%zz" }, "a", "not a URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := good
			c.change(&source)
			if _, err := source.SubjectToken(t.Context(), c.audience); !errors.Is(err, stile.ErrMisuse) || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got %v, want misuse with %q", err, c.words)
			}
		})
	}
}

func TestWebIdentityTokenKeys(t *testing.T) {
	t.Parallel()
	if key := (&fromaws.WebIdentityToken{}).CacheKey(); !key.IsZero() {
		t.Error("without an ID there is a key")
	}
	seen := map[stile.Key]string{}
	for name, w := range map[string]*fromaws.WebIdentityToken{
		"plain": {ID: "a"}, "another": {ID: "b"}, "FIPS": {ID: "a", FIPS: true}, "lifetime": {ID: "a", Lifetime: time.Hour}, "endpoint": {ID: "a", Endpoint: "https://x"},
		"tag": {ID: "a", Tags: map[string]string{"a": "b"}}, "tags": {ID: "a", Tags: map[string]string{"a": "b", "c": "d"}},
	} {
		if other, twice := seen[w.CacheKey()]; twice {
			t.Errorf("%s and %s have one key", name, other)
		}
		seen[w.CacheKey()] = name
	}
}

func TestExpiredCredentialsPointAtTheClock(t *testing.T) {
	t.Parallel()
	dead := example
	dead.CanExpire, dead.Expires = true, time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	for name, source := range map[string]stile.Source{
		"caller": &fromaws.Caller{Credentials: fixed(dead), Region: fromaws.FixedRegion("eu-west-1"), Clock: at("20261122T030405Z")},
		"token":  &fromaws.WebIdentityToken{Credentials: fixed(dead), Region: fromaws.FixedRegion("eu-west-1"), Clock: at("20261122T030405Z")},
	} {
		_, err := source.SubjectToken(t.Context(), provider)
		var e *stile.Error
		if !errors.Is(err, stile.ErrTemporary) || !errors.As(err, &e) || !strings.Contains(e.Error(), "4m5s ago") || !strings.Contains(e.Hint, "clock") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func FuzzWebIdentityTokenAnswer(f *testing.F) {
	f.Add(200, []byte(`<GetWebIdentityTokenResponse><GetWebIdentityTokenResult><WebIdentityToken>eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJhIiwic3ViIjoicyIsImV4cCI6MTc5NTMxNjk0NX0.c2ln</WebIdentityToken><Expiration>2026-11-22T03:09:05Z</Expiration></GetWebIdentityTokenResult></GetWebIdentityTokenResponse>`))
	f.Add(200, []byte(`<GetWebIdentityTokenResponse/>`))
	f.Add(403, []byte(`<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>`))
	f.Add(400, []byte("\xff<"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 100 || status > 999 {
			return
		}
		source := &fromaws.WebIdentityToken{Credentials: fixed(example), Region: fromaws.FixedRegion("eu-west-1"), Client: &http.Client{Transport: answering{status, body, time.Time{}}}}
		token, err := source.SubjectToken(t.Context(), "a")
		if err == nil {
			claims, err := jwt.Unverified(token.Value.Reveal())
			if err != nil || !claims.IsFor("a") || token.Expires.IsZero() || status > 299 || !utf8.ValidString(token.Subject) {
				t.Errorf("status %d gave %+v", status, token)
			}
			return
		}
		if e, ok := errors.AsType[*stile.Error](err); !ok || strings.ContainsAny(e.Error(), "\x00\n\x1b") || strings.Contains(e.Error(), example.SecretAccessKey) {
			t.Errorf("not an error of ours, or not fit to print: %q", err)
		}
	})
}
