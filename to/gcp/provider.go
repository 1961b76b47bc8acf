// SPDX-License-Identifier: Apache-2.0

package togcp

import (
	"fmt"
	"strings"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/shape"
)

// A Provider is the full resource name of a workload identity pool provider. Only [ParseProvider] makes one.
type Provider struct{ name string }

// ParseProvider reads projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER, with or without
// //iam.googleapis.com/ or https://iam.googleapis.com/ before it.
func ParseProvider(s string) (Provider, error) {
	if s == "" {
		return Provider{}, fmt.Errorf("%w: no provider: want projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER", stile.ErrMisuse)
	}
	name, err := shape.Provider(s)
	if err != nil {
		return Provider{}, fmt.Errorf("%w: provider %.200q: %w", stile.ErrMisuse, s, err)
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
