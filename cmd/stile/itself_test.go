// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/sidecar"
)

// mirrored is a configuration of both ways, and what it serves.
func mirrored() sidecar.Plan {
	return sidecar.Plan{
		Crossings: map[string]config.Crossing{
			"images":    {Name: "images", From: config.From{GCP: &config.FromGCP{}}, To: config.To{AWS: &config.ToAWS{}}},
			"warehouse": {Name: "warehouse", From: config.From{AWS: &config.FromAWS{}}, To: config.To{GCP: &config.ToGCP{}}},
		},
		Serve: config.Serve{Endpoints: []config.Endpoint{{ECS: []string{"images"}, Listen: "127.0.0.1:9912"}, {GCE: "warehouse", Listen: "localhost:9914"}}},
	}
}

func TestServeDoesNotAskItselfWhoItIs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		env   map[string]string
		names string // what the error names; empty: nothing is wrong
	}{
		{map[string]string{}, ""},
		{map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9912/v1/credentials/images"}, "AWS_CONTAINER_CREDENTIALS_FULL_URI"},
		{map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://localhost:9912/v1/credentials/images"}, "AWS_CONTAINER_CREDENTIALS_FULL_URI"},
		{map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9915/v1/credentials/images"}, ""},
		{map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9912/", "AWS_ACCESS_KEY_ID": "AKIA"}, ""},
		{map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:9912/"}, "AWS_EC2_METADATA_SERVICE_ENDPOINT"},
		{map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:9912/", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials"}, ""},
		{map[string]string{"GCE_METADATA_HOST": "127.0.0.1:9914"}, "GCE_METADATA_HOST"},
		{map[string]string{"GCE_METADATA_HOST": "[::1]:9914"}, "GCE_METADATA_HOST"},
		{map[string]string{"GCE_METADATA_HOST": "127.0.0.2:9912"}, ""},
		{map[string]string{"GCE_METADATA_HOST": "metadata.google.internal"}, ""},
	} {
		p := &program{env: func(name string) string { return test.env[name] }}
		err := p.asksItself(mirrored())
		var e *stile.Error
		switch {
		case test.names == "" && err == nil:
		case test.names == "" || !errors.As(err, &e) || !errors.Is(err, stile.ErrMisuse) || !strings.Contains(err.Error(), test.names) || !strings.Contains(e.Hint, "unset "+test.names):
			t.Errorf("%v: got %v, want %q named", test.env, err, test.names)
		}
	}
}

// TestServeMayHaveAnotherIdentityThanTheVariables: a crossing that takes its identity elsewhere is served.
func TestServeMayHaveAnotherIdentityThanTheVariables(t *testing.T) {
	t.Parallel()
	plan := mirrored()
	plan.Crossings["warehouse"] = config.Crossing{From: config.From{AWS: &config.FromAWS{Profile: "mine"}}}
	plan.Crossings["images"] = config.Crossing{From: config.From{GCP: &config.FromGCP{KeyFile: "key.json"}}}
	p := &program{env: func(name string) string {
		return map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9912/", "GCE_METADATA_HOST": "127.0.0.1:9914"}[name]
	}}
	if err := p.asksItself(plan); err != nil {
		t.Error(err)
	}
}

func TestACommandTellsWhenItBeginsWithWhatStileServes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		crossing, variable, value string
		served, warns             bool
	}{
		{"images", "GCE_METADATA_HOST", "127.0.0.1:9914", true, true},
		{"images", "GCE_METADATA_HOST", "127.0.0.1:9914", false, false},
		{"warehouse", "GCE_METADATA_HOST", "127.0.0.1:9914", true, false},
		{"warehouse", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:4711/v1/credentials/images", false, true},
		{"warehouse", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:4711/v1/credentials/other", false, false},
		{"warehouse", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials/images", false, false},
	} {
		plan := mirrored()
		file := &config.File{Crossings: plan.Crossings}
		if test.served {
			file.Serve = &plan.Serve
		}
		var told bytes.Buffer
		p := &program{stderr: &told, env: func(name string) string { return map[string]string{test.variable: test.value}[name] }}
		p.warnOfMirror(plan.Crossings[test.crossing], file)
		if got := strings.HasPrefix(told.String(), "stile: warning: "+test.variable+" is "); got != test.warns {
			t.Errorf("%+v: said %q", test, told.String())
		}
	}
}
