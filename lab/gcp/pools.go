// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/stile-project/stile/trust/gcp"
)

// A Provider is a workload identity pool provider: whom a pool believes, and what it makes of them. It trusts either
// one AWS account or one OIDC issuer.
type Provider struct {
	Project string // the project's id
	Pool    string
	ID      string // 4 to 32 characters of a-z, 0-9 and -

	AWSAccount string // 12 digits

	Issuer           string   // https://…, to the letter as in the tokens' iss
	AllowedAudiences []string // at most 10 of 256 characters; empty: the provider's own name, with and without https:

	Mapping   map[string]string // empty: Google's default for AWS; required for OIDC
	Condition string            // CEL; empty admits everyone the provider believes
	Disabled  bool
}

type pool struct {
	name              string // projects/N/locations/global/workloadIdentityPools/P
	disabled, deleted bool
	providers         map[string]*provider
}

type provider struct {
	Provider
	name  providerName
	rules *gcptrust.Rules
}

// AddPool makes a workload identity pool. The id has 4 to 32 characters.
func (c *Cloud) AddPool(project, id string) error {
	if err := checkPoolID("pool", id); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.projects[project]
	if p == nil {
		return fmt.Errorf("pool %s: there is no project %q", id, clip(project, 64))
	}
	if p.pools[id] != nil {
		return fmt.Errorf("pool %s exists in project %s; the id of a deleted pool stays taken for 30 days", id, project)
	}
	p.pools[id] = &pool{name: providerName{project: p.number, pool: id}.poolName(), providers: map[string]*provider{}}
	return nil
}

// SetPoolDisabled disables a pool or enables it again. While it is disabled, nothing is exchanged and the tokens that
// were given out do not work.
func (c *Cloud) SetPoolDisabled(project, id string, disabled bool) error {
	return c.changePool(project, id, func(p *pool) { p.disabled = disabled })
}

// DeletePool deletes a pool with its providers. Its id stays taken.
func (c *Cloud) DeletePool(project, id string) error {
	return c.changePool(project, id, func(p *pool) { p.deleted = true })
}

func (c *Cloud) changePool(project, id string, change func(*pool)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.projects[project]; p != nil && p.pools[id] != nil {
		change(p.pools[id])
		return nil
	}
	return fmt.Errorf("there is no pool %q in project %q", clip(id, 64), clip(project, 64))
}

// AddProvider adds a provider to a pool, or replaces the one of that id.
func (c *Cloud) AddProvider(p Provider) error {
	if err := p.check(); err != nil {
		return fmt.Errorf("provider %s: %w", clip(p.ID, 64), err)
	}
	mapping := maps.Clone(p.Mapping)
	if len(mapping) == 0 && p.AWSAccount != "" {
		mapping = gcptrust.DefaultAWS()
	}
	rules, err := gcptrust.Compile(mapping, p.Condition)
	if err != nil {
		return fmt.Errorf("provider %s: %w", p.ID, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	owner := c.projects[p.Project]
	if owner == nil || owner.pools[p.Pool] == nil {
		return fmt.Errorf("provider %s: there is no pool %q in project %q", p.ID, clip(p.Pool, 64), clip(p.Project, 64))
	}
	p.AllowedAudiences = slices.Clone(p.AllowedAudiences)
	name := providerName{project: owner.number, pool: p.Pool, provider: p.ID}
	owner.pools[p.Pool].providers[p.ID] = &provider{Provider: p, name: name, rules: rules}
	return nil
}

func (p Provider) check() error {
	if err := checkPoolID("provider", p.ID); err != nil {
		return err
	}
	switch {
	case (p.AWSAccount == "") == (p.Issuer == ""):
		return errors.New("want an AWS account or an OIDC issuer, and not both")
	case p.AWSAccount != "" && !awsAccountID.MatchString(p.AWSAccount):
		return fmt.Errorf("AWS account %q: want 12 digits", clip(p.AWSAccount, 64))
	case p.AWSAccount != "" && len(p.AllowedAudiences) > 0:
		return errors.New("allowed audiences are for OIDC providers")
	case p.Issuer != "":
		return p.checkOIDC()
	}
	return nil
}

func (p Provider) checkOIDC() error {
	u, err := url.Parse(p.Issuer)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("issuer %q: want https://HOST/PATH", clip(p.Issuer, 128))
	}
	if len(p.AllowedAudiences) > 10 {
		return fmt.Errorf("%d allowed audiences: at most 10", len(p.AllowedAudiences))
	}
	for _, a := range p.AllowedAudiences {
		if a == "" || len(a) > 256 {
			return fmt.Errorf("allowed audience %q: want 1 to 256 characters", clip(a, 64))
		}
	}
	// These issuers sign for everyone: without a condition a stranger's job would get in. Google refuses that too.
	shared := u.Host == "token.actions.githubusercontent.com" || u.Host == "app.terraform.io"
	if shared && strings.TrimSpace(p.Condition) == "" {
		return fmt.Errorf("issuer %s signs for many tenants: the provider needs a condition", p.Issuer)
	}
	return nil
}

// audiences are what a token for this provider may be made out to.
func (p *provider) audiences() []string {
	if len(p.AllowedAudiences) > 0 {
		return p.AllowedAudiences
	}
	return []string{p.name.String(), "https:" + p.name.String()}
}

// findProvider finds a provider that takes tokens now. The note says why there is none.
func (c *Cloud) findProvider(n providerName) (found *provider, note string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n.workforce() {
		return c.findWorkforceProvider(n)
	}
	project := c.projectByNumber(n.project)
	if project == nil {
		if c.projects[n.project] != nil {
			return nil, fmt.Sprintf("the audience names the project by its id %s, where its number belongs", n.project)
		}
		return nil, fmt.Sprintf("there is no project with the number %s", n.project)
	}
	pool := project.pools[n.pool]
	switch {
	case pool == nil:
		return nil, fmt.Sprintf("project %s has no workload identity pool %s", project.id, n.pool)
	case pool.deleted || pool.disabled:
		return nil, fmt.Sprintf("the workload identity pool %s is disabled or deleted", n.pool)
	case pool.providers[n.provider] == nil:
		return nil, fmt.Sprintf("the pool %s has no provider %s", n.pool, n.provider)
	case pool.providers[n.provider].Disabled:
		return nil, fmt.Sprintf("the provider %s is disabled", n.provider)
	}
	return pool.providers[n.provider], ""
}

// poolUsable reports whether tokens of a pool still work. The caller holds the lock.
func (c *Cloud) poolUsable(name string) bool {
	for _, p := range c.workforce {
		if p.name == name {
			return true
		}
	}
	for _, project := range c.projects {
		for _, p := range project.pools {
			if p.name == name {
				return !p.disabled && !p.deleted
			}
		}
	}
	return false
}
