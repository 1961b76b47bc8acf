// SPDX-License-Identifier: Apache-2.0

package awschain

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/remote"
)

const regionTimeout = 5 * time.Second

// regionOf finds the region: the environment and the profile by the AWS SDK, then the ECS task's metadata, then the
// instance's placement/region. Never a zone's name without its last letter: Local Zones are not named so.
func regionOf(cfg aws.Config) func(context.Context) (string, error) {
	var known atomic.Pointer[string] // a machine does not change its region
	return func(ctx context.Context) (string, error) {
		if cfg.Region != "" {
			return cfg.Region, nil
		}
		if region := known.Load(); region != nil {
			return *region, nil
		}
		region, err := searchRegion(ctx, cfg)
		if err != nil {
			return "", err
		}
		known.Store(&region)
		return region, nil
	}
}

func searchRegion(ctx context.Context, cfg aws.Config) (string, error) {
	tried := []string{"AWS_REGION and AWS_DEFAULT_REGION are unset, and so is the profile's region"}
	if uri := os.Getenv("ECS_CONTAINER_METADATA_URI_V4"); uri != "" {
		region, err := taskRegion(ctx, uri)
		if err == nil {
			return region, nil
		}
		tried = append(tried, "ECS task metadata: "+err.Error())
	}
	region, err := placementRegion(ctx, cfg)
	if err == nil {
		return region, nil
	}
	if ctx.Err() != nil {
		return "", &stile.Error{Op: "find the AWS region", Err: fmt.Errorf("gave up waiting for instance metadata: %w", context.Cause(ctx))}
	}
	tried = append(tried, "instance metadata: "+err.Error())
	return "", &stile.Error{Op: "find the AWS region", Hint: "set AWS_REGION",
		Err: fmt.Errorf("%w: %s", stile.ErrNoIdentity, strings.Join(tried, "; "))}
}

func placementRegion(ctx context.Context, cfg aws.Config) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, regionTimeout, fmt.Errorf("no answer within %s", regionTimeout))
	defer cancel()
	out, err := metadataClient(cfg).GetMetadata(ctx, &imds.GetMetadataInput{Path: "placement/region"})
	if err != nil {
		return "", err
	}
	defer func() { _ = out.Content.Close() }()
	body, err := io.ReadAll(io.LimitReader(out.Content, 256))
	return strings.TrimSpace(string(body)), err
}

// taskRegion reads task metadata version 4. The zone is there on Fargate only, the task's ARN everywhere, and field 4
// of an ARN is its region.
// Source: Amazon ECS developer guide, task metadata endpoint version 4.
func taskRegion(ctx context.Context, uri string) (string, error) {
	u, err := url.Parse(uri)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return "", fmt.Errorf("ECS_CONTAINER_METADATA_URI_V4 is not a URL")
	}
	q := remote.Request{Op: "find the AWS region", Cloud: "ECS task metadata", Method: http.MethodGet,
		URL: strings.TrimSuffix(uri, "/") + "/task", Timeout: regionTimeout}
	res, err := remote.Do(ctx, remote.Direct(), q)
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
	if len(parts) < 6 || parts[0] != "arn" || parts[2] != "ecs" || parts[3] == "" {
		return "", q.Malformed(res, "no TaskARN with a region")
	}
	return parts[3], nil
}
