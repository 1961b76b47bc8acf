// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/serve/offer"
)

// metrics are what /metrics tells. They are written by hand, as text: Prometheus' own library adds 2.7 MB to a stripped
// program and 3.8 MB to its memory, and links protobuf, where the whole program must fit into 16 MB and 15 MB.
type metrics struct {
	started   time.Time
	auditLost atomic.Uint64

	mu          sync.Mutex
	requests    counts // listener, outcome
	credentials counts // endpoint, result
	exchanges   counts // crossing, result
	closed      counts // listener
	acceptFails counts // listener
	refresh     histogram
}

// counts are counters by the values of at most two labels.
type counts map[[2]string]uint64

// bounds are the upper ends of the histogram's buckets, in seconds. An exchange takes one to four round trips, and may
// take two minutes if the cloud wants to be asked again.
var bounds = [...]float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120}

// A histogram counts by bounds.
type histogram struct {
	buckets [len(bounds) + 1]uint64 // each alone; the last is past all bounds
	sum     float64
}

func newMetrics(now time.Time) *metrics {
	return &metrics{started: now, requests: counts{}, credentials: counts{}, exchanges: counts{}, closed: counts{}, acceptFails: counts{}}
}

func (m *metrics) add(c counts, first, second string) {
	m.mu.Lock()
	c[[2]string{first, second}]++
	m.mu.Unlock()
}

func (m *metrics) request(listener, outcome string) { m.add(m.requests, listener, outcome) }
func (m *metrics) handed(h offer.Handed)            { m.add(m.credentials, h.Endpoint, offer.Outcome(h.Err)) }
func (m *metrics) turnedAway(listener string)       { m.add(m.closed, listener, "") }
func (m *metrics) acceptFailed(listener string)     { m.add(m.acceptFails, listener, "") }
func (m *metrics) lost()                            { m.auditLost.Add(1) }

// observe counts one exchange. What came out of a store was none, and took no exchange's time.
func (m *metrics) observe(e keep.Event) {
	result := offer.Outcome(e.Err)
	if e.Stored && e.Err == nil {
		result = "stored"
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.exchanges[[2]string{e.Name, result}]++
	if e.Stored {
		return
	}
	seconds := e.Took.Seconds()
	m.refresh.sum += seconds
	for i, bound := range bounds {
		if seconds <= bound {
			m.refresh.buckets[i]++
			return
		}
	}
	m.refresh.buckets[len(bounds)]++
}
