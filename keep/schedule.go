// SPDX-License-Identifier: Apache-2.0

package keep

import (
	"container/heap"
	"time"
)

const (
	// wakeAtLeast is the longest sleep of the scheduler. Timers stand still while the machine sleeps; so long after
	// it has woken, what fell due meanwhile is refreshed.
	wakeAtLeast = 30 * time.Second
	// refreshing is how many exchanges run in the background at once.
	refreshing = 16
	// stepped is how far the wall clock must have fallen behind to count as set back.
	stepped = time.Second
)

// A schedule is which entries are due when. Its fields are guarded by its Memory's lock.
type schedule struct {
	queue   queue
	timer   *time.Timer
	last    moment // when it last looked
	running int
	stopped bool
}

// A due entry is refreshed when either clock says so.
type due struct {
	wall    time.Time
	elapsed time.Duration
}

// plan has e refreshed in d, in place of when it was to be before.
func (m *Memory) plan(e *entry, d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.schedule
	if s.stopped || e.retired.Load() {
		return
	}
	now := m.now()
	e.due = due{now.wall.Add(d), now.elapsed + d}
	if e.slot < 0 {
		heap.Push(&s.queue, e)
	} else {
		heap.Fix(&s.queue, e.slot)
	}
	if e.slot == 0 {
		m.sleep(now)
	}
}

// sleep sets the timer to when the first entry is due.
func (m *Memory) sleep(now moment) {
	s := &m.schedule
	if s.stopped || len(s.queue) == 0 || s.running >= refreshing {
		return // the refresh that ends next looks again
	}
	if s.last.wall.IsZero() {
		s.last = now
	}
	d := min(max(0, s.queue[0].due.wall.Sub(now.wall)), wakeAtLeast)
	if s.timer == nil {
		s.timer = time.AfterFunc(d, m.wake)
	} else {
		s.timer.Reset(d)
	}
}

// wake starts what is due.
func (m *Memory) wake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.schedule
	if s.stopped {
		return
	}
	now := m.now()
	if now.wall.Sub(s.last.wall) < now.elapsed-s.last.elapsed-stepped {
		s.queue.setBack(now)
	}
	s.last = now
	for len(s.queue) > 0 && s.running < refreshing && !s.queue[0].due.wall.After(now.wall) {
		e := heap.Pop(&s.queue).(*entry)
		if !e.used.Swap(false) {
			continue // nobody asked since the last time: the next to ask plans it again
		}
		s.running++
		m.work.Go(func() {
			e.refresh()
			m.refreshed()
		})
	}
	m.sleep(now)
}

// refreshed makes room for the next refresh.
func (m *Memory) refreshed() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.schedule.running--
	m.sleep(m.now())
}

func (s *schedule) remove(e *entry) {
	if e.slot >= 0 {
		heap.Remove(&s.queue, e.slot)
	}
}

func (s *schedule) stop() {
	s.stopped = true
	for _, e := range s.queue {
		e.slot = -1
	}
	s.queue = nil
	if s.timer != nil {
		s.timer.Stop()
	}
}

// A queue is a heap, first due first.
type queue []*entry

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.wall.Before(q[j].due.wall) }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].slot, q[j].slot = i, j
}

// Push is for container/heap.
func (q *queue) Push(e any) {
	e.(*entry).slot = len(*q)
	*q = append(*q, e.(*entry))
}

// Pop is for container/heap.
func (q *queue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	e.slot = -1
	return e
}

// setBack has everything due by elapsed time, after the wall clock was set back.
func (q *queue) setBack(now moment) {
	for _, e := range *q {
		e.due.wall = now.wall.Add(e.due.elapsed - now.elapsed)
	}
	heap.Init(q)
}
