// SPDX-License-Identifier: Apache-2.0

//go:build !unix || solaris || aix

package serve

import "context"

// lockFolder: folders cannot be locked here.
func lockFolder(context.Context, string) (unlock func(), err error) { return func() {}, nil }
