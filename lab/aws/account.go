// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	awstrust "github.com/stile-project/stile/trust/aws"
)

// Limits of IAM (IAM User Guide, "IAM and AWS STS quotas"; API_CreateRole; API_CreateOpenIDConnectProvider).
var (
	accountPattern   = regexp.MustCompile(`^[0-9]{12}$`)
	partitionPattern = regexp.MustCompile(`^aws(?:-cn|-us-gov)?$`)
	namePattern      = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)
	pathPattern      = regexp.MustCompile(`^/(?:[!-.0-~]+/)*$`)
)

const (
	defaultMaxSession = time.Hour
	longestMaxSession = 12 * time.Hour
	maxClientIDs      = 100
	maxClientID       = 255
	maxProviderURL    = 255
	maxProviders      = 100
)

// An account holds what IAM knows under one account number.
type account struct {
	partition string
	roles     map[string]*role // by name, which is unique whatever the path
	users     map[string]*user
	providers map[string]provider // by issuer without https://
	disabled  map[string]bool     // regions whose STS is not active
	outbound  *outboundIssuer     // nil: never enabled
}

// A role as IAM keeps it. It does not change once made; AddRole puts a new one in its place.
type role struct {
	arn         arn
	id          string // "AROA…"
	name        string
	trust       *awstrust.Policy
	trustDoc    string
	permissions *awstrust.Policy // nil: none
	maxSession  time.Duration
}

type user struct {
	arn         arn
	id          string // "AIDA…"
	name        string
	permissions *awstrust.Policy
	mfa         *MFADevice // nil: none
}

type provider struct {
	arn       string
	issuer    string // host and path, as condition keys are named
	clientIDs []string
}

// A Role is an IAM role to be made.
type Role struct {
	Account     string        // 12 digits
	Name        string        // 1..64 of [\w+=,.@-]
	Path        string        // "/team/"; "" is "/"
	Trust       string        // the trust policy, JSON
	Permissions string        // one identity policy, JSON; "" grants nothing
	MaxSession  time.Duration // 1h..12h in whole seconds; zero is 1h
}

// AddRole makes a role, or gives a role of that name in the account new policies. Sessions that exist keep their
// credentials, and the new permissions hold for them at once.
func (c *Cloud) AddRole(r Role) error {
	made, err := newRole(r)
	if err != nil {
		return fmt.Errorf("adding role %.64q: %w", r.Name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.account(r.Account)
	made.arn.partition = a.partition
	if old := a.roles[r.Name]; old != nil {
		made.id = old.id
	}
	a.roles[r.Name] = made
	return nil
}

func newRole(r Role) (*role, error) {
	if r.Path == "" {
		r.Path = "/"
	}
	if r.MaxSession == 0 {
		r.MaxSession = defaultMaxSession
	}
	switch {
	case !accountPattern.MatchString(r.Account):
		return nil, fmt.Errorf("account %.32q: want 12 digits", r.Account)
	case !namePattern.MatchString(r.Name):
		return nil, fmt.Errorf(`name: want 1 to 64 of [\w+=,.@-]`)
	case !pathPattern.MatchString(r.Path):
		return nil, fmt.Errorf("path %.64q: want / or /SOME/PATH/", r.Path)
	case r.MaxSession < defaultMaxSession || r.MaxSession > longestMaxSession || r.MaxSession%time.Second != 0:
		return nil, fmt.Errorf("maximum session %v: want 1h to 12h in whole seconds", r.MaxSession)
	}
	trust, err := awstrust.ParseTrust([]byte(r.Trust))
	if err != nil {
		return nil, fmt.Errorf("trust policy: %w", err)
	}
	permissions, err := parsePermissions(r.Permissions)
	if err != nil {
		return nil, err
	}
	return &role{
		arn:  arn{"", "iam", "", r.Account, "role" + r.Path + r.Name},
		name: r.Name, id: newID("AROA"), trust: trust, trustDoc: r.Trust, permissions: permissions, maxSession: r.MaxSession,
	}, nil
}

func parsePermissions(doc string) (*awstrust.Policy, error) {
	if doc == "" {
		return nil, nil
	}
	p, err := awstrust.ParseIdentity([]byte(doc))
	if err != nil {
		return nil, fmt.Errorf("permissions policy: %w", err)
	}
	return p, nil
}

// AddUser makes an IAM user with one long-term key pair, which never expires and has no session token.
func (c *Cloud) AddUser(accountID, name, permissions string) (Keys, error) {
	p, err := parsePermissions(permissions)
	switch {
	case err != nil:
	case !accountPattern.MatchString(accountID):
		err = fmt.Errorf("account %.32q: want 12 digits", accountID)
	case !namePattern.MatchString(name):
		err = fmt.Errorf(`name: want 1 to 64 of [\w+=,.@-]`)
	}
	if err != nil {
		return Keys{}, fmt.Errorf("adding user %.64q: %w", name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.account(accountID)
	u := &user{arn: arn{a.partition, "iam", "", accountID, "user/" + name}, id: newID("AIDA"), name: name, permissions: p}
	a.users[name] = u
	keys := Keys{AccessKeyID: newID("AKIA")[:20], SecretAccessKey: newSecret()}
	c.sessions[keys.AccessKeyID] = credential{
		Keys: keys,
		who:  identity{account: accountID, partition: a.partition, arn: u.arn.String(), id: u.id, kind: "User", user: name},
	}
	return keys, nil
}

// AddOIDCProvider registers an issuer of ID tokens in an account, with the audiences (client ids) it may speak to.
// accounts.google.com needs none: it is built in.
func (c *Cloud) AddOIDCProvider(accountID, issuer string, clientIDs ...string) error {
	u, err := url.Parse(issuer)
	switch {
	case !accountPattern.MatchString(accountID):
		err = fmt.Errorf("account %.32q: want 12 digits", accountID)
	case err != nil || u.Scheme != "https" || u.Host == "" || u.Port() != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || len(issuer) > maxProviderURL:
		err = fmt.Errorf("want https://HOST/PATH with no port, at most %d characters", maxProviderURL)
	case len(clientIDs) > maxClientIDs:
		err = fmt.Errorf("%d client ids: at most %d", len(clientIDs), maxClientIDs)
	}
	for _, id := range clientIDs {
		if id == "" || len(id) > maxClientID {
			err = fmt.Errorf("a client id of %d characters: want 1 to %d", len(id), maxClientID)
		}
	}
	if err != nil {
		return fmt.Errorf("adding OIDC provider %.128q: %w", issuer, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.account(accountID)
	name := strings.TrimPrefix(issuer, "https://")
	if _, known := a.providers[name]; !known && len(a.providers) == maxProviders {
		return fmt.Errorf("adding OIDC provider %.128q: the account has %d already", issuer, maxProviders)
	}
	a.providers[name] = provider{
		arn:    arn{a.partition, "iam", "", accountID, "oidc-provider/" + name}.String(),
		issuer: name, clientIDs: append([]string(nil), clientIDs...),
	}
	return nil
}

// SetPartition puts an account into "aws-cn" or "aws-us-gov"; an account is in "aws" otherwise. It has to come before
// anything else is added to the account.
func (c *Cloud) SetPartition(accountID, partition string) error {
	if !accountPattern.MatchString(accountID) || !partitionPattern.MatchString(partition) {
		return fmt.Errorf("account %.32q in partition %.32q: want 12 digits and aws, aws-cn or aws-us-gov", accountID, partition)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.accounts[accountID]; a != nil && a.partition != partition {
		return fmt.Errorf("account %s is in partition %s already", accountID, a.partition)
	}
	c.account(accountID).partition = partition
	return nil
}

// DisableRegion makes a region's STS refuse the account with RegionDisabledException, as an opt-in region does that
// nobody opted into.
func (c *Cloud) DisableRegion(accountID, region string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.account(accountID).disabled[region] = true
}

// account finds an account, or makes it. c.mu is held.
func (c *Cloud) account(id string) *account {
	a := c.accounts[id]
	if a == nil {
		a = &account{partition: "aws", roles: map[string]*role{}, users: map[string]*user{}, providers: map[string]provider{}, disabled: map[string]bool{}}
		c.accounts[id] = a
	}
	return a
}

// findRole is the role an ARN names, path included; nil when there is none.
func (c *Cloud) findRole(roleARN string) *role {
	a, _, name, err := parseRoleARN(roleARN)
	if err != nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if owner := c.accounts[a.account]; owner != nil {
		if r := owner.roles[name]; r != nil && r.arn == a {
			return r
		}
	}
	return nil
}
