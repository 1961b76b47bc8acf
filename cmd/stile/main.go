// SPDX-License-Identifier: Apache-2.0

// Command stile gives a workload in one cloud a short-lived credential for another, with no stored key.
package main

import (
	"context"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) //nolint:gocritic // nothing is left to clean up
}

// endAtOnce is for where nothing may be waited for any more.
func endAtOnce(code int) { os.Exit(code) }
