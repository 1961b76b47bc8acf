// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

import (
	"context"
	"time"
)

var began = time.Now()

// monotonic is for systemd, which is on Linux alone.
func monotonic() time.Duration { return time.Since(began) }

// processEnd gives a context that ends when the process does.
func processEnd(ctx context.Context, pid int) (context.Context, error) { return pollEnd(ctx, pid) }
