// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"

	"github.com/stile-project/stile/trust/gcp"
)

// A WorkforceProvider lets people of an OIDC issuer into a workforce pool. Workforce pools belong to an organization
// and not to a project.
type WorkforceProvider struct {
	Pool     string
	ID       string            // 4 to 32 characters of a-z, 0-9 and -
	Issuer   string            // https://…, to the letter as in the tokens' iss
	ClientID string            // the only audience that is taken
	Mapping  map[string]string // required
	// Condition is CEL. Empty admits everyone the provider believes.
	Condition string
}

var workforcePoolID = regexp.MustCompile(`^[a-z][a-z0-9-]{4,61}[a-z0-9]$`)

// AddWorkforcePool makes a workforce pool at locations/global. The id has 6 to 63 characters.
func (c *Cloud) AddWorkforcePool(id string) error {
	if !workforcePoolID.MatchString(id) {
		return fmt.Errorf("workforce pool id %q: want 6 to 63 characters of a-z, 0-9 and -, starting with a letter", clip(id, 80))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.workforce[id] != nil {
		return fmt.Errorf("workforce pool %s exists", id)
	}
	c.workforce[id] = &pool{name: providerName{pool: id}.poolName(), providers: map[string]*provider{}}
	return nil
}

// AddWorkforceProvider adds a provider to a workforce pool, or replaces the one of that id.
func (c *Cloud) AddWorkforceProvider(w WorkforceProvider) error {
	p := Provider{Pool: w.Pool, ID: w.ID, Issuer: w.Issuer, AllowedAudiences: []string{w.ClientID}, Mapping: maps.Clone(w.Mapping), Condition: w.Condition}
	if err := p.check(); err != nil {
		return fmt.Errorf("workforce provider %s: %w", clip(w.ID, 64), err)
	}
	rules, err := gcptrust.Compile(p.Mapping, p.Condition)
	if err != nil {
		return fmt.Errorf("workforce provider %s: %w", p.ID, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	owner := c.workforce[p.Pool]
	if owner == nil {
		return fmt.Errorf("workforce provider %s: there is no workforce pool %q", p.ID, clip(p.Pool, 80))
	}
	owner.providers[p.ID] = &provider{Provider: p, name: providerName{pool: p.Pool, provider: p.ID}, rules: rules}
	return nil
}

// findWorkforceProvider is findProvider for a workforce pool. The caller holds the lock.
func (c *Cloud) findWorkforceProvider(n providerName) (found *provider, note string) {
	owner := c.workforce[n.pool]
	if owner == nil {
		return nil, fmt.Sprintf("there is no workforce pool %s", n.pool)
	}
	if owner.providers[n.provider] == nil {
		return nil, fmt.Sprintf("the workforce pool %s has no provider %s", n.pool, n.provider)
	}
	return owner.providers[n.provider], ""
}

// readUserProject wants a project to charge for a person of a workforce pool, unless the client has one of its own, and
// none for a workload. The wording of these refusals is ours.
func (q *call) readUserProject(p *provider, options map[string]any) (string, error) {
	bad := func(text, why string) (string, error) {
		return "", q.refuse(oauthError(http.StatusBadRequest, invalidRequest, text), "%s", why)
	}
	value, given := options["userProject"]
	name, isText := value.(string)
	switch {
	case options["accessBoundary"] != nil:
		return bad("An accessBoundary applies to an access token.", "the options bound an access token, and this exchange is for an external credential")
	case given && !p.name.workforce():
		return bad("The userProject option is for workforce pools.", "the options name a userProject, which a workload identity pool does not take")
	case given && (!isText || name == "" || len(name) > 32):
		return bad("Invalid userProject.", "the userProject is no project's id or number")
	case !given && p.name.workforce() && q.r.Header.Get("Authorization") == "":
		return bad("The userProject option is required for workforce pools.", "the options name no userProject, which a workforce pool needs")
	case given:
		q.entry.OK("calls with the token are charged to project %s", clip(name, 32))
	}
	return name, nil
}
