// SPDX-License-Identifier: Apache-2.0

// Bench measures Stile against what people use in its place, and against its own budgets. From the top of the tree:
//
//	go run ./bench            # some minutes: prints the table, writes bench/RESULTS.md and bench/results.svg
//	go run ./bench -short     # some seconds: everything once, for what must be right whatever it takes
//	go run ./bench -only soak # ten minutes, or -for so long: writes its own part of bench/RESULTS.md
//
// Every ratio is of figures taken in one run, in turns, so that a busy machine slows both sides. No time is judged as
// passed or failed: budgets are held against medians, and said to be met or missed. What fails the run is what must be
// so on any machine: an allocation where there is to be none, a read that fails, and in a short run a second exchange.
//
// There is one file for each bench, which returns its rows of the table and its panels of the plot.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// benches are in the order of the table.
var benches = []bench{
	{"read", "Reading a kept credential in process", readBench, false},
	{"rotation", "Reads across rotations", rotationBench, false},
	{"process", "stile credential-process", processBench, false},
	{"herd", "All at once", herdBench, false},
	{"keys", "Many crossings in one Memory", keysBench, false},
	{"serve", "stile serve", serveBench, false},
	{"soak", "A long run of stile serve, with clouds that fail", soakBench, true},
}

// A bench is one file's.
type bench struct {
	name, title string
	run         func(ctx context.Context, at *place) (report, error)
	apart       bool // runs only if it is named, and has a part of RESULTS.md that stays when others run
}

// A place is where a bench runs.
type place struct {
	short   bool          // once, with tiny counts
	lasts   time.Duration // of a soak
	root    string        // the top of the tree
	scratch string        // a folder of the bench's own
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	short := flags.Bool("short", false, "run everything once with tiny counts, and write no file")
	only := flags.String("only", "", "run these `BENCHES`, and write no file, but for soak alone: "+strings.Join(names(), ","))
	lasts := flags.Duration("for", 10*time.Minute, "how long soak lasts")
	to := flags.String("o", "", "write RESULTS.md and results.svg to this `FOLDER` (default bench, for a whole run and for soak alone)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	root, err := top(ctx)
	if err != nil {
		return err
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	part := !slices.ContainsFunc(chosen, func(b bench) bool { return !b.apart })
	if *to == "" && !*short && (*only == "" || part) {
		*to = filepath.Join(root, "bench")
	}
	facts := machineFacts(ctx, root)
	reports, failed := measure(ctx, chosen, place{short: *short, lasts: *lasts, root: root}, stderr)
	if err := errors.Join(failed, printTable(stdout, reports)); err != nil || *to == "" {
		return err
	}
	if part {
		return rewrite(filepath.Join(*to, "RESULTS.md"), func(old []byte) []byte { return withParts(old, facts, reports) })
	}
	if err := os.WriteFile(filepath.Join(*to, "results.svg"), plot(reports), 0o644); err != nil { //nolint:gosec // everybody may see it
		return err
	}
	return rewrite(filepath.Join(*to, "RESULTS.md"), func(old []byte) []byte { return withPartsOf(results(facts, reports), old) })
}

// rewrite makes a file of what it is, which may be nothing.
func rewrite(path string, change func([]byte) []byte) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(path, change(old), 0o644) //nolint:gosec // everybody may see it
}

// measure runs the benches one after another, and goes on after one that failed.
func measure(ctx context.Context, chosen []bench, at place, progress io.Writer) (reports []report, err error) {
	var failed []error
	for _, b := range chosen {
		scratch, err := os.MkdirTemp("", "stile-bench-")
		if err != nil {
			return nil, err
		}
		at.scratch = scratch
		fmt.Fprintf(progress, "bench: %s…", b.name)
		began := time.Now()
		r, err := b.run(ctx, &at)
		fmt.Fprintf(progress, " %.1fs\n", time.Since(began).Seconds())
		if err := errors.Join(err, os.RemoveAll(scratch)); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", b.name, err))
			continue
		}
		r.title = b.title
		reports = append(reports, r)
	}
	return reports, errors.Join(failed...)
}

func names() (all []string) {
	for _, b := range benches {
		all = append(all, b.name)
	}
	return all
}

// choose finds benches by their names, parted by commas. Empty: all that need not be named.
func choose(wanted string) (chosen []bench, err error) {
	if wanted == "" {
		return slices.DeleteFunc(slices.Clone(benches), func(b bench) bool { return b.apart }), nil
	}
	for name := range strings.SplitSeq(wanted, ",") {
		i := slices.Index(names(), name)
		if i < 0 {
			return nil, fmt.Errorf("there is no bench %q: there are %s", name, strings.Join(names(), ", "))
		}
		chosen = append(chosen, benches[i])
	}
	return chosen, nil
}

// top finds the top of the tree.
func top(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the top of the tree: %w", err)
	}
	path := strings.TrimSpace(string(out))
	if filepath.Base(path) != "go.mod" {
		return "", errors.New("run it in Stile's tree")
	}
	return filepath.Dir(path), nil
}

// pause waits, or reports why not.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
