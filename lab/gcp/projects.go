// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

type project struct {
	id, number string
	created    time.Time
	pools      map[string]*pool
}

// A ServiceAccount is an identity inside Google Cloud.
type ServiceAccount struct {
	Email    string // NAME@PROJECT.iam.gserviceaccount.com
	UniqueID string // 21 digits: the sub, and mostly the azp, of its ID tokens
	Project  string // the project's id
}

type account struct {
	ServiceAccount
	ownKey     signingKey   // the one Google itself signs with, once it has
	keys       []signingKey // those downloaded, the newest first
	longTokens bool
}

// AddProject makes a project with an id such as demo-proj and a number such as 123456789012.
func (c *Cloud) AddProject(id, number string) error {
	if !projectID.MatchString(id) {
		return fmt.Errorf("project id %q: want 6 to 30 characters of a-z, 0-9 and -, starting with a letter", clip(id, 64))
	}
	if !projectNumber.MatchString(number) {
		return fmt.Errorf("project number %q: want digits", clip(number, 64))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.projects {
		if p.id == id || p.number == number {
			return fmt.Errorf("project %s, number %s: the id or the number is taken", id, number)
		}
	}
	c.projects[id] = &project{id: id, number: number, created: c.clock(), pools: map[string]*pool{}}
	return nil
}

// AddServiceAccount makes NAME@PROJECT.iam.gserviceaccount.com. The name has 6 to 30 characters.
func (c *Cloud) AddServiceAccount(project, name string) (ServiceAccount, error) {
	if !accountID.MatchString(name) {
		return ServiceAccount{}, fmt.Errorf("service account name %q: want 6 to 30 characters of a-z, 0-9 and -, starting with a letter", clip(name, 64))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.projects[project] == nil {
		return ServiceAccount{}, fmt.Errorf("service account %s: there is no project %q", name, clip(project, 64))
	}
	email := name + "@" + project + ".iam.gserviceaccount.com"
	if c.accounts[email] != nil {
		return ServiceAccount{}, fmt.Errorf("service account %s exists", email)
	}
	sa := ServiceAccount{Email: email, UniqueID: "1" + digits(email, 20), Project: project}
	c.accounts[email] = &account{ServiceAccount: sa}
	return sa, nil
}

// AllowLongTokens lists a service account in constraints/iam.allowServiceAccountCredentialLifetimeExtension: its access
// tokens may then live up to 12 hours instead of one.
func (c *Cloud) AllowLongTokens(email string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.accounts[email]
	if a == nil {
		return fmt.Errorf("there is no service account %q", clip(email, 128))
	}
	a.longTokens = true
	return nil
}

// findAccount finds a service account by its e-mail or its unique id.
func (c *Cloud) findAccount(ref string) (ServiceAccount, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.accounts[ref]; a != nil {
		return a.ServiceAccount, true
	}
	for _, a := range c.accounts {
		if a.UniqueID == ref {
			return a.ServiceAccount, true
		}
	}
	return ServiceAccount{}, false
}

// members are the IAM members that name a service account.
func (s ServiceAccount) members() []string {
	return []string{"serviceAccount:" + s.Email, "allAuthenticatedUsers", "allUsers"}
}

// projectByRef finds a project by its id or its number. The caller holds the lock.
func (c *Cloud) projectByRef(ref string) *project {
	if p := c.projects[ref]; p != nil {
		return p
	}
	return c.projectByNumber(ref)
}

func (c *Cloud) projectByNumber(number string) *project {
	for _, p := range c.projects {
		if p.number == number {
			return p
		}
	}
	return nil
}

// digits derives n decimal digits, at most 20, from a name: the same name has the same id in every run.
func digits(name string, n int) string {
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("%020d", binary.BigEndian.Uint64(sum[:8]))[20-n:]
}
