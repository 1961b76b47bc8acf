// SPDX-License-Identifier: Apache-2.0

package awschain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/remote"
	"github.com/stile-project/stile/internal/shape"
)

const regionTimeout = 5 * time.Second

// A regionFinder finds the region: what the caller said, the environment, the profile, then the ECS task's metadata,
// then the instance's placement/region. Never a zone's name without its last letter: Local Zones are not named so.
type regionFinder struct {
	search *search
	config aws.Config // for instance metadata
	known  string     // by what is local; empty: someone has to be asked
	from   string     // what said so

	asked atomic.Pointer[answeredRegion] // a machine does not change its region
}

type answeredRegion struct{ region, from string }

func (s *search) regionFinder() *regionFinder {
	f := &regionFinder{search: s}
	variable, name := s.env.first("AWS_REGION", "AWS_DEFAULT_REGION")
	for _, local := range []answeredRegion{
		{strings.TrimSpace(s.options.Region), "the caller"}, {variable, name}, {strings.TrimSpace(s.profile.shared.Region), "profile " + s.profile.name()},
	} {
		if local.region != "" {
			f.known, f.from = local.region, local.from
			return f
		}
	}
	return f
}

// find gives the region's name, checked, for it becomes part of a host name.
func (f *regionFinder) find(ctx context.Context) (string, error) {
	found, err := f.where(ctx)
	return found.region, err
}

func (f *regionFinder) where(ctx context.Context) (answeredRegion, error) {
	if f.known != "" {
		if _, err := shape.Region(f.known); err != nil {
			return answeredRegion{}, &stile.Error{Op: "find the STS endpoint", Hint: "set AWS_REGION",
				Err: fmt.Errorf("%w: AWS region %.40q: %w (set by %s)", stile.ErrMisuse, f.known, err, f.from)}
		}
		return answeredRegion{f.known, f.from}, nil
	}
	if found := f.asked.Load(); found != nil {
		return *found, nil
	}
	found, err := f.ask(ctx)
	if err == nil {
		f.asked.Store(&found)
	}
	return found, err
}

func (f *regionFinder) ask(ctx context.Context) (answeredRegion, error) {
	s := f.search
	tried := []string{s.env.absent("AWS_REGION", "AWS_DEFAULT_REGION") + ", and so is the profile's region"}
	if uri := s.env.get("ECS_CONTAINER_METADATA_URI_V4"); uri != "" {
		region, err := s.taskRegion(ctx, uri)
		if err == nil {
			return answeredRegion{region, "ECS task metadata"}, nil
		}
		tried = append(tried, "ECS task metadata: "+err.Error())
	}
	region, err := f.placement(ctx)
	if err == nil {
		return answeredRegion{region, instanceMetadata}, nil
	}
	if ctx.Err() != nil {
		return answeredRegion{}, &stile.Error{Op: "find the AWS region", Err: fmt.Errorf("gave up waiting for instance metadata: %w", context.Cause(ctx))}
	}
	tried = append(tried, "instance metadata: "+err.Error())
	return answeredRegion{}, &stile.Error{Op: "find the AWS region", Hint: "set AWS_REGION",
		Err: fmt.Errorf("%w: %s", stile.ErrNoIdentity, strings.Join(tried, "; "))}
}

// placement asks the instance. In a pod that is the node, which is in the same region.
func (f *regionFinder) placement(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, regionTimeout, fmt.Errorf("no answer within %s", regionTimeout))
	defer cancel()
	trail := &trail{next: f.search.linkLocal(headerTimeout).Transport}
	out, err := f.search.imds(f.config, trail).GetMetadata(ctx, &imds.GetMetadataInput{Path: "placement/region"})
	if err != nil {
		if last := trail.last.Load(); last != nil && last.err != nil && !last.reached() {
			return "", errors.New("nothing answers at that address")
		}
		return "", plainly(err)
	}
	defer func() { _ = out.Content.Close() }()
	body, err := io.ReadAll(io.LimitReader(out.Content, 256))
	if err != nil {
		return "", err
	}
	region := strings.TrimSpace(string(body))
	if _, err := shape.Region(region); err != nil {
		return "", errors.New("something other than a region's name")
	}
	return region, nil
}

// taskRegion reads task metadata version 4. The zone is there on Fargate only, the task's ARN everywhere, and field 4
// of an ARN is its region.
// Source: Amazon ECS developer guide, task metadata endpoint version 4.
func (s *search) taskRegion(ctx context.Context, uri string) (string, error) {
	u, err := url.Parse(uri)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return "", fmt.Errorf("ECS_CONTAINER_METADATA_URI_V4 is not a URL")
	}
	q := remote.Request{Op: "find the AWS region", Cloud: "ECS task metadata", Method: http.MethodGet,
		URL: strings.TrimSuffix(uri, "/") + "/task", Timeout: regionTimeout}
	res, err := remote.Do(ctx, s.linkLocal(0), q)
	if err != nil {
		return "", err
	}
	if !res.OK() {
		return "", q.Refusal(res, "", "", "")
	}
	var task struct{ TaskARN string }
	if err := json.Unmarshal(res.Body, &task); err != nil {
		return "", q.Malformed(res, "not JSON")
	}
	parts := strings.Split(task.TaskARN, ":")
	if len(parts) < 6 || parts[0] != "arn" || parts[2] != "ecs" {
		return "", q.Malformed(res, "no TaskARN with a region")
	}
	if _, err := shape.Region(parts[3]); err != nil {
		return "", q.Malformed(res, "no TaskARN with a region")
	}
	return parts[3], nil
}
