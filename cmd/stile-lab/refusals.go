// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/from/aws/awschain"
	fromgcp "github.com/stile-project/stile/from/gcp"
	"github.com/stile-project/stile/lab"
	"github.com/stile-project/stile/lab/stage"
	toaws "github.com/stile-project/stile/to/aws"
	togcp "github.com/stile-project/stile/to/gcp"
)

// An attempt is something that must be refused, and the code that the cloud must refuse it with.
type attempt struct {
	what string
	code string
	make func(context.Context, *stage.Stage) error
}

var attempts = []attempt{
	{"A request signed for one provider is replayed at another of the same account", "invalid_grant", replayElsewhere},
	{"Another role of the trusted account tries: the provider's condition names etl-role", "unauthorized_client", otherRole},
	{"The request was signed 20 minutes ago", "invalid_grant", signedLongAgo},
	{"The binding names arn:aws:iam::…:role/etl-role, which is no session's name", "PERMISSION_DENIED", boundToRoleARN},
	{"The Google token was made out to another audience", "AccessDenied", otherAudience},
	{"The session is asked to last longer than the role allows", "ValidationError", tooLong},
}

// play makes the attempt and holds the answer against what was expected.
func (t attempt) play(ctx context.Context, scene *stage.Stage) refusal {
	scene.World.Journal.Take()
	err := t.make(ctx, scene)
	r := refusal{Attempt: t.what, Want: t.code, Asked: scene.World.Journal.Take()}
	var e *stile.Error
	switch {
	case err == nil:
		r.Error = "it was let through"
	case !errors.As(err, &e):
		r.Error = err.Error()
	default:
		r.Cloud, r.Status, r.Code, r.Message, r.Hint = e.Cloud, e.Status, e.Code, e.Message, e.Hint
		r.OK = e.Code == t.code && errors.Is(err, stile.ErrRefused)
		if !r.OK {
			r.Error = fmt.Sprintf("want code %s: %v", t.code, err)
		}
	}
	return r
}

func at(scene *stage.Stage, p *lab.Place) *http.Client {
	return &http.Client{Transport: scene.World.Network(p)}
}

func signer(ctx context.Context, scene *stage.Stage, p *lab.Place, clock func() time.Time) (stile.Source, error) {
	return awschain.Find(ctx, awschain.Options{Client: at(scene, p), Clock: clock, AllowNodeRole: true})
}

func replayElsewhere(ctx context.Context, scene *stage.Stage) error {
	source, err := signer(ctx, scene, scene.EC2, nil)
	if err != nil {
		return err
	}
	target := func(provider string) *togcp.AccessToken {
		return &togcp.AccessToken{Provider: provider, Client: at(scene, nil)}
	}
	token, err := source.SubjectToken(ctx, target(stage.Provider).Audience())
	if err != nil {
		return err
	}
	_, err = target(stage.OtherProvider).Exchange(ctx, token)
	return err
}

func otherRole(ctx context.Context, scene *stage.Stage) error {
	source, err := signer(ctx, scene, scene.Other, nil)
	if err != nil {
		return err
	}
	_, err = stile.Cross(source, &togcp.AccessToken{Provider: stage.Provider, Client: at(scene, nil)}).Credential(ctx)
	return err
}

func signedLongAgo(ctx context.Context, scene *stage.Stage) error {
	source, err := signer(ctx, scene, scene.EC2, func() time.Time { return time.Now().Add(-20 * time.Minute) })
	if err != nil {
		return err
	}
	_, err = stile.Cross(source, &togcp.AccessToken{Provider: stage.Provider, Client: at(scene, nil)}).Credential(ctx)
	return err
}

func boundToRoleARN(ctx context.Context, scene *stage.Stage) error {
	source, err := signer(ctx, scene, scene.EC2, nil)
	if err != nil {
		return err
	}
	_, err = stile.Cross(source, &togcp.AccessToken{Provider: stage.Provider, ServiceAccount: stage.Unbound, Client: at(scene, nil)}).Credential(ctx)
	return err
}

func becomeRole(ctx context.Context, scene *stage.Stage, role toaws.Role) error {
	role.ARN, role.Region, role.Client = stage.FromGCP, stage.Region, at(scene, nil)
	_, err := stile.Cross(&fromgcp.Metadata{Client: at(scene, scene.VM)}, &role).Credential(ctx)
	return err
}

func otherAudience(ctx context.Context, scene *stage.Stage) error {
	return becomeRole(ctx, scene, toaws.Role{WebAudience: "https://someone-else.example"})
}

func tooLong(ctx context.Context, scene *stage.Stage) error {
	return becomeRole(ctx, scene, toaws.Role{WebAudience: stage.ImagesAudience, Duration: 12 * time.Hour})
}
