// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import "syscall"

// processorTime is what this process has had of the processors, in nanoseconds.
func processorTime() float64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return float64(used.Utime.Nano() + used.Stime.Nano())
}
