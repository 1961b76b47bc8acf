// SPDX-License-Identifier: Apache-2.0

package fromgcp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/stile-project/stile"
)

const (
	credentialsVariable = "GOOGLE_APPLICATION_CREDENTIALS"
	wellKnownFile       = "application_default_credentials.json"
)

// ApplicationDefault is the application default credentials of a developer's machine: the file that
// gcloud auth application-default login writes, or that GOOGLE_APPLICATION_CREDENTIALS names. It is a [stile.Supplier]
// of the access tokens of whoever the file speaks for, and a [stile.Source] of ID tokens. The zero ApplicationDefault
// is ready for use.
//
// A person has no ID token for an audience of one's choice, so a person's file needs a ServiceAccount that the person
// may impersonate. An external_account file is refused: it is a crossing of its own. The file is read each time.
// Source: AIP-4110, AIP-4113.
type ApplicationDefault struct {
	// File is the file's path. Empty: GOOGLE_APPLICATION_CREDENTIALS, then the place where gcloud writes it, which
	// CLOUDSDK_CONFIG moves.
	File string
	// ServiceAccount is the e-mail of the account to speak for by impersonation, as in [Impersonated]. Empty: the one
	// that the file speaks for.
	ServiceAccount string
	// Lookup reads the environment. Nil: os.LookupEnv.
	Lookup func(string) (string, bool)

	Client *http.Client     // nil: http.DefaultClient
	Clock  func() time.Time // nil: time.Now
}

// CacheKey covers what the file holds, wherever it lies, and the account: after another sign-in it is another key.
// Without a file that can be read it is the zero Key.
func (a *ApplicationDefault) CacheKey() stile.Key {
	path, err := a.Path()
	if err != nil {
		return stile.Key{}
	}
	text, err := readBounded(path)
	if err != nil || len(text) > maxFile {
		return stile.Key{}
	}
	return stile.NewKey("from/gcp application default", string(text), a.ServiceAccount)
}

// Path is the file that is used. It fails with [stile.ErrNoIdentity] where there is none, and says where it looked.
func (a *ApplicationDefault) Path() (string, error) {
	if a.File != "" {
		return a.File, nil
	}
	if named := a.env(credentialsVariable); named != "" {
		return named, nil
	}
	tried := credentialsVariable + " is not set"
	path := wellKnownPath(runtime.GOOS, a.env)
	switch _, err := os.Stat(path); {
	case path == "":
		tried += ", and no variable names a home directory"
	case err == nil:
		return path, nil
	case errors.Is(err, fs.ErrNotExist):
		tried += ", and there is no " + path
	default:
		tried += ", and " + path + " cannot be read"
	}
	return "", noDefault(tried)
}

func noDefault(tried string) error {
	return &stile.Error{Op: "find application default credentials", Err: fmt.Errorf("%w: %s", stile.ErrNoIdentity, tried),
		Hint: "run gcloud auth application-default login"}
}

// wellKnownPath is where gcloud writes the file: in CLOUDSDK_CONFIG, else in %APPDATA%\gcloud on Windows and
// ~/.config/gcloud elsewhere. It is empty where no variable tells.
func wellKnownPath(goos string, env func(string) string) string {
	if dir := env("CLOUDSDK_CONFIG"); dir != "" {
		return filepath.Join(dir, wellKnownFile)
	}
	base, below := env("HOME"), filepath.Join(".config", "gcloud")
	if goos == "windows" {
		base, below = env("APPDATA"), "gcloud"
	}
	if base == "" {
		return ""
	}
	return filepath.Join(base, below, wellKnownFile)
}

// env is a variable without the white space around it: one that is empty or blank counts as not set.
func (a *ApplicationDefault) env(name string) string {
	lookup := a.Lookup
	if lookup == nil {
		lookup = os.LookupEnv
	}
	value, _ := lookup(name)
	return strings.TrimSpace(value)
}

// SubjectToken asks for an ID token for audience, of ServiceAccount or of the account that the file speaks for.
func (a *ApplicationDefault) SubjectToken(ctx context.Context, audience string) (stile.SubjectToken, error) {
	const op = "use application default credentials"
	if audience == "" {
		return stile.SubjectToken{}, noAudience(op)
	}
	f, path, err := a.read()
	if err != nil {
		return stile.SubjectToken{}, err
	}
	access, account := f.supplier(a), a.ServiceAccount
	if account == "" {
		switch f.Type {
		case typeKey:
			return f.key(a).SubjectToken(ctx, audience)
		case typeUser:
			return stile.SubjectToken{}, &stile.Error{Op: op, Err: fmt.Errorf("%w: %s speaks for a person, and a person has no ID token for this audience", stile.ErrNoIdentity, path),
				Hint: "name a service account that this person may impersonate"}
		}
		account, access = f.target, f.source.supplier(a)
	}
	return (&Impersonated{ServiceAccount: account, Delegates: a.delegates(f), IncludeEmail: true, Access: access,
		QuotaProject: f.quotaProject(), Client: a.Client, Clock: a.Clock}).SubjectToken(ctx, audience)
}

// delegates are the file's, for the account that the file itself names.
func (a *ApplicationDefault) delegates(f defaultFile) []string {
	if a.ServiceAccount != "" {
		return nil
	}
	return f.Delegates
}

// Credential gives an access token of whoever the file speaks for, with the scope cloud-platform.
func (a *ApplicationDefault) Credential(ctx context.Context) (stile.Credential, error) {
	f, _, err := a.read()
	if err != nil {
		return stile.Credential{}, err
	}
	return f.supplier(a).Credential(ctx)
}

// Warning is that of [Key.Warning] where the file holds a key, and empty otherwise.
func (a *ApplicationDefault) Warning() string {
	f, _, err := a.read()
	if err != nil || f.Type != typeKey {
		return ""
	}
	return f.key(a).Warning()
}

func (a *ApplicationDefault) read() (defaultFile, string, error) {
	const op = "read application default credentials"
	path, err := a.Path()
	if err != nil {
		return defaultFile{}, "", err
	}
	text, err := readBounded(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && a.File == "":
		return defaultFile{}, "", noDefault(credentialsVariable + " names " + path + ", which does not exist")
	case errors.Is(err, fs.ErrNotExist):
		return defaultFile{}, "", noDefault("there is no " + path)
	case err != nil:
		return defaultFile{}, "", &stile.Error{Op: op, Err: fmt.Errorf("%w: %w", stile.ErrNoIdentity, err), Hint: "make the file readable for this program"}
	}
	f, err := readDefaultFile(text)
	if err != nil {
		hint := signInAgain
		if errors.Is(err, errCrossing) {
			hint = "use the file as a crossing: stile token --credential-file " + path
		}
		return defaultFile{}, "", &stile.Error{Op: op, Hint: hint, Err: fmt.Errorf("%w: %s: %w", stile.ErrMisuse, path, err)}
	}
	return f, path, nil
}

// readBounded reads a file that may be anything, a device included.
func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return io.ReadAll(io.LimitReader(file, maxFile+1))
}

// A person is a signed-in user: a refresh token and the OAuth client it was given to.
type person struct {
	account              string
	clientID             string
	clientSecret, secret stile.Secret
	tokens               tokenClient
}

// Credential trades the refresh token for an access token. Its scopes are those the person once agreed to.
func (p person) Credential(ctx context.Context) (stile.Credential, error) {
	return p.tokens.accessToken(ctx, "refresh the user's access token", cmp.Or(p.account, "the signed-in user"), grantRefresh, map[string]stile.Secret{
		"client_id": stile.NewSecret(p.clientID), "client_secret": p.clientSecret, "refresh_token": p.secret,
	})
}

// CacheKey tells one person's sign-in from another's.
func (p person) CacheKey() stile.Key {
	return stile.NewKey("from/gcp person", p.clientID, p.secret.Reveal())
}
