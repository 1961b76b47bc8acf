// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"

	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/from/aws/awschain"
	fromgcp "github.com/stile-project/stile/from/gcp"
	"github.com/stile-project/stile/internal/assemble"
)

// surroundings are this process, as crossings see it. Most of a command that finds its credential kept would go into
// the client for the AWS SDK, so only a crossing from AWS has one.
func (p *program) surroundings(from config.From) (assemble.Surroundings, error) {
	client, err := p.client()
	if err != nil {
		return assemble.Surroundings{}, err
	}
	around := assemble.Surroundings{Lookup: os.LookupEnv, Client: client, AllowExecutables: p.executablesAllowed(),
		ClientCertificate: p.certFile != "",
		MFA:               p.askMFA(), Warn: func(text string) { p.warn("%s", text) }}
	if from.AWS != nil {
		if around.AWSClient, err = p.awsClient(); err != nil {
			return assemble.Surroundings{}, err
		}
	}
	return around, nil
}

// executablesAllowed is by the flag, or by the variable that Google's libraries ask for.
func (p *program) executablesAllowed() bool {
	return p.allowExecutables || p.env("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES") == "1"
}

func (p *program) metadata(from config.FromGCP) (*fromgcp.Metadata, error) {
	around, err := p.surroundings(config.From{GCP: &from})
	if err != nil {
		return nil, err
	}
	return around.Metadata(from)
}

func (p *program) awsOptions(from config.FromAWS) (awschain.Options, error) {
	around, err := p.surroundings(config.From{AWS: &from})
	if err != nil {
		return awschain.Options{}, err
	}
	return around.AWSOptions(from), nil
}

func (p *program) region(named string) string {
	return assemble.Surroundings{Lookup: os.LookupEnv}.Region(named)
}
