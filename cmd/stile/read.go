// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net/http"
	"strings"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/config/location"
	fromaws "github.com/stile-project/stile/from/aws"
	"github.com/stile-project/stile/from/aws/awschain"
)

// read fetches a configuration file, with this workload's own identity where it lies in a bucket.
func (p *program) read(ctx context.Context, where string) ([]byte, error) {
	var client *http.Client // a file on this machine needs none
	if strings.Contains(where, "://") {
		var err error
		if client, err = p.client(); err != nil {
			return nil, err
		}
	}
	return location.Reader{
		Client: client,
		AWS: func(ctx context.Context) (*fromaws.Caller, error) {
			options, err := p.awsOptions(config.FromAWS{})
			if err != nil {
				return nil, err
			}
			found, err := awschain.Find(ctx, options)
			if err != nil {
				return nil, err
			}
			return found.Caller, nil
		},
		Google: func(ctx context.Context) (stile.Credential, error) {
			here, err := p.metadata(config.FromGCP{})
			if err != nil {
				return stile.Credential{}, err
			}
			return here.AccessToken(ctx)
		},
	}.Read(ctx, where)
}

// shown is a location without what may be a signature.
func shown(where string) string {
	if strings.Contains(where, "://") {
		where, _, _ = strings.Cut(where, "?")
	}
	return where
}
