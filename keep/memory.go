// SPDX-License-Identifier: Apache-2.0

package keep

import (
	"sync"

	"golang.org/x/sync/singleflight"

	"github.com/stile-project/stile"
)

// limit bounds a Memory: past it, whatever expires first makes room.
const limit = 1024

// Memory keeps credentials of many crossings in this process, at most 1024.
type Memory struct {
	flight singleflight.Group

	mu   sync.Mutex
	held map[stile.Key]*held
}

// NewMemory makes an empty Memory.
func NewMemory() *Memory { return &Memory{held: map[stile.Key]*held{}} }

func (m *Memory) get(key stile.Key) *held {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.held[key]
}

func (m *Memory) put(key stile.Key, h *held) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.held[key]; !known && len(m.held) >= limit {
		m.evict()
	}
	m.held[key] = h
}

func (m *Memory) evict() {
	var first stile.Key
	for key, h := range m.held {
		if first.IsZero() || h.credential.Expires.Before(m.held[first].credential.Expires) {
			first = key
		}
	}
	delete(m.held, first)
}
