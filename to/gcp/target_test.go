// SPDX-License-Identifier: Apache-2.0

package togcp_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/stile-project/stile"
	fromaws "github.com/stile-project/stile/from/aws"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/lab"
	"github.com/stile-project/stile/lab/stage"
	togcp "github.com/stile-project/stile/to/gcp"
)

// keys are an AWS session that the lab gave out.
type keys aws.Credentials

func (k keys) Retrieve(context.Context) (aws.Credentials, error) { return aws.Credentials(k), nil }

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
	return scene{s, t}
}

// source signs as a session of the role, by the clock given.
func (s scene) source(role string, clock func() time.Time) *fromaws.Caller {
	s.t.Helper()
	session, err := s.World.AWS.Session(role, "i-0abc123def4567890", time.Hour)
	if err != nil {
		s.t.Fatal(err)
	}
	creds := keys{AccessKeyID: session.AccessKeyID, SecretAccessKey: session.SecretAccessKey, SessionToken: session.SessionToken}
	return &fromaws.Caller{Credentials: creds, Region: fromaws.FixedRegion(stage.Region), Clock: clock, ID: role}
}

func (s scene) client() *http.Client { return &http.Client{Transport: s.World.Network(nil)} }

// read gets an object with a bearer token, as any client of Cloud Storage would.
func (s scene) read(bucket string, token stile.Secret) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "https://storage.googleapis.com/storage/v1/b/"+bucket+"/o/"+stage.OrdersName+"?alt=media", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token.Reveal())
	res, err := s.client().Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var body bytes.Buffer
	if _, err := body.ReadFrom(res.Body); err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, body.String()
}

func TestAccessTokenReadsWhatItMay(t *testing.T) {
	t.Parallel()
	s := set(t)
	cases := map[string]struct {
		account, opens, shut string
	}{
		"direct access": {"", stage.Direct, stage.Warehouse},
		"impersonation": {stage.Reader, stage.Warehouse, stage.Direct},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := &togcp.AccessToken{Provider: stage.Provider, ServiceAccount: c.account, Client: s.client()}
			cred, err := stile.Cross(s.source(stage.Role, nil), target).Credential(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if cred.Kind != stile.KindAccessToken || time.Until(cred.Expires) < 50*time.Minute || time.Until(cred.Expires) > time.Hour {
				t.Errorf("got a %s that expires at %s", cred.Kind, cred.Expires)
			}
			if status, body := s.read(c.opens, cred.Token); status != http.StatusOK || body != stage.Orders {
				t.Errorf("%s: %d %q", c.opens, status, body)
			}
			if status, _ := s.read(c.shut, cred.Token); status != http.StatusForbidden {
				t.Errorf("%s: %d, want 403", c.shut, status)
			}
		})
	}
}

func TestAccessTokenOptionsReachGoogle(t *testing.T) {
	t.Parallel()
	s := set(t)
	t.Run("lifetime", func(t *testing.T) {
		t.Parallel()
		target := &togcp.AccessToken{Provider: stage.Provider, ServiceAccount: stage.Reader, Lifetime: 10 * time.Minute, Client: s.client()}
		cred, err := stile.Cross(s.source(stage.Role, nil), target).Credential(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if left := time.Until(cred.Expires); left > 10*time.Minute || left < 9*time.Minute {
			t.Errorf("lives %s, want 10m", left)
		}
	})
	t.Run("scopes", func(t *testing.T) {
		t.Parallel()
		target := &togcp.AccessToken{Provider: stage.Provider, ServiceAccount: stage.Reader, Scopes: []string{"https://www.googleapis.com/auth/bigquery"}, Client: s.client()}
		cred, err := stile.Cross(s.source(stage.Role, nil), target).Credential(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if status, _ := s.read(stage.Warehouse, cred.Token); status != http.StatusForbidden {
			t.Errorf("a token for BigQuery alone read the bucket: %d", status)
		}
	})
	t.Run("delegates", func(t *testing.T) {
		t.Parallel()
		s := set(t)
		middle, err := s.World.Google.AddServiceAccount(stage.Project, "go-between")
		if err != nil {
			t.Fatal(err)
		}
		last, err := s.World.Google.AddServiceAccount(stage.Project, "last-one")
		if err != nil {
			t.Fatal(err)
		}
		member := "principalSet://iam.googleapis.com/" + stage.Pool + "/attribute.aws_role/arn:aws:sts::" + stage.Account + ":assumed-role/etl-role"
		for _, g := range [][3]string{{"serviceAccounts/" + middle.Email, "roles/iam.serviceAccountTokenCreator", member},
			{"serviceAccounts/" + last.Email, "roles/iam.serviceAccountTokenCreator", "serviceAccount:" + middle.Email}} {
			if err := s.World.Google.Grant(g[0], g[1], g[2]); err != nil {
				t.Fatal(err)
			}
		}
		target := &togcp.AccessToken{Provider: stage.Provider, ServiceAccount: last.Email, Client: s.client()}
		if _, err := stile.Cross(s.source(stage.Role, nil), target).Credential(t.Context()); !errors.Is(err, stile.ErrRefused) {
			t.Errorf("without the delegate: %v, want a refusal", err)
		}
		target.Delegates = []string{middle.Email}
		if _, err := stile.Cross(s.source(stage.Role, nil), target).Credential(t.Context()); err != nil {
			t.Errorf("with the delegate: %v", err)
		}
	})
}

// TestIDTokensOfTwoAudiencesNeverMix holds the bug that a published module has: a token kept for one audience must not
// be returned for another, whatever the order and however often they are asked for.
func TestIDTokensOfTwoAudiencesNeverMix(t *testing.T) {
	t.Parallel()
	s := set(t)
	memory, source := keep.NewMemory(), s.source(stage.Role, nil)
	for range 3 {
		for _, audience := range []string{s.Function, "https://other.example"} {
			target := &togcp.IDToken{Provider: stage.Provider, ServiceAccount: stage.Reader, TokenAudience: audience, Client: s.client()}
			cred, err := memory.Keep(stile.Cross(source, target), keep.Terms{}).Credential(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			status := s.call(cred.Token)
			if want := map[bool]int{true: http.StatusOK, false: http.StatusUnauthorized}[audience == s.Function]; status != want {
				t.Errorf("the token asked for %s: the function answered %d, want %d", audience, status, want)
			}
		}
	}
	exchanges := 0
	for _, e := range s.World.Journal.Take() {
		if e.Operation == "generateIdToken" {
			exchanges++
		}
	}
	if exchanges != 2 {
		t.Errorf("%d ID tokens made for two audiences", exchanges)
	}
}

func (s scene) call(token stile.Secret) int {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.Function, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token.Reveal())
	res, err := s.client().Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

func TestGoogleRefuses(t *testing.T) {
	t.Parallel()
	ago := func() time.Time { return time.Now().Add(-6 * time.Minute) }
	ahead := func() time.Time { return time.Now().Add(6 * time.Minute) }
	to := func(change func(*togcp.AccessToken)) *togcp.AccessToken {
		target := &togcp.AccessToken{Provider: stage.Provider, ServiceAccount: stage.Reader}
		change(target)
		return target
	}
	same := func(*togcp.AccessToken) {}
	cases := map[string]struct {
		role   string
		clock  func() time.Time
		target *togcp.AccessToken
		status int
		code   string
		hint   string
	}{
		"stale signature":      {stage.Role, ago, to(same), 400, "invalid_grant", "clock"},
		"future signature":     {stage.Role, ahead, to(same), 400, "invalid_grant", "clock"},
		"failing condition":    {stage.OtherRole, nil, to(same), 400, "unauthorized_client", "whoami"},
		"unknown provider":     {stage.Role, nil, to(func(a *togcp.AccessToken) { a.Provider = stage.Pool + "/providers/gone" }), 400, "invalid_target", "number"},
		"another project":      {stage.Role, nil, to(func(a *togcp.AccessToken) { a.Provider = strings.Replace(stage.Provider, stage.Number, "999", 1) }), 400, "invalid_target", "number"},
		"role ARN in binding":  {stage.Role, nil, to(func(a *togcp.AccessToken) { a.ServiceAccount = stage.Unbound }), 403, "PERMISSION_DENIED", "never matches"},
		"no such account":      {stage.Role, nil, to(func(a *togcp.AccessToken) { a.ServiceAccount = "nobody-here@demo-proj.iam.gserviceaccount.com" }), 403, "PERMISSION_DENIED", "grant"},
		"lifetime over 1 hour": {stage.Role, nil, to(func(a *togcp.AccessToken) { a.Lifetime = 2 * time.Hour }), 400, "INVALID_ARGUMENT", "1h or less"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := set(t)
			c.target.Client = s.client()
			_, err := stile.Cross(s.source(c.role, c.clock), c.target).Credential(t.Context())
			var e *stile.Error
			if !errors.As(err, &e) || !errors.Is(err, stile.ErrRefused) {
				t.Fatalf("got %v, want a refusal", err)
			}
			if e.Status != c.status || e.Code != c.code || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("got %d %s (hint %q), want %d %s and a hint with %q\n%v", e.Status, e.Code, e.Hint, c.status, c.code, c.hint, err)
			}
		})
	}
}

func TestAWSClockIsWhatCounts(t *testing.T) {
	t.Parallel()
	s := set(t)
	s.World.SkewAWS(10 * time.Minute)
	target := &togcp.AccessToken{Provider: stage.Provider, Client: s.client()}
	if _, err := stile.Cross(s.source(stage.Role, nil), target).Credential(t.Context()); !errors.Is(err, stile.ErrRefused) {
		t.Errorf("AWS ten minutes ahead: got %v, want a refusal", err)
	}
	s.World.SkewAWS(0)
	s.World.SkewGoogle(10 * time.Minute)
	if _, err := stile.Cross(s.source(stage.Role, nil), target).Credential(t.Context()); err != nil {
		t.Errorf("Google ten minutes ahead: got %v; the signature is AWS's to judge", err)
	}
}

func TestMisuseAsksNoCloud(t *testing.T) {
	t.Parallel()
	s := set(t)
	cases := map[string]stile.Target{
		"no provider":              &togcp.AccessToken{},
		"project id":               &togcp.AccessToken{Provider: strings.Replace(stage.Provider, stage.Number, stage.Project, 1)},
		"pool only":                &togcp.AccessToken{Provider: stage.Pool},
		"path in e-mail":           &togcp.AccessToken{Provider: stage.Provider, ServiceAccount: "a/../b@p.iam.gserviceaccount.com"},
		"delegate without account": &togcp.AccessToken{Provider: stage.Provider, Delegates: []string{stage.Reader}},
		"lifetime of 1 s":          &togcp.AccessToken{Provider: stage.Provider, ServiceAccount: stage.Reader, Lifetime: time.Second},
		"two scopes in one":        &togcp.AccessToken{Provider: stage.Provider, Scopes: []string{"a b"}},
		"ID token, no audience":    &togcp.IDToken{Provider: stage.Provider, ServiceAccount: stage.Reader},
		"ID token, no account":     &togcp.IDToken{Provider: stage.Provider, TokenAudience: "https://a.example"},
	}
	for name, target := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token := stile.SubjectToken{Value: stile.NewSecret("x"), Type: stile.TokenTypeAWS4Request}
			if _, err := target.Exchange(t.Context(), token); !errors.Is(err, stile.ErrMisuse) {
				t.Errorf("got %v, want misuse", err)
			}
		})
	}
	if asked := s.World.Journal.Take(); len(asked) != 0 {
		t.Errorf("a cloud was asked: %v", asked)
	}
}

// faults are what a far side can do wrong, beside refusing.
var faults = map[string]struct {
	fault lab.Fault
	kind  error
	words string
}{
	"throttled":         {lab.Fault{Status: 429, RetryAfter: 7, Body: `{"error":"quota_exceeded","error_description":"slow down"}`}, stile.ErrTemporary, "429"},
	"unavailable":       {lab.Fault{Status: 503, Body: "<html>down</html>"}, stile.ErrTemporary, "503"},
	"cut":               {lab.Fault{Cut: true}, stile.ErrTemporary, "cannot reach"},
	"redirect":          {lab.Fault{Status: 307, Header: http.Header{"Location": {"https://evil.example/"}}}, stile.ErrRefused, "redirect"},
	"empty":             {lab.Fault{Status: 200}, stile.ErrTemporary, "cannot be read"},
	"HTML":              {lab.Fault{Status: 200, Body: "<html>sign in to the wifi</html>"}, stile.ErrTemporary, "cannot be read"},
	"empty object":      {lab.Fault{Status: 200, Body: "{}"}, stile.ErrTemporary, "cannot be read"},
	"truncated":         {lab.Fault{Status: 200, Body: `{"access_token":"ya29`}, stile.ErrTemporary, "cannot be read"},
	"wrong types":       {lab.Fault{Status: 200, Body: `{"access_token":5,"accessToken":[],"token":{},"expires_in":"soon"}`}, stile.ErrTemporary, "cannot be read"},
	"negative life":     {lab.Fault{Status: 200, Body: `{"access_token":"t","accessToken":"t","token":"t","expires_in":-5}`}, stile.ErrTemporary, "cannot be read"},
	"not UTF-8":         {lab.Fault{Status: 400, Body: `{"error":"` + "\xff\xfe" + `","error_description":"\u0000\u001b[31m"}`}, stile.ErrRefused, "400"},
	"10 MB of garbage":  {lab.Fault{Status: 200, Body: strings.Repeat("garbage ", 10<<20/8)}, stile.ErrTemporary, "longer than"},
	"error, no message": {lab.Fault{Status: 403, Body: "{}"}, stile.ErrRefused, "403"},
}

func TestFaultsAreNamedAndBounded(t *testing.T) {
	t.Parallel()
	for name, c := range faults {
		for _, host := range []string{"sts.googleapis.com", "iamcredentials.googleapis.com"} {
			t.Run(name+" at "+host, func(t *testing.T) {
				t.Parallel()
				s := set(t)
				fault := c.fault
				fault.Host = host
				s.World.Faults.Add(fault)
				for kind, target := range map[string]stile.Target{
					"access token": &togcp.AccessToken{Provider: stage.Provider, ServiceAccount: stage.Reader, Client: s.client()},
					"ID token":     &togcp.IDToken{Provider: stage.Provider, ServiceAccount: stage.Reader, TokenAudience: "https://a.example", Client: s.client()},
				} {
					_, err := stile.Cross(s.source(stage.Role, nil), target).Credential(t.Context())
					if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.words) {
						t.Errorf("%s: got %.300v, want kind %v and %q", kind, err, c.kind, c.words)
						continue
					}
					if len(err.Error()) > 2000 || strings.ContainsAny(err.Error(), "\x00\x1b") || !utf8.ValidString(err.Error()) {
						t.Errorf("%s: the error is not fit to print: %.300q", kind, err)
					}
				}
			})
		}
	}
}

func TestThrottlingKeepsGooglesWordOnWhenToRetry(t *testing.T) {
	t.Parallel()
	s := set(t)
	s.World.Faults.Add(faults["throttled"].fault)
	_, err := stile.Cross(s.source(stage.Role, nil), &togcp.AccessToken{Provider: stage.Provider, Client: s.client()}).Credential(t.Context())
	var e *stile.Error
	if !errors.As(err, &e) || e.RetryAfter != 7*time.Second {
		t.Errorf("got %v, want a wait of 7s", err)
	}
}

func TestSlowCloudEndsAtTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := set(t)
		s.World.Faults.Add(lab.Fault{Host: "sts.googleapis.com", Delay: time.Hour})
		started := time.Now()
		_, err := stile.Cross(s.source(stage.Role, nil), &togcp.AccessToken{Provider: stage.Provider, Client: s.client()}).Credential(t.Context())
		if took := time.Since(started); !errors.Is(err, stile.ErrTemporary) || took > 31*time.Second {
			t.Errorf("after %s: %v", took, err)
		}
		if err != nil && !strings.Contains(err.Error(), "no answer from Google STS within 30s") {
			t.Errorf("the error does not say who was waited for: %v", err)
		}
	})
}

// TestEchoedSecretsStayOut has the far side repeat everything it was sent.
func TestEchoedSecretsStayOut(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"sts.googleapis.com", "iamcredentials.googleapis.com"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			s := set(t)
			var sent []string
			s.World.Faults.Add(lab.Fault{Host: host, Replace: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := r.ParseForm(); err != nil {
					t.Error(err)
				}
				token, bearer := r.PostForm.Get("subject_token"), strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
				sent = append(sent, token+bearer)
				w.WriteHeader(http.StatusBadRequest)
				if token != "" {
					_, _ = fmt.Fprintf(w, `{"error":"invalid_grant","error_description":"you sent %s"}`, token)
					return
				}
				_, _ = fmt.Fprintf(w, `{"error":{"status":"INVALID_ARGUMENT","message":"you sent %s"}}`, bearer)
			})})
			_, err := stile.Cross(s.source(stage.Role, nil), &togcp.AccessToken{Provider: stage.Provider, ServiceAccount: stage.Reader, Client: s.client()}).Credential(t.Context())
			if err == nil || !strings.Contains(err.Error(), "you sent [secret]") {
				t.Fatalf("got %.300v, want the echo with the secret cut out", err)
			}
			for _, secret := range sent {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error repeats what was sent: %v", err)
				}
			}
		})
	}
}

// TestIDTokenForAnotherAudienceIsNotHandedOut has Google mix tokens up: what was asked for one service must not reach
// another by way of us.
func TestIDTokenForAnotherAudienceIsNotHandedOut(t *testing.T) {
	t.Parallel()
	exp := time.Now().Add(time.Hour).Unix()
	for name, aud := range map[string]string{"another": `"https://b.example"`, "two": `["https://a.example","https://b.example"]`, "none": `[]`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := set(t)
			claims := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"aud":%s,"exp":%d,"iat":1,"iss":"https://accounts.google.com","sub":"1"}`, aud, exp))
			s.World.Faults.Add(lab.Fault{Host: "iamcredentials.googleapis.com", Status: http.StatusOK, Body: `{"token":"eyJhbGciOiJSUzI1NiJ9.` + claims + `.c2ln"}`})
			target := &togcp.IDToken{Provider: stage.Provider, ServiceAccount: stage.Reader, TokenAudience: "https://a.example", Client: s.client()}
			cred, err := stile.Cross(s.source(stage.Role, nil), target).Credential(t.Context())
			if err == nil || !strings.Contains(err.Error(), "aud") {
				t.Errorf("got %v, %v, want a refusal that names the audience", cred, err)
			}
		})
	}
}
