// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package process

import "context"

// End gives a context that ends when the process does. The error is that there is none now.
func End(ctx context.Context, pid int) (context.Context, error) { return pollEnd(ctx, pid) }
