// SPDX-License-Identifier: Apache-2.0

package fromgcp_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stile-project/stile"
	fromgcp "github.com/stile-project/stile/from/gcp"
	"github.com/stile-project/stile/lab/stage"
)

// lookup is an environment.
func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
}

func TestDefaultCredentialsAreFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, path := range []string{"home/.config/gcloud/application_default_credentials.json", "moved/application_default_credentials.json"} {
		path = filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	home, moved, named := filepath.Join(dir, "home"), filepath.Join(dir, "moved"), filepath.Join(dir, "named.json")
	cases := map[string]struct {
		file string
		env  map[string]string
		want string // the path, or words of the error
	}{
		"a field":           {named, map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": "x", "HOME": home, "APPDATA": home}, named},
		"the variable":      {"", map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": named, "CLOUDSDK_CONFIG": moved}, named},
		"with white space":  {"", map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": " " + named + "\n"}, named},
		"a blank variable":  {"", map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": " ", "CLOUDSDK_CONFIG": moved}, filepath.Join(moved, "application_default_credentials.json")},
		"gcloud's own":      {"", map[string]string{"CLOUDSDK_CONFIG": moved, "HOME": home}, filepath.Join(moved, "application_default_credentials.json")},
		"nothing set":       {"", nil, "no variable names a home directory"},
		"nobody signed in":  {"", map[string]string{"CLOUDSDK_CONFIG": dir}, "there is no " + dir},
		"and which was not": {"", map[string]string{"CLOUDSDK_CONFIG": dir}, "GOOGLE_APPLICATION_CREDENTIALS is not set"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := (&fromgcp.ApplicationDefault{File: c.file, Lookup: lookup(c.env)}).Path()
			if err == nil {
				if got != c.want {
					t.Errorf("got %s, want %s", got, c.want)
				}
				return
			}
			var e *stile.Error
			if !errors.Is(err, stile.ErrNoIdentity) || !strings.Contains(err.Error(), c.want) || !errors.As(err, &e) || !strings.Contains(e.Hint, "gcloud auth application-default login") {
				t.Errorf("got %v, want no identity and %q", err, c.want)
			}
		})
	}
}

func TestPersonReadsABucket(t *testing.T) {
	t.Parallel()
	s := play(t)
	s.must(s.World.Google.Grant("buckets/"+stage.Warehouse, "roles/storage.objectViewer", "user:"+developer))
	cred, err := s.stored(s.user.File(), "").Credential(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if cred.Principal != developer || s.read(cred) != 200 {
		t.Errorf("got a token of %q, which the bucket does not take", cred.Principal)
	}
}

func TestFileThatImpersonatesGivesItsAccountsToken(t *testing.T) {
	t.Parallel()
	s := play(t)
	s.must(s.World.Google.Grant("serviceAccounts/"+stage.Reader, "roles/iam.serviceAccountTokenCreator", "user:"+developer))
	cred, err := s.stored(s.impersonating(stage.Reader, s.user.File()), "").Credential(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if cred.Principal != stage.Reader || s.read(cred) != 200 {
		t.Errorf("got a token of %q, which the bucket does not take", cred.Principal)
	}
}

func TestDefaultCredentialsRefused(t *testing.T) {
	t.Parallel()
	s := play(t)
	user := string(s.user.File())
	external := `{"type":"external_account","audience":"//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/providers/b"}`
	cases := map[string]struct {
		text, account string
		kind          error
		words, hint   string
	}{
		"a person for herself":    {user, "", stile.ErrNoIdentity, "speaks for a person", "service account that this person may impersonate"},
		"no right to the account": {user, stage.Reader, stile.ErrRefused, "getOpenIdToken", "roles/iam.serviceAccountTokenCreator"},
		"account misspelt":        {user, "reader", stile.ErrMisuse, "service account", ""},
		"external_account":        {external, "", stile.ErrMisuse, "external_account", "--credential-file"},
		"another type":            {`{"type":"gdch_service_account"}`, "", stile.ErrMisuse, "none that is known", "sign in again"},
		"no type":                 {`{}`, "", stile.ErrMisuse, "none that is known", ""},
		"not JSON":                {"{\n\"type\": \"authorized_user\",\n\"refresh_token\": 1//hidden\n}", "", stile.ErrMisuse, "at line 3", ""},
		"empty":                   {"", "", stile.ErrMisuse, "not the JSON", ""},
		"no refresh token":        {strings.Replace(user, "refresh_token", "other", 1), "", stile.ErrMisuse, "it has no refresh_token", ""},
		"another universe":        {strings.Replace(user, "googleapis.com", "other.example", 1), "", stile.ErrMisuse, "universe", ""},
		"quota project":           {strings.Replace(user, `"account": ""`, `"quota_project_id": "a b"`, 1), "", stile.ErrMisuse, "quota_project_id", ""},
		"impersonates nobody":     {`{"type":"impersonated_service_account","service_account_impersonation_url":"https://evil.example/"}`, "", stile.ErrMisuse, "names no service account", ""},
		"impersonates by nobody":  {string(s.impersonating(stage.Resizer, []byte(`{}`))), "", stile.ErrMisuse, "source_credentials", ""},
		"impersonates twice":      {string(s.impersonating(stage.Resizer, s.impersonating(stage.Reader, s.user.File()))), "", stile.ErrMisuse, "in turn", ""},
		"another client secret":   {strings.Replace(user, "lab-client-secret", "other-client-secret", 1), stage.Resizer, stile.ErrRefused, "client secret is invalid", "gcloud auth application-default login"},
		"another client":          {strings.Replace(user, "700000000000", "800000000000", 1), stage.Resizer, stile.ErrRefused, "OAuth client was not found", "gcloud auth application-default login"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := s.stored([]byte(c.text), c.account).SubjectToken(t.Context(), audience)
			var e *stile.Error
			if !errors.Is(err, c.kind) || !errors.As(err, &e) || !strings.Contains(err.Error(), c.words) || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("got %v, want kind %v, %q and a hint with %q", err, c.kind, c.words, c.hint)
			}
			if strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), s.user.RefreshToken) || strings.Contains(err.Error(), "evil") {
				t.Errorf("the error quotes the file: %v", err)
			}
		})
	}
}

func TestRevokedSignIn(t *testing.T) {
	t.Parallel()
	s := play(t)
	adc := s.stored(s.user.File(), stage.Resizer)
	if _, err := adc.SubjectToken(t.Context(), audience); err != nil {
		t.Fatal(err)
	}
	s.must(s.World.Google.RevokeUser(developer))
	_, err := adc.SubjectToken(t.Context(), audience)
	var e *stile.Error
	if !errors.Is(err, stile.ErrRefused) || !errors.As(err, &e) || e.Message != "Token has been expired or revoked." || !strings.Contains(e.Hint, "gcloud auth application-default login") {
		t.Errorf("got %v, want Google's word and how to sign in", err)
	}
}

func TestFileIsReadEachTime(t *testing.T) {
	t.Parallel()
	s := play(t)
	adc := s.stored([]byte(s.key.Reveal()), "")
	if _, err := adc.SubjectToken(t.Context(), audience); err != nil {
		t.Fatal(err)
	}
	s.must(os.Remove(adc.File))
	if _, err := adc.SubjectToken(t.Context(), audience); !errors.Is(err, stile.ErrNoIdentity) || !strings.Contains(err.Error(), adc.File) {
		t.Errorf("with the file gone: %v, want no identity and its path", err)
	}
	adc.File = t.TempDir()
	if _, err := adc.SubjectToken(t.Context(), audience); !errors.Is(err, stile.ErrNoIdentity) {
		t.Errorf("a directory: %v, want no identity", err)
	}
}

func TestQuotaProjectIsCharged(t *testing.T) {
	t.Parallel()
	s := play(t)
	charged := strings.Replace(string(s.user.File()), `"account": ""`, `"quota_project_id": "`+stage.Project+`"`, 1)
	_, err := s.stored([]byte(charged), stage.Resizer).SubjectToken(t.Context(), audience)
	var e *stile.Error
	if !errors.Is(err, stile.ErrRefused) || !errors.As(err, &e) || !strings.Contains(e.Hint, "serviceUsageConsumer") {
		t.Errorf("without the right to the project: %v", err)
	}
	s.must(s.World.Google.Grant("projects/"+stage.Project, "roles/serviceusage.serviceUsageConsumer", "user:"+developer))
	if _, err := s.stored([]byte(charged), stage.Resizer).SubjectToken(t.Context(), audience); err != nil {
		t.Errorf("with it: %v", err)
	}
}

func TestImpersonationMisuse(t *testing.T) {
	t.Parallel()
	s := play(t)
	session := supplier{stile.Credential{Kind: stile.KindAWSSession}}
	for name, source := range map[string]stile.Source{
		"no account":       &fromgcp.Impersonated{},
		"a path":           &fromgcp.SignedJWT{ServiceAccount: "a/../b@p.iam.gserviceaccount.com"},
		"a delegate":       &fromgcp.Impersonated{ServiceAccount: stage.Resizer, Delegates: []string{"x"}},
		"an AWS session":   &fromgcp.Impersonated{ServiceAccount: stage.Resizer, Access: session, Client: s.client(nil)},
		"no quota project": &fromgcp.SignedJWT{ServiceAccount: stage.Resizer, QuotaProject: "a b"},
	} {
		if _, err := source.SubjectToken(t.Context(), audience); !errors.Is(err, stile.ErrMisuse) {
			t.Errorf("%s: got %v, want misuse", name, err)
		}
	}
}

func TestDelegates(t *testing.T) {
	t.Parallel()
	s := play(t)
	middle, err := s.World.Google.AddServiceAccount(stage.Project, "go-between")
	s.must(err)
	last, err := s.World.Google.AddServiceAccount(stage.Project, "last-one")
	s.must(err)
	s.must(s.World.Google.Grant("serviceAccounts/"+middle.Email, "roles/iam.serviceAccountTokenCreator", "serviceAccount:"+stage.Reader))
	s.must(s.World.Google.Grant("serviceAccounts/"+last.Email, "roles/iam.serviceAccountTokenCreator", "serviceAccount:"+middle.Email))
	for _, delegates := range [][]string{nil, {middle.Email}} {
		for name, source := range map[string]stile.Source{
			"generateIdToken": &fromgcp.Impersonated{ServiceAccount: last.Email, Delegates: delegates, Access: s.reader(), Client: s.client(nil)},
			"signJwt":         &fromgcp.SignedJWT{ServiceAccount: last.Email, Delegates: delegates, Access: s.reader(), Client: s.client(nil)},
		} {
			_, err := source.SubjectToken(t.Context(), audience)
			if (err == nil) != (len(delegates) > 0) {
				t.Errorf("%s by %q: %v", name, delegates, err)
			}
		}
	}
}

type supplier struct{ cred stile.Credential }

func (s supplier) Credential(context.Context) (stile.Credential, error) { return s.cred, nil }
