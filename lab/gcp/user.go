// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// A User is a person who has signed in on a machine with gcloud auth application-default login. RefreshToken and
// ClientSecret are secrets.
type User struct {
	Email        string
	UniqueID     string // 21 digits
	ClientID     string // of the OAuth client the person signed in to
	ClientSecret string
	RefreshToken string
}

type user struct {
	User
	revoked bool
}

// The OAuth client that stands for gcloud's own.
const (
	gcloudClient       = "700000000000-lab.apps.googleusercontent.com"
	gcloudClientSecret = "lab-client-secret"
)

var userEmail = regexp.MustCompile(`^[a-z0-9][a-z0-9._+-]{0,62}@[a-z0-9][a-z0-9.-]{1,100}\.[a-z]{2,20}$`)

// AddUser makes a person. IAM names her user:EMAIL.
func (c *Cloud) AddUser(email string) (User, error) {
	if !userEmail.MatchString(email) || strings.HasSuffix(email, ".gserviceaccount.com") {
		return User{}, fmt.Errorf("user %q: want an e-mail address of a person", clip(email, 128))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users[email] != nil {
		return User{}, fmt.Errorf("user %s exists", email)
	}
	u := User{Email: email, UniqueID: "1" + digits(email, 20), ClientID: gcloudClient, ClientSecret: gcloudClientSecret, RefreshToken: "1//" + randomText(48)}
	c.users[email] = &user{User: u}
	return u, nil
}

// RevokeUser ends the person's sign-in: the refresh token works no more.
func (c *Cloud) RevokeUser(email string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.users[email]
	if u == nil {
		return fmt.Errorf("there is no user %q", clip(email, 128))
	}
	u.revoked = true
	return nil
}

// File is application_default_credentials.json as gcloud leaves it on the person's machine.
func (u User) File() []byte {
	text, _ := json.MarshalIndent(map[string]string{ // a map of strings always marshals
		"account":         "",
		"client_id":       u.ClientID,
		"client_secret":   u.ClientSecret,
		"refresh_token":   u.RefreshToken,
		"type":            "authorized_user",
		"universe_domain": universe,
	}, "", "  ")
	return text
}

func (u User) members() []string {
	return []string{"user:" + u.Email, "allAuthenticatedUsers", "allUsers"}
}

// userScopes are what gcloud auth application-default login asks a person to agree to.
var userScopes = []string{scopePlatform, scopePrefix + "userinfo.email", scopePrefix + "sqlservice.login", "openid"}

// What the token endpoint says of a refresh token and its client.
const (
	textClient  = "The OAuth client was not found."
	textSecret  = "The provided client secret is invalid."
	textRevoked = "Token has been expired or revoked."
	textRefresh = "Missing required parameter: refresh_token"
)

// refreshGrant answers a refresh token (RFC 6749, section 6).
func (q *call) refreshGrant(form url.Values) (answer, error) {
	switch {
	case form.Get("client_id") != gcloudClient:
		return answer{}, q.refuse(oauthError(http.StatusUnauthorized, "invalid_client", textClient), "there is no such OAuth client")
	case form.Get("client_secret") != gcloudClientSecret:
		return answer{}, q.refuse(oauthError(http.StatusUnauthorized, "invalid_client", textSecret), "the OAuth client's secret is another one")
	case form.Get("refresh_token") == "":
		return answer{}, q.refuse(oauthError(http.StatusBadRequest, invalidRequest, textRefresh), "there is no refresh token")
	}
	u, ok := q.refreshedBy(form.Get("refresh_token"))
	if !ok {
		return answer{}, q.refuse(oauthError(http.StatusBadRequest, invalidGrant, textRevoked), "the refresh token is nobody's, or was revoked")
	}
	q.entry.Caller = u.Email
	identity, err := q.issuer.Sign(map[string]any{"iss": issuerURL, "azp": u.ClientID, "aud": u.ClientID, "sub": u.UniqueID, "email": u.Email,
		"email_verified": true, "iat": q.now.Unix(), "exp": q.now.Add(idTokenLife).Unix()})
	if err != nil {
		return answer{}, err
	}
	text := q.mint("a", accessToken{principal: u.Email, email: u.Email, person: true, members: u.members(), scopes: userScopes, issued: q.now, expires: q.now.Add(tokenLife)})
	q.entry.OK("the refresh token is that of %s, who signed in here: an access token is given out for an hour", u.Email)
	return noStore(jsonAnswer(http.StatusOK, map[string]any{
		"access_token": text, "expires_in": lifeSeconds(q.now, q.now.Add(tokenLife)), "scope": join(userScopes), "token_type": "Bearer", "id_token": identity,
	})), nil
}

func (c *Cloud) refreshedBy(token string) (User, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range c.users {
		if u.RefreshToken == token && !u.revoked {
			return u.User, true
		}
	}
	return User{}, false
}
