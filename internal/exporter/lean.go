// SPDX-License-Identifier: Apache-2.0

//go:build !full

package exporter

import (
	"fmt"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
)

// Open fails with [stile.ErrMisuse] where the file asks for traces. What the environment asks for was mostly put there
// for every program, and is left alone with a word to the log.
func Open(file *config.Traces, around Surroundings) (*Traces, error) {
	if file != nil {
		return nil, misuse(file, fmt.Errorf("%w: OpenTelemetry is not in this build; the full build has it: go build -tags full ./cmd/stile", stile.ErrMisuse))
	}
	if name, _ := around.variable(); name != "" {
		around.Log.Info("no traces are sent: OpenTelemetry is not in this build, so " + name + " is left alone")
	}
	return nil, nil //nolint:nilnil // none
}

// Linked tells how this build can send traces.
func Linked() []string { return []string{} }
