// SPDX-License-Identifier: Apache-2.0

//go:build unix

package file

import (
	"context"
	"errors"
	"os"
)

// removeLock removes a lock file that nobody holds.
func removeLock(ctx context.Context, path string) error {
	lock, err := tryLock(ctx, path)
	if err != nil || lock == nil {
		return err
	}
	return errors.Join(os.Remove(path), lock.Unlock())
}
