// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"
	"os"
	"time"
)

// pollEnd looks every now and then whether a process is still there.
func pollEnd(ctx context.Context, pid int) (context.Context, error) {
	process, err := os.FindProcess(pid)
	if err == nil && !alive(process) {
		err = errors.New("there is no such process")
	}
	if err != nil {
		return nil, err
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
