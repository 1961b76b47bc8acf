// SPDX-License-Identifier: Apache-2.0

package fromgcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/shape"
)

// The types of credential file. Source: the credsfile package of cloud.google.com/go/auth.
const (
	typeKey          = "service_account"
	typeUser         = "authorized_user"
	typeImpersonated = "impersonated_service_account"
	typeExternal     = "external_account"
)

// errCrossing marks the file that is a whole crossing, and no identity of this machine.
var errCrossing = errors.New("it is an external_account file, which brings an identity of elsewhere into Google Cloud")

// A defaultFile is what is used of a file of application default credentials.
type defaultFile struct {
	Type string `json:"type"`

	// authorized_user
	Account      string `json:"account"`
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	RefreshToken string `json:"refresh_token"`
	QuotaProject string `json:"quota_project_id"`

	// impersonated_service_account
	URL       string          `json:"service_account_impersonation_url"`
	Delegates []string        `json:"delegates"`
	Source    json.RawMessage `json:"source_credentials"`

	Universe string `json:"universe_domain"`

	text   []byte       // of a service_account
	target string       // of an impersonated_service_account: the account's e-mail
	source *defaultFile // and who impersonates it
}

// readDefaultFile reads a file of application default credentials. Its errors never quote it.
func readDefaultFile(text []byte) (defaultFile, error) {
	var f defaultFile
	if len(text) > maxFile {
		return defaultFile{}, fmt.Errorf("it is longer than %d bytes", maxFile)
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return defaultFile{}, fmt.Errorf("it %w", notJSON(text, err))
	}
	switch f.Type {
	case typeKey:
		f.text = text
		_, err := readKeyFile(text)
		return f, err
	case typeUser:
		return f, f.checkUser()
	case typeImpersonated:
		return f.readImpersonated()
	case typeExternal:
		return defaultFile{}, errCrossing
	}
	return defaultFile{}, errors.New("its type is none that is known: service_account, authorized_user, impersonated_service_account")
}

func (f defaultFile) checkUser() error {
	for _, field := range [][2]string{{"client_id", f.ClientID}, {"client_secret", f.ClientSecret}, {"refresh_token", f.RefreshToken}} {
		if field[1] == "" {
			return errors.New("it has no " + field[0])
		}
	}
	if f.Universe != "" && f.Universe != "googleapis.com" {
		return errors.New("it is of another universe than googleapis.com")
	}
	if _, err := shape.Project(f.QuotaProject); f.QuotaProject != "" && err != nil {
		return fmt.Errorf("its quota_project_id: %w", err)
	}
	return nil
}

// readImpersonated reads the account out of the URL, and goes to Google whatever host the URL names.
func (f defaultFile) readImpersonated() (defaultFile, error) {
	_, name, found := strings.Cut(f.URL, "/serviceAccounts/")
	email, isToken := strings.CutSuffix(name, ":generateAccessToken")
	if _, err := shape.ServiceAccount(email); err != nil || !found || !isToken {
		return defaultFile{}, errors.New("its service_account_impersonation_url names no service account")
	}
	source, err := readDefaultFile(f.Source)
	if err != nil {
		return defaultFile{}, fmt.Errorf("its source_credentials: %w", err)
	}
	if source.Type == typeImpersonated {
		return defaultFile{}, errors.New("its source_credentials impersonate in turn: name delegates instead")
	}
	for i, name := range f.Delegates {
		f.Delegates[i] = strings.TrimPrefix(name, "projects/-/serviceAccounts/")
		if _, err := shape.ServiceAccount(f.Delegates[i]); err != nil {
			return defaultFile{}, fmt.Errorf("its delegates: %w", err)
		}
	}
	f.target, f.source = email, &source
	return f, nil
}

// supplier gives access tokens of whoever the file speaks for.
func (f defaultFile) supplier(a *ApplicationDefault) stile.Supplier {
	switch f.Type {
	case typeKey:
		return f.key(a)
	case typeImpersonated:
		return standIn{impersonation{account: f.target, delegates: f.Delegates, access: f.source.supplier(a), quotaProject: f.quotaProject(), client: a.Client}}
	}
	return person{account: f.Account, clientID: f.ClientID, clientSecret: stile.NewSecret(f.ClientSecret), secret: stile.NewSecret(f.RefreshToken),
		tokens: tokenClient{client: a.Client, now: clockOr(a.Clock)}}
}

func (f defaultFile) key(a *ApplicationDefault) *Key {
	return &Key{File: stile.NewSecret(string(f.text)), Client: a.Client, Clock: a.Clock}
}

// quotaProject is charged for impersonation: gcloud's own OAuth client has no project to charge.
func (f defaultFile) quotaProject() string {
	if f.QuotaProject == "" && f.source != nil {
		return f.source.QuotaProject
	}
	return f.QuotaProject
}

// A standIn gives access tokens of an impersonated account.
// Source: IAM Credentials v1, projects.serviceAccounts.generateAccessToken.
type standIn struct{ impersonation }

// Credential asks for an access token with the scope cloud-platform, good for an hour.
func (s standIn) Credential(ctx context.Context) (stile.Credential, error) {
	var answer struct {
		Token   string    `json:"accessToken"`
		Expires time.Time `json:"expireTime"`
	}
	q, res, err := s.call(ctx, "act as the service account", "generateAccessToken", "iam.serviceAccounts.getAccessToken", map[string]any{"scope": []string{cloudPlatform}}, &answer)
	if err != nil {
		return stile.Credential{}, err
	}
	if answer.Token == "" || answer.Expires.IsZero() {
		return stile.Credential{}, q.Malformed(res, "no accessToken with an expireTime")
	}
	return stile.Credential{Kind: stile.KindAccessToken, Token: stile.NewSecret(answer.Token), Principal: s.account, Expires: answer.Expires}, nil
}
