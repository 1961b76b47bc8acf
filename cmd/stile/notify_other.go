// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

import "time"

var began = time.Now()

// monotonic is for systemd, which is on Linux alone.
func monotonic() time.Duration { return time.Since(began) }
