// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/from/aws/awschain"
	fromgcp "github.com/stile-project/stile/from/gcp"
)

// printSearch prints every place where an AWS identity was looked for, in the order in which the AWS SDKs look.
func (p *program) printSearch(ctx context.Context, profile string) error {
	options, err := p.awsOptions(config.FromAWS{Profile: profile})
	if err != nil {
		return err
	}
	ctx, cancel := patiently(ctx, "nothing answered at the instance metadata address")
	defer cancel()
	var b strings.Builder
	b.WriteString("\nAWS was looked for in\n")
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, step := range awschain.Search(ctx, options).Steps {
		fmt.Fprintf(w, "  %s\t%s\t%s\n", step.Place, step.State, oneLine(step.Detail))
		if step.Hint != "" {
			fmt.Fprintf(w, "  \t\thint: %s\n", oneLine(step.Hint))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err = io.WriteString(p.stdout, b.String())
	return err
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// readClaims asks for a token as a crossing into AWS would, and keeps what a trust policy can compare.
func (p *program) readClaims(ctx context.Context, audience string, id *identity) {
	if id.err != nil {
		p.warn("no Google identity here, so nothing to show for --audience")
		return
	}
	here, err := p.metadata(config.FromGCP{})
	if err != nil {
		id.err = err
		return
	}
	token, err := here.SubjectToken(ctx, audience)
	if err != nil {
		id.err = err
		return
	}
	claims, err := fromgcp.ReadClaims(token)
	if err != nil {
		id.err = err
		return
	}
	id.AWSConditions = map[string]string{}
	for _, c := range claims.AWSConditions() {
		id.AWSConditions[c[0]] = c[1]
	}
}
