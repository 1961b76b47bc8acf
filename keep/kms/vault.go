// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"regexp"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/stile-project/stile"
)

// vaultPart is what a mount or a key of Vault may be called here.
var vaultPart = regexp.MustCompile(`^[\w.-]+(/[\w.-]+)*$`)

// openVault reads the URL and the variables that gocloud.dev/secrets/hashivault reads.
func openVault(_ context.Context, u *url.URL) (*Key, error) {
	if err := only(u, "engine"); err != nil {
		return nil, err
	}
	engine, id := cmp.Or(u.Query().Get("engine"), "transit"), strings.Trim(u.Host+u.Path, "/")
	if !vaultPart.MatchString(id) || !vaultPart.MatchString(engine) || strings.Contains(engine+"/"+id, "..") {
		return nil, misused(u.Scheme, "write hashivault://KEY, with ?engine= where the engine is not mounted at transit", "it names no key")
	}
	address := cmp.Or(os.Getenv("VAULT_SERVER_URL"), os.Getenv("VAULT_ADDR"))
	if address == "" {
		return nil, misused(u.Scheme, "set VAULT_ADDR", "the variables do not say where Vault is")
	}
	config := api.DefaultConfig()
	if config.Error != nil {
		return nil, misused(u.Scheme, "see VAULT_CACERT, VAULT_CLIENT_CERT and VAULT_CLIENT_KEY", "Vault's client cannot read its variables")
	}
	config.Address = address
	client, err := api.NewClient(config)
	if err != nil {
		return nil, misused(u.Scheme, "see VAULT_ADDR", "Vault's client does not take its address") // not err: a password may stand in the address
	}
	client.SetMaxRetries(0)
	if token := cmp.Or(os.Getenv("VAULT_SERVER_TOKEN"), os.Getenv("VAULT_TOKEN")); token != "" {
		client.SetToken(token)
	}
	return &Key{
		name: "hashivault://" + engine + "/" + id, service: "Vault", wrapper: &transit{client.Logical(), engine, id}, explain: explainVault,
		close: func() error { config.HttpClient.CloseIdleConnections(); return nil },
		hint:  "see that VAULT_TOKEN is valid, and its policy gives update on " + engine + "/encrypt/" + id + " and " + engine + "/decrypt/" + id,
	}, nil
}

// A transit is a key of Vault's transit engine. It does what gocloud.dev's own driver does, whose ciphertexts it opens;
// but that driver has no context to give up with, and panics where an answer lacks what it expects.
// Source: Vault HTTP API, transit secrets engine, Encrypt Data and Decrypt Data.
type transit struct {
	vault       *api.Logical
	engine, key string
}

var errNoData = errors.New("the answer has no data in it")

func (t *transit) Encrypt(ctx context.Context, key []byte) ([]byte, error) {
	text, err := t.ask(ctx, "encrypt", "ciphertext", map[string]any{"plaintext": base64.StdEncoding.EncodeToString(key)})
	return []byte(text), err
}

func (t *transit) Decrypt(ctx context.Context, wrapped []byte) ([]byte, error) {
	text, err := t.ask(ctx, "decrypt", "plaintext", map[string]any{"ciphertext": string(wrapped)})
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errNoData // the decoder's error would tell of the key
	}
	return key, nil
}

func (t *transit) ask(ctx context.Context, verb, field string, data map[string]any) (string, error) {
	answer, err := t.vault.WriteWithContext(ctx, path.Join(t.engine, verb, t.key), data)
	if err != nil {
		return "", err
	}
	if answer == nil {
		return "", errNoData
	}
	if text, _ := answer.Data[field].(string); text != "" {
		return text, nil
	}
	return "", errNoData
}

// explainVault reads an error of Vault's client. Source: Vault HTTP API, HTTP Status Codes. A ciphertext of another key,
// or of a version that is no longer allowed, is a 400.
func explainVault(err error) answer {
	if errors.Is(err, errNoData) {
		return answer{kind: fmt.Errorf("%w: %w", stile.ErrTemporary, errNoData)}
	}
	var said *api.ResponseError
	if !errors.As(err, &said) {
		return unanswered(err)
	}
	a := answer{status: said.StatusCode, kind: ofStatus(said.StatusCode)}
	if !said.RawError { // a page of somebody in between says nothing
		a.message = strings.Join(said.Errors, "; ")
	}
	a.never = said.StatusCode == http.StatusBadRequest && !strings.Contains(a.message, "token")
	return a
}
