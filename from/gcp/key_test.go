// SPDX-License-Identifier: Apache-2.0

package fromgcp_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stile-project/stile"
	fromgcp "github.com/stile-project/stile/from/gcp"
	"github.com/stile-project/stile/lab"
	"github.com/stile-project/stile/lab/stage"
)

// changed is the scene's key file with some fields changed; an empty value takes a field out.
func (s *scene) changed(fields map[string]string) stile.Secret {
	s.t.Helper()
	var file map[string]string
	s.must(json.Unmarshal([]byte(s.key.Reveal()), &file))
	for name, value := range fields {
		file[name] = value
		if value == "" {
			delete(file, name)
		}
	}
	text, err := json.MarshalIndent(file, "", "  ")
	s.must(err)
	return stile.NewSecret(string(text))
}

func pemOf(t *testing.T, kind string, der []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func TestKeyFilesThatAreRefused(t *testing.T) {
	t.Parallel()
	s := play(t)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(curve)
	elliptical := pemOf(t, "PRIVATE KEY", der, err)
	whole := s.key.Reveal()
	cases := map[string]struct {
		file  stile.Secret
		words string
	}{
		"empty":               {stile.Secret{}, "not the JSON"},
		"HTML":                {stile.NewSecret("<html>"), "line 1"},
		"cut short":           {stile.NewSecret(whole[:len(whole)/2]), "at line"},
		"something after it":  {stile.NewSecret(whole + "\n{}"), "at line"},
		"a list":              {stile.NewSecret("[]"), "not the JSON"},
		"too long":            {stile.NewSecret(whole + strings.Repeat(" ", 64<<10)), "longer than"},
		"another type":        {s.changed(map[string]string{"type": "authorized_user"}), `type is not "service_account"`},
		"no type":             {s.changed(map[string]string{"type": ""}), `type is not "service_account"`},
		"no e-mail":           {s.changed(map[string]string{"client_email": ""}), "client_email"},
		"a path for e-mail":   {s.changed(map[string]string{"client_email": "../x@p.iam.gserviceaccount.com"}), "client_email"},
		"no key id":           {s.changed(map[string]string{"private_key_id": ""}), "private_key_id"},
		"a line in the id":    {s.changed(map[string]string{"private_key_id": "a\nb"}), "private_key_id"},
		"no key":              {s.changed(map[string]string{"private_key": ""}), "PEM"},
		"a key that is none":  {s.changed(map[string]string{"private_key": pemOf(t, "PRIVATE KEY", []byte("nonsense"), nil)}), "PKCS #8"},
		"an elliptic key":     {s.changed(map[string]string{"private_key": elliptical}), "RSA"},
		"another token URL":   {s.changed(map[string]string{"token_uri": "https://evil.example/token"}), "token_uri"},
		"the URL without TLS": {s.changed(map[string]string{"token_uri": "http://oauth2.googleapis.com/token"}), "token_uri"},
		"another universe":    {s.changed(map[string]string{"universe_domain": "other.example"}), "universe"},
	}
	s.World.Journal.Take()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := &fromgcp.Key{File: c.file, Client: s.client(nil)}
			_, err := key.SubjectToken(t.Context(), audience)
			if !errors.Is(err, stile.ErrMisuse) || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got %v, want misuse and %q", err, c.words)
			}
			if _, err := key.Credential(t.Context()); !errors.Is(err, stile.ErrMisuse) {
				t.Errorf("an access token: got %v, want misuse", err)
			}
			if strings.Contains(err.Error(), "MII") || strings.Contains(err.Error(), "evil") || strings.Contains(err.Error(), "nonsense") {
				t.Errorf("the error quotes the file: %v", err)
			}
			if !key.CacheKey().IsZero() {
				t.Error("a key file that cannot be read has a cache key")
			}
			if key.Warning() == "" {
				t.Error("no warning")
			}
		})
	}
}

func TestKeyInTheOlderForm(t *testing.T) {
	t.Parallel()
	s := play(t)
	var file struct {
		Key string `json:"private_key"`
	}
	s.must(json.Unmarshal([]byte(s.key.Reveal()), &file))
	block, _ := pem.Decode([]byte(file.Key))
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	s.must(err)
	marshalled := pemOf(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(parsed.(*rsa.PrivateKey)), nil)
	for name, fields := range map[string]map[string]string{
		"PKCS #1":          {"private_key": marshalled},
		"older token URL":  {"token_uri": "https://accounts.google.com/o/oauth2/token"},
		"no token URL":     {"token_uri": ""},
		"no universe":      {"universe_domain": ""},
		"an unknown field": {"comment": "of the night job"},
	} {
		if _, err := (&fromgcp.Key{File: s.changed(fields), Client: s.client(nil)}).SubjectToken(t.Context(), audience); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeyWarnsAndStaysHidden(t *testing.T) {
	t.Parallel()
	s := play(t)
	key := &fromgcp.Key{File: s.key}
	warning := key.Warning()
	for _, words := range []string{stage.Resizer, "does not expire", "gcloud iam service-accounts keys delete"} {
		if !strings.Contains(warning, words) {
			t.Errorf("the warning lacks %q: %s", words, warning)
		}
	}
	if got := s.stored([]byte(s.key.Reveal()), "").Warning(); got != warning {
		t.Errorf("as default credentials it warns %q", got)
	}
	if got := s.stored(s.user.File(), "").Warning(); got != "" {
		t.Errorf("a person's sign-in warns %q", got)
	}
	if shown := fmt.Sprintf("%v %+v %#v %s", key, key, *key, warning); strings.Contains(shown, "PRIVATE KEY") {
		t.Error("the key shows")
	}
}

func TestKeyGivesAnAccessToken(t *testing.T) {
	t.Parallel()
	s := play(t)
	cred, err := (&fromgcp.Key{File: s.readerKey(), Client: s.client(nil)}).Credential(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if cred.Principal != stage.Reader || cred.Kind != stile.KindAccessToken || s.read(cred) != http.StatusOK {
		t.Errorf("got %+v, which the bucket does not take", cred)
	}
}

func TestGoogleRefusesTheKey(t *testing.T) {
	t.Parallel()
	other := func(s *scene) stile.Secret {
		key, err := s.World.Google.Key(stage.Reader)
		s.must(err)
		return s.changed(map[string]string{"private_key": key.PrivateKeyPEM, "private_key_id": key.ID})
	}
	cases := map[string]struct {
		file        func(*scene) stile.Secret
		clock       func() time.Time
		words, hint string
	}{
		"another account's key": {other, nil, "Invalid JWT Signature", "keys list"},
		"no such account": {func(s *scene) stile.Secret {
			return s.changed(map[string]string{"client_email": "gone@demo-proj.iam.gserviceaccount.com"})
		}, nil, "account not found", "deleted"},
		"clock behind": {func(s *scene) stile.Secret { return s.key }, func() time.Time { return time.Now().Add(-2 * time.Hour) }, "short-lived", "clock"},
		"clock ahead":  {func(s *scene) stile.Secret { return s.key }, func() time.Time { return time.Now().Add(time.Minute) }, "short-lived", "clock"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := play(t)
			_, err := (&fromgcp.Key{File: c.file(s), Client: s.client(nil), Clock: c.clock}).SubjectToken(t.Context(), audience)
			var e *stile.Error
			if !errors.Is(err, stile.ErrRefused) || !errors.As(err, &e) || e.Code != "invalid_grant" || !strings.Contains(e.Message, c.words) || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("got %v (hint %q), want invalid_grant, %q and a hint with %q", err, e.Hint, c.words, c.hint)
			}
		})
	}
}

// faults are what a far side can do wrong, beside refusing.
var faults = map[string]struct {
	fault lab.Fault
	kind  error
	words string
}{
	"throttled":        {lab.Fault{Status: 429, RetryAfter: 7, Body: `{"error":"quota_exceeded"}`}, stile.ErrTemporary, "429"},
	"unavailable":      {lab.Fault{Status: 503, Body: "<html>down</html>"}, stile.ErrTemporary, "503"},
	"cut":              {lab.Fault{Cut: true}, stile.ErrTemporary, "cannot reach"},
	"redirect":         {lab.Fault{Status: 307, Header: http.Header{"Location": {"https://evil.example/"}}}, stile.ErrRefused, "redirect"},
	"empty":            {lab.Fault{Status: 200}, stile.ErrTemporary, "cannot be read"},
	"HTML":             {lab.Fault{Status: 200, Body: "<html>sign in to the wifi</html>"}, stile.ErrTemporary, "cannot be read"},
	"empty object":     {lab.Fault{Status: 200, Body: "{}"}, stile.ErrTemporary, "cannot be read"},
	"wrong types":      {lab.Fault{Status: 200, Body: `{"id_token":5,"token":[],"signedJwt":{},"access_token":1}`}, stile.ErrTemporary, "cannot be read"},
	"no token in it":   {lab.Fault{Status: 200, Body: `{"id_token":"x","token":"x","access_token":"x","expires_in":-1,"signedJwt":""}`}, stile.ErrTemporary, ""},
	"other audience":   {lab.Fault{Status: 200, Body: `{"id_token":"` + token(`{"sub":"1","aud":"b","exp":4102444800}`) + `","token":"` + token(`{"sub":"1","aud":"b","exp":4102444800}`) + `","expires_in":0}`}, stile.ErrTemporary, ""},
	"not UTF-8":        {lab.Fault{Status: 400, Body: `{"error":"` + "\xff\xfe" + `","error_description":"\u0000\u001b[31m"}`}, stile.ErrRefused, "400"},
	"10 MB of garbage": {lab.Fault{Status: 200, Body: strings.Repeat("garbage ", 10<<20/8)}, stile.ErrTemporary, "longer than"},
}

func TestFaultsAreNamedAndBounded(t *testing.T) {
	t.Parallel()
	for name, c := range faults {
		for _, host := range []string{"oauth2.googleapis.com", "iamcredentials.googleapis.com"} {
			t.Run(name+" at "+host, func(t *testing.T) {
				t.Parallel()
				s := play(t)
				sources := map[string]stile.Source{"a person": s.stored(s.user.File(), stage.Resizer), "signJwt": s.signed()}
				if host == "oauth2.googleapis.com" {
					sources["a key"] = &fromgcp.Key{File: s.key, Client: s.client(nil)}
				} else {
					sources["generateIdToken"] = &fromgcp.Impersonated{ServiceAccount: stage.Resizer, Access: s.reader(), Client: s.client(nil)}
				}
				fault := c.fault
				fault.Host = host
				s.World.Faults.Add(fault)
				for kind, source := range sources {
					_, err := source.SubjectToken(t.Context(), audience)
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

func TestSilenceEndsAtTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := play(t)
		s.World.Faults.Add(lab.Fault{Host: "oauth2.googleapis.com", Delay: time.Hour})
		started := time.Now()
		_, err := (&fromgcp.Key{File: s.key, Client: s.client(nil)}).SubjectToken(t.Context(), audience)
		if took := time.Since(started); !errors.Is(err, stile.ErrTemporary) || took > 31*time.Second || !strings.Contains(err.Error(), "Google's token endpoint") {
			t.Errorf("after %s: %v", took, err)
		}
	})
}

// TestEchoedSecretsStayOut has the far side repeat everything it was sent.
func TestEchoedSecretsStayOut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		host   string
		source func(*scene) stile.Source
	}{
		"a key":                        {"oauth2.googleapis.com", func(s *scene) stile.Source { return &fromgcp.Key{File: s.key, Client: s.client(nil)} }},
		"a refresh token":              {"oauth2.googleapis.com", func(s *scene) stile.Source { return s.stored(s.user.File(), stage.Resizer) }},
		"a JWT that Google signed":     {"oauth2.googleapis.com", (*scene).signed},
		"an access token, for a JWT":   {"iamcredentials.googleapis.com", (*scene).signed},
		"an access token, for a token": {"iamcredentials.googleapis.com", func(s *scene) stile.Source { return s.stored(s.user.File(), stage.Resizer) }},
		"an access token, by a file":   {"iamcredentials.googleapis.com", func(s *scene) stile.Source { return s.stored(s.impersonating(stage.Resizer, s.user.File()), "") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := play(t)
			var sent []string
			s.World.Faults.Add(lab.Fault{Host: c.host, Replace: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := r.ParseForm(); err != nil {
					t.Error(err)
				}
				for _, secret := range []string{r.PostForm.Get("assertion"), r.PostForm.Get("refresh_token"), r.PostForm.Get("client_secret"), strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")} {
					if secret != "" {
						sent = append(sent, secret)
					}
				}
				w.WriteHeader(http.StatusBadRequest)
				text := "you sent " + strings.Join(sent, " and ")
				if c.host == "oauth2.googleapis.com" {
					_, _ = fmt.Fprintf(w, `{"error":"invalid_grant","error_description":%q}`, text)
					return
				}
				_, _ = fmt.Fprintf(w, `{"error":{"status":"INVALID_ARGUMENT","message":%q}}`, text)
			})})
			_, err := c.source(s).SubjectToken(t.Context(), audience)
			if err == nil || len(sent) == 0 || !strings.Contains(err.Error(), "you sent [secret]") {
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

func (s *scene) signed() stile.Source {
	return &fromgcp.SignedJWT{ServiceAccount: stage.Resizer, Access: s.reader(), Client: s.client(nil)}
}
