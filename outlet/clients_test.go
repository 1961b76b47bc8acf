// SPDX-License-Identifier: Apache-2.0

package outlet_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/auth/credentials/externalaccount"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/stile-project/stile"
	fromoidc "github.com/stile-project/stile/from/oidc"
	"github.com/stile-project/stile/outlet"
)

const (
	provider = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/p/providers/p"
	jwtType  = "urn:ietf:params:oauth:token-type:jwt"
)

// signedFor has the shape of a JWT for the audience.
func signedFor(audience string, expires time.Time) stile.Credential {
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	raw := part(map[string]any{"alg": "RS256", "kid": "1"}) + "." +
		part(map[string]any{"iss": "https://issuer.example", "sub": "workload", "aud": audience, "exp": expires.Unix(), "iat": expires.Unix() - 3600}) + ".c2ln"
	return stile.Credential{Kind: stile.KindIDToken, Token: stile.NewSecret(raw), Expires: expires}
}

// sts answers as Google STS does, and gives the subject token that it was shown.
func sts(t *testing.T) (url string, shown func() string) {
	t.Helper()
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.PostFormValue("subject_token")
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"ya29.x","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":3599}`)
	}))
	t.Cleanup(server.Close)
	return server.URL, func() string { return got }
}

// Google's own library reads what is written, of every form that it knows.
func TestGoogleReadsTheFiles(t *testing.T) {
	t.Setenv("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1")
	path := filepath.Join(t.TempDir(), "token")
	cred := signedFor(provider, time.Now().Add(time.Hour))
	for name, c := range map[string]struct {
		form   outlet.Form
		source externalaccount.CredentialSource
	}{
		"token": {outlet.FormToken, externalaccount.CredentialSource{File: path}},
		"line":  {outlet.FormLine, externalaccount.CredentialSource{File: path}},
		"JSON":  {outlet.FormJSON, externalaccount.CredentialSource{File: path, Format: &externalaccount.Format{Type: "json", SubjectTokenFieldName: "id_token"}}},
		"output file": {outlet.FormExecutable, externalaccount.CredentialSource{
			Executable: &externalaccount.ExecutableConfig{Command: "/no/such/program", TimeoutMillis: 5000, OutputFile: path}}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := (outlet.File{Path: path, Form: c.form}).Write(t.Context(), cred); err != nil {
				t.Fatal(err)
			}
			url, shown := sts(t)
			creds, err := externalaccount.NewCredentials(&externalaccount.Options{Audience: provider, SubjectTokenType: jwtType, TokenURL: url,
				CredentialSource: &c.source, Scopes: []string{"https://www.googleapis.com/auth/cloud-platform"}, Client: http.DefaultClient})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := creds.Token(t.Context()); err != nil || shown() != cred.Token.Reveal() {
				t.Errorf("Google was shown another token: %v", err)
			}
		})
	}
}

// This house's own sources read them too.
func TestStileReadsTheFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	cred := signedFor(provider, time.Now().Add(time.Hour))
	for form, source := range map[outlet.Form]stile.Source{
		outlet.FormToken:      &fromoidc.File{Path: path},
		outlet.FormLine:       &fromoidc.File{Path: path},
		outlet.FormJSON:       &fromoidc.File{Path: path, Field: "id_token"},
		outlet.FormExecutable: &fromoidc.Executable{Command: []string{"/no/such/program"}, Allowed: true, OutputFile: path},
	} {
		if err := (outlet.File{Path: path, Form: form}).Write(t.Context(), cred); err != nil {
			t.Fatal(err)
		}
		if token, err := source.SubjectToken(t.Context(), provider); err != nil || token.Value.Reveal() != cred.Token.Reveal() {
			t.Errorf("%s: %v", form, err)
		}
	}
}

// The AWS SDK reads the profile, and the one beside it.
func TestAWSReadsTheProfile(t *testing.T) {
	t.Parallel()
	f := outlet.File{Path: filepath.Join(t.TempDir(), "credentials"), Form: outlet.FormProfile, Profile: "from-gcp"}
	if err := os.WriteFile(f.Path, []byte("; mine\n[mine]\naws_access_key_id=AKIAMINE\naws_secret_access_key=x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Write(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	for profile, want := range map[string]string{"from-gcp": "ASIAEXAMPLE secret/key+1 session=token 111122223333", "mine": "AKIAMINE x  "} {
		got, err := config.LoadSharedConfigProfile(t.Context(), profile, func(o *config.LoadSharedConfigOptions) {
			o.CredentialsFiles, o.ConfigFiles = []string{f.Path}, []string{}
		})
		c := got.Credentials
		if text := strings.Join([]string{c.AccessKeyID, c.SecretAccessKey, c.SessionToken, c.AccountID}, " "); err != nil || text != want {
			t.Errorf("%s: %s, %v, want %s", profile, text, err, want)
		}
	}
}

func TestExecutableResponse(t *testing.T) {
	t.Parallel()
	const head = `{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:`
	for typ, want := range map[stile.TokenType]string{
		"":                      head + `id_token","id_token":"eyJ.a.b","expiration_time":1795316645}`,
		stile.TokenTypeIDToken:  head + `id_token","id_token":"eyJ.a.b","expiration_time":1795316645}`,
		stile.TokenTypeJWT:      head + `jwt","id_token":"eyJ.a.b","expiration_time":1795316645}`,
		fromoidc.TokenTypeSAML2: head + `saml2","saml_response":"eyJ.a.b","expiration_time":1795316645}`,
	} {
		var got bytes.Buffer
		if err := outlet.ExecutableResponse(&got, idToken, typ); err != nil || got.String() != want+"\n" {
			t.Errorf("%s: got %s, %v, want %s", typ, got.String(), err, want)
		}
	}
	for _, c := range []stile.Credential{session, accessToken, {}} {
		if err := outlet.ExecutableResponse(&bytes.Buffer{}, c, ""); !errors.Is(err, stile.ErrMisuse) {
			t.Errorf("%s: %v", c.Kind, err)
		}
	}
	for _, typ := range []stile.TokenType{stile.TokenTypeAWS4Request, "x"} {
		if err := outlet.ExecutableResponse(&bytes.Buffer{}, idToken, typ); !errors.Is(err, stile.ErrMisuse) {
			t.Errorf("%s: %v", typ, err)
		}
	}
}

func TestExecutableFailure(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		`{"version":1,"success":false,"code":"failed","message":"failed"}`:                      nil,
		`{"version":1,"success":false,"code":"failed","message":"two lines"}`:                   errors.New("two\nlines"),
		`{"version":1,"success":false,"code":"no_identity","message":"x: no identity here"}`:    fmt.Errorf("x: %w", stile.ErrNoIdentity),
		`{"version":1,"success":false,"code":"misused","message":"x: misused; hint: do y"}`:     &stile.Error{Op: "x", Hint: "do y", Err: stile.ErrMisuse},
		`{"version":1,"success":false,"code":"temporary","message":"temporary"}`:                stile.ErrTemporary,
		`{"version":1,"success":false,"code":"refused","message":"refused"}`:                    stile.ErrRefused,
		`{"version":1,"success":false,"code":"503","message":"x: STS answered 503"}`:            &stile.Error{Op: "x", Cloud: "STS", Status: 503, Err: stile.ErrTemporary},
		`{"version":1,"success":false,"code":"bad","message":"x: STS answered 400 bad: worse"}`: &stile.Error{Op: "x", Cloud: "STS", Status: 400, Code: "bad", Message: "worse", Err: stile.ErrRefused},
	} {
		var got bytes.Buffer
		if failed := outlet.ExecutableFailure(&got, err); failed != nil || got.String() != want+"\n" {
			t.Errorf("got %s, %v, want %s", got.String(), failed, want)
		}
	}
}
