// SPDX-License-Identifier: Apache-2.0

package main

import (
	"log/slog"
	"os"
	"time"

	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/assemble"
	"github.com/stile-project/stile/internal/exporter"
	"github.com/stile-project/stile/internal/remote"
	"github.com/stile-project/stile/internal/sidecar"
)

// lastTraces is how long the end waits for whoever takes traces. Who stops a program, or waits for a command, waits for
// this too.
const lastTraces = 2 * time.Second

// openTraces sends traces, if the file or the environment says where.
func (p *program) openTraces(file *config.Traces, log *slog.Logger) (*exporter.Traces, error) {
	return exporter.Open(file, exporter.Surroundings{Lookup: os.LookupEnv, Log: log, Version: version()["version"]})
}

// traced has a sidecar tell of its exchanges, of the requests for them and of those at its endpoints. What the AWS SDK
// asks to find out who this is, it asks with a client of its own, and that is not told of.
func traced(o sidecar.Options, sent *exporter.Traces) sidecar.Options {
	if sent == nil {
		return o
	}
	inner := o.Around
	o.Around = func(from config.From) (assemble.Surroundings, error) {
		around, err := inner(from)
		if err == nil {
			around.Client, around.LinkLocal = sent.Client(around.Client), sent.Client(remote.Direct())
		}
		return around, err
	}
	o.Keep, o.Handler = sent.Options(), sent.Handler
	return o
}

func sameTraces(a, b *config.Traces) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Endpoint == b.Endpoint)
}
