// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"fmt"
	"regexp"
	"strings"
)

// A providerName is the full name of a provider: the audience of a token exchange. That of a workforce pool has no
// project.
type providerName struct{ project, pool, provider string }

func (n providerName) workforce() bool { return n.project == "" }

const resourceHost = "//iam.googleapis.com/"

// parseProviderName reads //iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/ID,
// or //iam.googleapis.com/locations/global/workforcePools/POOL/providers/ID.
// A project id in the place of the number is let through: Google says of it that the provider does not exist, not that
// the name is malformed.
func parseProviderName(s string) (providerName, error) {
	rest, ok := strings.CutPrefix(s, resourceHost)
	parts := strings.Split(rest, "/")
	if ok && len(parts) == 6 && parts[0] == "locations" && parts[1] == "global" && parts[2] == "workforcePools" && parts[4] == "providers" &&
		workforcePoolID.MatchString(parts[3]) && namePart.MatchString(parts[5]) {
		return providerName{pool: parts[3], provider: parts[5]}, nil
	}
	if !ok || len(parts) != 8 {
		return providerName{}, fmt.Errorf("want %sprojects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER", resourceHost)
	}
	for i, want := range map[int]string{0: "projects", 2: "locations", 3: "global", 4: "workloadIdentityPools", 6: "providers"} {
		if parts[i] != want {
			return providerName{}, fmt.Errorf("part %d of the name is not %q", i+1, want)
		}
	}
	n := providerName{project: parts[1], pool: parts[5], provider: parts[7]}
	for _, id := range []string{n.project, n.pool, n.provider} {
		if !namePart.MatchString(id) {
			return providerName{}, fmt.Errorf("an id in the name is empty, too long or has characters no id has")
		}
	}
	return n, nil
}

// String is the name in full, as an audience.
func (n providerName) String() string {
	return resourceHost + n.poolName() + "/providers/" + n.provider
}

// poolName is the pool's own name, without the host.
func (n providerName) poolName() string {
	if n.workforce() {
		return "locations/global/workforcePools/" + n.pool
	}
	return "projects/" + n.project + "/locations/global/workloadIdentityPools/" + n.pool
}

// The shapes of ids. Sources: the IAM and Resource Manager API references; workloadIdentityPoolId: "4-32 characters …
// [a-z0-9-]. The prefix gcp- is reserved".
var (
	namePart      = regexp.MustCompile(`^[a-z0-9:.-]{1,64}$`)
	projectID     = regexp.MustCompile(`^[a-z][a-z0-9-]{4,28}[a-z0-9]$`)
	projectNumber = regexp.MustCompile(`^[1-9][0-9]{0,18}$`)
	poolID        = regexp.MustCompile(`^[a-z0-9-]{4,32}$`)
	accountID     = regexp.MustCompile(`^[a-z](?:[a-z0-9-]{4,28}[a-z0-9])$`)
	awsAccountID  = regexp.MustCompile(`^[0-9]{12}$`)
	bucketName    = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$`)
	regionName    = regexp.MustCompile(`^[a-z]+-[a-z]+[0-9]{1,2}$`)
	plainName     = regexp.MustCompile(`^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$`)
)

func checkPoolID(what, id string) error {
	if !poolID.MatchString(id) || strings.HasPrefix(id, "gcp-") {
		return fmt.Errorf("%s id %q: want 4 to 32 characters of a-z, 0-9 and -, not starting with gcp-", what, clip(id, 64))
	}
	return nil
}
