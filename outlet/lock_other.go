// SPDX-License-Identifier: Apache-2.0

//go:build !windows && (!unix || aix || solaris)

package outlet

import (
	"errors"
	"io/fs"
	"os"
)

// tryLock is of no use against a process that died here: its file has to be removed by hand.
func tryLock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR|noFollow, OwnerOnly)
	if errors.Is(err, fs.ErrExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	_ = file.Close()
	return func() { _ = os.Remove(path) }, nil
}
