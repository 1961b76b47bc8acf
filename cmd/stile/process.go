// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// pollEnd looks every now and then whether a process is still there.
func pollEnd(ctx context.Context, pid int) (context.Context, error) {
	process, err := os.FindProcess(pid)
	if err == nil && !alive(process) {
		err = errors.New("there is no such process")
	}
	if err != nil {
		return nil, misuse("watch the process", "--exit-with %d: %w", pid, err)
	}
	gone, end := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer end()
		ticker := time.NewTicker(500 * time.Millisecond)
		defer ticker.Stop()
		for alive(process) {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return gone, nil
}

// signalCode is the code that a shell would report for a program that a signal ended.
func signalCode(s os.Signal) int {
	if number, ok := s.(syscall.Signal); ok {
		return 128 + int(number)
	}
	return failed
}
