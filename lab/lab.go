// SPDX-License-Identifier: Apache-2.0

// Package lab emulates AWS and Google Cloud on one machine, as strict as the clouds are: what they refuse, it refuses,
// with their status codes and words.
//
// A [World] holds both clouds, the issuers that both can be told to trust, one clock and one journal. In a test its [World.Network] is an http.RoundTripper that
// needs no socket; [World.Listen] puts it on loopback for programs of any kind. The clouds reach each other only
// through that network, as in life. Nothing here shares protocol code with what it tests.
package lab

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	labaws "github.com/stile-project/stile/lab/aws"
	labgcp "github.com/stile-project/stile/lab/gcp"
	"github.com/stile-project/stile/lab/issuers"
	"github.com/stile-project/stile/lab/journal"
)

// A World is both clouds and the network between them.
type World struct {
	AWS     *labaws.Cloud
	Google  *labgcp.Cloud
	Issuers *issuers.Directory // GitHub, GitLab, Kubernetes clusters and SPIFFE trust domains
	Journal *journal.Journal   // what each cloud was asked and checked
	Faults  *Faults            // what goes wrong on the way

	clock      func() time.Time
	awsSkew    atomic.Int64 // nanoseconds
	googleSkew atomic.Int64
}

// Options make a world other than the usual one.
type Options struct {
	Clock func() time.Time // nil: time.Now
}

// New makes a world with nothing in it.
func New(o Options) *World {
	w := &World{Journal: &journal.Journal{}, Faults: &Faults{}, clock: o.Clock}
	if w.clock == nil {
		w.clock = time.Now
	}
	w.Issuers = issuers.New(issuers.Config{Clock: w.clock, Journal: w.Journal})
	w.AWS = labaws.New(labaws.Config{Clock: skewed(w.clock, &w.awsSkew), Net: w.Network(nil), Journal: w.Journal})
	w.Google = labgcp.New(labgcp.Config{Clock: skewed(w.clock, &w.googleSkew), Net: w.Network(nil), Journal: w.Journal})
	return w
}

// SkewAWS sets AWS's clock ahead of the world's by d, or behind.
func (w *World) SkewAWS(d time.Duration) { w.awsSkew.Store(int64(d)) }

// SkewGoogle sets Google Cloud's clock ahead of the world's by d, or behind.
func (w *World) SkewGoogle(d time.Duration) { w.googleSkew.Store(int64(d)) }

func skewed(clock func() time.Time, skew *atomic.Int64) func() time.Time {
	return func() time.Time { return clock().Add(time.Duration(skew.Load())) }
}

// handler finds who answers for a host name, as a name service would.
func (w *World) handler(host string) (http.Handler, bool) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	h, ok := w.AWS.Handler(host)
	if !ok {
		h, ok = w.Google.Handler(host)
	}
	if issued, known := w.Issuers.Handler(host, h); known {
		h, ok = issued, true
	}
	if !ok {
		return nil, false
	}
	return w.Faults.wrap(host, h), true
}
