// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"syscall"

	"github.com/stile-project/stile/internal/process"
)

// processEnd gives a context that ends when the process does.
func processEnd(ctx context.Context, pid int) (context.Context, error) {
	gone, err := process.End(ctx, pid)
	if err != nil {
		return nil, misuse("watch the process", "--exit-with %d: %w", pid, err)
	}
	return gone, nil
}

// signalCode is the code that a shell would report for a program that a signal ended.
func signalCode(s os.Signal) int {
	if number, ok := s.(syscall.Signal); ok {
		return 128 + int(number)
	}
	return failed
}
