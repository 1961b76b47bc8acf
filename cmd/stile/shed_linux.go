// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// shedProgram has the kernel forget which pages of the program's own file this process has looked at. Starting looks at
// nearly all of them, and serving at a fifth. They stay in the page cache, and one that is looked at again is there at
// once; nothing is lost if any of this fails.
func shedProgram() {
	name, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	for _, m := range unchanged(f, name) {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED)
	}
}

// A mapping is a part of the address space.
type mapping struct{ from, to uintptr }

// unchanged finds the mappings of a file that cannot be written and hold no page of the process's own: MADV_DONTNEED
// would lose relocations and a debugger's breakpoints. Source: proc(5), smaps.
func unchanged(smaps io.Reader, name string) (found []mapping) {
	var now mapping
	ours, own := false, map[string]bool{}
	add := func() {
		if ours && own["Anonymous:"] && own["Swap:"] {
			found = append(found, now)
		}
	}
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		if strings.HasSuffix(fields[0], ":") {
			own[fields[0]] = fields[1] == "0"
			continue
		}
		add()
		clear(own)
		now, ours = mapping{}, false
		from, to, _ := strings.Cut(fields[0], "-")
		first, err1 := strconv.ParseUint(from, 16, 64)
		last, err2 := strconv.ParseUint(to, 16, 64)
		if err1 == nil && err2 == nil && first < last && !strings.Contains(fields[1], "w") && len(fields) > 5 && strings.Join(fields[5:], " ") == name {
			now, ours = mapping{uintptr(first), uintptr(last)}, true
		}
	}
	add()
	return found
}
