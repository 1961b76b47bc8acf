// SPDX-License-Identifier: Apache-2.0

package togcp

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/shape"
)

// DefaultUniverse is the domain of the public cloud.
const DefaultUniverse = "googleapis.com"

// Endpoints say where Google answers. The zero value is the public cloud.
type Endpoints struct {
	STS            string // the token URL; empty: https://sts.UNIVERSE/v1/token
	IAMCredentials string // scheme and host; empty: https://iamcredentials.UNIVERSE

	// UniverseDomain is the domain that the services are found under. Empty: [DefaultUniverse].
	UniverseDomain string
	// MTLS picks the hosts that take a client certificate, sts.mtls.googleapis.com and
	// iamcredentials.mtls.googleapis.com: Client must have one. They exist in the public cloud only.
	// Source: AIP-4114.
	MTLS bool
}

func (e Endpoints) sts() string {
	if e.STS != "" {
		return e.STS
	}
	return e.service("sts") + "/v1/token"
}

func (e Endpoints) iam() string {
	if e.IAMCredentials != "" {
		return strings.TrimSuffix(e.IAMCredentials, "/")
	}
	return e.service("iamcredentials")
}

func (e Endpoints) service(name string) string {
	if e.MTLS {
		name += ".mtls"
	}
	return "https://" + name + "." + cmp.Or(e.UniverseDomain, DefaultUniverse)
}

func (e Endpoints) check() error {
	universe := cmp.Or(e.UniverseDomain, DefaultUniverse)
	if _, err := shape.UniverseDomain(universe); err != nil {
		return fmt.Errorf("%w: universe domain %.200q: %w", stile.ErrMisuse, universe, err)
	}
	if e.MTLS && universe != DefaultUniverse {
		return fmt.Errorf("%w: the mTLS hosts exist in the universe %s only", stile.ErrMisuse, DefaultUniverse)
	}
	return nil
}
