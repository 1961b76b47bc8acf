// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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
	many, few := 1000, 100
	if at.short {
		many, few = 20, 3
	}
	p, err := build(ctx, at.root, at.scratch)
	if err != nil {
		return err
	}
	all := []stampede{
		{"file store", many, 1, nil},
		{"without a store", few, few, []string{"STILE_NO_CACHE=1"}},
	}
	if server != nil {
		all = append(all, stampede{"Redis", many, 1, []string{"STILE_CONFIG=" + c.path("redis.yaml")}})
	}
	for _, s := range all {
		before := c.count()
		took, err := s.run(ctx, p, c)
		if err == nil {
			err = r.exchanged(fmt.Sprintf("%s cold processes, %s", grouped(s.processes), s.name), c.count()-before, s.want, took)
		}
		if err != nil {
			return fmt.Errorf("%d processes, %s: %w", s.processes, s.name, err)
		}
	}
	r.notes = append(r.notes, "Goroutines all stand at one gate. Processes are all started before any is let go: each waits as a small program, "+
		"on a pipe whose end is the signal for all, and then becomes `stile credential-process`. That is as much at once as the machine's processors "+
		"can do; each process counts its time, and the lab and the store's server run on the same machine. The time is until the last one has printed its session.")
	return nil
}

// run starts all, lets them go, and checks what each printed.
func (s stampede) run(ctx context.Context, p programs, c *clouds) (time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	folder, err := os.MkdirTemp(c.folder, "herd-")
	if err != nil {
		return 0, err
	}
	gate, open, err := os.Pipe()
	if err != nil {
		return 0, err
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
			return 0, err
		}
		waiting = append(waiting, cmd)
	}
	began := time.Now()
	if err := open.Close(); err != nil {
		return 0, err
	}
	var errs []error
	for i, cmd := range waiting {
		if err := errors.Join(cmd.Wait(), printed(filepath.Join(folder, strconv.Itoa(i)))); err != nil {
			errs = append(errs, fmt.Errorf("process %d: %w", i, err))
		}
	}
	took := time.Since(began)
	waiting = nil
	if len(errs) > 0 {
		return took, fmt.Errorf("%d of %d failed: %w", len(errs), s.processes, errs[0])
	}
	return took, nil
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
