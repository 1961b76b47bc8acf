// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/from/aws/awschain"
	fromgcp "github.com/stile-project/stile/from/gcp"
	"github.com/stile-project/stile/internal/assemble"
)

// obtain makes the crossing once. A keeper would detach the exchange from ctx for the sake of its other callers; here
// there are none, and the step that is under way when the time is up can say so itself.
func (p *program) obtain(ctx context.Context, c config.Crossing) (stile.Credential, error) {
	around, err := p.surroundings()
	if err != nil {
		return stile.Credential{}, err
	}
	crossing, err := around.Crossing(ctx, c)
	if err != nil {
		return stile.Credential{}, err
	}
	cred, err := crossing.Credential(ctx)
	if err != nil {
		return stile.Credential{}, err
	}
	if !cred.Expires.After(time.Now()) {
		return stile.Credential{}, &stile.Error{Op: "use the credential", Hint: "check this machine's clock",
			Err: fmt.Errorf("%w: it expired at %s, before it arrived", stile.ErrTemporary, cred.Expires.UTC().Format(time.RFC3339))}
	}
	return cred, nil
}

// surroundings are this process, as crossings see it.
func (p *program) surroundings() (assemble.Surroundings, error) {
	client, err := p.client()
	if err != nil {
		return assemble.Surroundings{}, err
	}
	forAWS, err := p.awsClient()
	if err != nil {
		return assemble.Surroundings{}, err
	}
	return assemble.Surroundings{Lookup: os.LookupEnv, Client: client, AWSClient: forAWS, AllowExecutables: p.executablesAllowed(),
		ClientCertificate: p.certFile != "",
		MFA:               p.askMFA(), Warn: func(text string) { p.warn("%s", text) }}, nil
}

// executablesAllowed is by the flag, or by the variable that Google's libraries ask for.
func (p *program) executablesAllowed() bool {
	return p.allowExecutables || p.env("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES") == "1"
}

func (p *program) metadata(from config.FromGCP) (*fromgcp.Metadata, error) {
	around, err := p.surroundings()
	if err != nil {
		return nil, err
	}
	return around.Metadata(from)
}

func (p *program) awsOptions(from config.FromAWS) (awschain.Options, error) {
	around, err := p.surroundings()
	if err != nil {
		return awschain.Options{}, err
	}
	return around.AWSOptions(from), nil
}

func (p *program) region(named string) string {
	return assemble.Surroundings{Lookup: os.LookupEnv}.Region(named)
}
