// SPDX-License-Identifier: Apache-2.0

package outlet_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/outlet"
)

// expires is not in UTC and has a fraction, which no SDK's reader of these formats is sure to take.
var expires = time.Date(2026, 11, 22, 4, 4, 5, 999_999_999, time.FixedZone("CET", 3600))

var (
	session = stile.Credential{Kind: stile.KindAWSSession, Expires: expires, Principal: "arn:aws:sts::111122223333:assumed-role/r/s",
		Session: stile.Session{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: stile.NewSecret("secret/key+1"),
			SessionToken: stile.NewSecret("session=token"), AccountID: "111122223333"}}
	accessToken = stile.Credential{Kind: stile.KindAccessToken, Expires: expires, Token: stile.NewSecret("ya29.token"), Principal: "a@b.iam.gserviceaccount.com"}
	idToken     = stile.Credential{Kind: stile.KindIDToken, Expires: expires, Token: stile.NewSecret("eyJ.a.b"), Principal: "a@b.iam.gserviceaccount.com"}
)

func TestCredentialProcess(t *testing.T) {
	t.Parallel()
	noAccount := session
	noAccount.Session.AccountID = ""
	cases := map[string]struct {
		credential stile.Credential
		want       string
	}{
		"whole": {session, `{"Version":1,"AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"secret/key+1","SessionToken":"session=token",` +
			`"Expiration":"2026-11-22T03:04:05Z","AccountId":"111122223333"}` + "\n"},
		"account not known": {noAccount, `{"Version":1,"AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"secret/key+1","SessionToken":"session=token",` +
			`"Expiration":"2026-11-22T03:04:05Z"}` + "\n"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got bytes.Buffer
			if err := outlet.CredentialProcess(&got, c.credential); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got.String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		credential stile.Credential
		asJSON     bool
		want       string
	}{
		"access token": {accessToken, false, "ya29.token\n"},
		"ID token":     {idToken, false, "eyJ.a.b\n"},
		"access token as JSON": {accessToken, true,
			`{"expires":"2026-11-22T03:04:05Z","kind":"access_token","principal":"a@b.iam.gserviceaccount.com","token":"ya29.token"}` + "\n"},
		"ID token as JSON": {idToken, true,
			`{"expires":"2026-11-22T03:04:05Z","kind":"id_token","principal":"a@b.iam.gserviceaccount.com","token":"eyJ.a.b"}` + "\n"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got bytes.Buffer
			if err := outlet.Token(&got, c.credential, c.asJSON); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got.String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestWrongKindIsMisuse(t *testing.T) {
	t.Parallel()
	var got bytes.Buffer
	for _, err := range []error{
		outlet.Token(&got, session, false), outlet.Token(&got, session, true),
		outlet.CredentialProcess(&got, accessToken), outlet.CredentialProcess(&got, idToken),
	} {
		if !errors.Is(err, stile.ErrMisuse) {
			t.Errorf("got %v", err)
		}
	}
	if got.Len() != 0 {
		t.Errorf("something was written: %q", got.String())
	}
}

// TestJSONSurvives: characters that JSON may write in another way arrive as they were.
func TestJSONSurvives(t *testing.T) {
	t.Parallel()
	const odd = "a<b>&c\u2028\"\\/+="
	c := session
	c.Session.SecretAccessKey = stile.NewSecret(odd)
	var out bytes.Buffer
	if err := outlet.CredentialProcess(&out, c); err != nil {
		t.Fatal(err)
	}
	var back struct{ SecretAccessKey string }
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back.SecretAccessKey != odd {
		t.Errorf("got %q, %v", back.SecretAccessKey, err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestFullDiskIsReported(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"token": outlet.Token(full{}, accessToken, false), "token as JSON": outlet.Token(full{}, accessToken, true),
		"credential_process": outlet.CredentialProcess(full{}, session),
		"script":             outlet.Script(full{}, "posix", outlet.Environment(session, "")),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
