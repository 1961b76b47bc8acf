// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // names a file, as every AWS SDK does
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/stile-project/stile/lab/journal"
)

// A SignOn is a person who signed in at an access portal of IAM Identity Center.
type SignOn struct {
	StartURL string // "https://d-1234567890.awsapps.com/start"
	Region   string // of Identity Center; the portal answers at portal.sso.REGION.amazonaws.com
	User     string // session name of the role: "robin@example.com"

	Account        string        // 12 digits
	PermissionSet  string        // what profiles call sso_role_name
	RoleARN        string        // the role behind the permission set
	Life           time.Duration // of the sign-in; zero: 8 h, as Identity Center has it
	WithoutSession bool          // the profile has the older form, with no sso-session section
}

// ssoLife is how long role credentials from the portal live: Identity Center's default session duration.
const ssoLife, signOnLife = time.Hour, 8 * time.Hour

type signOn struct {
	SignOn
	ends time.Time
}

// SignIn signs a person in, and gives what "aws sso login --profile dev" leaves behind: a profile in ~/.aws/config and
// the token in the cache of the command line. There is no refresh token: a sign-in that ended has to be made again.
// Source: AWS SDKs and Tools Reference Guide, "IAM Identity Center authentication".
func (c *Cloud) SignIn(s SignOn) (Environment, error) {
	if _, err := url.Parse(s.StartURL); err != nil || partitionOf(s.Region) == "" || !accountPattern.MatchString(s.Account) || c.findRole(s.RoleARN) == nil {
		return Environment{}, fmt.Errorf("signing in %.64q: want a start URL, a region, an account and a role that exists", s.User)
	}
	if s.Life == 0 {
		s.Life = signOnLife
	}
	ends := c.now().Add(s.Life)
	token := rand.Text() + rand.Text()
	c.mu.Lock()
	c.signOns[token] = signOn{s, ends}
	c.mu.Unlock()
	cached, err := json.Marshal(map[string]string{"startUrl": s.StartURL, "region": s.Region, "accessToken": token, "expiresAt": ends.Format(time.RFC3339)})
	if err != nil {
		return Environment{}, err
	}
	return s.environment(string(cached)), nil
}

// environment is the home of someone who signed in.
func (s SignOn) environment(cached string) Environment {
	const home = "/home/robin"
	profile, cacheKey := "sso_start_url = "+s.StartURL+"\nsso_region = "+s.Region+"\n", s.StartURL
	section := ""
	if !s.WithoutSession {
		section, profile, cacheKey = "\n[sso-session corp]\n"+profile+"sso_registration_scopes = sso:account:access\n", "sso_session = corp\n", "corp"
	}
	sum := sha1.Sum([]byte(cacheKey))
	return Environment{
		Variables: map[string]string{"HOME": home, "AWS_PROFILE": "dev", "AWS_CONFIG_FILE": home + "/.aws/config"},
		Files: map[string]string{
			home + "/.aws/config": "[profile dev]\nregion = " + s.Region + "\nsso_account_id = " + s.Account + "\nsso_role_name = " + s.PermissionSet + "\n" + profile + section,
			home + "/.aws/sso/cache/" + hex.EncodeToString(sum[:]) + ".json": cached,
		},
	}
}

// portalServer is the access portal's API behind one region's host name.
// Source: IAM Identity Center Portal API, GetRoleCredentials.
type portalServer struct {
	cloud  *Cloud
	region string
}

// ServeHTTP answers one request and writes one journal entry.
func (p *portalServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := &journal.Entry{Time: p.cloud.clock(), Cloud: "AWS", Service: "SSO portal", Operation: "GetRoleCredentials"}
	keys, err := p.answer(r, e)
	w.Header().Set("Content-Type", "application/json")
	if f := asFault(err); f != nil {
		e.Status, e.Code, e.Message = f.Status, f.Code, f.Message
		w.Header().Set("X-Amzn-Errortype", f.Code)
		w.WriteHeader(f.Status)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": "com.amazonaws.switchboard.portal#" + f.Code, "message": f.Message})
	} else {
		e.Status = http.StatusOK
		_ = json.NewEncoder(w).Encode(map[string]any{"roleCredentials": map[string]any{
			"accessKeyId": keys.AccessKeyID, "secretAccessKey": keys.SecretAccessKey, "sessionToken": keys.SessionToken, "expiration": keys.Expires.UnixMilli(),
		}})
	}
	p.cloud.journal.Add(*e)
}

func (p *portalServer) answer(r *http.Request, e *journal.Entry) (Keys, error) {
	query := r.URL.Query()
	account, role := query.Get("account_id"), query.Get("role_name")
	switch {
	case r.URL.Path != "/federation/credentials" || r.Method != http.MethodGet:
		e.Fail("credentials are read with GET at /federation/credentials")
		return Keys{}, refuse(http.StatusNotFound, "ResourceNotFoundException", "Not found")
	case account == "" || role == "":
		e.Fail("the request names an account and a role")
		return Keys{}, refuse(http.StatusBadRequest, "InvalidRequestException", "Missing required parameter")
	}
	p.cloud.mu.Lock()
	s, ok := p.cloud.signOns[r.Header.Get("X-Amz-Sso_bearer_token")]
	p.cloud.mu.Unlock()
	if !ok || s.Region != p.region || !p.cloud.now().Before(s.ends) {
		e.Fail("the bearer token is of someone who is signed in here")
		return Keys{}, refuse(http.StatusUnauthorized, "UnauthorizedException", "Session token not found or invalid")
	}
	e.Caller = s.User
	e.OK("the bearer token is of %s, signed in until %s", s.User, s.ends.Format(time.RFC3339))
	if account != s.Account || !strings.EqualFold(role, s.PermissionSet) {
		e.Fail("%s is assigned permission set %.64q in account %.12q", s.User, role, account)
		return Keys{}, refuse(http.StatusForbidden, "ForbiddenException", "No access")
	}
	keys, err := p.cloud.Session(s.RoleARN, s.User, ssoLife)
	if err != nil {
		return Keys{}, err
	}
	e.OK("keys of %s are given out, good until %s", s.RoleARN, keys.Expires.Format(time.RFC3339))
	return keys, nil
}
