// SPDX-License-Identifier: Apache-2.0

package togcp

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/stile-project/stile"
)

// A Provider is the full resource name of a workload identity pool provider. Only [ParseProvider] makes one.
type Provider struct{ name string }

var (
	providerName = regexp.MustCompile(`^projects/([^/]+)/locations/global/workloadIdentityPools/([a-z0-9-]{1,32})/providers/([a-z0-9-]{1,32})$`)
	digits       = regexp.MustCompile(`^[0-9]{1,19}$`)
)

// ParseProvider reads projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER, with or without
// //iam.googleapis.com/ or https://iam.googleapis.com/ before it.
func ParseProvider(s string) (Provider, error) {
	bad := func(why string) error {
		return fmt.Errorf("%w: provider %.200q: %s", stile.ErrMisuse, s, why)
	}
	if s == "" {
		return Provider{}, fmt.Errorf("%w: no provider: want projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER", stile.ErrMisuse)
	}
	name := strings.TrimPrefix(strings.TrimPrefix(s, "https:"), "//iam.googleapis.com/")
	m := providerName.FindStringSubmatch(name)
	if m == nil {
		return Provider{}, bad("want projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER")
	}
	if !digits.MatchString(m[1]) {
		return Provider{}, bad("the project must be its number, not its id (gcloud projects describe " + m[1] + " --format='value(projectNumber)')")
	}
	return Provider{name}, nil
}

// String is the name from "projects/" on.
func (p Provider) String() string { return p.name }

// Audience is the name as Google STS wants it: //iam.googleapis.com/projects/….
func (p Provider) Audience() string { return "//iam.googleapis.com/" + p.name }

// Pool is the pool's resource name, projects/NUMBER/locations/global/workloadIdentityPools/POOL.
func (p Provider) Pool() string {
	pool, _, _ := strings.Cut(p.name, "/providers/")
	return pool
}

var accountEmail = regexp.MustCompile(`^[a-z0-9-]{1,63}@[a-z0-9.-]{1,200}\.gserviceaccount\.com$`)

// checkEmail keeps an e-mail from becoming another path at IAM Credentials.
func checkEmail(what, email string) error {
	if !accountEmail.MatchString(email) {
		return fmt.Errorf("%w: %s %.200q: want NAME@PROJECT.iam.gserviceaccount.com", stile.ErrMisuse, what, email)
	}
	return nil
}
