// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A binding gives a role on a resource to a member.
type binding struct {
	resource, role, member string
	effective              time.Time
}

// Grant gives a role on a resource to a member. The resource is projects/ID, serviceAccounts/EMAIL, buckets/NAME or
// functions/NAME; the role one of Google's own, such as roles/iam.workloadIdentityUser; the member is written as in an
// IAM policy: serviceAccount:EMAIL, serviceAccount:PROJECT.svc.id.goog[NAMESPACE/NAME], user:EMAIL, principal://…,
// principalSet://…, allUsers or allAuthenticatedUsers. What a principal names is not looked at: like Google, the lab
// takes a binding that can never match anyone.
func (c *Cloud) Grant(resource, role, member string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	kind, err := c.checkResource(resource)
	if err != nil {
		return fmt.Errorf("grant: %w", err)
	}
	r, ok := roles[role]
	if !ok {
		return fmt.Errorf("grant: there is no role %q here", clip(role, 96))
	}
	if !slices.Contains(strings.Fields(r.on), kind) {
		return fmt.Errorf("grant: role %s is not supported for %s", role, kind)
	}
	if err := c.checkMember(member); err != nil {
		return fmt.Errorf("grant: %w", err)
	}
	c.bindings = append(c.bindings, binding{resource, role, member, c.clock().Add(c.propagation)})
	return nil
}

// Revoke takes back what Grant gave. It reports an error where there is no such grant.
func (c *Cloud) Revoke(resource, role, member string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := len(c.bindings)
	c.bindings = slices.DeleteFunc(c.bindings, func(b binding) bool {
		return b.resource == resource && b.role == role && b.member == member
	})
	if len(c.bindings) == before {
		return fmt.Errorf("revoke: %s has no such binding of %s", clip(resource, 128), clip(role, 96))
	}
	return nil
}

func (c *Cloud) checkResource(resource string) (kind string, err error) {
	kind, id, _ := strings.Cut(resource, "/")
	known := false
	switch kind {
	case "projects":
		known = c.projects[id] != nil
	case "serviceAccounts":
		known = c.accounts[id] != nil
	case "buckets":
		known = c.buckets[id] != nil
	case "functions":
		known = c.functionByName(id) != nil
	}
	if !known {
		return "", fmt.Errorf("there is no resource %q: want projects/ID, serviceAccounts/EMAIL, buckets/NAME or functions/NAME", clip(resource, 128))
	}
	return kind, nil
}

// checkMember refuses what IAM refuses: a misspelt kind, or an account that does not exist.
func (c *Cloud) checkMember(member string) error {
	kind, name, _ := strings.Cut(member, ":")
	switch kind {
	case "allUsers", "allAuthenticatedUsers":
		if member == kind {
			return nil
		}
	case "serviceAccount":
		// Whether there is such a Kubernetes service account, IAM does not know.
		if m := kubernetesMember.FindStringSubmatch(name); c.accounts[name] == nil && (m == nil || c.projects[m[1]] == nil) {
			return fmt.Errorf("service account %s does not exist", clip(name, 128))
		}
		return nil
	case "user":
		if c.users[name] == nil {
			return fmt.Errorf("user %s does not exist", clip(name, 128))
		}
		return nil
	case "principal", "principalSet":
		if federatedMember.MatchString(name) {
			return nil
		}
	}
	return fmt.Errorf("member %q: want serviceAccount:EMAIL, user:EMAIL, principal://iam.googleapis.com/projects/NUMBER/…, principalSet://… or allUsers", clip(member, 200))
}

var (
	federatedMember  = regexp.MustCompile(`^//iam\.googleapis\.com/(?:projects/.*/locations/global/workloadIdentityPools/|locations/global/workforcePools/[^/]+/)`)
	kubernetesMember = regexp.MustCompile(`^([a-z][a-z0-9-]{4,28}[a-z0-9])\.svc\.id\.goog\[[a-z0-9-]{1,63}/[a-z0-9.-]{1,253}\]$`)
)

// allowed looks for a binding that gives one of the members one of the permissions on one of the resources: the thing
// itself, and the project it is in, because IAM policies are inherited. pending reports a grant that has not spread yet.
func (c *Cloud) allowed(members []string, now time.Time, permissions, resources []string) (found binding, ok, pending bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.bindings {
		if !slices.Contains(resources, b.resource) || !slices.Contains(members, b.member) {
			continue
		}
		if !slices.ContainsFunc(permissions, func(p string) bool { return slices.Contains(roles[b.role].permissions, p) }) {
			continue
		}
		if now.Before(b.effective) {
			pending = true
			continue
		}
		return b, true, false
	}
	return binding{}, false, pending
}

// permitted notes in the journal whether a caller has a permission, and through which binding.
func (q *call) permitted(who string, members []string, permission string, resources ...string) bool {
	b, ok, pending := q.allowed(members, q.now, []string{permission}, resources)
	switch {
	case ok:
		q.entry.OK("%s has %s on %s: %s is granted to %s", who, permission, b.resource, b.role, b.member)
	case pending:
		q.entry.Fail("%s was granted %s on %s moments ago, and the grant has not spread yet", who, permission, resources[0])
	default:
		q.entry.Fail("no role on %s gives %s to %s%s", resources[0], permission, who, q.others(permission, resources))
	}
	return ok
}

// others names a member that does have the permission: beside the caller's own name, it mostly shows the mistake.
func (c *Cloud) others(permission string, resources []string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.bindings {
		if slices.Contains(resources, b.resource) && slices.Contains(roles[b.role].permissions, permission) {
			return fmt.Sprintf("; %s is granted to %s, which is somebody else", b.role, clip(b.member, 250))
		}
	}
	return ""
}
