// SPDX-License-Identifier: Apache-2.0

package awschain

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stile-project/stile"
)

// A State says what became of one step of a search.
type State string

// The states of a step.
const (
	Used    State = "used"     // this is the identity, or part of it
	NotHere State = "not here" // nothing is set up
	NotUsed State = "not used" // something is set up, and something before it comes first
	Failed  State = "failed"   // this was to be used, and gave nothing
)

// A Step is one place where an identity was looked for, or one thing that was made of it.
type Step struct {
	// Place is environment, web identity, profile, container endpoint or instance metadata; then role for each role
	// taken on, and region.
	Place  string
	State  State
	Detail string // what was found, or why nothing was; never a secret
	Hint   string // what usually mends it; empty when nothing has to
}

// A Report is the whole story of a search.
type Report struct {
	Steps []Step
	Found *Found // nil when even reading what is local failed. Its credentials are fetched already, if there are any.
	Err   error  // why there is no identity in the end; nil when there is one
}

// Search looks for an identity as [Find] does, asks the place that comes first for credentials, and tells what became
// of every place, in the order in which the AWS SDK for Go looks.
func Search(ctx context.Context, o Options) Report {
	var r Report
	s, err := look(ctx, o)
	if s == nil || s.places == nil {
		return Report{Err: err, Steps: []Step{failed("profile", err)}}
	}
	r.Found, r.Err = s.found(ctx)
	chosen := s.chosen()
	used := Step{State: NotHere}
	if chosen != nil {
		used = s.used(ctx, chosen, &r)
	} else if r.Err == nil {
		_, r.Err = s.base.Retrieve(ctx)
	}
	for i := range s.places {
		r.Steps = append(r.Steps, s.step(&s.places[i], chosen, used))
	}
	if r.Found != nil {
		s.beyond(ctx, &r, used.State == Used)
	}
	return r
}

// used asks the place that was chosen. The roles in front of it come later.
func (s *search) used(ctx context.Context, p *place, r *Report) Step {
	if r.Err != nil {
		return Step{p.name, Failed, r.Err.Error(), hintOf(r.Err)}
	}
	creds, err := s.base.Retrieve(ctx)
	if err != nil {
		r.Err = err
		return Step{p.name, Failed, err.Error(), hintOf(err)}
	}
	detail := p.detail + ": access key " + creds.AccessKeyID
	if creds.CanExpire {
		detail += ", until " + creds.Expires.UTC().Format(time.RFC3339)
	}
	step := Step{Place: p.name, State: Used, Detail: detail}
	if creds.CanExpire && !creds.Expires.After(s.now()) {
		step.Hint = "these have expired by this machine's clock: check it"
	}
	return step
}

func (s *search) step(p, chosen *place, used Step) Step {
	switch {
	case p == chosen:
		return used
	case p.here:
		return Step{p.name, NotUsed, p.detail + "; not asked, since " + chosen.name + " comes first", ""}
	}
	return Step{p.name, NotHere, p.detail, ""}
}

// beyond tells of the roles taken on and of the region.
func (s *search) beyond(ctx context.Context, r *Report, base bool) {
	for i, role := range s.options.AssumeRole {
		if !base || r.Err != nil {
			r.Steps = append(r.Steps, Step{"role", NotUsed, role.Role + ": there are no credentials to assume it with", ""})
			continue
		}
		creds, err := s.roles[i].Retrieve(ctx)
		if err != nil {
			r.Err = err
			r.Steps = append(r.Steps, failed("role", err))
			continue
		}
		r.Steps = append(r.Steps, Step{"role", Used, fmt.Sprintf("%s: access key %s, until %s", role.Role, creds.AccessKeyID, creds.Expires.UTC().Format(time.RFC3339)), ""})
	}
	region, err := s.region.where(ctx)
	if err != nil {
		r.Steps = append(r.Steps, failed("region", err))
		if r.Err == nil {
			r.Err = err
		}
		return
	}
	r.Steps = append(r.Steps, Step{"region", Used, region.region + ", by " + region.from, ""})
}

func (s *search) now() time.Time {
	if s.options.Clock != nil {
		return s.options.Clock()
	}
	return time.Now()
}

func failed(place string, err error) Step { return Step{place, Failed, err.Error(), hintOf(err)} }

func hintOf(err error) string {
	if e, ok := errors.AsType[*stile.Error](err); ok {
		return e.Hint
	}
	return ""
}
