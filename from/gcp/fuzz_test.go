// SPDX-License-Identifier: Apache-2.0

package fromgcp

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func FuzzUnverified(f *testing.F) {
	f.Add("e30.eyJzdWIiOiIxIiwiZXhwIjoxfQ.c2ln")
	f.Add("..")
	f.Add("a.b.c.d")
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := unverified(raw)
		if err != nil {
			return
		}
		if c.Expires.IsZero() || c.Subject == "" || strings.Count(raw, ".") != 2 {
			t.Errorf("%q was taken as %+v", raw, c)
		}
	})
}

// privateKey is made once: an RSA key takes long.
var privateKey = sync.OnceValue(func() string {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
})

func FuzzReadKeyFile(f *testing.F) {
	good, err := json.Marshal(map[string]string{"type": "service_account", "client_email": "a@demo-proj.iam.gserviceaccount.com", "private_key_id": "abc", "private_key": privateKey()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"type":"service_account"}`))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := readKeyFile(text)
		if err != nil {
			if strings.Contains(err.Error(), "BEGIN") || strings.ContainsAny(err.Error(), "\x00\n\x1b") || k.private != nil {
				t.Errorf("not fit to print, or a key in spite of it: %q", err)
			}
			return
		}
		signed, err := k.sign(map[string]any{"sub": k.Email, "exp": 1})
		if err != nil {
			t.Fatal(err)
		}
		if c, err := unverified(signed); err != nil || c.Subject != k.Email {
			t.Errorf("what it signs reads as %+v, %v", c, err)
		}
	})
}

func FuzzReadDefaultFile(f *testing.F) {
	f.Add([]byte(`{"type":"authorized_user","client_id":"a","client_secret":"b","refresh_token":"c"}`))
	f.Add([]byte(`{"type":"impersonated_service_account","service_account_impersonation_url":"https://x/serviceAccounts/a@p.iam.gserviceaccount.com:generateAccessToken","source_credentials":{"type":"authorized_user","client_id":"a","client_secret":"b","refresh_token":"c"}}`))
	f.Add([]byte(`{"type":"external_account"}`))
	f.Add([]byte("{\n\n\"type\":}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := readDefaultFile(text)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\x00\n\x1b") {
				t.Errorf("not fit to print: %q", err)
			}
			return
		}
		switch s := file.supplier(&ApplicationDefault{}).(type) {
		case person:
			if s.clientID == "" || s.clientSecret.IsZero() || s.secret.IsZero() {
				t.Errorf("a person with a part missing: %q", text)
			}
		case standIn:
			if s.check("x") != nil || s.access == nil || s.host() != "https://iamcredentials.googleapis.com" {
				t.Errorf("it impersonates %q at %s", s.account, s.host())
			}
		case *Key:
			if _, err := s.read(); err != nil && !strings.Contains(err.Error(), "token_uri") {
				t.Errorf("a key that was taken cannot be read again: %v", err)
			}
		}
	})
}

func TestWellKnownPath(t *testing.T) {
	t.Parallel()
	join := filepath.Join
	cases := map[string]struct {
		goos string
		env  map[string]string
		want string
	}{
		"Linux":              {"linux", map[string]string{"HOME": "/home/dev", "APPDATA": "/x"}, join("/home/dev", ".config", "gcloud", wellKnownFile)},
		"macOS":              {"darwin", map[string]string{"HOME": "/Users/dev"}, join("/Users/dev", ".config", "gcloud", wellKnownFile)},
		"Windows":            {"windows", map[string]string{"HOME": "/x", "APPDATA": `C:\Users\dev\AppData\Roaming`}, join(`C:\Users\dev\AppData\Roaming`, "gcloud", wellKnownFile)},
		"moved":              {"linux", map[string]string{"HOME": "/home/dev", "CLOUDSDK_CONFIG": "/etc/gcloud"}, join("/etc/gcloud", wellKnownFile)},
		"moved on Windows":   {"windows", map[string]string{"CLOUDSDK_CONFIG": `D:\gcloud`}, join(`D:\gcloud`, wellKnownFile)},
		"no home":            {"linux", map[string]string{"APPDATA": "/x"}, ""},
		"no home on Windows": {"windows", map[string]string{"HOME": "/x"}, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := wellKnownPath(c.goos, func(name string) string { return c.env[name] }); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
