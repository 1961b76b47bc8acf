// SPDX-License-Identifier: Apache-2.0

package outlet

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// accessACL is where Linux keeps who else may use a file. The mode's bits of the group are then the most that any of them
// may, and no longer what the group may.
const accessACL = "system.posix_acl_access"

// keepACL has the new file say who may use it as the old one does, before it gets its mode: that alone would turn what
// others could do at most into what the group can. What a new file gets from its folder is not what the old one had.
func keepACL(from, to string) error {
	list, err := readACL(from)
	if err == nil && list != nil {
		err = syscall.Setxattr(to, accessACL, list, 0)
	} else if err == nil {
		if list, err = readACL(to); err == nil && list != nil {
			err = syscall.Removexattr(to, accessACL)
		}
	}
	if err != nil {
		return hinted{fmt.Errorf("keep the access control list of the file: %w", err), "take it away, and use the mode and the group: setfacl -b " + from}
	}
	return nil
}

// readACL gives nil where the mode says all, or the file has just gone, which is seen elsewhere.
func readACL(path string) ([]byte, error) {
	list := make([]byte, 1<<16) // no attribute is longer
	n, err := syscall.Getxattr(path, accessACL, list)
	switch {
	case errors.Is(err, syscall.ENODATA), errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.ENOSYS), err == nil && n == 0:
		return nil, nil
	case err != nil:
		return nil, &os.PathError{Op: "getxattr", Path: path, Err: err}
	}
	return list[:n], nil
}
