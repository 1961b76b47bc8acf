// SPDX-License-Identifier: Apache-2.0

package keep

import (
	"time"
)

// held is a credential in this process, and until when it is what. It never changes.
type held struct {
	record Record
	until  limit // handed out with no further thought
	floor  limit // handed out if the clock agrees; past it, only where no newer can be had
	end    limit // never handed out
	start  time.Duration
	window time.Duration
}

// longest bounds what an expiry can say, so that no sum overflows.
const longest = 10 * 365 * 24 * time.Hour

// demands are what a credential must meet to be handed out with no exchange.
type demands struct {
	floor time.Duration // least remaining life
	age   time.Duration // most time since it was obtained; zero: any
}

// and is what meets both.
func (d demands) and(other demands) demands {
	both := demands{max(d.floor, other.floor), min(d.age, other.age)}
	if both.age == 0 {
		both.age = max(d.age, other.age)
	}
	return both
}

// hold takes in a credential. Where its whole life is short, half of it is the floor: a floor that nothing can meet
// would mean an exchange for every caller.
func hold(r Record, d demands, now moment) *held {
	left := min(r.Credential.Expires.Sub(now.wall), longest)
	whole := min(r.Credential.Expires.Sub(r.Obtained), longest)
	if r.Obtained.IsZero() || r.Obtained.After(now.wall) {
		whole = left
	}
	floor := min(d.floor, whole/2)
	if d.age != 0 {
		floor = max(floor, whole-d.age)
	}
	// The last quarter before the floor is for refreshing, less a part of it for trying again.
	window := (whole - floor) / 4
	return &held{
		record: r,
		until:  now.in(left - floor - pulsePeriod),
		floor:  now.in(left - floor),
		end:    now.in(left - 1), // at its expiry a credential is dead
		start:  left - floor - window,
		window: window - window/5,
	}
}

func (h *held) fresh(now moment) bool { return h != nil && !h.floor.passed(now) }

// left is how long h lives; of none, no time.
func (h *held) left(now moment) time.Duration {
	if h == nil {
		return 0
	}
	return min(time.Duration(h.end.wall-now.wall.UnixNano()), time.Duration(h.end.elapsed)-now.elapsed)
}

func (h *held) alive(now moment) bool { return h != nil && !h.end.passed(now) }

// newer reports whether h lives longer than other.
func (h *held) newer(other *held) bool {
	return other == nil || h.record.Credential.Expires.After(other.record.Credential.Expires)
}

// soon is how long a credential is used that was due when it was taken out of a store: whoever wants it once has ended by
// then, and would have begun an exchange for nobody.
const soon = time.Second

// refreshIn is how long after it was taken in to refresh it: random, over the window, so that a fleet that started
// together does not refresh together.
func (h *held) refreshIn(random float64) time.Duration {
	due := h.start + time.Duration(random*float64(h.window))
	return max(0, due, min(soon, (h.start+h.window)/2))
}
