// SPDX-License-Identifier: Apache-2.0

// Command stile-lab runs both clouds on this machine: to watch a crossing, and to try programs against.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr)) //nolint:gocritic // nothing is left to clean up
}

// run is the whole program but for the process around it: 0 done, 1 failed, 2 misused.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return runOn(ctx, usualScene, args, stdout, stderr)
}

func runOn(ctx context.Context, set setter, args []string, stdout, stderr io.Writer) int {
	failed := false
	root := &cobra.Command{
		Use:   "stile-lab",
		Short: "Both clouds, emulated strictly on this machine",
		Long: `Both clouds, emulated strictly on this machine. Nothing leaves it, and no account is needed.

  stile-lab demo    watch a workload in each cloud read the other, then watch six attempts refused
  stile-lab up      keep the clouds running, and print the environment to use them from another shell`,
		SilenceErrors: true, SilenceUsage: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(demoCommand(&failed, set), upCommand(&failed))
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(stderr, "stile-lab: error:", err)
		if failed {
			return 1
		}
		return 2
	}
	return 0
}
