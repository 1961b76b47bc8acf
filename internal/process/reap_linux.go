// SPDX-License-Identifier: Apache-2.0

package process

import (
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// reapOrphans waits for processes that fell to this one when their parents ended, until over is closed: those of a container
// whose first process this is, or of who made it a subreaper. They would stay in the table of processes until then.
func reapOrphans(command *os.Process, over <-chan struct{}) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	defer signal.Stop(ended)
	again := time.NewTicker(time.Minute) // the kernel's list may leave some out while it changes
	defer again.Stop()
	for {
		for reap(command.Pid) {
		}
		select {
		case <-ended:
		case <-again.C:
		case <-over:
			return
		}
	}
}

// reap waits for what has ended of the children that nothing else waits for. What os/exec started, as a source that is a
// program, is never among them; where that cannot be told, as on an old kernel, it does nothing. It reports whether it found
// any: one that ended meanwhile may hide others.
func reap(command int) (found bool) {
	all := children()
	if len(all) == 0 || len(all) == 1 && all[0] == command {
		return false
	}
	ours := waitedFor()
	if !slices.Contains(ours, command) {
		return false
	}
	for _, pid := range all {
		if !slices.Contains(ours, pid) {
			ended, err := syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
			found = found || err == nil && ended == pid
		}
	}
	return found
}

// children are those of this process, of whichever thread. Source: proc_pid_task(5), children.
func children() (pids []int) {
	for _, task := range listed("/proc/self/task") {
		list, _ := os.ReadFile("/proc/self/task/" + task + "/children")
		for _, number := range strings.Fields(string(list)) {
			if pid, err := strconv.Atoi(number); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// waitedFor are the processes that this one has a descriptor of: os/exec has that of each child from its first moment until
// it has waited for it. Source: pidfd_open(2), fdinfo.
func waitedFor() (pids []int) {
	for _, descriptor := range listed("/proc/self/fdinfo") {
		about, _ := os.ReadFile("/proc/self/fdinfo/" + descriptor)
		if _, after, ok := strings.Cut(string(about), "\nPid:"); ok {
			number, _, _ := strings.Cut(after, "\n")
			pid, _ := strconv.Atoi(strings.TrimSpace(number))
			pids = append(pids, pid)
		}
	}
	return pids
}

func listed(folder string) []string {
	f, err := os.Open(folder)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	all, _ := f.Readdirnames(-1)
	return all
}
