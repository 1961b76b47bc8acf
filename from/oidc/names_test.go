// SPDX-License-Identifier: Apache-2.0

package fromoidc

import (
	"testing"

	"github.com/stile-project/stile/internal/shape/shapetest"
)

func TestNamesAgreeWithPatterns(t *testing.T) {
	t.Parallel()
	shapetest.Agree(t, `^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`, isNamespace, "a", "-a", "a-", "a.b", "a--b")
	shapetest.Agree(t, `^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$`, isAccount, "a", ".a", "a.", "a.b", "a..b", "../a")
}
