// SPDX-License-Identifier: Apache-2.0

package fromgcp

import (
	"testing"

	"github.com/stile-project/stile/internal/shape/shapetest"
)

func TestKeyIDAgreesWithPattern(t *testing.T) {
	t.Parallel()
	shapetest.Agree(t, `^[0-9a-zA-Z_-]{1,128}$`, isKeyID)
}
