// SPDX-License-Identifier: Apache-2.0

package serve

import "time"

const (
	// searching is the longest that the audit's writer looks for one process.
	searching = 50 * time.Millisecond
	// share is what part of its time it may spend on that, and saved how much of that it may save up: a burst of some
	// hundreds of connections is told in full, and a flood costs a tenth of one processor.
	share = 10
	saved = 500 * time.Millisecond
	// pressing is how many lines may wait meanwhile: more, and they are written without. Far fewer than queued, so that no
	// answer ever waits for it.
	pressing = queued / 8
)

// callers finds the processes at the other ends of TCP connections, for the audit's writer alone. It is asked a moment
// after the answer was given, and does what it can in the time that it has.
type callers struct {
	processes   processes
	busy        func() bool   // whether there is better to do
	limit, most time.Duration // searching and saved
	left        time.Duration // that may be spent now
	at          time.Time     // when left was counted
}

func newCallers(busy func() bool) callers {
	return callers{processes: newProcesses(), busy: busy, limit: searching, most: saved, left: saved, at: time.Now()}
}

// pid is the process at the other end, or 0. It is looked for once for each connection, for it stays with its process, and
// its socket's inode is never another's while it is open.
func (k *callers) pid(c *conn, who peer) int32 {
	switch {
	case who.pid != 0:
		return who.pid
	case who.inode == 0 || c.sought:
		return c.pid
	}
	begin := time.Now()
	k.left = min(k.most, k.left+begin.Sub(k.at)/share)
	k.at = begin
	if k.left <= 0 || k.busy() {
		return 0 // perhaps with this connection's next line
	}
	pid, whole := k.processes.holding(who.inode, who.uid, func() bool { return time.Since(begin) > k.limit || k.busy() })
	c.pid, c.sought = pid, whole || !k.busy()
	k.left -= time.Since(begin)
	return pid
}
