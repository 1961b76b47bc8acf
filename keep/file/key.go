// SPDX-License-Identifier: Apache-2.0

package file

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/stile-project/stile"
)

// An Owner is whose processes share what is kept: one user's on one machine, since it started. A home that machines
// share, or an image that was copied, brings files of others along; under another owner's key they are not found.
type Owner struct {
	User string // the effective user id, on Windows the SID
	Host string // what the machine calls itself
	Boot string // on Linux what the kernel drew at this start; elsewhere empty
}

// ThisOwner is the owner of this process.
func ThisOwner() (Owner, error) {
	user, err := userID()
	if err != nil {
		return Owner{}, fmt.Errorf("finding the user's id: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return Owner{}, fmt.Errorf("finding the machine's name: %w", err)
	}
	// Where it cannot be read, as in some sandboxes, user and host have to do.
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return Owner{User: user, Host: host, Boot: strings.TrimSpace(string(boot))}, nil
}

// Key is equal for equal crossings of one owner. It fails with [stile.ErrMisuse] for a crossing that is not keyed.
func (s *Store) Key(_ context.Context, c stile.Crossing) (stile.Key, error) {
	if !c.Keyed() {
		return stile.Key{}, &stile.Error{Op: "keep the credential in a file", Hint: "keep this crossing in memory",
			Err: fmt.Errorf("%w: its source or target does not tell what decides its credential, so it cannot be shared", stile.ErrMisuse)}
	}
	return stile.NewKey("file", c.Key().String(), s.owner.User, s.owner.Host, s.owner.Boot), nil
}
