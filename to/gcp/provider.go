// SPDX-License-Identifier: Apache-2.0

package togcp

import (
	"fmt"
	"strings"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/shape"
)

// A Provider is the full resource name of a provider, of a workload identity pool or of a workforce pool. Only
// [ParseProvider] makes one.
type Provider struct{ name string }

// ParseProvider reads projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER, or
// locations/LOCATION/workforcePools/POOL/providers/PROVIDER, with or without //iam.googleapis.com/ or
// https://iam.googleapis.com/ before it. The service has that name in every universe.
func ParseProvider(s string) (Provider, error) {
	if s == "" {
		return Provider{}, fmt.Errorf("%w: no provider: want projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER", stile.ErrMisuse)
	}
	read := shape.Provider
	if strings.Contains(s, "/workforcePools/") && !strings.Contains(s, "projects/") {
		read = shape.WorkforceProvider
	}
	name, err := read(s)
	if err != nil {
		return Provider{}, fmt.Errorf("%w: provider %.200q: %w", stile.ErrMisuse, s, err)
	}
	return Provider{name}, nil
}

// String is the name from "projects/" or "locations/" on.
func (p Provider) String() string { return p.name }

// Audience is the name as Google STS wants it: //iam.googleapis.com/projects/….
func (p Provider) Audience() string { return "//iam.googleapis.com/" + p.name }

// Pool is the pool's resource name: projects/NUMBER/locations/global/workloadIdentityPools/POOL, or
// locations/LOCATION/workforcePools/POOL.
func (p Provider) Pool() string {
	pool, _, _ := strings.Cut(p.name, "/providers/")
	return pool
}

// IsWorkforce reports whether the pool is a workforce pool, which signs in people and belongs to an organization.
func (p Provider) IsWorkforce() bool { return strings.HasPrefix(p.name, "locations/") }
