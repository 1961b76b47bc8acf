// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A stampede is many processes that share what one of them gets, or do not.
type stampede struct {
	name      string
	processes int
	want      int
	settings  []string // variables beside the usual ones
}

// herdOfProcesses has as many processes begin at once as the machine can begin: each stands ready, and waits only to
// become stile.
func herdOfProcesses(ctx context.Context, at *place, c *clouds, server *redisServer, r *report) error {
	many, alone, rounds := 1000, 100, 2
	if at.short {
		many, alone, rounds = 20, 3, 1
	}
	p, err := build(ctx, at.root, at.scratch)
	if err != nil {
		return err
	}
	all, err := c.stampedes(many, alone, rounds, server)
	if err != nil {
		return err
	}
	for _, s := range all {
		if err := s.report(ctx, p, c, r); err != nil {
			return fmt.Errorf("%d processes, %s: %w", s.processes, s.name, err)
		}
	}
	r.notes = append(r.notes, "Goroutines all stand at one gate. Processes are all started before any is let go: each waits as a small program, "+
		"on a pipe whose end is the signal for all, and then becomes `stile credential-process`. That is as much at once as the machine's processors "+
		"can do. They run at the lowest priority, because the lab and Redis are on the same machine here and would get no more of it than each of them. "+
		"The time is until the last one has printed its session.")
	return nil
}

// stampedes are several with each kind of store, as it is unless told otherwise, and one with more patience for the
// server: a server that gets no processor for the second that it has is given up. A folder has ten seconds.
func (c *clouds) stampedes(many, alone, rounds int, server *redisServer) ([]stampede, error) {
	all := []stampede{{"without a store", alone, alone, []string{"STILE_NO_CACHE=1"}}}
	add := func(name, store string) error {
		file := fmt.Sprintf("herd%d.yaml", len(all))
		all = append(all, stampede{name, many, 1, []string{"STILE_CONFIG=" + c.path(file)}})
		return c.write(file, crossings+store)
	}
	var errs []error
	for range rounds {
		errs = append(errs, add("file store", ""))
	}
	for n := 0; server != nil && n <= rounds; n++ {
		name, store := "Redis", fmt.Sprintf("store:\n  url: redis://%s\n  key: %s\n  namespace: herd%d\n", server.address, server.keyFile, n)
		if n == rounds {
			name, store = name+", deadline: 10s", store+"  deadline: 10s\n"
		}
		errs = append(errs, add(name, store))
	}
	return all, errors.Join(errs...)
}

func (s stampede) report(ctx context.Context, p programs, c *clouds, r *report) error {
	before := c.count()
	took, failed, said, err := s.run(ctx, p, c)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%s cold processes, %s", grouped(s.processes), s.name)
	err = r.exchanged(what, c.count()-before, s.want, took, s.processes <= few)
	if failed != nil && s.processes <= few {
		err = errors.Join(err, failed)
	}
	if failed != nil {
		r.rows[len(r.rows)-1].met = missed
		r.notes = append(r.notes, what+": "+strings.ReplaceAll(failed.Error(), c.folder, "…"))
	}
	for _, line := range slices.Sorted(maps.Keys(said)) {
		r.notes = append(r.notes, fmt.Sprintf("%s: %d of them said: `%s`", what, said[line], line))
	}
	return err
}

// run starts all, lets them go, and checks what each printed. It also gives how many failed, as an error, and the first
// line of what they said besides, less folders, with how many said it.
func (s stampede) run(ctx context.Context, p programs, c *clouds) (took time.Duration, failed error, said map[string]int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	folder, err := os.MkdirTemp(c.folder, "herd-")
	if err != nil {
		return 0, nil, nil, err
	}
	gate, open, err := os.Pipe()
	if err != nil {
		return 0, nil, nil, err
	}
	defer func() { _, _ = gate.Close(), open.Close() }()
	env := append(c.env(filepath.Join(folder, "kept")), s.settings...)
	var waiting []*exec.Cmd
	defer func() {
		cancel()
		for _, cmd := range waiting {
			_ = cmd.Wait() // it has ended, or was killed
		}
	}()
	for i := range s.processes {
		cmd, err := s.ready(ctx, p, env, gate, filepath.Join(folder, strconv.Itoa(i)))
		if err != nil {
			return 0, nil, nil, err
		}
		waiting = append(waiting, cmd)
	}
	began := time.Now()
	if err := open.Close(); err != nil {
		return 0, nil, nil, err
	}
	var first error
	n := 0
	said = map[string]int{}
	for i, cmd := range waiting {
		path := filepath.Join(folder, strconv.Itoa(i))
		if err := errors.Join(cmd.Wait(), printed(path)); err != nil {
			n++
			first = cmp.Or(first, err)
		}
		if line := complaint(path); line != "" {
			said[strings.ReplaceAll(line, c.folder, "…")]++
		}
	}
	took, waiting = time.Since(began), nil
	if n > 0 {
		failed = fmt.Errorf("%d of %d failed, the first with %w", n, s.processes, first)
	}
	return took, failed, said, nil
}

// ready starts one process that waits at the gate. It prints into files: so many pipes would need as many readers.
func (s stampede) ready(ctx context.Context, p programs, env []string, gate *os.File, path string) (*exec.Cmd, error) {
	out, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }() // the process has its own
	errs, err := os.Create(path + ".err")
	if err != nil {
		return nil, err
	}
	defer func() { _ = errs.Close() }()
	cmd := exec.CommandContext(ctx, p.launch, "wait", p.stile, "credential-process", "images") //nolint:gosec // what runs is ours
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, gate, out, errs
	return cmd, cmd.Start()
}

// printed checks what a process left behind.
func printed(path string) error {
	out, err := os.ReadFile(path)
	if err == nil {
		err = isSession(out)
	}
	if err == nil {
		return nil
	}
	said, _ := os.ReadFile(path + ".err") // the first error is the one to tell
	return fmt.Errorf("%w: %.500s", err, said)
}

// complaint is the first line that a process wrote to its standard error.
func complaint(path string) string {
	text, err := os.ReadFile(path + ".err")
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}
