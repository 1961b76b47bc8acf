// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-project/stile/lab"
	"github.com/stile-project/stile/lab/journal"
	"github.com/stile-project/stile/lab/stage"
)

// A play is everything that the demo does. Its JSON is stable: fields are added, never renamed.
type play struct {
	Stories  []story   `json:"stories"`
	Refusals []refusal `json:"refusals"`
	OK       bool      `json:"ok"`
}

// A story is one crossing, told in steps.
type story struct {
	Title string `json:"title"`
	Who   string `json:"who"`
	Steps []step `json:"steps"`
}

// A step is one thing the workload does, and what the clouds were asked on the way.
type step struct {
	Does    string          `json:"does"`
	Got     string          `json:"got"`
	Expires *time.Time      `json:"expires,omitempty"`
	TookMS  float64         `json:"took_ms"`
	Asked   []journal.Entry `json:"asked"`
	OK      bool            `json:"ok"`
	Error   string          `json:"error,omitempty"`
}

// A refusal is an attempt that must fail, and how it did.
type refusal struct {
	Attempt string          `json:"attempt"`
	Want    string          `json:"want"` // the code that the cloud answers with
	Cloud   string          `json:"cloud"`
	Status  int             `json:"status"`
	Code    string          `json:"code"`
	Message string          `json:"message"`
	Hint    string          `json:"hint,omitempty"`
	Asked   []journal.Entry `json:"asked"`
	OK      bool            `json:"ok"`
	Error   string          `json:"error,omitempty"`
}

func demoCommand(failed *bool, set setter) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "demo",
		Short:   "Watch both crossings end to end, then six refusals",
		Example: "  stile-lab demo\n  stile-lab demo --json | jq .ok",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			*failed = true
			ctx, cancel := context.WithTimeoutCause(cmd.Context(), time.Minute, errors.New("the demo did not end within a minute"))
			defer cancel()
			var told teller = newTerminal(cmd.OutOrStdout())
			if asJSON {
				told = silent{}
			}
			p, err := perform(ctx, told, set)
			if err != nil {
				return err
			}
			if asJSON {
				if err := json.NewEncoder(cmd.OutOrStdout()).Encode(p); err != nil {
					return err
				}
			}
			if !p.OK {
				return errors.New("a step did not do what it says")
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what happened as JSON, at the end")
	return cmd
}

// A teller shows the play as it goes.
type teller interface {
	story(number int, s story)
	step(s step)
	refusals()
	refusal(number int, r refusal)
	end(p play, took time.Duration)
}

type silent struct{}

func (silent) story(int, story)        {}
func (silent) step(step)               {}
func (silent) refusals()               {}
func (silent) refusal(int, refusal)    {}
func (silent) end(play, time.Duration) {}

// A setter makes the scene that is played in.
type setter func() (*stage.Stage, error)

func usualScene() (*stage.Stage, error) { return stage.Set(lab.Options{}) }

// perform plays everything in a new world.
func perform(ctx context.Context, told teller, set setter) (play, error) {
	if err := forget(); err != nil {
		return play{}, err
	}
	scene, err := set()
	if err != nil {
		return play{}, err
	}
	server, err := scene.World.Listen()
	if err != nil {
		return play{}, err
	}
	defer server.Close()
	started := time.Now()
	p := play{OK: true}
	for i, tell := range []func(*actor) (story, error){fromAWS, fromGoogle} {
		a := &actor{ctx: ctx, scene: scene, server: server, told: told, number: i + 1}
		s, err := tell(a)
		if err != nil {
			return play{}, err
		}
		p.Stories = append(p.Stories, s)
		for _, step := range s.Steps {
			p.OK = p.OK && step.OK
		}
	}
	told.refusals()
	for i, attempt := range attempts {
		r := attempt.play(ctx, scene)
		told.refusal(i+1, r)
		p.Refusals = append(p.Refusals, r)
		p.OK = p.OK && r.OK
	}
	told.end(p, time.Since(started))
	return p, nil
}

// An actor plays one story: it takes steps and notes what the clouds were asked meanwhile.
type actor struct {
	ctx    context.Context //nolint:containedctx // one story's, and the story's steps are closures
	scene  *stage.Stage
	server *lab.Server
	told   teller
	number int
	tale   story
}

func (a *actor) begin(title, who string) {
	a.tale = story{Title: title, Who: who}
	a.told.story(a.number, a.tale)
}

// outcome is what a step says it got.
type outcome struct {
	got     string
	expires time.Time
}

// does takes one step. A step that fails is shown and ends the story.
func (a *actor) does(what string, act func(context.Context) (outcome, error)) bool {
	a.scene.World.Journal.Take()
	started := time.Now()
	out, err := act(a.ctx)
	s := step{Does: what, Got: out.got, TookMS: float64(time.Since(started).Microseconds()) / 1000, Asked: a.scene.World.Journal.Take(), OK: err == nil}
	if !out.expires.IsZero() {
		s.Expires = &out.expires
	}
	if err != nil {
		s.Error = err.Error()
	}
	a.told.step(s)
	a.tale.Steps = append(a.tale.Steps, s)
	return s.OK
}

func read(got, want, where string) error {
	if got != want {
		return fmt.Errorf("%s holds %d bytes, and not the %d that were put there", where, len(got), len(want))
	}
	return nil
}
