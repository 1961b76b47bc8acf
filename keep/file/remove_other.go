// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package file

import (
	"context"
	"os"
)

// removeLock removes a lock file that nobody holds. Windows does not remove a file that anyone has open, whether it is
// locked yet or not.
func removeLock(_ context.Context, path string) error {
	_ = os.Remove(path)
	return nil
}
