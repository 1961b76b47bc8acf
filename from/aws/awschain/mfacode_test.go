// SPDX-License-Identifier: Apache-2.0

package awschain

import (
	"testing"

	"github.com/stile-project/stile/internal/shape/shapetest"
)

func TestMFACodeAgreesWithPattern(t *testing.T) {
	t.Parallel()
	shapetest.Agree(t, `^[0-9]{6}$`, isMFACode, "123456", "12345", "1234567", "12345６")
}
