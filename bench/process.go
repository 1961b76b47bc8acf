// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/stile-project/stile/lab/stage"
)

// residentUnit is what the kernel counts resident memory in, in bytes.
var residentUnit = map[bool]float64{true: 1, false: 1 << 10}[runtime.GOOS == "darwin"]

// A starter is one program of the process bench.
type starter struct {
	name    string
	command func(round int) command
	check   func([]byte) error
	took    []cost
	each    int // exchanges that each run makes
}

// processBench starts programs from nothing, in turns.
func processBench(ctx context.Context, at *place) (report, error) {
	rounds := 25
	if at.short {
		rounds = 1
	}
	p, err := build(ctx, at.root, at.scratch)
	if err != nil {
		return report{}, err
	}
	c, err := raise(at.scratch)
	if err != nil {
		return report{}, err
	}
	defer c.close()
	starters, notes := theStarters(ctx, at, p, c)
	for round := -1; round < rounds; round++ { // the first is for the disk
		for _, s := range starters {
			before := c.count()
			took, err := p.measured(ctx, s.command(round), s.check)
			if err != nil {
				return report{}, err
			}
			if n := c.count() - before; round >= 0 && n != s.each {
				return report{}, errors.New(s.name + ": " + strconv.Itoa(n) + " exchanges, want " + strconv.Itoa(s.each))
			}
			if round >= 0 {
				s.took = append(s.took, took)
			}
		}
	}
	r := processReport(starters)
	r.notes = append(r.notes, notes...)
	return r, nil
}

const warm, hello = "stile, kept in a file", "Go hello-world"

func theStarters(ctx context.Context, at *place, p programs, c *clouds) ([]*starter, []string) {
	process := []string{p.stile, "credential-process", "images"}
	fresh := func(round int) command {
		return command{process, c.env(filepath.Join(at.scratch, "cold", strconv.Itoa(round)))}
	}
	notes := []string{"Built with `CGO_ENABLED=0 -trimpath -ldflags='-s -w'`. From start to end of the process; memory is the most that was resident. " +
		"The clouds are the lab on loopback, so a cold start shows what Stile adds and no network's way."}
	starters := []*starter{
		{name: warm, command: func(int) command { return command{process, c.env(filepath.Join(at.scratch, "warm"))} }, check: isSession},
		{name: hello, command: func(int) command { return command{[]string{p.hello}, nil} }, check: greets},
		{name: "stile, cold", command: fresh, check: isSession, each: 1},
	}
	if path, version := python(ctx, c.env(at.scratch)); path != "" {
		script := []string{path, filepath.Join(at.root, "bench", "exchange.py"), stage.FromGCP, stage.Region, stage.ImagesAudience}
		starters = append(starters, &starter{name: "Python, boto3", command: func(int) command { return command{script, c.env(at.scratch)} }, check: isSession, each: 1})
		notes = append(notes, "The script is `bench/exchange.py`, on "+version+".")
	} else {
		notes = append(notes, "There is no python3 with boto3 on this machine, so the script that it would be held against is absent.")
	}
	return starters, notes
}

func greets(out []byte) error {
	if !bytes.Equal(out, []byte("hello, world\n")) {
		return errors.New("it printed something else")
	}
	return nil
}

// of is one figure of every run.
func (s *starter) of(figure func(cost) float64) (values []float64) {
	for _, c := range s.took {
		values = append(values, figure(c))
	}
	return values
}

func wall(c cost) float64   { return c.wall }
func cpu(c cost) float64    { return c.cpu }
func memory(c cost) float64 { return c.memory }

const warmBudget = 15 * time.Millisecond

func processReport(starters []*starter) (r report) {
	first, second := starters[0], starters[1]
	took := median(first.of(wall))
	slower := pairwise(first.of(wall), second.of(wall))
	r.rows = append(r.rows,
		row{what: warm + ": time", ours: span(took), budget: "under " + warmBudget.String(), met: judge(took < nanoseconds(warmBudget))},
		row{what: warm + ": time", ours: span(took), against: hello, theirs: span(median(second.of(wall))), ratio: "1/" + times(slower),
			budget: "at most 2 times as long", met: judge(median(slower) <= 2)})
	for _, cold := range starters[2:] {
		r.rows = append(r.rows, row{what: warm + ": time", ours: span(took), against: cold.name, theirs: span(median(cold.of(wall))), ratio: times(pairwise(cold.of(wall), first.of(wall)))})
	}
	if cold := starters[2]; len(starters) > 3 {
		script := starters[3]
		r.rows = append(r.rows, row{what: cold.name + ": time", ours: span(median(cold.of(wall))), against: script.name, theirs: span(median(script.of(wall))),
			ratio: times(pairwise(script.of(wall), cold.of(wall)))})
	}
	for _, s := range starters {
		text := span(median(s.of(cpu))) + ", " + size(median(s.of(memory)))
		line := row{what: s.name + ": processor, memory", ours: text}
		if s == second || s.name == "Python, boto3" {
			line = row{what: "processor, memory", against: s.name, theirs: text}
		}
		r.rows = append(r.rows, line)
	}
	clock := panel{title: "from start to end", unit: span, budget: nanoseconds(warmBudget), groups: []group{{}}}
	resident := panel{title: "most memory resident", unit: size, groups: []group{{}}}
	for _, s := range starters {
		mine := s.name != hello && s.name != "Python, boto3"
		clock.groups[0].bars = append(clock.groups[0].bars, bar{s.name, median(s.of(wall)), mine})
		resident.groups[0].bars = append(resident.groups[0].bars, bar{s.name, median(s.of(memory)) / (1 << 20), mine})
	}
	resident.unit = func(v float64) string { return digits(v) + " MiB" }
	r.panels = []panel{clock, resident}
	return r
}
