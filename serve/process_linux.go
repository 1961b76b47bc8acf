// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"syscall"
)

const (
	recently = 16  // processes that are looked at first
	atOnce   = 256 // names of a folder
)

// processes finds who holds a socket. It is for one goroutine at a time.
//
// What it cannot see it cannot tell: processes of another pid namespace, those that hidepid hides, and, without
// CAP_SYS_PTRACE, the descriptors of other users' programs. See proc(5), /proc/pid/fd.
type processes struct {
	folder string // /proc
	self   int32
	recent []int32 // found before, the last one last: the same few programs ask again and again
}

func newProcesses() processes { return processes{folder: "/proc", self: int32(os.Getpid())} } //nolint:gosec // at most 2^22

// holding is the pid of a process that has the socket open, as this process's pid namespace calls it, or 0. Where several
// have it, for it was inherited, it is any of them. The programs of user uid are looked at before others, and the newest
// first: a program that asks once has just started, and will soon be gone. It ends early, and says so, once enough does.
func (p *processes) holding(inode uint64, uid uint32, enough func() bool) (pid int32, whole bool) {
	s := search{folder: p.folder, link: socketLink(inode), enough: enough}
	for _, pid := range slices.Backward(p.recent) {
		if s.has(pid) {
			return p.found(pid), true
		}
	}
	others := []int32{}
	for _, pid := range slices.Backward(s.pids()) {
		if s.over() {
			return 0, false
		}
		switch owner, ok := s.owner(pid); {
		case !ok || pid == p.self || slices.Contains(p.recent, pid): // gone, or looked at before, or very many descriptors
		case owner != uid:
			others = append(others, pid)
		case s.has(pid):
			return p.found(pid), true
		}
	}
	for _, pid := range append(others, p.self) {
		if s.has(pid) {
			return p.found(pid), true
		}
	}
	return 0, !s.over()
}

func (p *processes) found(pid int32) int32 {
	if pid == p.self {
		return pid
	}
	p.recent = slices.DeleteFunc(p.recent, func(other int32) bool { return other == pid })
	if p.recent = append(p.recent, pid); len(p.recent) > recently {
		p.recent = slices.Delete(p.recent, 0, 1)
	}
	return pid
}

// socketLink is what the name of a socket's descriptor in /proc/PID/fd points to.
func socketLink(inode uint64) []byte {
	return append(strconv.AppendUint([]byte("socket:["), inode, 10), ']')
}

// A search is for one socket.
type search struct {
	folder string
	link   []byte
	enough func() bool
	ended  bool
}

func (s *search) over() bool {
	s.ended = s.ended || s.enough()
	return s.ended
}

func (s *search) path(pid int32) string { return s.folder + "/" + strconv.Itoa(int(pid)) }

// owner is whose process it is; root's too, if its user may not look into it.
func (s *search) owner(pid int32) (uid uint32, ok bool) {
	var info syscall.Stat_t
	err := syscall.Stat(s.path(pid), &info)
	return info.Uid, err == nil
}

// pids are all processes that can be seen, the oldest first, as long as the numbers have not begun anew.
func (s *search) pids() (all []int32) {
	s.names(s.folder, func(name string) bool {
		if pid, err := strconv.ParseInt(name, 10, 32); err == nil && pid > 0 {
			all = append(all, int32(pid))
		}
		return false
	})
	slices.Sort(all)
	return all
}

// has reports whether the process has the socket open.
func (s *search) has(pid int32) bool {
	folder := s.path(pid) + "/fd"
	buf := make([]byte, len(s.link)+1) // with room for one more, so that a longer one is not taken for it
	return s.names(folder, func(name string) bool {
		n, err := syscall.Readlink(folder+"/"+name, buf)
		return err == nil && bytes.Equal(buf[:max(n, 0)], s.link)
	})
}

// names shows what is in a folder until one is wanted, and reports whether one was. What cannot be read has nothing in it.
func (s *search) names(folder string, wanted func(name string) bool) bool {
	if s.over() {
		return false
	}
	f, err := os.Open(folder)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	for {
		names, err := f.Readdirnames(atOnce)
		for _, name := range names {
			if s.over() {
				return false
			}
			if wanted(name) {
				return true
			}
		}
		if err != nil || len(names) == 0 {
			return false
		}
	}
}
