// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"sync"
	"time"
)

const (
	// deliveredLife is how long keys live that EC2 and ECS hand to a workload.
	deliveredLife = 6 * time.Hour
	// renewBefore is how long before their end the next ones appear. EC2 promises at least five minutes (EC2 User
	// Guide, "Retrieve security credentials from instance metadata"); clients start asking at fifteen.
	renewBefore = time.Hour
)

// A delivery keeps one workload's keys and renews them ahead of their end, as EC2 and ECS do.
type delivery struct {
	cloud         *Cloud
	role, session string
	origin        map[string]string

	mu     sync.Mutex
	keys   Keys
	issued time.Time
}

func (d *delivery) current() (Keys, time.Time, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.cloud.now()
	if d.keys.Expires.Sub(now) > renewBefore && !now.Before(d.issued) {
		return d.keys, d.issued, nil
	}
	keys, err := d.cloud.deliver(d.role, d.session, deliveredLife, d.origin)
	if err != nil {
		return Keys{}, time.Time{}, err
	}
	d.keys, d.issued = keys, now
	return keys, now, nil
}
